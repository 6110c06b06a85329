/**
 * What the devices of a VM need of it.
 *
 * @module
 */

import type { VMStateError } from "../errors/vm_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { ModifySettingRequest } from "../hcsschema/requests.ts";

/** The operating system in a VM. */
export type GuestOS = "windows" | "linux";

/** How far a VM is. `ended`: it exited, was closed, or its connection is lost; nothing in it is held any more. */
export type VMState = "created" | "running" | "ended";

/** A VM that can be changed while it runs. */
export interface RunningVM {
  /** Id of the VM; files are granted to it by this. */
  readonly id: string;
  /** The machine that it runs on. */
  readonly host: Host;
  /** The operating system in it. */
  readonly os: GuestOS;
  /** How far it is. */
  readonly state: VMState;
  /** Why it has ended; undefined while it has not. */
  readonly end?: VMStateError | undefined;

  /**
   * Changes the VM, its host part and its guest part. Aborting ends waiting, not the change.
   *
   * @throws {NativeError} if the host or the guest refuses.
   */
  modify(request: ModifySettingRequest, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

/**
 * Sends a request that removes something. A VM that has ended has nothing left to remove, so that counts as done.
 *
 * @throws {NativeError} if the host or the guest refuses.
 */
export async function removeFrom(vm: RunningVM, request: ModifySettingRequest): Promise<void> {
  try {
    await vm.modify(request);
  } catch (error) {
    if (vm.state !== "ended") throw error;
  }
}
