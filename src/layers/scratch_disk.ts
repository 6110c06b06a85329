/**
 * The scratch disk of a container in a VM.
 *
 * @module
 */

import type { HostFile } from "../checks/host_file.ts";
import type { Held } from "../holds/hold.ts";
import type { Expect, HoldList } from "../holds/hold_list.ts";
import type { Device, DeviceUse } from "../uvm/devices/device.ts";
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

/** Read-only layers that are attached to a VM beside the scratch. */
export interface LayerUses {
  /** What carries them: shares, persistent memory, disks. */
  readonly devices: readonly DeviceUse<Device>[];
  /** Their mounts in the guest, for those on disks. */
  readonly mounts: readonly DeviceUse<Device>[];
}

/** How a scratch and layers are attached. */
export interface AttachOptions {
  /** Cancels it. */
  readonly signal: AbortSignal | undefined;
  /** Whether what doesn't rest on each other is removed concurrently too. */
  readonly releasedTogether: boolean;
}

/** Attaches and mounts the disk and read-only layers: concurrently what doesn't rest on each other. */
export async function acquireBesideScratch(
  holds: HoldList,
  { devices, mounts }: LayerUses,
  { access, attachment, mount }: ScratchDisk,
  options: AttachOptions,
): Promise<void> {
  const { signal } = options;
  const attach = (use: DeviceUse<Device>) => (expect: Expect) => use.attach(signal, expect);
  const attachScratch = async (expect: Expect) => {
    await access.attach(signal, expect);
    // Until the attachment is there.
    expect(access);
    return [access, await attachment.attach(signal, expect)];
  };
  await holds.acquireAll<Held>([...devices.map(attach), attachScratch], options);
  await holds.acquireAll([...mounts, mount].map(attach), options);
}

/** Returns the placement of a layer on a mounted disk. */
export function diskPlacement(
  layer: string,
  { mount: { hold: { controller, lun, guestPath } } }: { readonly mount: DeviceUse<SCSIMount> },
  scratch: boolean,
): LayerPlacement {
  return { layer, scratch, device: { kind: "scsi", controller, lun }, path: guestPath };
}
