/**
 * The errors of releasing.
 *
 * @module
 */

import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import { abortSignal, optionsOf } from "../options.ts";
import type { Hold } from "./hold.ts";

/** What is left of a list of holds. */
interface Remaining {
  readonly holds: readonly Hold[];
  release(options?: Limits): Promise<unknown>;
}

interface Limits {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Something that was to be released is still held. Every step was tried; `errors` has one error for each that failed.
 *
 * @category Errors
 */
export class ReleaseError extends LayerError implements AsyncDisposable {
  /** The class name. */
  override readonly name: string = "ReleaseError";
  /** One error for each step that failed. */
  readonly errors: readonly unknown[];
  readonly #remaining: Remaining;

  /** An error about what is left. The default message says what is left, and why. */
  constructor(
    remaining: {
      readonly holds: readonly Hold[];
      release(options?: { readonly signal?: AbortSignal | undefined }): Promise<unknown>;
    },
    errors: readonly unknown[],
    message: string = describe(remaining.holds, errors),
    options: ErrorOptions = { cause: errors.length === 1 ? errors[0] : new AggregateError(errors) },
  ) {
    super(message, options);
    this.errors = errors;
    this.#remaining = remaining;
  }

  /** What is still held. It gets shorter when {@linkcode ReleaseError.release} succeeds for a part of it. */
  get holds(): readonly Hold[] {
    return this.#remaining.holds;
  }

  /**
   * Tries again to release what is still held.
   *
   * @param options `signal` stops it between two steps.
   * @throws {ReleaseError} if something is still held after that.
   * @throws the reason of the signal if it was aborted between two steps.
   */
  async release(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    await this.#remaining.release(optionsOf(options, { signal: abortSignal }));
  }

  /** {@linkcode ReleaseError.release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Returns the error as plain data for `JSON.stringify`, with what is still held. */
  toJSON(): object {
    const { name, message, holds, errors } = this;
    return { name, message, holds, errors: errors.map(toJSON) };
  }
}

/**
 * A function failed, and something that it had acquired until then could not be released. `cause` is the error of the
 * function; `errors` contains it and the errors of the releases.
 *
 * @category Errors
 */
export class UnwindError extends ReleaseError {
  /** The class name. */
  override readonly name = "UnwindError";

  /** An error about what is left. */
  constructor(
    remaining: {
      readonly holds: readonly Hold[];
      release(options?: { readonly signal?: AbortSignal | undefined }): Promise<unknown>;
    },
    cause: unknown,
    release: ReleaseError,
  ) {
    const message = `${messageOf(cause)}. Undoing it failed as well: ${release.message}`;
    super(remaining, [cause, ...release.errors], message, { cause });
  }
}

function describe(holds: readonly Hold[], errors: readonly unknown[]): string {
  return `${holds.length} hold${holds.length === 1 ? "" : "s"} could not be released (${
    holds.map(({ kind }) => kind).join(", ")
  }): ` +
    `${errors.map(messageOf).join("; ")}. Release again to continue`;
}

function toJSON(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: messageOf(error) };
  return "toJSON" in error ? error : { ...error, name: error.name, message: error.message };
}
