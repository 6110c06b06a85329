/**
 * What calls of this process are creating. A call that fails removes what it has created, so two must not create the same.
 *
 * @module
 */

import { isKnownAbsent, kindOf, requireAbsent } from "../checks/existing.ts";
import { isWithin, pathKey } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { isBusy, isUnclear } from "../errors/outcomes.ts";
import { printable } from "../errors/printable.ts";
import { InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { isTaken } from "../ffi/kernel32.ts";
import type { Held } from "../holds/hold.ts";
import type { Expect } from "../holds/hold_list.ts";
import { sessionOf } from "./session.ts";

/**
 * Claims a path at which nothing exists for a file or folder to create, until the result is disposed of.
 *
 * @throws {InvalidInputError} that names `argument` if another call of this process is creating it, or it exists.
 */
export function claimAbsent(host: Host, path: string, argument: string): Disposable {
  using claims = new DisposableStack();
  claims.use(claim(host, path, argument));
  requireAbsent(host, path, argument);
  return claims.move();
}

/**
 * {@linkcode claimAbsent} for a path at which nothing is known to exist.
 *
 * @throws {InvalidInputError} that names `argument` if another call of this process is creating it.
 */
export function claim(host: Host, path: string, argument: string): Disposable {
  requireUnclaimed(host, path, argument);
  const { creating } = sessionOf(host);
  const key = pathKey(path);
  creating.add(key);
  return { [Symbol.dispose]: () => void creating.delete(key) };
}

/** Returns whether a call of this process is creating what is at a path, or something in it. */
export function isBeingCreated(host: Host, path: string): boolean {
  return [...sessionOf(host).creating].some((key) => isWithin(key, path));
}

/** Throws if another call of this process is creating what is at a path, because that may be half of it. */
export function requireUnclaimed(host: Host, path: string, argument: string): void {
  if (sessionOf(host).creating.has(pathKey(path))) {
    throw new InvalidInputError(argument, "is being created by another call of this process", path);
  }
}

/** What {@linkcode createHeld} creates. */
export interface Creation {
  /** The hold on it. */
  readonly held: Held;
  /** Its paths. */
  readonly paths: readonly string[];
  /** The function of Windows that makes it, if its success is all that it tells. Then it is looked at. */
  readonly by?: string;
  /** Whether it is in a folder that the same call of this process has just created. Default: false. */
  readonly isInNewFolder?: boolean;
}

/**
 * Runs `create`, which makes what `held` is the hold on: `held` removes it also if `create` failed and left it behind, unless it
 * was there before. If the error leaves open whether Windows or another process has made it, it stays, and stays held.
 */
export async function createHeld<T>(
  host: Host,
  { held, paths, by, isInNewFolder = false }: Creation,
  create: () => T | Promise<T>,
  expect: Expect,
): Promise<T> {
  const isThere = paths.some((path) => kindOf(host, path) !== undefined);
  let isOurs: boolean | undefined = !isThere;
  expect({
    ...held,
    async release() {
      if (isOurs === undefined) requireGone(host, paths);
      return isOurs === true && await held.release();
    },
  });
  try {
    const created = await create();
    if (by !== undefined) requireMade(host, paths, by);
    return created;
  } catch (error) {
    isOurs &&= error instanceof UnexpectedAnswerError ? undefined : isOwn(error, isInNewFolder);
    throw error;
  }
}

/**
 * Throws if nothing is at any of the paths of what a function has reported as made. A look that fails tells nothing.
 *
 * @param by The function of Windows.
 * @throws {UnexpectedAnswerError} if it isn't there.
 */
export function requireMade(host: Host, paths: readonly string[], by: string): void {
  // Asked twice, as an answer can be wrong once.
  if (![...paths, ...paths].every((path) => isKnownAbsent(host, path))) return;
  throw new UnexpectedAnswerError(by, `reports success although nothing is at ${printable(paths[0])}`, 0);
}

/**
 * Returns whether what was not there before a call that failed, and is there after it, is the call's own; undefined if it can be
 * another process's as well.
 *
 * @param isInNewFolder Whether it is in, or at, a folder that this process has just created.
 */
export function isOwn(error: unknown, isInNewFolder: boolean): boolean | undefined {
  if (!(error instanceof NativeError) || isTaken(error)) return false;
  return hasBegun(error) || isInNewFolder && !isBusy(error) || undefined;
}

/** Returns the error about what can be another process's, and stays. */
export function maybeOfOthers(path: string): InUseError {
  return new InUseError(
    path,
    "was made just before or by the call that failed, so it may be another process's. Delete it if it isn't",
  );
}

// They refuse what exists, so that they fill a disk with none but their own. Of CreateSandboxLayer nobody knows that.
const NEVER_REPLACE = ["CopyFileW", "CreateVirtualDisk", "HcsSetupBaseOSLayer"];

function hasBegun(error: NativeError): boolean {
  return isUnclear(error) || error.win32 === win32.ERROR_DISK_FULL && NEVER_REPLACE.includes(error.operation);
}

function requireGone(host: Host, paths: readonly string[]): void {
  const found = paths.find((path) => kindOf(host, path) !== undefined);
  if (found !== undefined) throw maybeOfOthers(found);
}
