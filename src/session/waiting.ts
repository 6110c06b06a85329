/**
 * Waiting for what passes by itself: Windows lets go of a disk a while after the call that detached it, and scanners open
 * new and changed files for a moment.
 *
 * @module
 */

import { idOf, isInUse, isKnownAbsent, requireKind } from "../checks/existing.ts";
import { win32 } from "../errors/codes.ts";
import { isBusy } from "../errors/outcomes.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { copyFile, directoryEntries, fileAttributes, fileFlag } from "../ffi/kernel32.ts";
import { log } from "../log.ts";

const LIMIT_MS = 5_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

/** How long is waited, for messages. */
export const WAITED = `${LIMIT_MS / 1000} s`;

/** How long is waited before something is done once more, and after that. */
export const HALF_MS = LIMIT_MS / 2;

/**
 * Waits until `isOver` returns true, with growing pauses, for {@linkcode WAITED} or `limit` at most. Returns whether it did.
 *
 * @throws what `isOver` throws.
 * @throws the reason of `signal`.
 */
export async function waitUntil(
  host: Host,
  what: string,
  isOver: () => boolean | Promise<boolean>,
  signal?: AbortSignal,
  limit: number = LIMIT_MS,
): Promise<boolean> {
  for (let waited = 0, pause = FIRST_PAUSE_MS; !await isOver(); pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    if (waited >= limit) return false;
    if (waited === 0) log("info", () => `waiting until ${what}`);
    await host.sleep(pause, signal);
    waited += pause;
  }
  return true;
}

/** Waits until nobody has a disk open. Returns whether it came to that. */
export function isFree(host: Host, disk: string, signal?: AbortSignal, limit?: number): Promise<boolean> {
  return waitUntil(host, `${disk} is free`, () => !isInUse(host, disk), signal, limit);
}

/** Waits until a promise is settled, for `limit` milliseconds at most. Returns whether it is. */
export async function settlesWithin(host: Host, promise: Promise<void>, limit: number): Promise<boolean> {
  const wake = new AbortController();
  const slept = host.sleep(limit, wake.signal).then(() => false, () => false);
  const isSettled = await Promise.race([promise.then(() => true), slept]);
  wake.abort();
  return isSettled;
}

// What is being deleted is out of reach until the last handle to it is closed. Windows says no more than that of it.
const BEING_DELETED: readonly (number | undefined)[] = [win32.ERROR_ACCESS_DENIED, win32.ERROR_DELETE_PENDING];

function isDenied(error: unknown): boolean {
  return error instanceof NativeError && BEING_DELETED.includes(error.win32);
}

/** Whether something is there, or is being deleted: then it is there until somebody closes it, and nobody can look at it. */
function stateOf(host: Host, path: string): "there" | "being deleted" | "gone" {
  try {
    return fileAttributes(host, path) === undefined ? "gone" : "there";
  } catch (error) {
    if (!isDenied(error)) throw error;
    return "being deleted";
  }
}

/** Returns whether all that is in a folder is being deleted. Looks no further than to the first that isn't. */
export function isBeingEmptied(host: Host, folder: string): boolean {
  return directoryEntries(host, folder).every(({ name }) => stateOf(host, `${folder}\\${name}`) === "being deleted");
}

/** How long to try again, and after which errors. */
interface Patience {
  /** What is waited for, for the log. */
  readonly what: string;
  /** Whether an error can pass by itself. */
  passes(error: unknown): boolean;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
  /** The milliseconds for which it is waited at most, if not {@linkcode WAITED}. With 0, there is one attempt. */
  readonly limit?: number | undefined;
}

/**
 * Runs `attempt` again and again as long as its errors can pass by themselves, for {@linkcode WAITED} at most.
 *
 * @throws what `attempt` throws, if that doesn't pass.
 */
async function repeated<T>(
  host: Host,
  attempt: () => T | Promise<T>,
  { what, passes, signal, limit }: Patience,
): Promise<T> {
  let done: { readonly result: T } | undefined;
  let last: unknown;
  const isDone = async () => {
    try {
      done = { result: await attempt() };
      return true;
    } catch (error) {
      if (!passes(error)) throw error;
      last = error;
      return false;
    }
  };
  await waitUntil(host, what, isDone, signal, limit);
  if (done === undefined) throw last;
  return done.result;
}

/** Opens or attaches a file, again and again as long as somebody has it open, for {@linkcode WAITED} at most. */
export function onceFree<T>(
  host: Host,
  file: string,
  attempt: () => T | Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return repeated(host, attempt, { what: `${file} is free`, passes: isBusy, signal });
}

