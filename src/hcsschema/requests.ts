/**
 * The requests that change a running VM: the argument of `HcsModifyComputeSystem`.
 *
 * Hosts and guests refuse keys that they don't know, and take an absent key for its default. So none of the constructors
 * leaves a key with an empty value in a document: `false`, `0`, `""`, an empty list.
 *
 * @module
 */

import type { Layer } from "./layer_document.ts";

/** What is to be done. */
export type RequestType = "Add" | "Remove" | "Update" | "PreAdd";

/** A change of a VM: its host part, its guest part, or both. */
export interface ModifySettingRequest {
  /** The resource of the host. A request for the guest alone has none. */
  readonly ResourcePath?: string;
  /** What to do with it. */
  readonly RequestType?: RequestType;
  /** Its settings. */
  readonly Settings?: object;
  /** What the guest is to do. */
  readonly GuestRequest?: GuestModificationRequest;
}

/** The part of a change that is the guest's. */
export interface GuestModificationRequest {
  /** What to do. */
  readonly RequestType?: RequestType;
  /** With what. */
  readonly ResourceType?: GuestResourceType;
  /** Its settings. */
  readonly Settings?: object;
}

/** What a guest keeps. */
export type GuestResourceType =
  | "CombinedLayers"
  | "HvSocket"
  | "MappedDirectory"
  | "MappedVirtualDisk"
  | "SCSIDevice"
  | "SecurityPolicy"
  | "VPMemDevice";

/** A folder of the host that a VM sees. */
export interface VirtualSmbShare {
  /** Name of the share. */
  readonly Name?: string;
  /** The folder. */
  readonly Path?: string;
  /** The files in it that are shared, by their full paths; all where absent. */
  readonly AllowedFiles?: readonly string[];
  /** How it is shared. */
  readonly Options?: VirtualSmbShareOptions;
}

/** How a folder is shared. All are off where absent. */
export interface VirtualSmbShareOptions {
  /** No writing. */
  readonly ReadOnly?: boolean;
  /** Files that the host has open for reading can be opened. */
  readonly ShareRead?: boolean;
  /** The host may cache. */
  readonly CacheIo?: boolean;
  /** No opportunistic locks. */
  readonly NoOplocks?: boolean;
  /** Files are opened with the backup privilege, past their access lists. */
  readonly TakeBackupPrivilege?: boolean;
  /** Files are opened as who opened the share's folder. */
  readonly UseShareRootIdentity?: boolean;
  /** Files aren't mapped into the VM's memory. */
  readonly NoDirectmap?: boolean;
  /** No byte range locks. */
  readonly NoLocks?: boolean;
  /** No change notifications. */
  readonly NoDirnotify?: boolean;
  /** Memory that is shared between VMs. */
  readonly VmSharedMemory?: boolean;
  /** Only {@linkcode VirtualSmbShare.AllowedFiles} can be opened. */
  readonly RestrictFileAccess?: boolean;
  /** Level II locks always. */
  readonly ForceLevelIIOplocks?: boolean;
  /** Reparse points of a base layer are followed on the host. */
  readonly ReparseBaseLayer?: boolean;
  /** Locks that are granted and never broken. */
  readonly PseudoOplocks?: boolean;
  /** Unbuffered reading and writing. */
  readonly NonCacheIo?: boolean;
  /** Change notifications that never come. */
  readonly PseudoDirnotify?: boolean;
  /** Each file is mapped by itself. */
  readonly SingleFileMapping?: boolean;
}

/** A disk on a SCSI controller. */
export interface Attachment {
  /** What it is. */
  readonly Type?: "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";
  /** Its file or device. */
  readonly Path?: string;
  /** No writing. */
  readonly ReadOnly?: boolean;
}

/** A file that a VM sees as a persistent memory device. */
export interface VirtualPMemDevice {
  /** The file. */
  readonly HostPath?: string;
  /** No writing. */
  readonly ReadOnly?: boolean;
  /** Format of the file. */
  readonly ImageFormat?: VirtualPMemImageFormat;
}

