/**
 * Errors about files that are read: what they say can't be, or they can't be read at all.
 *
 * @module
 */

import { LayerError } from "./layer_error.ts";
import { messageOf, visible } from "./printable.ts";

/** Where in a file something is wrong. */
export interface FilePlace {
  /** Offset in bytes from the beginning of the file. */
  readonly offset?: number | undefined;
  /** Path of the entry that it is about, as the file has it. */
  readonly entry?: string | undefined;
}

/** Why a file is refused: it contradicts itself, its form isn't known, or a limit of yours is passed. */
export type FormatProblem = "damaged" | "unsupported" | "limit";

/**
 * What a file says can't be, isn't known to this library, or is more than you allow.
 *
 * @category Errors
 */
export class FormatError extends LayerError {
  /** The class name. */
  override readonly name = "FormatError";
  /** The file: its path, its URL, or the name that it was given. */
  readonly file: string;
  /** What is wrong, without where. */
  readonly problem: string;
  /** Why it is refused. */
  readonly reason: FormatProblem;
  /** Where in the file, in bytes from its beginning, if that is known. */
  readonly offset: number | undefined;
  /** Path of the entry that it is about, if it is about one. */
  readonly entry: string | undefined;

  /** An error that reads `<file>: <problem>`, and where that is. */
  constructor(
    file: string,
    problem: string,
    { offset, entry, reason = "damaged", ...options }: ErrorOptions & FilePlace & {
      readonly reason?: FormatProblem;
    } = {},
  ) {
    const place = offset === undefined ? "" : `, at offset ${offset}`;
    const part = entry === undefined ? "" : ` (${visible(entry)})`;
    super(`${visible(file)}: ${visible(problem)}${part}${place}`, options);
    this.file = file;
    this.problem = problem;
    this.reason = reason;
    this.offset = offset;
    this.entry = entry;
  }
}

/**
 * A file can't be opened or read. `cause` is what Deno has thrown.
 *
 * @category Errors
 */
export class UnreadableFileError extends LayerError {
  /** The class name. */
  override readonly name = "UnreadableFileError";
  /** The file: its path, or its URL. */
  readonly file: string;

  /** An error that reads `<file> can't be read: <why>`. */
  constructor(file: string, why: unknown, options?: ErrorOptions) {
    super(`${visible(file)} can't be read: ${messageOf(why)}`, { cause: why, ...options });
    this.file = file;
  }
}