/**
 * Copies a file to where there is none, as {@linkcode onceFree} does, but not once a try has left something there: the next one
 * would take that for somebody else's.
 */
export function copyOnceFree(host: Host, from: string, to: string, signal?: AbortSignal): Promise<void> {
  const passes = (error: unknown) => isBusy(error) && isKnownAbsent(host, to);
  return repeated(host, () => copyFile(host, from, to), { what: `${from} is free`, passes, signal });
}

/**
 * Removes something, again and again as long as somebody else has it open, or it is a folder from which something is still
 * being deleted, for {@linkcode WAITED} at most. Once more if Windows reports success, and it is still there.
 *
 * @throws {InUseError} if it is there after that too, or nobody can tell whether it is the same.
 */
export async function removeOnceFree<T>(host: Host, path: string, remove: () => T, limit?: number): Promise<T> {
  const isStillFull = (error: unknown) =>
    error instanceof NativeError && error.win32 === win32.ERROR_DIR_NOT_EMPTY && isBeingEmptied(host, path);
  const passes = (error: unknown) => isBusy(error) || isDenied(error) || isStillFull(error);
  const attempt = () => repeated(host, remove, { what: `${path} can be removed`, passes, limit });
  // By which it is told from what somebody else makes in its place.
  const id = idOf(host, path, fileFlag.OPEN_REPARSE_POINT);
  const result = await attempt();
  for (let isLast = false;; isLast = true) {
    if (isGone(host, path)) return result;
    const left = idOf(host, path, fileFlag.OPEN_REPARSE_POINT);
    const isKnown = id !== undefined && left !== undefined;
    // Somebody else has made it since.
    if (isKnown && left !== id) return result;
    if (isLast || !isKnown) throw new InUseError(path, "is still there although Windows reported that it was deleted");
    await attempt();
  }
}

/**
 * Waits for {@linkcode WAITED} at most until what Windows has reported as deleted is gone. A look that fails tells nothing.
 *
 * @param by The function of Windows.
 * @throws {InUseError} if it is still there.
 */
export async function requireGone(host: Host, path: string, by: string, signal?: AbortSignal): Promise<void> {
  const mayBeGone = () => {
    try {
      return isGone(host, path);
    } catch {
      return true;
    }
  };
  if (await waitUntil(host, `${path} is gone`, mayBeGone, signal)) return;
  throw new InUseError(path, `is still there ${WAITED} after ${by} reported that it was deleted`);
}

function isGone(host: Host, path: string): boolean {
  try {
    return fileAttributes(host, path) === undefined;
  } catch (error) {
    if (!isDenied(error)) throw error;
    return true;
  }
}

/** Looks at a path, or creates something there, again and again as long as what was there is being deleted. */
export function onceDeleted<T>(
  host: Host,
  path: string,
  attempt: () => T,
  { signal, limit }: Pick<Patience, "signal" | "limit"> = {},
): Promise<T> {
  return repeated(host, attempt, { what: `${path} is deleted`, passes: deletion(host, path), signal, limit });
}

// Returns what tells whether an error is due to a deletion. If nothing is there by the time of the look, that can be over, or
// Windows lets nobody create anything there: one more attempt tells.
function deletion(host: Host, path: string): (error: unknown) => boolean {
  let wasGone = false;
  return (error) => {
    if (!isDenied(error)) return false;
    const state = stateOf(host, (error as NativeError).path ?? path);
    const passes = state === "being deleted" || state === "gone" && !wasGone;
    wasGone ||= state === "gone";
    return passes;
  };
}

/** Returns whether an error about a file that was there passes by itself: a scanner has it open, or it is being deleted. */
export function isPassing(host: Host, path: string, error: unknown): boolean {
  return isBusy(error) || isDenied(error) && stateOf(host, (error as NativeError).path ?? path) !== "there";
}

/** Reads or writes a file, again and again as long as a scanner has it open, or an older one there is being deleted. */
export function onceReachable<T>(
  host: Host,
  path: string,
  attempt: () => T | Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const isDeletion = deletion(host, path);
  const passes = (error: unknown) => isBusy(error) || isDeletion(error);
  return repeated(host, attempt, { what: `${path} can be opened`, passes, signal });
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
  if (!await isFree(host, file, signal)) {
    throw new InUseError(file, `has been in use for ${WAITED}: attached, mounted as a scratch, or open in a scanner`);
  }
}
