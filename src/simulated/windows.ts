/**
 * The state that Windows keeps, as far as layers need it. It is plain data, so it can be stored in a file.
 *
 * @module
 */

import { hresult, win32 } from "../errors/codes.ts";
import { win32Failure } from "./call.ts";
import type { Company } from "./company.ts";
import { type AtLink, driveOf, follow, type Link, type Place, rootOfPlace } from "./links.ts";
import { standInGuid } from "./name_to_guid.ts";
import { allShownBelow, hideBelow } from "./layered_view.ts";
import { foldName, lastName, parentOf, plainPath } from "./names.ts";
import type { OpenFile } from "./open_files.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";
import { indexOf } from "./state_index.ts";
import type { VirtualMachine } from "./vm.ts";

export { parentOf } from "./names.ts";

/**
 * The call that acquired something.
 *
 * @category Simulation
 */
export interface Acquirer {
  /** Number of the process: 1 for the first one that used the machine, 2 for the next. */
  readonly process: number;
  /** The function that was called. */
  readonly function: string;
  /** The number of the call in that process, counted from 1. */
  readonly call: number;
}

/** A file or folder. */
export interface Node {
  /** Its path, in the form in which it was created. */
  readonly path: string;
  /** Whether it is a file or a folder. */
  readonly type: "file" | "folder";
  /** Size of a file in bytes. */
  size?: number;
  /** What makes it unfit as a virtual disk. */
  attributes?: FileAttribute[];
  /** Its content, if it is known and is text. */
  text?: string;
  /** Its content in base64, if it is known and isn't text. */
  base64?: string;
  /** What is in the image that the file is, by the keys of the paths in it. */
  image?: Record<string, Node>;
  /** Of the root of a volume or of a layer's files: what the layers below have there and don't show, such as `\\a\\b`. */
  removed?: string[];
  /** The number that all names of a file have, if it has several. */
  links?: number;
  /** Of a file in a layer's folder: whether it is that of a layer below, as Windows has it there for an imported layer. */
  isPlaceholder?: true;
  /** Of a layer's folder `Files`: whether it has all that the layer shows, so that nothing is looked for below it. */
  isWhole?: true;
  /** What restored it has set: its attributes, times, security descriptor and so on. */
  metadata?: FileMetadata;
  /** Of a file in an image: the path in an image below that it is one more name of, until they are merged. */
  mergeLink?: string;
  /** Of a file in an image that has several paths there: a number that is the same for all of them. */
  sameFile?: number;
  /** Whether it is an image in a file of its own. */
  isBlockImage?: boolean;
  /** Of a sealed image, its root hash. */
  sealed?: string;
  /** Its alternate data streams, with their content as `streamText` has it. */
  streams?: Record<string, string>;
  /** The virtual disk in the file, once known. {@linkcode Windows.disk} returns it for every file. */
  disk?: VirtualDisk;
  /** Its id on its volume, once somebody has asked for it. */
  id?: number;
  /** Who owns it, and who may do what with it, if that isn't what Windows gives by itself. */
  security?: Security;
  /** Its short name, `LAYERS~1`. */
  shortName?: string;
  /** The link that it is. */
  link?: Link;
  /** What the file system of the drive, share or volume is that it is the root of. Default: NTFS. */
  fileSystem?: FileSystem;
  /** The volume mounted at the folder. */
  volume?: string;
  /** The call that mounted it. */
  mountedBy?: Acquirer;
  /** Whether Windows doesn't list it among the mount points of its volume. */
  isUnlisted?: boolean;
  /** The call that created it, if a program did. */
  createdBy?: Acquirer;
  /** VMs and groups that may open it, besides Administrators. */
  grants?: string[];
  /** Those of them that may open what is in the folder as well. */
  inherited?: string[];
  /** Ids of the VMs that have it attached, and how. */
  vms?: Record<string, "read" | "write">;
  /** Whether it was deleted while somebody had it open, and disappears with the last opening. */
  isDeletePending?: boolean;
  /** Whether the scanner waits for it. */
  isUnscanned?: boolean;
}

/** What a program that restores files sets: times as FILETIMEs, bytes in base64. */
export interface FileMetadata {
  /** Its FILE_ATTRIBUTE bits. */
  readonly attributes: number;
  /** When it was created. */
  readonly creationTime: string;
  /** When it was written to. */
  readonly lastWriteTime: string;
  /** When anything about it was changed. */
  readonly changeTime: string;
  /** When it was read. */
  readonly lastAccessTime: string;
  /** Its self-relative security descriptor. */
  readonly securityDescriptor?: string;
  /** Its REPARSE_DATA_BUFFER. */
  readonly reparse?: string;
  /** Its list of FILE_FULL_EA_INFORMATION. */
  readonly extendedAttributes?: string;
}

