/**
 * Read-only files that a Linux VM sees as persistent memory: each as its own device, or several mapped into one device of
 * 4 GiB, next to each other.
 *
 * A file has the life of a device (see `device.ts`). One request attaches it and one removes it; each has a part for the
 * host and a part for the guest. Where this process asks the guest itself, these are two steps of the removal. If the VM boots from persistent memory, it uses device 0 for that.
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
import { onceFree } from "../../session/waiting.ts";
import { noteVMFile } from "../../session/vm_files.ts";
import { removalFrom } from "../removal.ts";
import type { RunningVM } from "../running_vm.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import { DEVICE_BYTES, RegionAllocator } from "./region_allocator.ts";
import { SlotAllocator } from "./slot_allocator.ts";

/** How many devices a VM can have. */
export const MAXIMUM_PMEM_DEVICES = 128;
/** How many files can be mapped into one device. */
export const MAPPINGS_PER_DEVICE = 1024;
/** Size of a page in bytes. Files are mapped in whole pages. */
export const PAGE_BYTES = 4096;

/** A file that a VM sees as persistent memory. */
export type VPMemFile = Device<HoldOf<"vpmemFile">>;

/** Options of {@linkcode VPMemDevices}. */
export interface VPMemOptions {
  /** How many devices the VM has, 0 to 128. */
  readonly deviceCount: number;
  /** Size of a device in bytes. */
  readonly deviceSizeBytes: number;
  /** Whether several files are mapped into one device. The devices then have 4 GiB at most. */
  readonly multiMapping: boolean;
  /** Whether the guest's part of a removal is a request of its own, so that it is known which part is done. Default: false. */
  readonly removesInParts?: boolean;
  /** The file that the VM boots from, if it is on device 0. */
  readonly bootPath?: string | undefined;
}

/** The persistent memory of a VM. */
export class VPMemDevices {
  readonly #vm: RunningVM;
  readonly #options: VPMemOptions;
  readonly #files = new DeviceRegistry<VPMemFile>();
  readonly #boot: string | undefined;
  // Devices that one file uses as a whole. With several files per device, that is only the one with the boot file.
  readonly #devices: SlotAllocator;
  // The devices into which several files are mapped, created on first use.
  readonly #regions: RegionAllocator[] = [];

  /** Starts with only the VM's own device. */
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
      maximumBytes: multiMapping ? Math.min(deviceSizeBytes, DEVICE_BYTES) : deviceSizeBytes,
    };
  }

  /** Returns whether a file has a device, also that of the file that the VM boots from. */
  has(file: HostFile): boolean {
    return file.key === this.#boot || this.#files.has(file.key);
  }

  /**
   * Reserves persistent memory for a file. Returns undefined if no device has space for it.
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
    return this.#files.reserve(key, () => {
      const made = this.#options.multiMapping ? this.#map(path, bytes) : this.#whole(path, bytes);
      if (made === undefined) return undefined;
      const forget = noteVMFile(this.#vm.host, file, this.#vm);
      return {
        ...made,
        free: () => {
          forget();
          made.free();
        },
      };
    });
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
    const bound = Math.min(this.#options.deviceSizeBytes, DEVICE_BYTES);
    if (size > bound) return undefined;
    const first = this.#devices.used;
    for (let device = first; device < this.#options.deviceCount; device++) {
      const region = this.#regions[device - first] ??= new RegionAllocator();
      const offset = region.used < MAPPINGS_PER_DEVICE ? region.allocate(size, bound) : undefined;
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
    const { GuestRequest, ...onHost } = remove;
    const parts = this.#options.removesInParts ? [{ GuestRequest: GuestRequest! }, onHost] : [remove];
    return {
      hold: { kind: "vpmemFile", vm: vm.id, hostPath, guestPath, device },
      attach: () => onceFree(vm.host, hostPath, () => vm.modify(add)),
      ...removalFrom(vm, { requests: parts.map((part) => () => part), file: hostPath }),
      free,
    };
  }
}
