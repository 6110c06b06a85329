/**
 * Removing something from a VM, also after a request that failed: it may have been done nevertheless, in whole or in part.
 *
 * @module
 */

import { isInUse, isKnownAbsent } from "../checks/existing.ts";
import { computeCodeOf, hresult, win32 } from "../errors/codes.ts";
import { isRefused, isUnclear } from "../errors/outcomes.ts";
import { messageOf } from "../errors/printable.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { GuestError, runsWithoutGuest, VMStateError } from "../errors/vm_errors.ts";
import { NativeError, neverReachedWindows } from "../errors/windows_errors.ts";
import { isNotFound } from "../ffi/kernel32.ts";
import type { ModifySettingRequest } from "../hcsschema/requests.ts";
import { log } from "../log.ts";
import { waitUntil } from "../session/waiting.ts";
import { isInvalidState } from "./compute_system.ts";
import type { RunningVM } from "./running_vm.ts";

/** What is known about something that is removed from a VM. */
export interface Removable {
  /** The requests that remove it, in order. Called when it is removed. */
  readonly requests: readonly (() => ModifySettingRequest)[];
  /** The file that the VM has open as long as it has the thing. Default: there is no way to look. */
  readonly file?: string;
  /** Whether the requests succeed if the VM doesn't have it. Default: nobody knows. */
  readonly canRemoveNothing?: boolean;
}

/** How something is removed, in the form that a device needs it. */
export interface Removal {
  /** The steps of its removal. If one failed, the next call of it doesn't fail if that was done nevertheless. */
  readonly removal: readonly (() => Promise<void>)[];
  /** Removes what may be there although adding it failed with `error`. Throws if it may be there still. */
  undo(error: unknown): Promise<void>;
}

/** Returns how something is removed from a VM. If the VM has ended, there is nothing to remove; if only its guest, what the host has. */
export function removalFrom(vm: RunningVM, what: Removable): Removal {
  const steps = what.requests.map((request) => new Step(vm, request, what));
  return {
    removal: steps.map((step) => () => step.run()),
    async undo(error) {
      if (neverReachedWindows(error) || vm.state === "ended" && !runsWithoutGuest(vm)) return;
      if (what.file !== undefined && !mayBeOpen(vm, what.file)) return;
      for (const step of steps) await step.run(error);
    },
  };
}

class Step {
  readonly #vm: RunningVM;
  readonly #request: () => ModifySettingRequest;
  readonly #what: Removable;
  #failed: unknown;

  constructor(vm: RunningVM, request: () => ModifySettingRequest, what: Removable) {
    this.#vm = vm;
    this.#request = request;
    this.#what = what;
  }

  /** `earlier` is the error of a call after which nobody knows whether there is something to remove. */
  async run(earlier: unknown = this.#failed): Promise<void> {
    try {
      await this.#vm.modify(this.#request());
    } catch (error) {
      if (!hasEnded(this.#vm, error) && !(earlier !== undefined && await this.#isGone(error, earlier))) {
        this.#failed = error;
        throw error;
      }
      log("debug", () => `removing what the VM ${this.#vm.id} doesn't have any more: ${messageOf(error)}`);
    }
    this.#failed = undefined;
  }

  async #isGone(error: unknown, earlier: unknown): Promise<boolean> {
    const { file, canRemoveNothing = false } = this.#what;
    if (codeOf(error) === win32.ERROR_NOT_FOUND) return true;
    // A file that isn't found needn't be this one.
    if (file !== undefined && !(isNotFound(error) && isKnownAbsent(this.#vm.host, file))) {
      return await waitUntil(this.#vm.host, `${file} is free`, () => !mayBeOpen(this.#vm, file));
    }
    if (isNotFound(error)) return true;
    // Nobody knows which error says that there is nothing. These don't.
    const tellsNothing = isRefused(error) || isUnclearInVM(error) || isInvalidState(error) ||
      isSame(error, earlier) && !this.#isRefusedAgain(error, earlier) || error instanceof UnexpectedAnswerError;
    return !canRemoveNothing && !tellsNothing;
  }

  // Some guests have one code for all that fails. What one refused to add, and then twice to remove, is nothing that it has.
  #isRefusedAgain(error: unknown, earlier: unknown): boolean {
    const isOfGuest = error instanceof GuestError && earlier instanceof GuestError;
    return isOfGuest && earlier !== this.#failed && isSame(error, this.#failed);
  }
}

// A VM that runs without its guest says so to what the guest alone could remove: that is gone for everybody.
function hasEnded(vm: RunningVM, error: unknown): boolean {
  return vm.state === "ended" && (error instanceof VMStateError || !runsWithoutGuest(vm));
}

function mayBeOpen({ host }: RunningVM, file: string): boolean {
  try {
    return isInUse(host, file);
  } catch {
    return true;
  }
}

function codeOf(error: unknown): number | undefined {
  return error instanceof NativeError ? error.win32 : undefined;
}

function isSame(error: unknown, other: unknown): boolean {
  return error instanceof NativeError && other instanceof NativeError && error.code === other.code;
}

const UNCLEAR_COMPUTE = [
  hresult.HCS_E_UNEXPECTED_EXIT,
  hresult.HCS_E_CONNECTION_TIMEOUT,
  hresult.HCS_E_CONNECTION_CLOSED,
  hresult.HCS_E_OPERATION_TIMEOUT,
  hresult.HCS_E_SERVICE_DISCONNECT,
].map(computeCodeOf);

/** Returns whether a call that failed with this error went on after it was given up, or whoever did it is gone. */
export function isUnclearInVM(error: unknown): boolean {
  const compute = error instanceof NativeError ? computeCodeOf(error.code) : undefined;
  return compute === undefined ? isUnclear(error) : UNCLEAR_COMPUTE.includes(compute);
}