/** A file that a VM sees as a part of a persistent memory device. */
export interface VirtualPMemMapping {
  /** The file. */
  readonly HostPath?: string;
  /** Format of the file. */
  readonly ImageFormat?: VirtualPMemImageFormat;
}

/** Format of the file behind a persistent memory device. */
export type VirtualPMemImageFormat = "Vhd1" | "Vhdx";

/** A disk of a Windows guest. */
export interface WCOWMappedVirtualDisk {
  /** Where the guest mounts it. */
  readonly ContainerPath?: string;
  /** Its LUN on controller 0. */
  readonly Lun?: number;
}

/** A disk of a Linux guest. */
export interface LCOWMappedVirtualDisk {
  /** Where the guest mounts it. */
  readonly MountPath?: string;
  /** Its LUN. */
  readonly Lun?: number;
  /** Its controller, by number. */
  readonly Controller?: number;
  /** The partition, from 1; absent for the whole disk. */
  readonly Partition?: number;
  /** No writing. */
  readonly ReadOnly?: boolean;
  /** The guest encrypts it with a key of its own. */
  readonly Encrypted?: boolean;
  /** Options of the mount. */
  readonly Options?: readonly string[];
  /** The guest formats it where it has no file system. */
  readonly EnsureFilesystem?: boolean;
  /** The file system to format it with. */
  readonly Filesystem?: string;
}

/** A persistent memory device of a Linux guest. */
export interface LCOWMappedVPMemDevice {
  /** Number of the device. */
  readonly DeviceNumber?: number;
  /** Where the guest mounts it. */
  readonly MountPath?: string;
  /** The part of the device that is meant; absent for all of it. */
  readonly MappingInfo?: LCOWVPMemMappingInfo;
}

/** A part of a persistent memory device. */
export interface LCOWVPMemMappingInfo {
  /** Where it starts. */
  readonly DeviceOffsetInBytes?: number;
  /** How long it is. */
  readonly DeviceSizeInBytes?: number;
}

/** A SCSI disk that a Linux guest is to let go of. */
export interface SCSIDevice {
  /** Its controller, by number. */
  readonly Controller?: number;
  /** Its LUN. */
  readonly Lun?: number;
}

/** Layers that the guest shows as one tree. */
export interface CombinedLayers {
  /** Id of the container; Linux guests only. */
  readonly ContainerID?: string;
  /** Where the tree is. */
  readonly ContainerRootPath?: string;
  /** Read-only layers, topmost first. */
  readonly Layers?: readonly Layer[];
  /** Where changes are kept; a Windows guest keeps them at the root. */
  readonly ScratchPath?: string;
}

/** The controllers' ids, by number: UUIDs of version 5 made of the number, the same in every VM. */
export const SCSI_CONTROLLERS: readonly string[] = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
];

/** A document without the keys that are to be absent. */
export function present<T extends object>(document: T): T {
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !isEmpty(value))) as T;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === false || value === 0 || value === "" ||
    Array.isArray(value) && value.length === 0;
}

const SHARES = "VirtualMachine/Devices/VirtualSmb/Shares";

/** Shares a folder. */
export function addShare(share: VirtualSmbShare): ModifySettingRequest {
  return { ResourcePath: SHARES, RequestType: "Add", Settings: present(share) };
}

/** Ends sharing a folder. */
export function removeShare(name: string): ModifySettingRequest {
  return { ResourcePath: SHARES, RequestType: "Remove", Settings: { Name: name } };
}

/** A place on a SCSI controller. */
export interface SCSISlot {
  /** The controller, 0 to 3. */
  readonly controller: number;
  /** The LUN on it, 0 to 63. */
  readonly lun: number;
}

/** Attaches a disk. */
export function attachDisk(slot: SCSISlot, attachment: Attachment): ModifySettingRequest {
  return { ResourcePath: attachmentPath(slot), RequestType: "Add", Settings: present(attachment) };
}

/** Detaches a disk. */
export function detachDisk(slot: SCSISlot): ModifySettingRequest {
  return { ResourcePath: attachmentPath(slot), RequestType: "Remove" };
}

