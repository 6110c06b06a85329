/**
 * What the error of a call tells about its effect.
 *
 * @module
 */

import { win32 } from "./codes.ts";
import { NativeError } from "./windows_errors.ts";

const BUSY: readonly (number | undefined)[] = [
  win32.ERROR_SHARING_VIOLATION,
  win32.ERROR_LOCK_VIOLATION,
  win32.ERROR_BUSY,
];

const UNCLEAR: readonly (number | undefined)[] = [
  win32.ERROR_TIMEOUT,
  win32.RPC_S_SERVER_UNAVAILABLE,
  win32.RPC_S_CALL_FAILED,
];

/** Returns whether a call failed because somebody has something open, and goes on having it open. */
export function isBusy(error: unknown): boolean {
  return error instanceof NativeError && BUSY.includes(error.win32);
}

/** Returns whether a call went on after it was given up, or the service ended in the middle of it. */
export function isUnclear(error: unknown): boolean {
  return error instanceof NativeError && UNCLEAR.includes(error.win32);
}

/** Returns whether a call that removes something failed because it is there, or before anybody had looked. */
export function isRefused(error: unknown): boolean {
  return error instanceof NativeError && error.win32 === win32.ERROR_ACCESS_DENIED || isBusy(error) || isUnclear(error);
}
