/**
 * The devices of a VM.
 *
 * They are not properties of the public `UtilityVM`, so that users don't depend on how layers are attached to it. The code
 * that attaches layers finds the devices here.
 *
 * @module
 */

import { InvalidInputError } from "../../errors/input_error.ts";
import { VMStateError } from "../../errors/vm_errors.ts";
import type { GuestOS, RunningVM } from "../running_vm.ts";
import type { BlockImages } from "./block_images.ts";
import type { CombinedLayers } from "./combined_layers.ts";
import type { SCSIDisks } from "./scsi.ts";
import type { VPMemDevices } from "./vpmem.ts";
import type { VSMBShares } from "./vsmb.ts";

/** The devices of a VM, and the settings that decide how they are used. */
export interface VMDevices {
  /** The folders that it sees; for a Windows guest. */
  readonly vsmb: VSMBShares;
  /** Its disks. */
  readonly scsi: SCSIDisks;
  /** The images on its disks; for a Windows guest. */
  readonly images: BlockImages;
  /** Its persistent memory; for a Linux guest. */
  readonly vpmem: VPMemDevices;
  /** The layers that its guest has combined. */
  readonly combined: CombinedLayers;
  /** Whether its memory is physically backed, so that no file of the host can be mapped into it. */
  readonly physicallyBacked: boolean;
  /** Whether devices that don't rest on each other are removed side by side. Default: false. */
  readonly concurrentRemovals?: boolean;
  /** Whether the guest encrypts scratch disks. */
  readonly encryptScratch: boolean;
}

/** A running VM, and its devices. */
export interface LayerVM extends VMDevices {
  /** The VM. */
  readonly vm: RunningVM;
}

const layerVMs = new WeakMap<RunningVM, LayerVM>();

/** Registers the devices of a new VM. */
export function setDevices(vm: RunningVM, its: VMDevices): void {
  layerVMs.set(vm, { vm, ...its });
}

/**
 * Returns the devices of a VM for the layers of a container with `os`.
 *
 * @throws {InvalidInputError} if `vm` isn't a VM of `createUtilityVM`, or has another system in it.
 * @throws {VMStateError} if it isn't running.
 */
export function requireLayerVM(utilityVM: unknown, os: GuestOS): LayerVM {
  const layerVM = layerVMs.get(utilityVM as RunningVM);
  if (layerVM === undefined) {
    throw new InvalidInputError("vm", "is not a VM that createUtilityVM() created", utilityVM);
  }
  const { vm } = layerVM;
  if (vm.os !== os) {
    throw new InvalidInputError("vm", `has ${vm.os} in it, and not ${os}`, vm.id);
  }
  if (vm.state === "created") throw new VMStateError(vm.id, "notStarted");
  if (vm.state === "ended") throw vm.end ?? new VMStateError(vm.id, "closed");
  return layerVM;
}
