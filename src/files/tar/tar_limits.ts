/**
 * How much a tar may have: what it says of itself isn't believed.
 *
 * @module
 */

import { abortSignal, type Check, type Checked, fieldsOf, optional, optionsOf } from "../../options.ts";
import { count, text } from "../option_checks.ts";

/** How much a tar may have at most. More is refused with a FormatError whose `reason` is `limit`. */
export interface TarLimits {
  /** How many entries. Default: 2,000,000. */
  readonly maxEntries?: number | undefined;
  /** How many bytes an entry. Default: 1 TiB. */
  readonly maxEntrySize?: number | undefined;
  /** How many bytes all entries together. Default: 4 TiB. */
  readonly maxTotalSize?: number | undefined;
  /** How many names a path, one inside the other. Default: 1,000. */
  readonly maxDepth?: number | undefined;
  /** How many bytes an extended header; all paths together 256 times as many characters. Default: 1 MiB. */
  readonly maxHeaderSize?: number | undefined;
}

/** Options of functions that read a tar. */
export interface ReadTarOptions extends TarLimits {
  /** What errors call the tar, such as its path. Default: the name of the bytes, or `tar`. */
  readonly name?: string | undefined;
  /** Ends reading once it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

const LIMITS = {
  maxEntries: optional(count),
  maxEntrySize: optional(count),
  maxTotalSize: optional(count),
  maxDepth: optional(count),
  maxHeaderSize: optional(count),
};

/** The checks of {@linkcode ReadTarOptions}. */
export const READ_TAR = { ...LIMITS, name: optional(text), signal: abortSignal };

/** Checks {@linkcode TarLimits}. */
export const tarLimits: Check<TarLimits> = (value, argument) => fieldsOf(value, LIMITS, argument);

/** The options, with defaults for the limits. */
export function readTarOptions(options: ReadTarOptions): Checked<typeof READ_TAR> & Required<Limits> {
  const given = optionsOf(options, READ_TAR);
  return {
    ...given,
    maxEntries: given.maxEntries ?? 2_000_000,
    maxEntrySize: given.maxEntrySize ?? 2 ** 40,
    maxTotalSize: given.maxTotalSize ?? 2 ** 42,
    maxDepth: given.maxDepth ?? 1000,
    maxHeaderSize: given.maxHeaderSize ?? 2 ** 20,
  };
}

type Limits = { readonly [K in keyof TarLimits]-?: number };
