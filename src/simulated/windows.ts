/**
 * What Windows keeps, as far as layers need it. A plain value, so that it can live in a file.
 *
 * @module
 */

import { win32Failure } from "./call.ts";
import { unknown } from "./simulation_error.ts";
import { standInGuid } from "./name_to_guid.ts";
import type { VirtualMachine } from "./vm.ts";

/** Who took something. */
export interface Acquirer {
  /** Id of the process. */
  readonly process: number;
  /** The function that took it. */
  readonly function: string;
  /** Which call of that process it was, counted from 1. */
  readonly call: number;
}

/** A file or folder. */
export interface Node {
  /** Its path, as it was created. */
  readonly path: string;
  /** What it is. */
  readonly type: "file" | "folder";
  /** Size of a file in bytes. */
  size?: number;
  /** Its alternate data streams, and what is in them. */
  streams?: Record<string, string>;
  /** What a file that is a virtual disk holds; {@linkcode Windows.disk} tells it of every one. */
  disk?: VirtualDisk;
  /** The volume mounted at the folder. */
  volume?: string;
  /** Who mounted it. */
  mountedBy?: Acquirer;
  /** Who created it, if it was a program. */
  createdBy?: Acquirer;
  /** VMs and groups that may open it, besides Administrators. */
  grants?: string[];
  /** Ids of the VMs that have it attached, and how. */
  vms?: Record<string, "read" | "write">;
}

/** What is in the file of a virtual disk. */
export interface VirtualDisk {
  /** Its size in bytes. */
  size: number;
  /** Size in bytes of the volume on it, where it is formatted. */
  volume?: number;
  /** The disk that it differs from. */
  readonly parent?: string;
  /** Size of its blocks in bytes. */
  readonly blockSize: number;
}

/** A virtual disk that a program attached. */
export interface AttachedDisk {
  /** Path of its file. */
  readonly path: string;
  /** N of its device, `\\.\PhysicalDriveN`. */
  readonly number: number;
  /** Whether it outlives the handles to it. */
  readonly permanent: boolean;
  /** Who attached it. */
  readonly by: Acquirer;
}

/** A filter on the volume of a scratch. */
export interface StorageFilter {
  /** The volume. */
  readonly volume: string;
  /** Who attached it. */
  readonly by: Acquirer;
}

/** A layer that was activated. */
export interface ActiveLayer {
  /** Its folder. */
  readonly path: string;
  /** The volume of its scratch disk; a read-only layer has none. */
  readonly volume?: string;
  /** Who activated it. */
  readonly activatedBy: Acquirer;
  /** Who put the filter on it. */
  preparedBy?: Acquirer;
  /** The read-only layers that the filter shows. */
  parents?: string[];
}

/** An image that is mounted. */
export interface MountedImage {
  /** Path of the image file. */
  readonly image: string;
  /** Who mounted it. */
  readonly by: Acquirer;
}

/** An overlay filter on a volume. */
export interface OverlayFilter {
  /** The volume. */
  readonly volume: string;
  /** Paths of the layers that it shows. */
  readonly layers: readonly string[];
  /** Who attached it. */
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
  /** Images that are mounted, by their volumes. */
  images: Record<string, MountedImage>;
  /** Overlay filters, by their volumes. */
  overlays: Record<string, OverlayFilter>;
  /** Virtual disks that programs attached, by {@linkcode keyOf} of their files. */
  disks: Record<string, AttachedDisk>;
  /** Filters that programs put on scratch volumes, by these. */
  storageFilters: Record<string, StorageFilter>;
  /** Volumes that are there, `\\?\Volume{guid}\`, in lower case. */
  volumes: string[];
  /** Compute systems, by their ids. */
  systems: Record<string, VirtualMachine>;
}

/** A machine whose disk C: is empty. */
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
  };
}

/** The one key of all forms of a path that are the same to Windows. */
export function keyOf(path: string): string {
  return plainPath(path).toLowerCase();
}

