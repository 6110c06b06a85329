/**
 * Waiting for what passes by itself: Windows lets go of a disk a while after the call that detached it, and scanners open
 * new and changed files for a moment.
 *
 * @module
 */

import { isInUse, requireKind } from "../checks/existing.ts";
import { win32 } from "../errors/codes.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { log } from "../log.ts";

const LIMIT_MS = 5_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

/** How long is waited, for messages. */
export const WAITED = `${LIMIT_MS / 1000} s`;

/**
 * Waits until `isOver` returns true, with growing pauses, for {@linkcode WAITED} at most. Returns whether it did.
 *
 * @throws what `isOver` throws.
 * @throws the reason of `signal`.
 */
export async function waitUntil(
  host: Host,
  what: string,
  isOver: () => boolean | Promise<boolean>,
  signal?: AbortSignal,
): Promise<boolean> {
  for (let waited = 0, pause = FIRST_PAUSE_MS; !await isOver(); pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    if (waited === 0) log("info", () => `waiting until ${what}`);
    if (waited >= LIMIT_MS) return false;
    await host.sleep(pause, signal);
    waited += pause;
  }
  return true;
}

const BUSY: readonly (number | undefined)[] = [
  win32.ERROR_SHARING_VIOLATION,
  win32.ERROR_LOCK_VIOLATION,
  win32.ERROR_BUSY,
  // A file that is being deleted is out of reach until the last handle to it is closed.
  win32.ERROR_ACCESS_DENIED,
  win32.ERROR_DELETE_PENDING,
];

/**
 * Removes something, again and again as long as somebody else has it open, for {@linkcode WAITED} at most.
 *
 * @throws what `remove` throws, if that doesn't pass.
 */
export async function removeOnceFree<T>(host: Host, path: string, remove: () => T): Promise<T> {
  let removed: { readonly result: T } | undefined;
  let last: unknown;
  const isRemoved = () => {
    try {
      removed = { result: remove() };
      return true;
    } catch (error) {
      if (!(error instanceof NativeError && BUSY.includes(error.win32))) throw error;
      last = error;
      return false;
    }
  };
  await waitUntil(host, `${path} can be removed`, isRemoved);
  if (removed === undefined) throw last;
  return removed.result;
}

/**
 * Refuses a path at which there is no file, or one that somebody has open, and goes on having it open.
 *
 * @throws {InvalidInputError} if there is no file.
 * @throws {InUseError} if it is in use.
 */
export async function requireFreeFile(
  host: Host,
  file: string,
  argument: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  requireKind(host, file, argument, "file");
  if (!await waitUntil(host, `${file} is free`, () => !isInUse(host, file), signal)) {
    throw new InUseError(file, `has been in use for ${WAITED}: attached, mounted as a scratch, or open in a scanner`);
  }
}
