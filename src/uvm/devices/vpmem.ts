/**
 * Read-only files that a Linux VM sees as persistent memory: each as a device of its own, or several mapped into one
 * device of 4 GiB, next to each other.
 *
 * A file lives as any device does (see `device.ts`); it takes one request to attach and one to remove, which each have a
 * part for the host and one for the guest. If the VM boots from persistent memory, device 0 is its own.
 *
 * @module
 */

import { type HostFile, hostFile } from "../../checks/host_file.ts";
import { InUseError } from "../../errors/state_errors.ts";
import type { DeviceCapacity } from "../../errors/vm_errors.ts";
import {
  addPMemDevice,
  addPMemMapping,
  type ModifySettingRequest,
  type PMemDevice,
  removePMemDevice,
  removePMemMapping,
} from "../../hcsschema/requests.ts";
import type { HoldOf } from "../../holds/hold.ts";
import { removeFrom, type RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import { DEVICE_BYTES, RegionAllocator } from "./region_allocator.ts";
import { SlotAllocator } from "./slot_allocator.ts";

/** How many devices a VM can have. */
export const MAXIMUM_PMEM_DEVICES = 128;
/** How many files can be mapped into one device. */
export const MAPPINGS_PER_DEVICE = 1024;
/** Size of a page; files are mapped by whole ones. */
export const PAGE_BYTES = 4096;

/** A file that a VM sees as persistent memory. */
export type VPMemFile = Device<HoldOf<"vpmemFile">>;

/** Options of {@linkcode VPMemDevices}. */
export interface VPMemOptions {
  /** How many devices the VM has, 0 to 128. */
  readonly deviceCount: number;
  /** How large a file may be that gets a device of its own, in bytes. */
  readonly deviceSizeBytes: number;
  /** Whether several files are mapped into one device; the devices have 4 GiB then. */
  readonly multiMapping: boolean;
  /** The file that the VM boots from, where that is on device 0. */
  readonly bootPath?: string | undefined;
}

/** The persistent memory of a VM. */
export class VPMemDevices {
  readonly #vm: RunningVM;
  readonly #options: VPMemOptions;
  readonly #files = new DeviceRegistry<VPMemFile>();
  readonly #boot: string | undefined;
  // Devices that are taken as a whole: by a file each, or where files are mapped by the boot file alone.
  readonly #devices: SlotAllocator;
  // The other devices, where files are mapped, as far as they were ever needed.
  readonly #regions: RegionAllocator[] = [];

  /** No devices but the VM's own. */
  constructor(vm: RunningVM, options: VPMemOptions) {
    this.#vm = vm;
    this.#options = options;
    this.#devices = new SlotAllocator(options.deviceCount);
    const { bootPath } = options;
    if (bootPath !== undefined) {
      this.#devices.claim(0);
      this.#boot = hostFile(vm.host, bootPath).key;
    }
  }

  /** How many devices there are, and how many are used, in whole or in part. */
  get capacity(): DeviceCapacity {
    const { deviceCount, deviceSizeBytes, multiMapping } = this.#options;
    const mapped = this.#regions.filter((region) => region.used > 0).length;
    return {
      device: "vPMem devices",
      total: deviceCount,
      used: this.#devices.used + mapped,
      maximumBytes: multiMapping ? DEVICE_BYTES : deviceSizeBytes,
    };
  }

  /** Whether a file has a device. */
  has(file: HostFile): boolean {
    return this.#files.has(file.key);
  }

  /**
   * A use of a file as persistent memory, undefined if no device has space for it.
   *
   * @param file A fixed VHD.
   * @param bytes Its size, more than 0.
   * @throws {InUseError} if it is the disk that the VM boots from.
   */
  reserve(file: HostFile, bytes: number): DeviceUse<VPMemFile> | undefined {
    const { key, path } = file;
    if (key === this.#boot) {
      throw new InUseError(path, `is the disk that the VM ${this.#vm.id} boots from`, this.#vm.id);
    }
    return this.#files.reserve(
      key,
      () => this.#options.multiMapping ? this.#map(path, bytes) : this.#whole(path, bytes),
    );
  }

  #whole(hostPath: string, bytes: number): VPMemFile | undefined {
    if (bytes > this.#options.deviceSizeBytes) return undefined;
    const device = this.#devices.allocate();
    if (device === undefined) return undefined;
    const at = { device, guestPath: `/run/layers/p${device}` };
    return this.#file(hostPath, at, {
      add: addPMemDevice(at, { HostPath: hostPath, ReadOnly: true, ImageFormat: "Vhd1" }),
      remove: removePMemDevice(at),
      free: () => this.#devices.free(device),
    });
  }

  #map(hostPath: string, bytes: number): VPMemFile | undefined {
    const size = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    if (size > DEVICE_BYTES) return undefined;
    const first = this.#devices.used;
    for (let device = first; device < this.#options.deviceCount; device++) {
      const region = this.#regions[device - first] ??= new RegionAllocator();
      const offset = region.used < MAPPINGS_PER_DEVICE ? region.allocate(size) : undefined;
      if (offset === undefined) continue;
      const at = { device, offset, size, guestPath: `/run/layers/p${device}-${offset}-${size}` };
      return this.#file(hostPath, at, {
        add: addPMemMapping(at, { HostPath: hostPath, ImageFormat: "Vhd1" }),
        remove: removePMemMapping(at),
        free: () => region.release(offset),
      });
    }
    return undefined;
  }

  #file(
    hostPath: string,
    { device, guestPath }: PMemDevice,
    { add, remove, free }: { add: ModifySettingRequest; remove: ModifySettingRequest; free: () => void },
  ): VPMemFile {
    const vm = this.#vm;
    return {
      hold: { kind: "vpmemFile", vm: vm.id, hostPath, guestPath, device },
      attach: () => vm.modify(add),
      removal: [() => removeFrom(vm, remove)],
      free,
    };
  }
}
