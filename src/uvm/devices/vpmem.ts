/**
 * Read-only files that a Linux VM sees as persistent memory: each as a device of its own, or several mapped into one
 * device of 4 GiB, next to each other.
 *
 * A file lives as any device does (see `device.ts`); in the VM it takes one request to add and one to remove, which each
 * have a part for the host and one for the guest. Where the VM boots from persistent memory, device 0 is its own.
 *
 * @module
 */

import { InvalidInputError } from "../../errors/windows_errors.ts";
import {
  addPMemDevice,
  addPMemMapping,
  type ModifySettingRequest,
  type PMemDevice,
  removePMemDevice,
  removePMemMapping,
} from "../../hcsschema/requests.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import type { DeviceRoom } from "../../errors/vm_errors.ts";
import { type HostFile, hostFile } from "../../checks/host_file.ts";
import { type Modifier, takeAway } from "../running_vm.ts";
import { Places } from "./slot_allocator.ts";
import { DEVICE_BYTES, RegionAllocator } from "./region_allocator.ts";

/** How many devices a VM can have. */
export const MAXIMUM_PMEM_DEVICES = 128;
/** How many files can be mapped into one device. */
export const MAPPINGS_PER_DEVICE = 1024;
/** Size of a page; files are mapped by whole ones. */
export const PAGE_BYTES = 4096;

/** A file that a VM sees as persistent memory. */
export interface VPMemFile extends Device, PMemDevice {
  /** The file. */
  readonly hostPath: string;
}

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
  readonly #vm: Modifier;
  readonly #options: VPMemOptions;
  readonly #files = new DeviceRegistry<VPMemFile>();
  readonly #boot: string | undefined;
  // Devices that are taken as a whole: by a file each, or where files are mapped by the boot file alone.
  readonly #devices: Places;
  // The other devices, where files are mapped, as far as they were ever needed.
  readonly #regions: RegionAllocator[] = [];

  /** No devices but the VM's own. */
  constructor(vm: Modifier, options: VPMemOptions) {
    this.#vm = vm;
    this.#options = options;
    this.#devices = new Places(options.deviceCount);
    const { bootPath } = options;
    if (bootPath !== undefined) {
      this.#devices.claim(0);
      this.#boot = hostFile(vm.host, bootPath).key;
    }
  }

  /** How many devices there are, and how many are taken, in whole or in part. */
  get room(): DeviceRoom {
    const { deviceCount, deviceSizeBytes, multiMapping } = this.#options;
    const mapped = this.#regions.filter((region) => region.used > 0).length;
    return {
      device: "vPMem devices",
      total: deviceCount,
      used: this.#devices.used + mapped,
      maximumBytes: multiMapping ? DEVICE_BYTES : deviceSizeBytes,
    };
  }

  /** Whether a file has a place. */
  has(file: HostFile): boolean {
    return this.#files.has(file.key);
  }

  /**
   * A use of a file as persistent memory, `undefined` where it has no place on any device. It is added once `ready()` is
   * called.
   *
   * @param file A fixed VHD.
   * @param bytes Its size, more than 0.
   * @throws {InvalidInputError} if it is the disk that the VM boots from.
   */
  place(file: HostFile, bytes: number): DeviceUse<VPMemFile> | undefined {
    const { key, path } = file;
    if (key === this.#boot) {
      throw new InvalidInputError("file", "is the disk that the VM boots from", path);
    }
    return this.#files.place(key, () => this.#options.multiMapping ? this.#map(path, bytes) : this.#give(path, bytes));
  }

  #give(hostPath: string, bytes: number): VPMemFile | undefined {
    if (bytes > this.#options.deviceSizeBytes) return undefined;
    const device = this.#devices.take();
    if (device === undefined) return undefined;
    const at = { device, guestPath: `/run/layers/p${device}` };
    return new PMemFile(this.#vm, hostPath, {
      at,
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
      return new PMemFile(this.#vm, hostPath, {
        at,
        add: addPMemMapping(at, { HostPath: hostPath, ImageFormat: "Vhd1" }),
        remove: removePMemMapping(at),
        free: () => region.release(offset),
      });
    }
    return undefined;
  }
}

interface PMemFileInit {
  readonly at: PMemDevice;
  readonly add: ModifySettingRequest;
  readonly remove: ModifySettingRequest;
  readonly free: () => void;
}

class PMemFile implements VPMemFile {
  readonly hostPath: string;
  readonly device: number;
  readonly guestPath: string;
  readonly removal: readonly (() => Promise<void>)[];
  readonly free: () => void;
  readonly add: () => Promise<void>;

  constructor(vm: Modifier, hostPath: string, init: PMemFileInit) {
    this.hostPath = hostPath;
    this.device = init.at.device;
    this.guestPath = init.at.guestPath;
    this.add = () => vm.modify(init.add);
    this.removal = [() => takeAway(vm, init.remove)];
    this.free = init.free;
  }
}
