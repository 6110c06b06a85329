/**
 * The scratch disk of a container in a VM.
 *
 * @module
 */

import type { HostFile } from "../checks/host_file.ts";
import type { HoldList } from "../holds/hold_list.ts";
import type { DeviceUse } from "../uvm/devices/device.ts";
import type { SCSIAccess, SCSIAttachment, SCSIDisks, SCSIMount, SCSIMountOptions } from "../uvm/devices/scsi.ts";
import type { LayerPlacement } from "./mounted_layers.ts";

/** A writable disk with its slot in a VM. */
export interface ScratchDisk {
  /** The VM's right to open its file. */
  readonly access: DeviceUse<SCSIAccess>;
  /** Its attachment. */
  readonly attachment: DeviceUse<SCSIAttachment>;
  /** Its mount in the guest. */
  readonly mount: DeviceUse<SCSIMount>;
}

/**
 * Reserves a writable disk, which disposing of `plan` frees unless it is attached. Returns undefined if no slot is free.
 * `place` is that of {@linkcode SCSIDisks.reserveMount}.
 */
export function reserveScratch(
  scsi: SCSIDisks,
  plan: DisposableStack,
  file: HostFile,
  options: SCSIMountOptions = {},
  place?: () => string,
): ScratchDisk | undefined {
  const access = plan.use(scsi.reserveAccess(file));
  const attachment = plan.use(scsi.reserveAttachment(file, { readOnly: false }, [access]));
  if (attachment === undefined) return undefined;
  return { access, attachment, mount: plan.use(scsi.reserveMount(attachment, options, place)) };
}

/** Attaches and mounts the disk. */
export async function acquireScratch(
  holds: HoldList,
  { access, attachment, mount }: ScratchDisk,
  signal: AbortSignal | undefined,
): Promise<void> {
  await holds.acquire((expect) => access.attach(signal, expect), signal);
  await holds.acquire((expect) => attachment.attach(signal, expect), signal);
  await holds.acquire((expect) => mount.attach(signal, expect), signal);
}

/** Returns the placement of a layer on a mounted disk. */
export function diskPlacement(
  layer: string,
  { mount: { hold: { controller, lun, guestPath } } }: { readonly mount: DeviceUse<SCSIMount> },
  scratch: boolean,
): LayerPlacement {
  return { layer, scratch, device: { kind: "scsi", controller, lun }, path: guestPath };
}