/** Who owns something, and who may do what with it. */
export interface Security {
  /** SID of the owner. */
  readonly owner: string;
  /** The access list: who is allowed (type 0) or denied (type 1) what. */
  readonly entries: readonly {
    readonly type: number;
    readonly flags: number;
    readonly mask: number;
    readonly sid: string;
  }[];
}

/**
 * A file system. Those but NTFS and ReFS have no alternate data streams.
 *
 * @category Simulation
 */
export type FileSystem = "NTFS" | "ReFS" | "exFAT" | "SMB";

/**
 * An attribute of a file that can't be attached as a virtual disk.
 *
 * @category Simulation
 */
export type FileAttribute = "compressed" | "encrypted" | "sparse";

/** The virtual disk in a file. */
export interface VirtualDisk {
  /** Its size in bytes. */
  size: number;
  /** Size in bytes of the volume on it, if it is formatted. */
  volume?: number;
  /** Its parent, if it is a differencing disk. */
  readonly parent?: string;
  /** Size of its blocks in bytes. */
  readonly blockSize: number;
}

/** A virtual disk that a program attached. */
export interface AttachedDisk {
  /** Path of its file. */
  readonly path: string;
  /** The N in its device, `\\.\PhysicalDriveN`. */
  readonly number: number;
  /** Whether it stays attached after its handles are closed. */
  readonly permanent: boolean;
  /** Whether it can't be written to. */
  readonly readOnly: boolean;
  /** The call that attached it. */
  readonly by: Acquirer;
}

/** A filter on the volume of a scratch. */
export interface StorageFilter {
  /** The volume. */
  readonly volume: string;
  /** Folders of the read-only layers that it shows. */
  readonly layers: readonly string[];
  /** The call that attached it. */
  readonly by: Acquirer;
}

/** An activated layer. */
export interface ActiveLayer {
  /** Its folder. */
  readonly path: string;
  /** The volume of its scratch disk. A read-only layer has none. */
  readonly volume?: string;
  /** The N in the device of its scratch disk, `\\.\PhysicalDriveN`, if it has one. */
  readonly number?: number;
  /** The call that activated it. */
  readonly activatedBy: Acquirer;
  /** The call that attached its filter. */
  preparedBy?: Acquirer;
  /** The read-only layers that the filter shows. */
  parents?: string[];
}

/** A mounted image. */
export interface MountedImage {
  /** Path of the image file. */
  readonly image: string;
  /** The call that mounted it. */
  readonly by: Acquirer;
}

/** An overlay filter on a volume. */
export interface OverlayFilter {
  /** The volume. */
  readonly volume: string;
  /** Paths of the layers that it shows. */
  readonly layers: readonly string[];
  /** The call that attached it. */
  readonly by: Acquirer;
}

/** A process that hasn't ended. */
export interface RunningProcess {
  /** Milliseconds from the start of the machine to its own. */
  readonly startedAt: number;
  /** Of a machine in a file: the number that the process has on the real machine. */
  readonly realPid?: number;
  /** When it started there, by which it is told from others that get its number. Undefined if that isn't known. */
  readonly realStart?: string;
}

/** The state of a machine. */
export interface WindowsState {
  /** Build number. */
  build: number;
  /** Revision of the build. */
  revision: number;
  /** Files and folders, by {@linkcode keyOf} of their paths. */
  nodes: Record<string, Node>;
  /** Activated layers, by {@linkcode keyOf} of their folders. */
  active: Record<string, ActiveLayer>;
  /** Mounted images, by their volumes. */
  images: Record<string, MountedImage>;
  /** Overlay filters, by their volumes. */
  overlays: Record<string, OverlayFilter>;
  /** Virtual disks that programs attached, by {@linkcode keyOf} of their files. */
  disks: Record<string, AttachedDisk>;
  /** Filters that programs attached to scratch volumes, by these volumes. */
  storageFilters: Record<string, StorageFilter>;
  /** Whether new volumes get drive letters. */
  automount?: boolean;
  /** Whether new disks stay offline, without volumes. */
  offline?: boolean;
  /** Existing volumes, `\\?\Volume{guid}\`, in lower case. */
  volumes: Record<string, true>;
  /** Compute systems, by their ids. */
  systems: Record<string, VirtualMachine>;
  /** Who has which files open, by {@linkcode keyOf} of their paths. */
  open: Record<string, OpenFile[]>;
  /** The first time at which one of these closes by itself; `Number.MAX_VALUE` if none does. */
  nextClose: number;
  /** What else runs on the machine. */
  company: Company;
  /** How many processes have used the machine. */
  processes: number;
  /** Those of them that haven't ended, by their numbers. */
  running: Record<string, RunningProcess>;
  /** How many files and folders have got an id. */
  fileIds: number;
  /** Milliseconds since it was first started, by its clock. */
  time: number;
  /** When it was last started again. */
  bootedAt?: number;
}

