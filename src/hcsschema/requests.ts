/**
 * The requests that change a running VM: the argument of `HcsModifyComputeSystem`.
 *
 * Hosts and guests refuse keys that they don't know, and an absent key means its default. So no function here writes a
 * key with an empty value: `false`, `0`, `""`, or an empty list.
 *
 * @module
 */

import type { Layer } from "./layer_document.ts";

/** What to do with a resource. */
export type RequestType = "Add" | "Remove" | "Update" | "PreAdd";

/** A change of a VM: its host part, its guest part, or both. */
export interface ModifySettingRequest {
  /** The resource of the host. A request only for the guest has none. */
  readonly ResourcePath?: string;
  /** What to do with it. */
  readonly RequestType?: RequestType;
  /** Its settings. */
  readonly Settings?: object;
  /** The request for the guest. */
  readonly GuestRequest?: GuestModificationRequest;
}

/** The guest's part of a change. */
export interface GuestModificationRequest {
  /** What to do. */
  readonly RequestType?: RequestType;
  /** The kind of resource. */
  readonly ResourceType?: GuestResourceType;
  /** Its settings. */
  readonly Settings?: object;
}

// What of the settings says what a change is about: a file or folder of the host, or a place in the guest.
const SUBJECTS = ["Path", "HostPath", "ContainerRootPath", "MountPath", "ContainerPath", "VolumeGUID"];

/** Returns what a change (a {@linkcode ModifySettingRequest}) is about in a line, for messages. */
export function changeText(change: object): string {
  const { ResourcePath, RequestType, Settings, GuestRequest } = change as ModifySettingRequest;
  const settings: Readonly<Record<string, unknown>> = { ...GuestRequest?.Settings, ...Settings };
  const subject = SUBJECTS.map((key) => settings[key]).find((value) => typeof value === "string");
  const resource = ResourcePath?.replace("VirtualMachine/Devices/", "") ?? GuestRequest?.ResourceType;
  const what = [RequestType ?? GuestRequest?.RequestType, resource].filter(Boolean).join(" ");
  return subject === undefined ? what : `${what}: ${subject}`;
}

/** The kinds of resources of a guest. */
export type GuestResourceType =
  | "CombinedLayers"
  | "HvSocket"
  | "MappedDirectory"
  | "MappedVirtualDisk"
  | "MappedVirtualDiskForContainerScratch"
  | "SCSIDevice"
  | "SecurityPolicy"
  | "VPMemDevice"
  | "WCOWBlockCims";

/** A folder of the host that a VM sees. */
export interface VirtualSmbShare {
  /** Name of the share. */
  readonly Name?: string;
  /** The folder. */
  readonly Path?: string;
  /** The files in it that are shared, by their full paths. Absent for all. */
  readonly AllowedFiles?: readonly string[];
  /** How it is shared. */
  readonly Options?: VirtualSmbShareOptions;
}

/** How a folder is shared. An absent option is off. */
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
  /** Files are opened as the user who opened the share's folder. */
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
  /** Locks are always granted and never broken. */
  readonly PseudoOplocks?: boolean;
  /** Unbuffered reading and writing. */
  readonly NonCacheIo?: boolean;
  /** Change notifications are accepted and never sent. */
  readonly PseudoDirnotify?: boolean;
  /** Each file is mapped separately. */
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

/** A file that a VM sees as part of a persistent memory device. */
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
  /** Path at which the guest mounts it. */
  readonly ContainerPath?: string;
  /** Its LUN on controller 0. */
  readonly Lun?: number;
}

/** A disk of a Linux guest. */
export interface LCOWMappedVirtualDisk {
  /** Path at which the guest mounts it. */
  readonly MountPath?: string;
  /** Its LUN. */
  readonly Lun?: number;
  /** Its controller, by number. */
  readonly Controller?: number;
  /** The partition, counted from 1. Absent for the whole disk. */
  readonly Partition?: number;
  /** No writing. */
  readonly ReadOnly?: boolean;
  /** The guest encrypts it with its own key. */
  readonly Encrypted?: boolean;
  /** Options of the mount. */
  readonly Options?: readonly string[];
  /** The guest formats it if it has no file system. */
  readonly EnsureFilesystem?: boolean;
  /** The file system to format it with. */
  readonly Filesystem?: string;
}

/** A persistent memory device of a Linux guest. */
export interface LCOWMappedVPMemDevice {
  /** Number of the device. */
  readonly DeviceNumber?: number;
  /** Path at which the guest mounts it. */
  readonly MountPath?: string;
  /** The part of the device. Absent for all of it. */
  readonly MappingInfo?: LCOWVPMemMappingInfo;
}

/** A part of a persistent memory device. */
export interface LCOWVPMemMappingInfo {
  /** Its first byte. */
  readonly DeviceOffsetInBytes?: number;
  /** Its length in bytes. */
  readonly DeviceSizeInBytes?: number;
}

/** A SCSI disk that a Linux guest is to eject. */
export interface SCSIDevice {
  /** Its controller, by number. */
  readonly Controller?: number;
  /** Its LUN. */
  readonly Lun?: number;
}

/** Layers that the guest combines into one tree. */
export interface CombinedLayers {
  /** Id of the container; Linux guests only. */
  readonly ContainerID?: string;
  /** Path of the tree. */
  readonly ContainerRootPath?: string;
  /** Read-only layers, topmost first. */
  readonly Layers?: readonly Layer[];
  /** Path where changes are stored. A Windows guest stores them at the root. */
  readonly ScratchPath?: string;
  /** The filter that shows an image; Windows guests only. Absent for folders, as older guests know no such key. */
  readonly FilterType?: "UnionFS";
}

