/**
 * Disks of a VM on its SCSI controllers: the right of the VM to open a disk's file, the attachment, and the guest's mounts
 * of it. Up to 4 controllers of 64 slots each.
 *
 * Each of the three has the life of a device (see `device.ts`). A mounted disk needs all three, in this order.
 *
 * | device | attached by | removed by | exists once for |
 * | --- | --- | --- | --- |
 * | access | `GrantVmAccess` | `RevokeVmAccess` | each writable file |
 * | attachment | an Add to the host | Linux: the guest unplugs the disk; then a Remove to the host | each file |
 * | mount | an Add to the guest | a Remove to the guest | each attachment with one set of options |
 *
 * If a Linux guest has unplugged a disk and the host then failed to detach it, the next try detaches it.
 *
 * @module
 */

import { type HostFile, hostFile } from "../../checks/host_file.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { InUseError } from "../../errors/state_errors.ts";
import type { DeviceCapacity } from "../../errors/vm_errors.ts";
import {
  attachDisk,
  detachDisk,
  formatAndMountDisk,
  type LCOWMappedVirtualDisk,
  type ModifySettingRequest,
  mountDisk,
  type SCSISlot,
  unmountDisk,
  unplugDisk,
  type WCOWMappedVirtualDisk,
} from "../../hcsschema/requests.ts";
import type { Held, HoldOf } from "../../holds/hold.ts";
import { onceFree } from "../../session/waiting.ts";
import { FileAccess } from "../file_access.ts";
import { noteVMFile, otherVMUsing } from "../../session/vm_files.ts";
import type { OwnVMRecord } from "../../session/vm_records.ts";
import { removalFrom } from "../removal.ts";
import type { RunningVM } from "../running_vm.ts";
import { meet } from "./combined_layers.ts";
import { type Device, DeviceRegistry, type DeviceUse } from "./device.ts";
import { SlotAllocator } from "./slot_allocator.ts";

/** How many disks a controller can have. */
export const LUNS_PER_CONTROLLER = 64;
/** How many controllers a VM can have. */
export const MAXIMUM_CONTROLLERS = 4;

/** The right of a VM to open a disk's file. */
export type SCSIAccess = Device<HoldOf<"vmAccess">>;

/** A disk attached to a VM. */
export interface SCSIAttachment extends Device<HoldOf<"scsiAttachment">> {
  /** Whether the VM can't write to it. */
  readonly readOnly: boolean;
}

/** A disk mounted in the guest. */
export type SCSIMount = Device<HoldOf<"scsiMount">>;

/** How a guest mounts a disk. A Windows guest has only `formatWithRefs`, and a Linux guest all others. */
export interface SCSIMountOptions {
  /** The partition, counted from 1. Default: the whole disk. */
  readonly partition?: number;
  /** Whether it is mounted read-only. */
  readonly readOnly?: boolean;
  /** Whether the guest encrypts the disk with a new key that it never stores. */
  readonly encrypted?: boolean;
  /** Options of the mount. */
  readonly options?: readonly string[];
  /** File system to format the disk with if it has none. */
  readonly filesystem?: "ext4" | "xfs";
  /** Whether the guest formats it with ReFS. */
  readonly formatWithRefs?: boolean;
}

/** Options of {@linkcode SCSIDisks}. */
export interface SCSIOptions {
  /** How many controllers the VM has, 0 to 4. */
  readonly controllers: number;
  /** The VM's own disks, with their slots. */
  readonly own: readonly (SCSISlot & { readonly hostPath: string })[];
}

/** The disks of a VM. */
export class SCSIDisks {
  readonly #vm: RunningVM;
  readonly #record: OwnVMRecord | undefined;
  readonly #slots: SlotAllocator;
  readonly #folders = new SlotAllocator(Infinity);
  /** Where disks are mounted at a path that was asked for. */
  readonly #places = new Set<string>();
  readonly #own = new Set<string>();
  readonly #accesses = new DeviceRegistry<SCSIAccess>();
  readonly #attachments = new DeviceRegistry<SCSIAttachment>();
  readonly #mounts = new DeviceRegistry<SCSIMount>();

  /** Starts with only the VM's own disks. */
  constructor(vm: RunningVM, options: SCSIOptions, record?: OwnVMRecord) {
    this.#vm = vm;
    this.#record = record;
    this.#slots = new SlotAllocator(options.controllers * LUNS_PER_CONTROLLER);
    for (const { controller, lun, hostPath } of options.own) {
      this.#slots.claim(controller * LUNS_PER_CONTROLLER + lun);
      this.#own.add(hostFile(vm.host, hostPath).key);
    }
  }

