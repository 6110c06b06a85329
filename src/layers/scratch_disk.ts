/**
 * The scratch disk of a container in a VM.
 *
 * @module
 */

import type { HoldList } from "../holds/hold_list.ts";
import type { DeviceUse } from "../uvm/devices/device.ts";
import type { HostFile } from "../checks/host_file.ts";
import { scsiAttachment, scsiMount, vmAccess } from "../uvm/devices/device_holds.ts";
import type { LayerVM } from "../uvm/devices/vm_devices.ts";
import type { SCSIAccess, SCSIAttachment, SCSIMount, SCSIMountOptions } from "../uvm/devices/scsi.ts";

/** A writable disk with its place in a VM. */
export interface ScratchDisk {
  /** The VM's right to open its file. */
  readonly access: DeviceUse<SCSIAccess>;
  /** Its attachment. */
  readonly attachment: DeviceUse<SCSIAttachment>;
  /** Its mount in the guest. */
  readonly mount: DeviceUse<SCSIMount>;
}

/** Places a writable disk, which is given up again with `plan` unless it is taken. `undefined` where there is no room. */
export function placeScratch(
  vm: LayerVM,
  plan: DisposableStack,
  file: HostFile,
  options: SCSIMountOptions = {},
): ScratchDisk | undefined {
  const attachment = vm.scsi.placeAttachment(file, { readOnly: false });
  if (attachment === undefined) return undefined;
  plan.use(attachment);
  return {
    access: plan.use(vm.scsi.placeAccess(file)),
    attachment,
    mount: plan.use(vm.scsi.placeMount(attachment.device, options)),
  };
}

/** Attaches and mounts the disk. Answers where the guest has it. */
export async function takeScratch(
  vm: LayerVM,
  holds: HoldList,
  { access, attachment, mount }: ScratchDisk,
  signal: AbortSignal | undefined,
): Promise<string> {
  await holds.take(vmAccess, vmAccess.of(vm, access), signal);
  await holds.take(scsiAttachment, scsiAttachment.of(vm, attachment), signal);
  await holds.take(scsiMount, scsiMount.of(vm, mount), signal);
  return mount.device.guestPath;
}
