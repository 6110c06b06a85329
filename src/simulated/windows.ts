/**
 * The state that Windows keeps, as far as layers need it. It is plain data, so it can be stored in a file.
 *
 * @module
 */

import { win32Failure } from "./call.ts";
import { standInGuid } from "./name_to_guid.ts";
import { unknown } from "./simulation_error.ts";
import type { VirtualMachine } from "./vm.ts";

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
  /** Its alternate data streams, with their content. */
  streams?: Record<string, string>;
  /** The virtual disk in the file, once known. {@linkcode Windows.disk} returns it for every file. */
  disk?: VirtualDisk;
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
  /** Ids of the VMs that have it attached, and how. */
  vms?: Record<string, "read" | "write">;
}

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
  /** The call that attached it. */
  readonly by: Acquirer;
}

/** A filter on the volume of a scratch. */
export interface StorageFilter {
  /** The volume. */
  readonly volume: string;
  /** The call that attached it. */
  readonly by: Acquirer;
}

/** An activated layer. */
export interface ActiveLayer {
  /** Its folder. */
  readonly path: string;
  /** The volume of its scratch disk. A read-only layer has none. */
  readonly volume?: string;
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
  /** Existing volumes, `\\?\Volume{guid}\`, in lower case. */
  volumes: string[];
  /** Compute systems, by their ids. */
  systems: Record<string, VirtualMachine>;
  /** How many processes have used the machine. */
  processes: number;
  /** Milliseconds since its start, by its clock. */
  time: number;
}

/** Returns a machine with an empty disk C:. */
export function newMachine(build: number, revision: number): WindowsState {
  return {
    build,
    revision,
    nodes: { "c:": { path: "C:", type: "folder" } },
    active: {},
    images: {},
    overlays: {},
    disks: {},
    storageFilters: {},
    volumes: [],
    systems: {},
    processes: 0,
    time: 0,
  };
}

/** Returns a key that is the same for all forms of a path that Windows treats alike. */
export function keyOf(path: string): string {
  return plainPath(path).toLowerCase();
}

function plainPath(path: string): string {
  return path.replace(/^\\\\\?\\UNC\\/i, "\\\\").replace(/^\\\\\?\\(?=[A-Za-z]:)/, "").replace(/\\+$/, "");
}

const VOLUME_ROOT = /^\\\\\?\\volume\{[^}]*\}$/;

const SMALLEST_DISK = 3 * 2 ** 20;

/** A machine, with the rules for files, folders and volumes. */
export class Windows {
  /** A machine in a state. */
  constructor(readonly state: WindowsState, readonly by: Acquirer) {}

  /** Milliseconds since the start of the machine. It stays the same during a call. */
  get now(): number {
    return this.state.time;
  }

  /** Returns the file or folder at a path. */
  node(path: string): Node | undefined {
    const key = keyOf(path);
    if (VOLUME_ROOT.test(key)) {
      return this.hasVolume(key) ? { path, type: "folder" } : undefined;
    }
    return this.state.nodes[key];
  }

  /** Returns the file or folder at a path, or fails as Windows does if there is none. */
  existing(path: string): Node {
    const node = this.node(path);
    if (node !== undefined) return node;
    throw win32Failure(this.node(parentOf(path))?.type === "folder" ? 2 : 3);
  }

  /** Adds a file or folder. */
  add(node: Node): void {
    this.state.nodes[keyOf(node.path)] = { ...node, path: plainPath(node.path) };
  }

  /** Adds a folder with all its parents. */
  addFolders(path: string): void {
    if (this.node(path) !== undefined) return;
    const parent = parentOf(path);
    if (parent !== "") this.addFolders(parent);
    this.add({ path, type: "folder" });
  }

  /** Removes a file or folder, with its content. */
  remove(path: string): void {
    const key = keyOf(path);
    for (const other of Object.keys(this.state.nodes)) {
      if (other === key || other.startsWith(`${key}\\`)) delete this.state.nodes[other];
    }
  }

  /** Returns the files and folders in a folder. */
  children(path: string): Node[] {
    const prefix = `${keyOf(path)}\\`;
    return Object.entries(this.state.nodes)
      .filter(([key]) => key.startsWith(prefix) && !key.slice(prefix.length).includes("\\"))
      .map(([, node]) => node);
  }

  /** Returns whether a volume exists. */
  hasVolume(name: string): boolean {
    return this.state.volumes.includes(volumeKey(name));
  }

  /** Adds a volume. */
  addVolume(name: string): void {
    this.state.volumes.push(volumeKey(name));
  }

  /** Removes a volume. Folders at which it was mounted keep their link to it. */
  removeVolume(name: string): void {
    this.state.volumes = this.state.volumes.filter((other) => other !== volumeKey(name));
  }

  /** Returns whether the disk file at a path is attached to the host, or to a VM that may write to it. */
  isAttached(path: string): boolean {
    return Object.values(this.node(path)?.vms ?? {}).includes("write") ||
      this.state.disks[keyOf(path)] !== undefined || this.activationOf(path) !== undefined;
  }

  /** Returns the activated layer whose scratch disk is the file at a path. */
  activationOf(path: string): ActiveLayer | undefined {
    const layer = this.state.active[keyOf(parentOf(path))];
    return layer?.volume !== undefined && isScratchDisk(path) ? layer : undefined;
  }

  /** Returns the virtual disk in the file at a path. A file that was simply added counts as a formatted disk. */
  disk(path: string): VirtualDisk {
    const node = this.existing(path);
    const { type, size = 0 } = node;
    if (node.disk === undefined && (type === "folder" || size < SMALLEST_DISK)) {
      unknown(`opening a file that isn't a disk: ${path}`);
    }
    return node.disk ??= { size, volume: volumeOn(size), blockSize: 2 ** 20 };
  }

  /** Returns the volume of the disk file at a path, which exists if the disk is formatted and attached. */
  diskVolume(path: string): string {
    // The same volume for all forms of the path.
    const disk = this.state.nodes[keyOf(path)]?.path ?? plainPath(path);
    return `\\\\?\\Volume{${standInGuid(`volume:${isScratchDisk(disk) ? parentOf(disk) : disk}`)}}\\`;
  }

  /** Returns the attached disk file with this volume. */
  diskOfVolume(volume: string): string | undefined {
    const attached = [
      ...Object.values(this.state.disks).map(({ path }) => path),
      ...Object.values(this.state.active).map(({ path }) => `${path}\\sandbox.vhdx`),
    ];
    return attached.find((path) => volumeKey(this.diskVolume(path)) === volumeKey(volume));
  }
}

function isScratchDisk(path: string): boolean {
  return keyOf(path).endsWith("\\sandbox.vhdx");
}

/** Returns the size of the volume on a newly formatted disk. NTFS keeps one cluster in reserve. */
export function volumeOn(diskSize: number): number {
  return diskSize - 4096;
}

/** Returns the folder that a path is in, or `""` for a root. */
export function parentOf(path: string): string {
  const plain = plainPath(path);
  const at = plain.lastIndexOf("\\");
  return at < 0 || plain.startsWith("\\\\") && plain.slice(2).split("\\").length <= 2 ? "" : plain.slice(0, at);
}

/** Returns a key that is the same for all forms of a volume's name. */
export function volumeKey(name: string): string {
  return `${name.replace(/\\$/, "")}\\`.toLowerCase();
}
