/**
 * The state of a simulated virtual machine: its devices on the host's side, and the mounts in its guest.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { win32Failure } from "./call.ts";
import { letGo } from "./disks.ts";
import { ATTACHED, ATTACHED_READ_ONLY, requireOpenable } from "./open_files.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";
import type { Acquirer, Node, Windows } from "./windows.ts";

/** A virtual machine. */
export interface VirtualMachine {
  /** Its id. */
  readonly id: string;
  /** The owner in its document. */
  readonly owner: string;
  /** The operating system in it. */
  readonly os: "Windows" | "Linux";
  /** The command line of a Linux kernel. */
  readonly commandLine: string;
  /** Whether it ends when its last handle is closed. */
  readonly endsWithHandle: boolean;
  /** The call that created it. */
  readonly by: Acquirer;
  /** Whether the compute service doesn't talk with its guest. */
  readonly isDirect?: boolean;
  /** Whether somebody is connected with its guest, or can't reach it any more. */
  bridge?: "connected" | "lost";
  /** Its state. */
  state: "Created" | "Running" | "Paused" | "Stopped";
  /** The numbers of the processes that have a handle of it, each once for every handle. */
  readonly handles: number[];
  /** GUIDs of its SCSI controllers, in the order of their numbers. */
  readonly controllers: readonly string[];
  /** Its disks, by `<controller>:<LUN>`. */
  readonly disks: Record<string, Disk>;
  /** Its VSMB shares, by their names. */
  readonly shares: Record<string, Share>;
  /** The largest number of its vPMem devices. */
  readonly pmemCount: number;
  /** The largest size of a vPMem device in bytes. */
  readonly pmemSize: number;
  /** Its vPMem devices, by `<device>`, and their mappings, by `<device>+<offset>`. */
  readonly pmem: Record<string, Attached>;
  /** What the guest has mounted, by paths in the guest. */
  readonly mounts: Record<string, GuestMount>;
  /** The layers that the guest has combined, by their roots. */
  readonly trees: Record<string, GuestTree>;
}

/** A file that a VM uses. */
export interface Attached {
  /** The file. */
  readonly path: string;
  /** The call that attached it. `undefined` if the VM was created with it. */
  readonly by?: Acquirer;
}

/** A disk. */
export interface Disk extends Attached {
  /** Whether the guest has ejected it. */
  ejected?: boolean;
}

/** A folder that a guest sees. */
export type Share = Attached;

/** Something mounted in the guest. */
export interface GuestMount {
  /** The key of the disk or vPMem that is mounted. */
  readonly source: string;
  /** The call that mounted it. */
  readonly by: Acquirer;
}

/** Layers combined in the guest. */
export interface GuestTree {
  /** Keys of its parts: names of shares, or paths in the guest. */
  readonly parts: readonly string[];
  /** The call that combined it. */
  readonly by: Acquirer;
}

/** The group of all virtual machines. */
export const VIRTUAL_MACHINES = "s-1-5-83-0";

const SHARE_PREFIX = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\";

/** A document that has not been checked. */
export type Document = Readonly<Record<string, unknown>>;

/** A document has an unknown key, or is not an object. */
export class InvalidDocument extends Error {
  /** The path of the invalid part, such as `$.ResourcePath`. */
  constructor(readonly path: string) {
    super(`invalid JSON document at ${path}`);
  }
}

/** Checks that `value` is an object with no keys but `keys`, and returns it. */
export function objectOf(value: unknown, keys: readonly string[], path: string): Document {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InvalidDocument(path);
  const unknownKey = Object.keys(value).find((key) => !keys.includes(key));
  if (unknownKey !== undefined) throw new InvalidDocument(`${path}.${unknownKey}`);
  return value as Document;
}

/** Opens a file for a VM. It must exist, be granted to the VM, and not be open elsewhere in a conflicting way. */
export function attachFile(windows: Windows, vm: VirtualMachine, path: string, mode: "read" | "write"): void {
  const node = windows.existing(path);
  if (!isGranted(vm, node)) throw win32Failure(win32.ERROR_ACCESS_DENIED);
  requireParents(windows, vm, node);
  windows.requireAttachable(path);
  if (node.vms?.[vm.id] !== undefined) unknown(`attaching a file to a VM twice: ${path}`);
  requireOpenable(windows, node, mode === "write" ? ATTACHED : ATTACHED_READ_ONLY);
  node.vms = { ...node.vms, [vm.id]: mode };
}

