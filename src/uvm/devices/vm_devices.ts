/**
 * The devices of a VM.
 *
 * They are no properties of the public `UtilityVM`, so that its users depend on what it does and not on how layers are
 * placed in it; those who place them look the devices up here.
 *
 * @module
 */

import { InvalidInputError } from "../../errors/input_error.ts";
import { VMStateError } from "../../errors/vm_errors.ts";
import type { GuestOS, RunningVM } from "../running_vm.ts";
import type { CombinedLayers } from "./combined_layers.ts";
import type { SCSIDisks } from "./scsi.ts";
import type { VPMemDevices } from "./vpmem.ts";
import type { VSMBShares } from "./vsmb.ts";

/** What can be attached to a VM, and what decides how. */
export interface VMDevices {
  /** The folders that it sees; for a Windows guest. */
  readonly vsmb: VSMBShares;
  /** Its disks. */
  readonly scsi: SCSIDisks;
  /** Its persistent memory; for a Linux guest. */
  readonly vpmem: VPMemDevices;
  /** The layers that its guest has combined. */
  readonly combined: CombinedLayers;
  /** Whether its memory is physically backed, so that no file of the host can be mapped into it. */
  readonly physicallyBacked: boolean;
  /** Whether the guest encrypts scratch disks. */
  readonly encryptScratch: boolean;
}

/** A running VM, and its devices. */
export interface LayerVM extends VMDevices {
  /** The VM. */
  readonly vm: RunningVM;
}

const devices = new WeakMap<RunningVM, VMDevices>();

/** Makes the devices of a new VM known. */
export function setDevices(vm: RunningVM, its: VMDevices): void {
  devices.set(vm, its);
}

/**
 * The devices of a VM that is to carry layers of a container with `os`.
 *
 * @throws {InvalidInputError} if `vm` isn't a VM of `createUtilityVM`, or has another system in it.
 * @throws {VMStateError} if it isn't running.
 */
export function requireLayerVM(vm: RunningVM | undefined, os: GuestOS): LayerVM {
  const its = typeof vm === "object" && vm !== null ? devices.get(vm) : undefined;
  if (vm === undefined || its === undefined) {
    throw new InvalidInputError("vm", "is not a VM that createUtilityVM() created", vm);
  }
  if (vm.os !== os) {
    throw new InvalidInputError("vm", `has ${vm.os} in it, and not ${os}`, vm.id);
  }
  if (vm.state === "created") throw new VMStateError(vm.id, "notStarted");
  if (vm.state === "ended") throw vm.end ?? new VMStateError(vm.id, "closed");
  return { vm, ...its };
}
