/**
 * Undoing a change of a VM that failed. It may have been made nevertheless, in whole or in part.
 *
 * @module
 */

import { isInUse } from "../checks/existing.ts";
import { computeCodeOf, hresult, win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { NativeError, neverReachedWindows } from "../errors/windows_errors.ts";
import { isNotFound } from "../ffi/kernel32.ts";
import { log } from "../log.ts";
import { waitUntil } from "../session/waiting.ts";
import type { RunningVM } from "./running_vm.ts";

/** A change of a VM that failed. */
export interface FailedChange {
  /** The error. */
  readonly error: unknown;
  /** The requests that take it back. */
  readonly removal: readonly (() => Promise<void>)[];
  /** The file that the VM has open if the change was made. Default: there is no way to look. */
  readonly file?: string;
  /** Whether taking it back succeeds if it was not made. Default: nobody knows. */
  readonly canTakeBackNothing?: boolean;
}

/**
 * Takes back a change that failed, if it may have been made.
 *
 * @throws what the VM reports, if the change may be there still.
 */
export async function undo(vm: RunningVM, change: FailedChange): Promise<void> {
  const { error, removal, file } = change;
  if (neverReachedWindows(error) || vm.state === "ended") return;
  if (file !== undefined && !mayBeOpen(vm, file)) return;
  try {
    for (const request of removal) await request();
  } catch (failure) {
    if (isNothingThere(failure)) return;
    const remains = file === undefined
      ? failure instanceof NativeError && (change.canTakeBackNothing === true || isUnclear(error))
      : !await waitUntil(vm.host, `${file} is free`, () => !mayBeOpen(vm, file));
    if (remains) throw failure;
    log("debug", () => `undoing a change of the VM ${vm.id}: ${messageOf(failure)}`);
  }
}

function mayBeOpen({ host }: RunningVM, file: string): boolean {
  try {
    return isInUse(host, file);
  } catch {
    return true;
  }
}

function isNothingThere(error: unknown): boolean {
  return isNotFound(error) || error instanceof NativeError && error.win32 === win32.ERROR_NOT_FOUND;
}

// The call went on after it was given up, or whoever did it is gone.
const UNCLEAR: readonly (number | undefined)[] = [
  win32.ERROR_TIMEOUT,
  win32.RPC_S_SERVER_UNAVAILABLE,
  win32.RPC_S_CALL_FAILED,
];
const UNCLEAR_COMPUTE = [
  hresult.HCS_E_UNEXPECTED_EXIT,
  hresult.HCS_E_CONNECTION_TIMEOUT,
  hresult.HCS_E_CONNECTION_CLOSED,
  hresult.HCS_E_OPERATION_TIMEOUT,
  hresult.HCS_E_SERVICE_DISCONNECT,
].map(computeCodeOf);

/** Returns whether a call of the compute service that failed with this error is likely to have had its effect. */
export function isUnclear(error: unknown): boolean {
  if (!(error instanceof NativeError)) return false;
  const compute = computeCodeOf(error.code);
  return compute === undefined ? UNCLEAR.includes(error.win32) : UNCLEAR_COMPUTE.includes(compute);
}
