/**
 * Alternate data streams, which not every file system has.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";

const CODES: readonly (number | undefined)[] = [
  win32.ERROR_INVALID_NAME,
  win32.ERROR_INVALID_PARAMETER,
  win32.ERROR_NOT_SUPPORTED,
];

/** Whether a call on a stream failed as the file system has none. */
export function hasNoStreams(error: unknown): boolean {
  return error instanceof NativeError && CODES.includes(error.win32);
}