/** Returns a machine with an empty disk C:. */
export function newMachine(build: number, revision: number, company: Company = {}): WindowsState {
  return {
    build,
    revision,
    nodes: { "c:": { path: "C:", type: "folder" } },
    active: {},
    images: {},
    overlays: {},
    disks: {},
    storageFilters: {},
    volumes: {},
    systems: {},
    open: {},
    nextClose: Number.MAX_VALUE,
    company,
    processes: 0,
    running: {},
    fileIds: 0,
    time: 0,
  };
}

/** Returns the key of a path without links. {@linkcode Windows.key} returns that of any path. */
export function keyOf(path: string): string {
  return foldName(plainPath(path));
}

const SMALLEST_DISK = 3 * 2 ** 20;

// The letters that new volumes get.
const LETTERS = "DEFGHIJKLMNOPQRSTUVWXYZ";

/** A machine, with the rules for files, folders and volumes. */
export class Windows {
  /** Paths of files that are new, or were changed, during this call. */
  readonly changed: Set<string> = new Set();

  /** A machine in a state. */
  constructor(readonly state: WindowsState, readonly by: Acquirer) {}

  /** Milliseconds since the start of the machine. It stays the same during a call. */
  get now(): number {
    return this.state.time;
  }

  /** Returns where a path leads to. */
  place(path: string, atLink: AtLink = "follow"): Place {
    return follow(this.state, path, atLink);
  }

  /** Returns a key that is the same for all paths of a file or folder. */
  key(path: string): string {
    return keyOf(this.place(path).path);
  }

  /** Returns the file or folder at a path. Fails as Windows does if it is being deleted. */
  node(path: string, atLink: AtLink = "follow"): Node | undefined {
    let node: Node | undefined;
    try {
      ({ node } = this.place(path, atLink));
    } catch (error) {
      if (error instanceof Failure) return undefined;
      throw error;
    }
    return accessible(node);
  }

