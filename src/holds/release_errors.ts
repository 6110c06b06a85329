/**
 * The errors of releasing.
 *
 * @module
 */

import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import type { Hold } from "./hold.ts";

/** What is left of a list of holds. */
interface Remaining {
  readonly holds: readonly Hold[];
  release(): Promise<unknown>;
}

/**
 * Some of what was to be released is still held. Every step was tried; `errors` has one error for each that failed.
 *
 * @category Errors
 */
export class ReleaseError extends LayerError implements AsyncDisposable {
  /** The class name. */
  override readonly name: string = "ReleaseError";
  /** Why: one error for each step that failed. */
  readonly errors: readonly unknown[];
  readonly #remaining: Remaining;

  /** An error over what is left. The message says what that is and why, unless one is given. */
  constructor(
    remaining: { readonly holds: readonly Hold[]; release(): Promise<unknown> },
    errors: readonly unknown[],
    message: string = describe(remaining.holds, errors),
    options: ErrorOptions = { cause: errors.length === 1 ? errors[0] : new AggregateError(errors) },
  ) {
    super(message, options);
    this.errors = errors;
    this.#remaining = remaining;
  }

  /** What is still held. {@linkcode ReleaseError.release} shortens it. */
  get holds(): readonly Hold[] {
    return this.#remaining.holds;
  }

  /**
   * Tries again to release what is still held.
   *
   * @throws {ReleaseError} if something is still held after that.
   */
  async release(): Promise<void> {
    await this.#remaining.release();
  }

  /** {@linkcode ReleaseError.release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** The error as `JSON.stringify` prints it, with what is still held. */
  toJSON(): object {
    const { name, message, holds, errors } = this;
    return { name, message, holds, errors: errors.map(toJSON) };
  }
}

/**
 * A mount failed, and what it had acquired until then could not be released completely. `cause` is why the mount failed,
 * `errors` has that and what failed in releasing.
 *
 * @category Errors
 */
export class UnwindError extends ReleaseError {
  /** The class name. */
  override readonly name = "UnwindError";

  /** An error over what is left. */
  constructor(
    remaining: { readonly holds: readonly Hold[]; release(): Promise<unknown> },
    cause: unknown,
    release: ReleaseError,
  ) {
    const message = `${messageOf(cause)}. Undoing it failed as well: ${release.message}`;
    super(remaining, [cause, ...release.errors], message, { cause });
  }
}

function describe(holds: readonly Hold[], errors: readonly unknown[]): string {
  return `${holds.length} of what was mounted could not be released (${holds.map(({ kind }) => kind).join(", ")}): ` +
    `${errors.map(messageOf).join("; ")}. Release again to go on from here`;
}

function toJSON(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: messageOf(error) };
  return "toJSON" in error ? error : { ...error, name: error.name, message: error.message };
}
