/**
 * Errors of giving back.
 *
 * @module
 */

import { messageOf } from "../printable.ts";
import type { Hold } from "./hold.ts";

/** Some of what was to be given back is still held. Every step was tried; `errors` has one error for each that failed. */
export class ReleaseError extends AggregateError {
  /** The class name. */
  override readonly name = "ReleaseError";
  /** What is still held. */
  readonly holds: readonly Hold[];

  /** An error that lists what is still held, and why. */
  constructor(holds: readonly Hold[], errors: readonly unknown[]) {
    super(
      errors,
      `${holds.length} of what was mounted could not be released (${holds.map((hold) => hold.kind).join(", ")}): ` +
        `${errors.map(messageOf).join("; ")}. Release again to go on from here`,
    );
    this.holds = holds;
  }
}

/**
 * A mount failed, and what it had taken until then could not be given back completely. `cause` is why the mount failed,
 * `errors` has that and what failed in giving back. {@linkcode UnwindError.release} tries the rest again.
 */
export class UnwindError extends AggregateError implements AsyncDisposable {
  /** The class name. */
  override readonly name = "UnwindError";
  readonly #holds: { readonly holds: readonly Hold[]; release(): Promise<unknown> };

  /** An error over the list of holds that is left. */
  constructor(
    holds: { readonly holds: readonly Hold[]; release(): Promise<unknown> },
    cause: unknown,
    release: ReleaseError,
  ) {
    super([cause, ...release.errors], `${messageOf(cause)}. Undoing it failed as well: ${release.message}`, {
      cause,
    });
    this.#holds = holds;
  }

  /** What is still held. */
  get holds(): readonly Hold[] {
    return this.#holds.holds;
  }

  /**
   * Tries again to give back what is held.
   *
   * @throws {ReleaseError} if something is held still.
   */
  async release(): Promise<void> {
    await this.#holds.release();
  }

  /** {@linkcode UnwindError.release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