function plainPath(path: string): string {
  return path.replace(/^\\\\\?\\UNC\\/i, "\\\\").replace(/^\\\\\?\\(?=[A-Za-z]:)/, "").replace(/\\+$/, "");
}

const VOLUME_ROOT = /^\\\\\?\\volume\{[^}]*\}$/;

const SMALLEST_DISK = 3 * 2 ** 20;

/** The machine with its rules about files, folders and volumes. */
export class Windows {
  /** A machine in a state. */
  constructor(readonly state: WindowsState, readonly by: Acquirer) {}

  /** The file or folder at a path. */
  node(path: string): Node | undefined {
    const key = keyOf(path);
    if (VOLUME_ROOT.test(key)) {
      return this.hasVolume(key) ? { path, type: "folder" } : undefined;
    }
    return this.state.nodes[key];
  }

  /** The node at a path, or the failure that Windows answers where there is none. */
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

  /** Removes a file or folder, with all that is in it. */
  remove(path: string): void {
    const key = keyOf(path);
    for (const other of Object.keys(this.state.nodes)) {
      if (other === key || other.startsWith(`${key}\\`)) delete this.state.nodes[other];
    }
  }

  /** What is in a folder. */
  children(path: string): Node[] {
    const prefix = `${keyOf(path)}\\`;
    return Object.entries(this.state.nodes)
      .filter(([key]) => key.startsWith(prefix) && !key.slice(prefix.length).includes("\\"))
      .map(([, node]) => node);
  }

  /** Whether a volume is there. */
  hasVolume(name: string): boolean {
    return this.state.volumes.includes(volumeKey(name));
  }

  /** Makes a volume appear. */
  addVolume(name: string): void {
    this.state.volumes.push(volumeKey(name));
  }

  /** Makes a volume vanish. Folders at which it was mounted keep their link to it. */
  removeVolume(name: string): void {
    this.state.volumes = this.state.volumes.filter((other) => other !== volumeKey(name));
  }

  /** Whether the disk file at a path is attached to the host, or to a VM that may write to it. */
  isAttached(path: string): boolean {
    return Object.values(this.node(path)?.vms ?? {}).includes("write") ||
      this.state.disks[keyOf(path)] !== undefined || this.activationOf(path) !== undefined;
  }

  /** The activated layer whose scratch disk is the file at a path. */
  activationOf(path: string): ActiveLayer | undefined {
    const layer = this.state.active[keyOf(parentOf(path))];
    return layer?.volume !== undefined && isScratchDisk(path) ? layer : undefined;
  }

  /** What is in the disk file at a path. One that was put there without more ado is formatted. */
  disk(path: string): VirtualDisk {
    const node = this.existing(path);
    const { type, size = 0 } = node;
    if (node.disk === undefined && (type === "folder" || size < SMALLEST_DISK)) {
      unknown(`opening as a disk what is none: ${path}`);
    }
    return node.disk ??= { size, volume: volumeOn(size), blockSize: 2 ** 20 };
  }

  /** The volume on the disk file at a path, where it is formatted and attached. */
  diskVolume(path: string): string {
    // One volume, in whatever form the path comes.
    const disk = this.state.nodes[keyOf(path)]?.path ?? plainPath(path);
    return `\\\\?\\Volume{${standInGuid(`volume:${isScratchDisk(disk) ? parentOf(disk) : disk}`)}}\\`;
  }

  /** The attached disk file whose volume this is. */
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

/** Size of the volume on a disk that was just formatted: NTFS keeps one cluster back. */
export function volumeOn(diskSize: number): number {
  return diskSize - 4096;
}

/** The folder that a path is in; `""` for a root. */
export function parentOf(path: string): string {
  const plain = plainPath(path);
  const at = plain.lastIndexOf("\\");
  return at < 0 || plain.startsWith("\\\\") && plain.slice(2).split("\\").length <= 2 ? "" : plain.slice(0, at);
}

/** The one key of all forms of a volume's name. */
export function volumeKey(name: string): string {
  return `${name.replace(/\\$/, "")}\\`.toLowerCase();
}