/** CIM images on disks of a Windows guest, to be mounted as one volume. */
export interface WCOWBlockCIMs {
  /** The images: the one that merges the others first, and those from the topmost down. */
  readonly BlockCIMs?: readonly BlockCIMDevice[];
  /** GUID of the volume. */
  readonly VolumeGUID?: string;
  /** `CIM_MOUNT_IMAGE_FLAGS`. */
  readonly MountFlags?: number;
  /** Id of the container. */
  readonly ContainerID?: string;
}

/** A CIM image on a disk of a Windows guest. Both keys are always there. */
export interface BlockCIMDevice {
  /** Name of the image. */
  readonly CimName: string;
  /** LUN of the disk on controller 0. */
  readonly Lun: number;
}

/** The ids of the controllers by number: UUIDs of version 5, made from the number and the same in every VM. */
export const SCSI_CONTROLLERS: readonly string[] = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
];

/** Returns a document without the keys that must be absent. */
export function present<T extends object>(document: T): T {
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !isEmpty(value))) as T;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === false || value === 0 || value === "" ||
    Array.isArray(value) && value.length === 0;
}

const SHARES = "VirtualMachine/Devices/VirtualSmb/Shares";

/** Returns the request that shares a folder. */
export function addShare(share: VirtualSmbShare): ModifySettingRequest {
  return { ResourcePath: SHARES, RequestType: "Add", Settings: present(share) };
}

/** Returns the request that stops sharing a folder. */
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

/** Returns the request that attaches a disk. */
export function attachDisk(slot: SCSISlot, attachment: Attachment): ModifySettingRequest {
  return { ResourcePath: attachmentPath(slot), RequestType: "Add", Settings: present(attachment) };
}

/** Returns the request that detaches a disk. */
export function detachDisk(slot: SCSISlot): ModifySettingRequest {
  return { ResourcePath: attachmentPath(slot), RequestType: "Remove" };
}

function attachmentPath({ controller, lun }: SCSISlot): string {
  return `VirtualMachine/Devices/Scsi/${SCSI_CONTROLLERS[controller]}/Attachments/${lun}`;
}

/** Returns the request that mounts a disk in a guest. */
export function mountDisk(disk: WCOWMappedVirtualDisk | LCOWMappedVirtualDisk): ModifySettingRequest {
  return inGuest("Add", "MappedVirtualDisk", disk);
}

/** Returns the request that has a Windows guest format a disk with ReFS, and mount it. It is unmounted as others are. */
export function formatAndMountDisk(disk: WCOWMappedVirtualDisk): ModifySettingRequest {
  return inGuest("Add", "MappedVirtualDiskForContainerScratch", disk);
}

/** Returns the request that unmounts a disk in a guest. A Linux guest accepts only path, place and partition here. */
export function unmountDisk(disk: WCOWMappedVirtualDisk | LCOWMappedVirtualDisk): ModifySettingRequest {
  return inGuest("Remove", "MappedVirtualDisk", disk);
}

/** Returns the request with which a Linux guest ejects a disk before it is detached. */
export function unplugDisk({ controller, lun }: SCSISlot): ModifySettingRequest {
  return inGuest("Remove", "SCSIDevice", { Controller: controller, Lun: lun } satisfies SCSIDevice);
}

/** Returns the request that mounts CIM images in a Windows guest. */
export function mountBlockImages(images: WCOWBlockCIMs): ModifySettingRequest {
  return inGuest("Add", "WCOWBlockCims", images);
}

/** Returns the request that unmounts CIM images in a Windows guest. */
export function unmountBlockImages(volume: string): ModifySettingRequest {
  return inGuest("Remove", "WCOWBlockCims", { VolumeGUID: volume } satisfies WCOWBlockCIMs);
}

/** A file as a persistent memory device. */
export interface PMemDevice {
  /** Number of the device. */
  readonly device: number;
  /** Path at which the guest mounts it. */
  readonly guestPath: string;
}

/** Returns the request that adds a persistent memory device. */
export function addPMemDevice(at: PMemDevice, settings: VirtualPMemDevice): ModifySettingRequest {
  return {
    ResourcePath: devicePath(at),
    RequestType: "Add",
    Settings: present(settings),
    GuestRequest: pmemInGuest("Add", at),
  };
}

/** Returns the request that removes a persistent memory device. */
export function removePMemDevice(at: PMemDevice): ModifySettingRequest {
  return { ResourcePath: devicePath(at), RequestType: "Remove", GuestRequest: pmemInGuest("Remove", at) };
}

/** A file as part of a persistent memory device. */
export interface PMemMapping extends PMemDevice {
  /** Its offset on the device, in bytes. */
  readonly offset: number;
  /** Its length in bytes, a multiple of the page size. */
  readonly size: number;
}

/** Returns the request that maps a file into a persistent memory device. */
export function addPMemMapping(at: PMemMapping, settings: VirtualPMemMapping): ModifySettingRequest {
  return {
    ResourcePath: `${devicePath(at)}/Mappings/${at.offset}`,
    RequestType: "Add",
    Settings: present(settings),
    GuestRequest: pmemInGuest("Add", at, mappingInfo(at)),
  };
}

/** Returns the request that removes a file from a persistent memory device. */
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

/** Returns the request that combines layers into one tree in a guest. */
export function combineLayers(layers: CombinedLayers): ModifySettingRequest {
  return inGuest("Add", "CombinedLayers", layers);
}

/** Returns the request that removes a tree of layers from a guest. */
export function removeCombinedLayers(root: string): ModifySettingRequest {
  return inGuest("Remove", "CombinedLayers", { ContainerRootPath: root } satisfies CombinedLayers);
}

function inGuest(type: RequestType, resource: GuestResourceType, settings: object): ModifySettingRequest {
  return { GuestRequest: { RequestType: type, ResourceType: resource, Settings: present(settings) } };
}