  /** Returns whether there is something at a path, also on a volume whose disk isn't attached. */
  has(path: string): boolean {
    try {
      const { path: at, node } = this.place(path);
      return node !== undefined || this.state.nodes[keyOf(at)] !== undefined;
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
  }

  /** Returns the file or folder at a path, or fails as Windows does if there is none. */
  existing(path: string, atLink: AtLink = "follow"): Node {
    const { path: at, node } = this.place(path, atLink);
    if (node !== undefined) return accessible(node)!;
    const parent = parentOf(at);
    throw win32Failure(parent === "" || this.node(parent)?.type === "folder" ? 2 : 3);
  }

  /** Returns the file or folder at a path to change it. What a volume shows of a layer is copied to the volume first. */
  own(path: string, atLink: AtLink = "follow"): Node {
    const node = this.existing(path, atLink);
    return this.state.nodes[keyOf(this.place(path, atLink).path)] ??= node;
  }

  /** Returns the id of an existing file or folder on its volume. */
  idOf(path: string): number {
    const node = this.own(path, "stay");
    return node.id ??= ++this.state.fileIds;
  }

  /** Adds a file or folder, in place of what is there. */
  add(node: Node): void {
    const { path } = this.place(node.path);
    const { grants = [], inherited = [] } = this.state.nodes[keyOf(parentOf(path))] ?? {};
    const passed = inherited.length > 0 &&
      { grants: union(grants.filter((who) => inherited.includes(who)), node.grants) };
    this.state.nodes[keyOf(path)] = {
      ...node,
      ...passed,
      ...(inherited.length > 0 && node.type === "folder" && { inherited }),
      path,
    };
    if (node.createdBy !== undefined) this.changed.add(path);
  }

  /** Adds what a path begins with: a drive letter or a share. */
  addRoot(node: Node): void {
    this.state.nodes[keyOf(node.path)] = node;
  }

  /** Removes the drive letter of a volume. What is on the volume stays. */
  removeDriveLetter(letter: string): void {
    const { volume, link } = this.state.nodes[keyOf(letter)] ?? {};
    if (volume === undefined) {
      // Also fails if there is no such drive.
      this.existing(`${letter}\\`);
      if (link !== undefined) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      unknown(`removing the letter of a disk of the machine: ${letter}`);
    }
    delete this.state.nodes[keyOf(letter)];
  }

  /** Adds a folder with all its parents. */
  addFolders(path: string): void {
    const there = this.node(path);
    if (there?.type === "file") throw new SimulationError(`${path} is a file, so nothing can be in it`);
    if (there !== undefined) return;
    const parent = parentOf(path);
    if (parent !== "") this.addFolders(parent);
    this.add({ path, type: "folder" });
  }

  /** Removes a file or folder, with its content. Of a link, only itself. */
  remove(path: string): void {
    const { path: at } = this.place(path, "stay");
    for (const key of indexOf(this.state).treeAt(keyOf(at))) {
      const node = this.state.nodes[key]!;
      delete this.state.nodes[key];
      if (isDisk(node)) this.remove(this.diskVolume(node.path));
    }
    hideBelow(this.state, at);
  }

  /** Renames a file or folder, with its content. */
  move(from: string, to: string): void {
    for (const key of indexOf(this.state).treeAt(keyOf(from))) {
      const node = this.state.nodes[key]!;
      if (isDisk(node)) unknown(`renaming a disk: ${node.path}`);
      delete this.state.nodes[key];
      const path = to + node.path.slice(from.length);
      this.state.nodes[keyOf(path)] = { ...JSON.parse(JSON.stringify(node)), path };
    }
  }

  /** Returns the files and folders in a folder. */
  children(path: string): Node[] {
    const own = indexOf(this.state).childrenOf(this.key(path)).map((key) => this.state.nodes[key]!);
    return [...own, ...allShownBelow(this.state, this.place(path).path)];
  }

  /** Returns the names of the files and folders in a folder, one after the other, as most who ask want only the first. */
  *names(path: string): Generator<string, void> {
    for (const key of indexOf(this.state).eachChildOf(this.key(path))) {
      const node = this.state.nodes[key];
      if (node !== undefined) yield lastName(node.path);
    }
    for (const node of allShownBelow(this.state, this.place(path).path)) yield lastName(node.path);
  }

  /** Returns whether a folder has neither files nor folders. */
  isEmpty(path: string): boolean {
    return this.names(path).next().done === true;
  }

  /** Returns the file system of the drive, share or volume that a path leads to. */
  fileSystem(path: string): FileSystem {
    return this.state.nodes[keyOf(rootOfPlace(this.place(path).path))]?.fileSystem ?? "NTFS";
  }

  /** Sets who may open a file or folder, and who of them may open what is in a folder as well. */
  setGrants(path: string, grants: readonly string[], inherited: readonly string[]): void {
    const node = this.existing(path, "stay");
    node.grants = [...grants];
    if (node.type !== "folder") return;
    node.inherited = [...inherited];
    for (const child of this.children(path)) {
      const passed = inherited.filter((who) => !child.grants?.includes(who));
      if (passed.length === 0) continue;
      this.setGrants(child.path, union(child.grants ?? [], passed), union(child.inherited ?? [], passed));
    }
  }

  /** Returns whether a volume exists. */
  hasVolume(name: string): boolean {
    return this.state.volumes[volumeKey(name)] !== undefined || driveOf(this.state, guidOf(name)) !== undefined;
  }

  /** Returns the names of all volumes, those of the machine's own drives first. */
  volumeNames(): string[] {
    const drives = [..."ABC", ...LETTERS].map((letter) => standInGuid(`drive:${letter.toLowerCase()}:`))
      .filter((guid) => driveOf(this.state, guid) !== undefined);
    const own = Object.keys(this.state.volumes).map(guidOf);
    return [...drives, ...own].map((guid) => `\\\\?\\Volume{${guid}}\\`);
  }

  /** Adds the volume of a disk that was attached, unless Windows leaves new disks offline. */
  addDiskVolume(name: string, { driveLetter = true } = {}): void {
    const { automount, nodes, offline } = this.state;
    if (offline) return;
    this.addVolume(name);
    if (!automount || !driveLetter) return;
    for (const letter of LETTERS) {
      const path = `${letter}:`;
      if (nodes[keyOf(path)] === undefined) return this.addRoot({ path, type: "folder", volume: name });
    }
  }

  /** Adds a volume. */
  addVolume(name: string): void {
    this.state.volumes[volumeKey(name)] = true;
  }

  /** Removes a volume. Folders at which it was mounted keep their link to it. */
  removeVolume(name: string): void {
    delete this.state.volumes[volumeKey(name)];
    for (const letter of LETTERS) {
      const key = keyOf(`${letter}:`);
      const { volume } = this.state.nodes[key] ?? {};
      if (volume !== undefined && volumeKey(volume) === volumeKey(name)) delete this.state.nodes[key];
    }
  }

  /** Returns whether the disk file at a path is attached to the host, or to a VM that may write to it. */
  isAttached(path: string): boolean {
    return Object.values(this.node(path)?.vms ?? {}).includes("write") || this.isAttachedToHost(path);
  }

  /** Returns whether the disk file at a path is attached to the host. */
  isAttachedToHost(path: string): boolean {
    return this.state.disks[this.key(path)] !== undefined || this.activationOf(path) !== undefined;
  }

  /** Returns the activated layer whose scratch disk is the file at a path. */
  activationOf(path: string): ActiveLayer | undefined {
    const disk = this.place(path).path;
    const layer = this.state.active[keyOf(parentOf(disk))];
    return layer?.volume !== undefined && isScratchDisk(disk) ? layer : undefined;
  }

  /** Returns the virtual disk in the file at a path. A file that was simply added counts as a formatted disk. */
  disk(path: string): VirtualDisk {
    const node = this.existing(path);
    if (!isDisk(node)) unknown(`opening a file that isn't a disk: ${path}`);
    const { size = 0 } = node;
    return node.disk ??= { size, volume: volumeOn(size), blockSize: 2 ** 20 };
  }

  /** Fails as Windows does for a disk file that is compressed, encrypted or sparse. */
  requireAttachable(path: string): void {
    if (this.existing(path).attributes !== undefined) throw new Failure(hresult.ERROR_VIRTUAL_DISK_LIMITATION);
  }

  /** Returns the volume of the disk file at a path, which exists if the disk is formatted and attached. */
  diskVolume(path: string): string {
    const disk = this.place(path).path;
    return `\\\\?\\Volume{${standInGuid(`volume:${isScratchDisk(disk) ? parentOf(disk) : disk}`)}}\\`;
  }

  /** Returns the attached disk file with this volume. */
  diskOfVolume(volume: string): string | undefined {
    const active = this.state.active[indexOf(this.state).activeOn(volume) ?? ""];
    if (active !== undefined) return `${active.path}\\sandbox.vhdx`;
    return Object.values(this.state.disks).map(({ path }) => path)
      .find((path) => volumeKey(this.diskVolume(path)) === volumeKey(volume));
  }
}

/** Returns whether a file is a virtual disk, or is taken for one. */
export function isDisk({ type, disk, size = 0 }: Node): boolean {
  return disk !== undefined || type === "file" && size >= SMALLEST_DISK;
}

function accessible(node: Node | undefined): Node | undefined {
  if (node?.isDeletePending) throw win32Failure(win32.ERROR_ACCESS_DENIED);
  return node;
}

function isScratchDisk(path: string): boolean {
  return keyOf(path).endsWith("\\sandbox.vhdx");
}

const MIB = 2 ** 20;
const HAS_RESERVED_PARTITION = 128 * MIB;

/**
 * Returns the size of the partition on a formatted disk, of which IOCTL_DISK_GET_LENGTH_INFO tells on its volume. It is smaller
 * than the disk by the partition tables at both ends (1 MiB each, with the alignment) and, except on small disks, by the 16 MiB
 * that Windows reserves ("UEFI/GPT-based hard drive partitions" of Microsoft).
 */
export function partitionOn(diskSize: number): number {
  return diskSize - (diskSize < HAS_RESERVED_PARTITION ? 2 : 18) * MIB;
}

/** Returns the size of the volume on a newly formatted disk. NTFS keeps one cluster in reserve. */
export function volumeOn(diskSize: number): number {
  return partitionOn(diskSize) - 4096;
}

/** Returns a key that is the same for all forms of a volume's name. */
export function volumeKey(name: string): string {
  return `${name.replace(/\\$/, "")}\\`.toLowerCase();
}

function union(one: readonly string[], other: readonly string[] = []): string[] {
  return [...new Set([...one, ...other])];
}

/** Returns the GUID in the name of a volume, in lower case. */
export function guidOf(volume: string): string {
  return /\{([^}]*)\}/.exec(volume)?.[1]?.toLowerCase() ?? "";
}