function attachmentPath({ controller, lun }: SCSISlot): string {
  return `VirtualMachine/Devices/Scsi/${SCSI_CONTROLLERS[controller]}/Attachments/${lun}`;
}

/** Has a guest mount a disk. */
export function mountDisk(disk: WCOWMappedVirtualDisk | LCOWMappedVirtualDisk): ModifySettingRequest {
  return inGuest("Add", "MappedVirtualDisk", disk);
}

/** Has a guest unmount a disk. A Linux guest wants only path, place and partition here. */
export function unmountDisk(disk: WCOWMappedVirtualDisk | LCOWMappedVirtualDisk): ModifySettingRequest {
  return inGuest("Remove", "MappedVirtualDisk", disk);
}

/** Has a Linux guest let go of a disk before it is detached. */
export function unplugDisk({ controller, lun }: SCSISlot): ModifySettingRequest {
  return inGuest("Remove", "SCSIDevice", { Controller: controller, Lun: lun } satisfies SCSIDevice);
}

/** A file as a persistent memory device. */
export interface PMemDevice {
  /** Number of the device. */
  readonly device: number;
  /** Where the guest mounts it. */
  readonly guestPath: string;
}

/** Adds a persistent memory device. */
export function addPMemDevice(at: PMemDevice, settings: VirtualPMemDevice): ModifySettingRequest {
  return {
    ResourcePath: devicePath(at),
    RequestType: "Add",
    Settings: present(settings),
    GuestRequest: pmemInGuest("Add", at),
  };
}

/** Removes a persistent memory device. */
export function removePMemDevice(at: PMemDevice): ModifySettingRequest {
  return { ResourcePath: devicePath(at), RequestType: "Remove", GuestRequest: pmemInGuest("Remove", at) };
}

/** A file as a part of a persistent memory device. */
export interface PMemMapping extends PMemDevice {
  /** Where it starts on the device, in bytes. */
  readonly offset: number;
  /** Its length in bytes, whole pages. */
  readonly size: number;
}

/** Maps a file into a persistent memory device. */
export function addPMemMapping(at: PMemMapping, settings: VirtualPMemMapping): ModifySettingRequest {
  return {
    ResourcePath: `${devicePath(at)}/Mappings/${at.offset}`,
    RequestType: "Add",
    Settings: present(settings),
    GuestRequest: pmemInGuest("Add", at, mappingInfo(at)),
  };
}

/** Takes a file out of a persistent memory device. */
export function removePMemMapping(at: PMemMapping): ModifySettingRequest {
  return {
    ResourcePath: `${devicePath(at)}/Mappings/${at.offset}`,
    RequestType: "Remove",
    GuestRequest: pmemInGuest("Remove", at, mappingInfo(at)),
  };
}

function devicePath({ device }: PMemDevice): string {
  return `VirtualMachine/Devices/VirtualPMem/Devices/${device}`;
}

function mappingInfo({ offset, size }: PMemMapping): LCOWVPMemMappingInfo {
  return present({ DeviceOffsetInBytes: offset, DeviceSizeInBytes: size });
}

function pmemInGuest(
  type: RequestType,
  { device, guestPath }: PMemDevice,
  mapping?: LCOWVPMemMappingInfo,
): GuestModificationRequest {
  const settings: LCOWMappedVPMemDevice = {
    DeviceNumber: device,
    MountPath: guestPath,
    ...(mapping && { MappingInfo: mapping }),
  };
  return { RequestType: type, ResourceType: "VPMemDevice", Settings: present(settings) };
}

/** Has a guest show layers as one tree. */
export function combineLayers(layers: CombinedLayers): ModifySettingRequest {
  return inGuest("Add", "CombinedLayers", layers);
}

/** Has a guest take a tree of layers apart. */
export function removeCombinedLayers(root: string): ModifySettingRequest {
  return inGuest("Remove", "CombinedLayers", { ContainerRootPath: root } satisfies CombinedLayers);
}

function inGuest(type: RequestType, resource: GuestResourceType, settings: object): ModifySettingRequest {
  return { GuestRequest: { RequestType: type, ResourceType: resource, Settings: present(settings) } };
}