  /** How many slots there are, and how many are used. */
  get capacity(): DeviceCapacity {
    return { device: "SCSI slots", total: this.#slots.total, used: this.#slots.used };
  }

  /** Returns whether a disk has a slot. */
  has(file: HostFile): boolean {
    return this.#attachments.has(file.key);
  }

  /** Returns whether a path in the guest is in a disk that is mounted at a path that was asked for. */
  isMountedAbove(path: string): boolean {
    return [...this.#places].some((place) => path.startsWith(`${place}/`));
  }

  /** Reserves the VM's right to open a disk's file. */
  reserveAccess(file: HostFile): DeviceUse<SCSIAccess> {
    const { host, id } = this.#vm;
    return this.#accesses.reserve(file.key, () => {
      const access = new FileAccess(host, id, file.path, this.#record);
      return {
        hold: { kind: "vmAccess", vm: id, hostPath: file.path },
        async attach() {
          await access.look();
          await access.grant();
        },
        undo: async () => void await access.revoke(),
        // Even if the VM has ended, because the file's access list still contains it.
        removal: [async () => void await access.revoke()],
        free() {},
      };
    });
  }

  /**
   * Reserves the attachment of a disk. Returns undefined if no slot is free.
   *
   * @throws {InUseError} if the VM already has the disk and `readOnly` differs, if the VM was created with the disk, or if the
   * disk would be writable, and another VM of this process uses it.
   */
  reserveAttachment(
    file: HostFile,
    options: { readonly readOnly: boolean },
    restsOn?: readonly Held[],
  ): DeviceUse<SCSIAttachment> | undefined {
    const vm = this.#vm;
    const { readOnly } = options;
    const { key, path } = file;
    if (this.#own.has(key)) {
      throw new InUseError(path, `is a disk that the VM ${vm.id} was created with`, vm.id);
    }
    const other = readOnly ? undefined : otherVMUsing(vm.host, file, vm);
    if (other !== undefined) throw new InUseError(path, `is used by the VM ${other.id}`, other.id);
    const use = this.#attachments.reserve(key, () => {
      const place = this.#slots.allocate();
      if (place === undefined) return undefined;
      const slot = slotOf(place);
      const forget = noteVMFile(vm.host, file, vm);
      const detach = () => detachDisk(slot);
      // A Linux guest must release the disk before it disappears.
      const requests = vm.os === "linux" ? [() => unplugDisk(slot), detach] : [detach];
      return {
        hold: { kind: "scsiAttachment", vm: vm.id, hostPath: path, ...slot },
        readOnly,
        attach: () =>
          onceFree(
            vm.host,
            path,
            () => vm.modify(attachDisk(slot, { Type: "VirtualDisk", Path: path, ReadOnly: readOnly })),
          ),
        ...removalFrom(vm, { requests, file: path }),
        free: () => {
          forget();
          this.#slots.free(place);
        },
      };
    }, restsOn);
    if (use !== undefined && use.device.readOnly !== readOnly) {
      use[Symbol.dispose]();
      throw new InUseError(
        path,
        `is attached to the VM ${vm.id} already, ${readOnly ? "and writable" : "read-only"}`,
        vm.id,
      );
    }
    return use;
  }

  /**
   * Reserves a mount of an attached disk. `place` returns where a disk is mounted that isn't mounted with these options yet, or
   * throws. Default: at a path that the guest is told of.
   *
   * @throws {InvalidInputError} if a Windows guest can't do it: it supports no options, and only controller 0.
   * @throws {InUseError} if another disk is mounted at, in or around that place.
   */
  reserveMount(
    attachment: DeviceUse<SCSIAttachment>,
    options: SCSIMountOptions = {},
    place?: () => string,
  ): DeviceUse<SCSIMount> {
    const vm = this.#vm;
    const { controller, lun } = attachment.hold;
    const slot = { controller, lun };
    const linux = vm.os === "linux";
    if (!linux && controller !== 0) {
      throw new InvalidInputError(
        "slot",
        "is on a controller other than 0, which a Windows guest can't use",
        controller,
      );
    }
    const { formatWithRefs = false, ...ofLinux } = options;
    if (!linux && Object.keys(ofLinux).length > 0) {
      throw new InvalidInputError("options", "are not available with a Windows guest", options);
    }
    const key = JSON.stringify([
      controller,
      lun,
      options.partition ?? 0,
      options.readOnly ?? false,
      options.encrypted ?? false,
      (options.options ?? []).toSorted(),
      options.filesystem ?? "",
      formatWithRefs,
    ]);
    return this.#mounts.reserve(key, () => {
      const { guestPath, free } = place === undefined ? this.#newFolder() : this.#claim(place());
      const { mount, unmount } = linux
        ? linuxDisk(slot, guestPath, options)
        : windowsDisk(slot, guestPath, formatWithRefs);
      return {
        hold: { kind: "scsiMount", vm: vm.id, guestPath, ...slot },
        attach: () => vm.modify(mount),
        ...removalFrom(vm, { requests: [() => unmount], canRemoveNothing: linux }),
        free,
      };
    }, [attachment]);
  }

  #newFolder(): { readonly guestPath: string; readonly free: () => void } {
    const folder = this.#folders.allocate()!;
    return {
      guestPath: this.#vm.os === "linux" ? `/run/mounts/scsi/m${folder}` : `c:\\mounts\\scsi\\m${folder}`,
      free: () => this.#folders.free(folder),
    };
  }

  #claim(guestPath: string): { readonly guestPath: string; readonly free: () => void } {
    if ([...this.#places].some((other) => meet(guestPath, other))) {
      throw new InUseError(guestPath, `is where another disk is mounted in the VM ${this.#vm.id}`, this.#vm.id);
    }
    this.#places.add(guestPath);
    return { guestPath, free: () => void this.#places.delete(guestPath) };
  }
}

function slotOf(place: number): SCSISlot {
  return { controller: Math.floor(place / LUNS_PER_CONTROLLER), lun: place % LUNS_PER_CONTROLLER };
}

interface GuestRequests {
  readonly mount: ModifySettingRequest;
  readonly unmount: ModifySettingRequest;
}

function windowsDisk({ lun }: SCSISlot, guestPath: string, formatWithRefs: boolean): GuestRequests {
  const disk: WCOWMappedVirtualDisk = { ContainerPath: guestPath, Lun: lun };
  return { mount: formatWithRefs ? formatAndMountDisk(disk) : mountDisk(disk), unmount: unmountDisk(disk) };
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
