/**
 * What the devices of a VM need of it.
 *
 * @module
 */

import { InvalidInputError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { ModifySettingRequest } from "../hcsschema/requests.ts";

/** The operating system in a VM. */
export type GuestOS = "windows" | "linux";

/** How far a VM is. `ended`: it exited, was closed, or its connection is lost; nothing in it is held any more. */
export type VMState = "created" | "running" | "ended";

/** A running VM that can be changed. */
export interface Modifier {
  /** Id of the VM; files are granted to it by this. */
  readonly id: string;
  /** The machine that it runs on. */
  readonly host: Host;
  /** The operating system in it. */
  readonly os: GuestOS;
  /** How far it is. */
  readonly state: VMState;

  /**
   * Changes the VM, its host part and its guest part. Aborting ends waiting, not the change.
   *
   * @throws {NativeError} if the host or the guest refuses.
   */
  modify(request: ModifySettingRequest, options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

/**
 * Asks to take something away. A VM that has ended has nothing left to take away, so that counts as done.
 *
 * @throws {NativeError} if the host or the guest refuses.
 */
export async function takeAway(vm: Modifier, request: ModifySettingRequest): Promise<void> {
  try {
    await vm.modify(request);
  } catch (error) {
    if (vm.state !== "ended") throw error;
  }
}

/**
 * Refuses a VM that isn't running, or has the wrong operating system in it.
 *
 * @throws {InvalidInputError} naming the argument `vm`.
 */
export function requireVM(vm: Modifier | null | undefined, os: GuestOS, what: string): asserts vm is Modifier {
  if (vm === undefined || vm === null) {
    throw new InvalidInputError("vm", `is missing: ${what} needs a utility VM`);
  }
  if (vm.os !== os) {
    throw new InvalidInputError("vm", `has the wrong system in it (${vm.os}): ${what} needs ${os}`, vm.id);
  }
  if (vm.state !== "running") {
    throw new InvalidInputError("vm", vm.state === "created" ? "was not started" : "has ended or was closed", vm.id);
  }
}
