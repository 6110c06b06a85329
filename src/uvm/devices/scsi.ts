/**
 * Disks of a VM on its SCSI controllers: the access of the VM to a disk's file, the attachment, and the guest's mounts of
 * it. Up to 4 controllers of 64 places each.
 *
 * Each of the three lives as any device does (see `device.ts`), and holds on to nothing else: who wants a disk mounted
 * uses all three, in this order.
 *
 * | device | added by | removed by | one for |
 * | --- | --- | --- | --- |
 * | access | `GrantVmAccess` | `RevokeVmAccess` | each writable file |
 * | attachment | an Add to the host | Linux: the guest lets go of the disk; then a Remove to the host | each file |
 * | mount | an Add to the guest | a Remove to the guest | each attachment with one set of options |
 *
 * Where a Linux guest has let go of a disk and the host then failed to detach it, the next one to go on detaches it.
 *
 * @module
 */

import { InvalidInputError, MissingExportError } from "../../errors/windows_errors.ts";
import { grantVmAccess, revokeVmAccess } from "../../ffi/vmcompute.ts";
import {
  attachDisk,
  detachDisk,
  type LCOWMappedVirtualDisk,
  type ModifySettingRequest,
  mountDisk,
  type SCSISlot,
  unmountDisk,
  unplugDisk,
  type WCOWMappedVirtualDisk,
} from "../../hcsschema/requests.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import type { DeviceRoom } from "../../errors/vm_errors.ts";
import { type HostFile, hostFile } from "../../checks/host_file.ts";
import { type Modifier, takeAway } from "../running_vm.ts";
import { Places } from "./slot_allocator.ts";

/** How many disks a controller takes. */
export const LUNS_PER_CONTROLLER = 64;
/** How many controllers a VM can have. */
export const MAXIMUM_CONTROLLERS = 4;

/** The right of a VM to open a disk's file. */
export interface SCSIAccess extends Device {
  /** The file. */
  readonly hostPath: string;
}

/** A disk attached to a VM. */
export interface SCSIAttachment extends Device, SCSISlot {
  /** Its file. */
  readonly hostPath: string;
  /** Whether the VM can't write to it. */
  readonly readOnly: boolean;
}

/** A disk mounted in the guest. */
export interface SCSIMount extends Device, SCSISlot {
  /** Where the guest has it. */
  readonly guestPath: string;
}

/** How a Linux guest mounts a disk. A Windows guest takes no options. */
export interface SCSIMountOptions {
  /** The partition, from 1. Default: the whole disk. */
  readonly partition?: number;
  /** No writing. */
  readonly readOnly?: boolean;
  /** Encrypts the disk with a key that the guest makes and forgets. */
  readonly encrypted?: boolean;
  /** Options of the mount. */
  readonly options?: readonly string[];
  /** File system to format the disk with where it has none. */
  readonly filesystem?: "ext4" | "xfs";
}

/** Options of {@linkcode SCSIDisks}. */
export interface SCSIOptions {
  /** How many controllers the VM has, 0 to 4. */
  readonly controllers: number;
  /** The VM's own disks, and where they are. */
  readonly own: readonly (SCSISlot & { readonly hostPath: string })[];
}

/** The disks of a VM. */
export class SCSIDisks {
  readonly #vm: Modifier;
  readonly #slots: Places;
  readonly #folders: Places;
  readonly #own = new Set<string>();
  readonly #accesses = new DeviceRegistry<SCSIAccess>();
  readonly #attachments = new DeviceRegistry<SCSIAttachment>();
  readonly #mounts = new DeviceRegistry<SCSIMount>();

  /** No disks but the VM's own. */
  constructor(vm: Modifier, options: SCSIOptions) {
    this.#vm = vm;
    this.#slots = new Places(options.controllers * LUNS_PER_CONTROLLER);
    this.#folders = new Places(Infinity);
    for (const { controller, lun, hostPath } of options.own) {
      this.#slots.claim(controller * LUNS_PER_CONTROLLER + lun);
      this.#own.add(hostFile(vm.host, hostPath).key);
    }
  }

