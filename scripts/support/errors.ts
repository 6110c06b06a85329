/**
 * Errors of the commands themselves.
 *
 * @module
 */

import type { HeldRecord } from "./holds.ts";

/** The command line is wrong. */
export class UsageError extends Error {
  /** The class name. */
  override readonly name = "UsageError";
}

/** A command failed, and not for an error of the library. */
export class CommandError extends Error {
  /** The class name. */
  override readonly name = "CommandError";
  /** What is still held. */
  readonly holds: readonly HeldRecord[];

  /** An error over what is still held, if something is. */
  constructor(message: string, options: ErrorOptions & { holds?: readonly HeldRecord[] } = {}) {
    super(message, options);
    this.holds = options.holds ?? [];
  }
}