function isGranted(vm: VirtualMachine, { grants = [] }: Node): boolean {
  return grants.some((who) => who === VIRTUAL_MACHINES || who === vm.id.toLowerCase());
}

// A VM opens the parents of a differencing disk as well (canonical/multipass#4722).
function requireParents(windows: Windows, vm: VirtualMachine, { disk }: Node): void {
  if (disk?.parent === undefined) return;
  const parent = windows.node(disk.parent);
  if (parent === undefined) unknown(`attaching a differencing disk to a VM whose parent is gone: ${disk.parent}`);
  if (!isGranted(vm, parent)) throw win32Failure(win32.ERROR_ACCESS_DENIED);
  requireParents(windows, vm, parent);
}

function detachFile(windows: Windows, vm: VirtualMachine, path: string): void {
  const { vms } = windows.node(path) ?? {};
  if (vms?.[vm.id] === undefined) return;
  delete vms[vm.id];
  letGo(windows, path);
}

/**
 * Opens the disks and the persistent memory that a VM was created with. Tells `refused` which one could not be opened; that may
 * throw.
 */
export function openDisks(
  windows: Windows,
  vm: VirtualMachine,
  refused: (failure: Failure, key: string, path: string) => void,
): void {
  for (const [key, { path }] of Object.entries({ ...vm.disks, ...vm.pmem })) {
    try {
      if (windows.node(path)?.vms?.[vm.id] === undefined) {
        attachFile(windows, vm, path, vm.os === "Windows" ? "write" : "read");
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      refused(error, key, path);
    }
  }
}

/** Ends a VM, and releases everything that it holds. */
export function stopVM(windows: Windows, vm: VirtualMachine): void {
  for (const { path } of [...Object.values(vm.disks), ...Object.values(vm.pmem)]) detachFile(windows, vm, path);
  for (const table of [vm.disks, vm.pmem, vm.shares, vm.mounts, vm.trees]) {
    Object.keys(table).forEach((key) => delete table[key]);
  }
  vm.state = "Stopped";
}

const REQUEST_KEYS = ["ResourcePath", "RequestType", "Settings", "GuestRequest"];
const GUEST_REQUEST_KEYS = ["RequestType", "ResourceType", "Settings"];

/** Does what a guest is asked for by who is connected with it, or throws a {@linkcode Failure} without a change. */
export function modifyGuest(windows: Windows, vm: VirtualMachine, request: unknown): void {
  inGuest(windows, vm, objectOf(request, GUEST_REQUEST_KEYS, "$.Request"), undefined)();
}

/** One change of a request. All changes are checked before any of them is made. */
type Change = () => void;

/**
 * Executes a ModifySettingRequest, or throws a {@linkcode Failure} without a change.
 *
 * @param part With `"host"`, the guest's part is left out, and with `"guest"` the host's.
 */
export function modifyVM(
  windows: Windows,
  vm: VirtualMachine,
  request: unknown,
  part: "all" | "host" | "guest" = "all",
): void {
  const { ResourcePath, RequestType, Settings, GuestRequest } = objectOf(request, REQUEST_KEYS, "$");
  const path = ResourcePath === undefined ? undefined : String(ResourcePath);
  const changes: Change[] = [];
  if (path !== undefined) {
    const change = onHost(windows, vm, path, String(RequestType), Settings, GuestRequest !== undefined);
    if (part !== "guest") changes.push(change);
  } else if (Settings !== undefined) {
    unknown("receiving a request with settings but without a resource");
  }
  if (GuestRequest !== undefined && vm.bridge !== undefined) {
    unknown("sending the compute service the part of a guest with which somebody else is connected");
  }
  if (GuestRequest !== undefined && part !== "host") {
    changes.push(inGuest(windows, vm, objectOf(GuestRequest, GUEST_REQUEST_KEYS, "$.GuestRequest"), path));
  }
  // The host's part first, because only that can still fail.
  changes.forEach((change) => change());
}

const OPTION_KEYS = [
  ...["ReadOnly", "ShareRead", "CacheIo", "NoOplocks", "TakeBackupPrivilege", "UseShareRootIdentity", "NoDirectmap"],
  ...["NoLocks", "NoDirnotify", "VmSharedMemory", "RestrictFileAccess", "ForceLevelIIOplocks", "ReparseBaseLayer"],
  ...["PseudoOplocks", "NonCacheIo", "PseudoDirnotify", "SingleFileMapping"],
];
const SHARE_KEYS = ["Name", "Path", "AllowedFiles", "Options"];
const ATTACHMENT_KEYS = [
  ...["Type", "Path", "IgnoreFlushes", "CachingMode", "NoWriteHardening", "DisableExpansionOptimization"],
  ...["IgnoreRelativeLocator", "CaptureIoAttributionContext", "ReadOnly", "SupportCompressedVolumes"],
  ...["AlwaysAllowSparseFiles", "ExtensibleVirtualDiskType"],
];

function onHost(
  windows: Windows,
  vm: VirtualMachine,
  path: string,
  type: string,
  settings: unknown,
  withGuest: boolean,
): Change {
  const parts = path.replace(/^VirtualMachine\/Devices\//, "").split("/");
  if (!path.startsWith("VirtualMachine/Devices/")) throw new InvalidDocument("$.ResourcePath");
  switch (parts[0]) {
    case "VirtualSmb":
      // The path names the collection, and not the share.
      if (parts.length !== 2) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      return share(windows, vm, type, settings);
    case "Scsi":
      return disk(windows, vm, { guid: parts[1] ?? "", lun: Number(parts[3]) }, type, settings);
    case "VirtualPMem":
      if (!withGuest && vm.bridge === undefined) unknown("adding vPMem without the guest's part");
      return pmem(windows, vm, { device: Number(parts[2]), offset: parts[4] }, type, settings);
    default:
      return unknown(`changing ${path}`);
  }
}

function share(windows: Windows, vm: VirtualMachine, type: string, settings: unknown): Change {
  const { Name, Path, Options } = objectOf(settings, SHARE_KEYS, "$.Settings");
  const name = String(Name);
  if (type === "Remove") {
    if (vm.shares[name] === undefined) unknown(`removing a share that doesn't exist: ${name}`);
    requireUnused(vm, `share ${name}`);
    return () => delete vm.shares[name];
  }
  if (type !== "Add") unknown(`receiving a request ${type} for a share`);
  objectOf(Options ?? {}, OPTION_KEYS, "$.Settings.Options");
  if (vm.os !== "Windows") unknown("adding a VSMB share for a Linux guest");
  if (vm.shares[name] !== undefined) unknown(`adding a share with a name that is already used: ${name}`);
  const node = windows.node(String(Path));
  if (node === undefined) unknown(`sharing a folder that doesn't exist: ${Path}`);
  return () => vm.shares[name] = { path: node.path, by: windows.by };
}

function disk(
  windows: Windows,
  vm: VirtualMachine,
  { guid, lun }: { guid: string; lun: number },
  type: string,
  settings: unknown,
): Change {
  const controller = vm.controllers.indexOf(guid);
  if (controller < 0) throw win32Failure(win32.ERROR_NOT_FOUND);
  if (!(lun >= 0 && lun < 64)) unknown(`using LUN ${lun} for a disk`);
  const key = `${controller}:${lun}`;
  const there = vm.disks[key];
  if (type === "Remove") {
    if (there === undefined) unknown(`detaching a disk from an empty slot: ${key}`);
    if (there.by === undefined) unknown(`detaching the disk that the VM was created with: ${key}`);
    requireUnmounted(vm, `disk ${key}`);
    if (vm.os === "Linux" && !there.ejected && vm.bridge !== "lost") {
      throw new SimulationError(`the Linux guest did not eject the disk at ${key} before it is detached`);
    }
    return () => {
      delete vm.disks[key];
      detachFile(windows, vm, there.path);
    };
  }
  if (type !== "Add") unknown(`receiving a request ${type} for a disk`);
  const { Type, Path, ReadOnly } = objectOf(settings, ATTACHMENT_KEYS, "$.Settings");
  if (Type !== "VirtualDisk") unknown(`attaching a disk of type ${Type}`);
  if (there !== undefined) unknown(`attaching a disk to a slot that is already used: ${key}`);
  const path = String(Path);
  return () => {
    attachFile(windows, vm, path, ReadOnly === true ? "read" : "write");
    vm.disks[key] = { path, by: windows.by };
  };
}

function pmem(
  windows: Windows,
  vm: VirtualMachine,
  { device, offset }: { device: number; offset: string | undefined },
  type: string,
  settings: unknown,
): Change {
  if (!(device >= 0 && device < vm.pmemCount)) unknown(`using vPMem device ${device} of ${vm.pmemCount}`);
  const key = offset === undefined ? `${device}` : `${device}+${offset}`;
  const there = vm.pmem[key];
  const isMapped = Object.keys(vm.pmem).some((other) => other.startsWith(`${device}+`));
  if (type === "Remove") {
    // A device into which files are mapped is never removed.
    if (offset === undefined && there === undefined && isMapped) throw win32Failure(win32.ERROR_NOT_FOUND);
    if (there === undefined) unknown(`removing vPMem that doesn't exist: ${key}`);
    if (there.by === undefined) unknown(`removing the vPMem that the VM was created with: ${key}`);
    if (vm.bridge !== undefined) requireUnmounted(vm, `pmem ${key}`);
    return () => {
      delete vm.pmem[key];
      detachFile(windows, vm, there.path);
    };
  }
  if (type !== "Add") unknown(`receiving a request ${type} for vPMem`);
  const keys = offset === undefined ? ["HostPath", "ReadOnly", "ImageFormat"] : ["HostPath", "ImageFormat"];
  const { HostPath } = objectOf(settings, keys, "$.Settings");
  const path = String(HostPath);
  const size = windows.existing(path).size ?? 0;
  if (offset === undefined) {
    if (there !== undefined || isMapped) unknown(`adding a vPMem device that is already used: ${key}`);
    if (size > vm.pmemSize) unknown(`putting a file of ${size} bytes on a vPMem device of ${vm.pmemSize}`);
  } else {
    if (vm.pmem[`${device}`] !== undefined) {
      unknown(`mapping a file into a vPMem device that holds a whole file: ${key}`);
    }
    requireFreeRange(windows, vm, device, Number(offset), size);
  }
  return () => {
    attachFile(windows, vm, path, "read");
    vm.pmem[key] = { path, by: windows.by };
  };
}

function requireFreeRange(windows: Windows, vm: VirtualMachine, device: number, offset: number, size: number): void {
  for (const [key, { path }] of Object.entries(vm.pmem)) {
    const [other, start] = key.split("+").map(Number) as [number, number?];
    if (other !== device || start === undefined) continue;
    if (offset < start + (windows.node(path)?.size ?? 0) && start < offset + Math.max(size, 1)) {
      throw new SimulationError(`two files overlap on vPMem device ${device}: at ${offset} and ${start}`);
    }
  }
}

function inGuest(windows: Windows, vm: VirtualMachine, request: Document, hostPath: string | undefined): Change {
  const { RequestType, ResourceType, Settings = {} } = request;
  const what = `${RequestType} ${ResourceType}`;
  switch (what) {
    case "Add MappedVirtualDisk":
    case "Remove MappedVirtualDisk":
      return mountedDisk(windows, vm, RequestType === "Add", Settings);
    case "Add MappedVirtualDiskForContainerScratch":
      if (vm.os === "Windows") return mountedDisk(windows, vm, true, Settings);
      break;
    case "Remove SCSIDevice":
      return ejectedDisk(vm, Settings);
    case "Add VPMemDevice":
    case "Remove VPMemDevice":
      return mountedPMem(windows, vm, RequestType === "Add", Settings, hostPath);
    case "Add CombinedLayers":
      return vm.os === "Linux" ? linuxTree(windows, vm, Settings) : windowsTree(windows, vm, Settings);
    case "Remove CombinedLayers":
      return removedTree(vm, Settings);
    case "Add WCOWBlockCims":
    case "Remove WCOWBlockCims":
      if (vm.os === "Windows") return mountedImages(windows, vm, RequestType === "Add", Settings);
      break;
    case "Add SecurityPolicy":
      if (vm.os === "Linux") return () => {};
      break;
    case "Update HvSocket":
      if (vm.os === "Windows" && vm.bridge !== undefined) return () => {};
  }
  return unknown(`receiving the request ${what} for a ${vm.os} guest`);
}

const WINDOWS_DISK_KEYS = ["ContainerPath", "Lun"];
const LINUX_DISK_KEYS = [
  ...["MountPath", "Lun", "Controller", "Partition", "ReadOnly", "Encrypted", "Options", "VerityInfo"],
  ...["EnsureFilesystem", "Filesystem"],
];

function mountedDisk(windows: Windows, vm: VirtualMachine, adds: boolean, settings: unknown): Change {
  const keys = vm.os === "Linux" ? LINUX_DISK_KEYS : WINDOWS_DISK_KEYS;
  const { ContainerPath, MountPath, Controller = 0, Lun = 0, Partition = 0 } = objectOf(settings, keys, "Settings");
  const path = String(ContainerPath ?? MountPath);
  const disk = `${Controller}:${Lun}`;
  const source = `disk ${disk} partition ${Partition}`;
  if (!adds) return unmount(vm, path, source);
  const there = vm.disks[disk];
  if (there === undefined) unknown(`mounting a disk that doesn't exist in the guest: ${disk}`);
  if (there.ejected) unknown(`mounting a disk that the guest has ejected: ${disk}`);
  return mount(windows, vm, path, source);
}

function ejectedDisk(vm: VirtualMachine, settings: unknown): Change {
  if (vm.os !== "Linux") unknown("ejecting a disk from a Windows guest");
  const { Controller = 0, Lun = 0 } = objectOf(settings, ["Controller", "Lun"], "Settings");
  const key = `${Controller}:${Lun}`;
  const disk = vm.disks[key];
  // The guest succeeds for a disk that doesn't exist (UnplugDevice in hcsshim's internal/guest/storage/scsi/scsi.go).
  if (disk === undefined) return () => {};
  requireUnmounted(vm, `disk ${key}`);
  return () => disk.ejected = true;
}

function mountedPMem(
  windows: Windows,
  vm: VirtualMachine,
  adds: boolean,
  settings: unknown,
  hostPath: string | undefined,
): Change {
  const keys = ["DeviceNumber", "MountPath", "MappingInfo", "VerityInfo"];
  const { DeviceNumber = 0, MountPath, MappingInfo } = objectOf(settings, keys, "Settings");
  const { DeviceOffsetInBytes = 0 } = MappingInfo === undefined
    ? {}
    : objectOf(MappingInfo, ["DeviceOffsetInBytes", "DeviceSizeInBytes"], "Settings.MappingInfo");
  const place = MappingInfo === undefined ? `${DeviceNumber}` : `${DeviceNumber}+${DeviceOffsetInBytes}`;
  if (vm.bridge !== undefined) {
    if (adds && vm.pmem[place] === undefined) unknown(`mounting vPMem that doesn't exist in the guest: ${place}`);
  } else {
    const onHost = hostPath?.replace("VirtualMachine/Devices/VirtualPMem/Devices/", "").replace("/Mappings/", "+");
    if (onHost !== place) unknown(`receiving a request about vPMem ${onHost} for the host and ${place} for the guest`);
  }
  return adds
    ? mount(windows, vm, String(MountPath), `pmem ${place}`)
    : unmount(vm, String(MountPath), `pmem ${place}`);
}

// As the agent of confidential guests does it.
function mountedImages(windows: Windows, vm: VirtualMachine, adds: boolean, settings: unknown): Change {
  const keys = adds ? ["BlockCIMs", "VolumeGUID", "MountFlags", "ContainerID"] : ["VolumeGUID"];
  const { BlockCIMs, VolumeGUID, MountFlags } = objectOf(settings, keys, "Settings");
  const path = `\\\\?\\Volume{${VolumeGUID}}\\`;
  const there = vm.mounts[path];
  if (!adds) {
    if (there === undefined) unknown(`unmounting images that aren't mounted in the guest: ${path}`);
    return unmount(vm, path, there.source);
  }
  if (MountFlags !== BLOCK_DEVICE) unknown(`mounting images in a guest with the flags ${MountFlags}`);
  const sources = (BlockCIMs as unknown[] ?? []).map((image, i) => {
    const { CimName, Lun } = objectOf(image, ["CimName", "Lun"], `Settings.BlockCIMs[${i}]`);
    if (vm.disks[`0:${Lun}`] === undefined) unknown(`mounting an image on a disk that doesn't exist: LUN ${Lun}`);
    return `disk 0:${Lun} image ${CimName}`;
  });
  if (sources.length === 0 || sources.length === 2) unknown(`mounting ${sources.length} images in a guest`);
  return mount(windows, vm, path, sources.join(", "));
}

const BLOCK_DEVICE = 0x10;

function mount(windows: Windows, vm: VirtualMachine, path: string, source: string): Change {
  if (vm.mounts[path] !== undefined) unknown(`mounting at a path of the guest that already has a mount: ${path}`);
  return () => vm.mounts[path] = { source, by: windows.by };
}

function unmount(vm: VirtualMachine, path: string, source: string): Change {
  // A Linux guest succeeds if nothing is mounted (UnmountPath in hcsshim's internal/guest/storage/mount.go).
  if (vm.os === "Linux" && vm.mounts[path] === undefined) return () => {};
  if (vm.mounts[path]?.source !== source) {
    unknown(`unmounting something that isn't mounted in the guest: ${source} at ${path}`);
  }
  requireUnused(vm, path);
  return () => delete vm.mounts[path];
}

function windowsTree(windows: Windows, vm: VirtualMachine, settings: unknown): Change {
  const keys = ["ContainerRootPath", "Layers", "ScratchPath", "FilterType"];
  const { ContainerRootPath, Layers, FilterType } = objectOf(settings, keys, "Settings");
  const root = String(ContainerRootPath);
  const layers = layersOf(Layers);
  if (FilterType !== undefined) {
    if (FilterType !== "UnionFS" || layers.length !== 1) unknown(`combining ${layers.length} layers by ${FilterType}`);
    const volume = String(layers[0]!.Path).replace(/Files$/, "");
    if (vm.mounts[volume] === undefined) unknown(`combining an image that isn't mounted in the guest: ${volume}`);
    return combined(windows, vm, root, [volume, mountAt(vm, root)]);
  }
  const parts = layers.map(({ Path }) => {
    const name = String(Path).slice(SHARE_PREFIX.length);
    if (!String(Path).startsWith(SHARE_PREFIX) || vm.shares[name] === undefined) {
      unknown(`combining a layer that isn't shared with the guest: ${Path}`);
    }
    return `share ${name}`;
  });
  return combined(windows, vm, root, [...parts, mountAt(vm, root)]);
}

function linuxTree(windows: Windows, vm: VirtualMachine, settings: unknown): Change {
  const keys = ["ContainerID", "ContainerRootPath", "Layers", "ScratchPath"];
  const { ContainerRootPath, Layers, ScratchPath } = objectOf(settings, keys, "Settings");
  const paths = [...layersOf(Layers).map(({ Path }) => String(Path)), String(ScratchPath)];
  return combined(windows, vm, String(ContainerRootPath), paths.map((path) => mountAt(vm, path)));
}

function layersOf(layers: unknown): Document[] {
  return (layers as unknown[] ?? []).map((layer, i) =>
    objectOf(layer, ["Id", "Path", "PathType", "Cache"], `Settings.Layers[${i}]`)
  );
}

// Returns the mount that a path of the guest is on.
function mountAt(vm: VirtualMachine, path: string): string {
  const at = Object.keys(vm.mounts).find((mount) => path === mount || path.startsWith(`${mount}/`));
  return at ?? unknown(`combining layers, one of which isn't mounted in the guest: ${path}`);
}

function combined(windows: Windows, vm: VirtualMachine, root: string, parts: readonly string[]): Change {
  if (vm.trees[root] !== undefined) unknown(`combining layers at a path of the guest that already has some: ${root}`);
  return () => vm.trees[root] = { parts, by: windows.by };
}

function removedTree(vm: VirtualMachine, settings: unknown): Change {
  const { ContainerRootPath } = objectOf(settings, ["ContainerRootPath"], "Settings");
  const root = String(ContainerRootPath);
  // A Linux guest succeeds for a path that doesn't exist.
  if (vm.trees[root] === undefined && vm.os === "Windows") throw new Failure(fromWin32(win32.ERROR_NOT_FOUND));
  return () => delete vm.trees[root];
}

function requireUnused(vm: VirtualMachine, part: string): void {
  // Who can't reach the guest can't take anything apart there.
  if (vm.bridge === "lost") return;
  for (const [root, { parts }] of Object.entries(vm.trees)) {
    if (parts.includes(part)) throw new SimulationError(`${part} is removed while the container at ${root} uses it`);
  }
}

function requireUnmounted(vm: VirtualMachine, disk: string): void {
  if (vm.bridge === "lost") return;
  for (const [path, { source }] of Object.entries(vm.mounts)) {
    if (source.split(", ").some((part) => part === disk || part.startsWith(`${disk} `))) {
      throw new SimulationError(`${disk} is removed while it is mounted at ${path}`);
    }
  }
}