  /** How many places there are, and how many are taken. */
  get room(): DeviceRoom {
    return { device: "SCSI slots", total: this.#slots.total, used: this.#slots.used };
  }

  /** Whether a disk has a place. */
  has(file: HostFile): boolean {
    return this.#attachments.has(file.key);
  }

  /** A use of the VM's right to open a disk's file; it is granted once `ready()` is called. */
  placeAccess(file: HostFile): DeviceUse<SCSIAccess> {
    return this.#accesses.place(file.key, () => new Access(this.#vm, file.path));
  }

  /**
   * A use of a disk, `undefined` where no place is free. It is attached once `ready()` is called.
   *
   * @throws {InvalidInputError} if the disk is attached for writing and asked for without, or the other way round, or is one
   * that the VM was created with.
   */
  placeAttachment(
    file: HostFile,
    options: { readonly readOnly: boolean },
  ): DeviceUse<SCSIAttachment> | undefined {
    const { readOnly } = options;
    const { key, path } = file;
    if (this.#own.has(key)) {
      throw new InvalidInputError("file", "is a disk that the VM was created with", path);
    }
    const use = this.#attachments.place(key, () => {
      const place = this.#slots.take();
      if (place === undefined) return undefined;
      return new Attached(this.#vm, slotOf(place), {
        hostPath: path,
        readOnly,
        free: () => this.#slots.free(place),
      });
    });
    if (use !== undefined && use.device.readOnly !== readOnly) {
      use[Symbol.dispose]();
      throw new InvalidInputError(
        "file",
        `is attached to the VM already, ${readOnly ? "and writable" : "read-only"}`,
        path,
      );
    }
    return use;
  }

  /**
   * A use of a mount of a disk; the guest mounts it once `ready()` is called, which needs the disk attached.
   *
   * @throws {InvalidInputError} if the guest is Windows and can't do it: it has no options, and uses controller 0 alone.
   */
  placeMount(slot: SCSISlot, options: SCSIMountOptions = {}): DeviceUse<SCSIMount> {
    const { controller } = slot;
    const linux = this.#vm.os === "linux";
    if (!linux && controller !== 0) {
      throw new InvalidInputError(
        "slot",
        "is on a controller other than 0, which a Windows guest can't use",
        controller,
      );
    }
    if (!linux && Object.keys(options).length > 0) {
      throw new InvalidInputError("options", "can't be had with a Windows guest", options);
    }
    const key = JSON.stringify([
      slot.controller,
      slot.lun,
      options.partition ?? 0,
      options.readOnly ?? false,
      options.encrypted ?? false,
      (options.options ?? []).toSorted(),
      options.filesystem ?? "",
    ]);
    return this.#mounts.place(key, () => {
      const folder = this.#folders.take()!;
      const guestPath = linux ? `/run/mounts/scsi/m${folder}` : `c:\\mounts\\scsi\\m${folder}`;
      return new Mount(this.#vm, slot, {
        guestPath,
        ...(linux ? linuxDisk(slot, guestPath, options) : windowsDisk(slot, guestPath)),
        free: () => this.#folders.free(folder),
      });
    });
  }
}

function slotOf(place: number): SCSISlot {
  return { controller: Math.floor(place / LUNS_PER_CONTROLLER), lun: place % LUNS_PER_CONTROLLER };
}

class Access implements SCSIAccess {
  readonly hostPath: string;
  readonly removal: readonly (() => Promise<void>)[];
  readonly #vm: Modifier;

  constructor(vm: Modifier, hostPath: string) {
    this.#vm = vm;
    this.hostPath = hostPath;
    this.removal = [async () => {
      try {
        // Also of a VM that has ended: the access is in the file's list, which outlives it.
        await revokeVmAccess(vm.host, vm.id, hostPath);
      } catch (error) {
        // A Windows that can't take it back.
        if (!(error instanceof MissingExportError)) throw error;
      }
    }];
  }

  add(): Promise<void> {
    return grantVmAccess(this.#vm.host, this.#vm.id, this.hostPath);
  }

  free(): void {}
}

interface AttachedInit {
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly free: () => void;
}

class Attached implements SCSIAttachment {
  readonly controller: number;
  readonly lun: number;
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly add: () => Promise<void>;
  readonly free: () => void;
  readonly removal: readonly (() => Promise<void>)[];

  constructor(vm: Modifier, slot: SCSISlot, { hostPath, readOnly, free }: AttachedInit) {
    this.controller = slot.controller;
    this.lun = slot.lun;
    this.hostPath = hostPath;
    this.readOnly = readOnly;
    this.free = free;
    this.add = () => vm.modify(attachDisk(slot, { Type: "VirtualDisk", Path: hostPath, ReadOnly: readOnly }));
    const detach = () => takeAway(vm, detachDisk(slot));
    // A Linux kernel is confused by a disk that just disappears.
    this.removal = vm.os === "linux" ? [() => takeAway(vm, unplugDisk(slot)), detach] : [detach];
  }
}

interface MountInit {
  readonly guestPath: string;
  readonly mount: ModifySettingRequest;
  readonly unmount: ModifySettingRequest;
  readonly free: () => void;
}

class Mount implements SCSIMount {
  readonly controller: number;
  readonly lun: number;
  readonly guestPath: string;
  readonly add: () => Promise<void>;
  readonly free: () => void;
  readonly removal: readonly (() => Promise<void>)[];

  constructor(vm: Modifier, slot: SCSISlot, { guestPath, mount, unmount, free }: MountInit) {
    this.controller = slot.controller;
    this.lun = slot.lun;
    this.guestPath = guestPath;
    this.free = free;
    this.add = () => vm.modify(mount);
    this.removal = [() => takeAway(vm, unmount)];
  }
}

type GuestRequests = Pick<MountInit, "mount" | "unmount">;

function windowsDisk({ lun }: SCSISlot, guestPath: string): GuestRequests {
  const disk: WCOWMappedVirtualDisk = { ContainerPath: guestPath, Lun: lun };
  return { mount: mountDisk(disk), unmount: unmountDisk(disk) };
}

function linuxDisk({ controller, lun }: SCSISlot, guestPath: string, options: SCSIMountOptions): GuestRequests {
  const disk: LCOWMappedVirtualDisk = {
    MountPath: guestPath,
    Lun: lun,
    Controller: controller,
    Partition: options.partition ?? 0,
  };
  return {
    mount: mountDisk({
      ...disk,
      ReadOnly: options.readOnly ?? false,
      Encrypted: options.encrypted ?? false,
      Options: options.options ?? [],
      EnsureFilesystem: options.filesystem !== undefined,
      Filesystem: options.filesystem ?? "",
    }),
    unmount: unmountDisk(disk),
  };
}
