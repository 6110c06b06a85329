/**
 * CIM images on disks of a Windows VM, which the guest mounts as one volume.
 *
 * A volume has the life of a device (see `device.ts`), with one request to mount it and one to remove it. Containers with the
 * same images share it. Only the agent of confidential guests knows these requests.
 *
 * @module
 */

import { cimMountFlag } from "../../ffi/cimfs.ts";
import { mountBlockImages, unmountBlockImages } from "../../hcsschema/requests.ts";
import type { HoldOf } from "../../holds/hold.ts";
import { Mutex } from "../../session/mutex.ts";
import { removalFrom } from "../removal.ts";
import type { RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import type { SCSIAttachment } from "./scsi.ts";

/** Images that a guest has mounted as one volume. */
export type GuestVolume = Device<HoldOf<"guestVolume">>;

/** An image on an attached disk. */
export interface AttachedImage {
  /** The disk. */
  readonly attachment: DeviceUse<SCSIAttachment>;
  /** Name of the image on it. */
  readonly name: string;
}

/** The images of a VM. */
export class BlockImages {
  readonly #vm: RunningVM;
  readonly #volumes = new DeviceRegistry<GuestVolume>();
  readonly #turns = new Mutex();

  /** Starts with no images. */
  constructor(vm: RunningVM) {
    this.#vm = vm;
  }

  /** Runs what attaches and mounts images, which a VM does one after another. */
  alone<T>(mount: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.run(mount, signal);
  }

  /** Reserves the volume of images: the one that merges the others first, and those from the topmost down. */
  reserve(images: readonly AttachedImage[], containerId: string): DeviceUse<GuestVolume> {
    const vm = this.#vm;
    const devices = images.map(({ attachment, name }) => ({ CimName: name, Lun: attachment.hold.lun }));
    return this.#volumes.reserve(JSON.stringify(devices), () => {
      const id = crypto.randomUUID();
      return {
        hold: { kind: "guestVolume", vm: vm.id, volume: `\\\\?\\Volume{${id}}\\` },
        attach: () =>
          vm.modify(mountBlockImages({
            BlockCIMs: devices,
            VolumeGUID: id,
            MountFlags: cimMountFlag.BLOCK_DEVICE,
            ContainerID: containerId,
          })),
        ...removalFrom(vm, { requests: [() => unmountBlockImages(id)] }),
        free() {},
      };
    }, images.map(({ attachment }) => attachment));
  }
}
