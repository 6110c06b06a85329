/**
 * virtdisk.dll: virtual disks. Its functions return a Win32 code. A disk that was attached without `PERMANENT_LIFETIME` is
 * detached when its last handle is closed.
 *
 * @module
 */

import { fromWin32, hresult, win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "./host.ts";
import { errorOf, fileFlag, type Handle, handleOf, kernel32, openFile } from "./kernel32.ts";
import { addressIn, nativeCopy } from "./memory.ts";
import { noted } from "./operation.ts";
import type { Dll } from "./table.ts";
import { fromWide, fromWideList, wide } from "./wide.ts";

/** The functions of virtdisk.dll that are used. */
export const virtdiskSymbols = {
  AttachVirtualDisk: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* PSECURITY_DESCRIPTOR, NULL */
      "u32", /* ATTACH_VIRTUAL_DISK_FLAG */
      "u32", /* ULONG provider flags */
      "buffer", /* ATTACH_VIRTUAL_DISK_PARAMETERS* or NULL */
      "buffer", /* OVERLAPPED*, NULL */
    ],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
  CreateVirtualDisk: {
    parameters: [
      "buffer", /* VIRTUAL_STORAGE_TYPE* */
      "buffer", /* PCWSTR path */
      "u32", /* VIRTUAL_DISK_ACCESS_MASK */
      "buffer", /* PSECURITY_DESCRIPTOR, NULL */
      "u32", /* CREATE_VIRTUAL_DISK_FLAG */
      "u32", /* ULONG provider flags */
      "buffer", /* CREATE_VIRTUAL_DISK_PARAMETERS* */
      "buffer", /* OVERLAPPED*, NULL */
      "buffer", /* PHANDLE */
    ],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
  DetachVirtualDisk: {
    parameters: ["usize", /* HANDLE */ "u32", /* DETACH_VIRTUAL_DISK_FLAG */ "u32" /* ULONG provider flags */],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
  GetAllAttachedVirtualDiskPhysicalPaths: {
    parameters: ["buffer", /* PULONG bytes */ "buffer" /* PWSTR list of paths */],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
  GetStorageDependencyInformation: {
    parameters: [
      "usize", /* HANDLE of a volume's root folder or a disk */
      "u32", /* GET_STORAGE_DEPENDENCY_FLAG */
      "u32", /* ULONG size of information */
      "usize", /* STORAGE_DEPENDENCY_INFO*, with addresses in itself */
      "buffer", /* PULONG bytes used */
    ],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
  GetVirtualDiskInformation: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* PULONG size of information */
      "buffer", /* GET_VIRTUAL_DISK_INFO* */
      "buffer", /* PULONG bytes used */
    ],
    result: "u32", /* DWORD */
    optional: true,
  },
  GetVirtualDiskPhysicalPath: {
    parameters: ["usize", /* HANDLE */ "buffer", /* PULONG bytes */ "buffer" /* PWSTR path */],
    result: "u32", /* DWORD */
    optional: true,
  },
  OpenVirtualDisk: {
    parameters: [
      "buffer", /* VIRTUAL_STORAGE_TYPE* */
      "buffer", /* PCWSTR path */
      "u32", /* VIRTUAL_DISK_ACCESS_MASK, none with version 2 parameters */
      "u32", /* OPEN_VIRTUAL_DISK_FLAG */
      "buffer", /* OPEN_VIRTUAL_DISK_PARAMETERS* */
      "buffer", /* PHANDLE */
    ],
    result: "u32", /* DWORD */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** virtdisk.dll. */
export const virtdisk: Dll<typeof virtdiskSymbols> = {
  file: "virtdisk.dll",
  symbols: virtdiskSymbols,
  remedy: "It is part of Windows 8, Server 2012 and later",
};

/** How a disk is opened. */
export const openFlag = {
  NONE: 0x0,
  NO_PARENTS: 0x1,
  CACHED_IO: 0x8,
  IGNORE_RELATIVE_PARENT_LOCATOR: 0x80,
} as const;

/** How a disk is attached. */
export const attachFlag = {
  NONE: 0x0,
  READ_ONLY: 0x1,
  NO_DRIVE_LETTER: 0x2,
  PERMANENT_LIFETIME: 0x4,
  BYPASS_DEFAULT_ENCRYPTION_POLICY: 0x20,
} as const;

const STORAGE_TYPE_BYTES = 20;
const OPEN_BYTES = 28;
const CREATE_BYTES = 128;
const PHYSICAL_PATH_UNITS = 256;
// An unknown type makes Windows detect the format.
const ANY_STORAGE = () => new Uint8Array(STORAGE_TYPE_BYTES);

function checkCode(host: Host, fn: string, code: number, path?: string): void {
  if (code !== 0) {
    // Codes that are specific to virtual disks are not Win32 codes, but complete: 0xc03a....
    throw errorOf(host, fn, code > 0xffff ? code : fromWin32(code), path);
  }
}

/** The properties of a new disk. */
export interface CreateVirtualDiskInit {
  /** Its size in bytes. Default: that of its parent, for a differencing disk. */
  size?: bigint;
  /** Size of its blocks in bytes; 0 lets Windows choose. */
  blockSize?: number;
  /** Path of the disk that it differs from. */
  parent?: string;
  /** How the parent is opened, a sum of {@linkcode openFlag}. */
  parentFlags?: number;
}

/** Creates a disk file, and returns an open handle to it. */
export async function createVirtualDisk(host: Host, path: string, init: CreateVirtualDiskInit): Promise<Handle> {
  const parameters = new Uint8Array(CREATE_BYTES);
  const view = new DataView(parameters.buffer);
  view.setUint32(0, 2, true);
  view.setBigUint64(24, init.size ?? 0n, true);
  view.setUint32(32, init.blockSize ?? 0, true);
  view.setUint32(64, init.parentFlags ?? 0, true);
  using parent = init.parent === undefined ? undefined : nativeCopy(host, wide(init.parent));
  view.setBigUint64(48, parent?.address ?? 0n, true);
  const handle = new Uint8Array(8);
  const { CreateVirtualDisk } = host.symbols(virtdisk);
  checkCode(
    host,
    "CreateVirtualDisk",
    await noted(
      host,
      "CreateVirtualDisk",
      path,
      CreateVirtualDisk(ANY_STORAGE(), wide(path), 0, null, 0, 0, parameters, null, handle),
    ),
    path,
  );
  return handleOf(host, addressIn(handle));
}

/** Opens a disk file. `flags` is a sum of {@linkcode openFlag}. */
export async function openVirtualDisk(host: Host, path: string, flags: number = openFlag.NONE): Promise<Handle> {
  const parameters = new Uint8Array(OPEN_BYTES);
  new DataView(parameters.buffer).setUint32(0, 2, true);
  const handle = new Uint8Array(8);
  const { OpenVirtualDisk } = host.symbols(virtdisk);
  checkCode(
    host,
    "OpenVirtualDisk",
    await noted(
      host,
      "OpenVirtualDisk",
      path,
      OpenVirtualDisk(ANY_STORAGE(), wide(path), 0, flags, parameters, handle),
    ),
    path,
  );
  return handleOf(host, addressIn(handle));
}

/** Attaches an open disk to the host. `flags` is a sum of {@linkcode attachFlag}. */
export async function attachVirtualDisk(host: Host, disk: bigint, flags: number, path?: string): Promise<void> {
  // No parameters are passed, because build 17763 doesn't know their version 2.
  const code = host.symbols(virtdisk).AttachVirtualDisk(disk, null, flags, 0, null, null);
  checkCode(host, "AttachVirtualDisk", await noted(host, "AttachVirtualDisk", path, code), path);
}

/** Detaches an open disk from the host. */
export async function detachVirtualDisk(host: Host, disk: bigint, path?: string): Promise<void> {
  const code = host.symbols(virtdisk).DetachVirtualDisk(disk, 0, 0);
  checkCode(host, "DetachVirtualDisk", await noted(host, "DetachVirtualDisk", path, code), path);
}

/** Returns the device of an attached disk, `\\.\PhysicalDriveN`. */
export function physicalPath(host: Host, disk: bigint, path?: string): string {
  const text = new Uint8Array(2 * PHYSICAL_PATH_UNITS);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, text.byteLength, true);
  checkCode(
    host,
    "GetVirtualDiskPhysicalPath",
    host.symbols(virtdisk).GetVirtualDiskPhysicalPath(disk, bytes, text),
    path,
  );
  return fromWide(text);
}

/**
 * The sizes of a disk, in bytes.
 *
 * @category Virtual disks
 */
export interface DiskSizes {
  /** Size of the disk as its users see it. */
  readonly size: bigint;
  /** Size of its file. */
  readonly fileSize: bigint;
  /** Size of its blocks. */
  readonly blockSize: number;
  /** Size of its sectors. */
  readonly sectorSize: number;
}

const INFO_SIZE = 1;
const INFO_PARENT_LOCATION = 3;
const INFO_BYTES = 32;

/** Returns the sizes of an open disk. */
export function diskSizes(host: Host, disk: bigint, path?: string): DiskSizes {
  const view = information(host, disk, INFO_SIZE, INFO_BYTES, path);
  return {
    size: view.getBigUint64(8, true),
    fileSize: view.getBigUint64(16, true),
    blockSize: view.getUint32(24, true),
    sectorSize: view.getUint32(28, true),
  };
}

const PARENT_RESOLVED = 8;
const PARENT_PATH = 12;
const PARENT_BYTES = 2 * 4096;

/**
 * Returns the parent of an open disk, or `undefined` if it isn't a differencing disk. If Windows didn't find the parent,
 * `path` is the first path at which it searched.
 */
export function diskParent(
  host: Host,
  disk: bigint,
  path?: string,
): { readonly path: string; readonly found: boolean } | undefined {
  try {
    const view = information(host, disk, INFO_PARENT_LOCATION, PARENT_BYTES, path);
    return {
      path: fromWide(new Uint8Array(view.buffer, PARENT_PATH)),
      found: view.getUint32(PARENT_RESOLVED, true) !== 0,
    };
  } catch (error) {
    if (error instanceof NativeError && error.code === hresult.ERROR_VHD_INVALID_TYPE) return undefined;
    throw error;
  }
}

function information(host: Host, disk: bigint, version: number, bytes: number, path?: string): DataView<ArrayBuffer> {
  const info = new DataView(new ArrayBuffer(bytes));
  info.setUint32(0, version, true);
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, bytes, true);
  const { GetVirtualDiskInformation } = host.symbols(virtdisk);
  const used = new Uint8Array(4);
  checkCode(
    host,
    "GetVirtualDiskInformation",
    GetVirtualDiskInformation(disk, size, new Uint8Array(info.buffer), used),
    path,
  );
  return info;
}

const HOST_VOLUMES = 1;
const DEPENDENCY_VERSION = 2;
const DEPENDENCIES = 8;
const DEPENDENCY_BYTES = 64;
const VHD = 2;
const VHDX = 3;
const FIRST_ROOM = 4096;
const MOST_ROOM = 2 ** 20;

/**
 * Returns the file of the virtual disk that a volume is on, `\\\\?\\Volume{guid}\\...`, or `undefined` if it isn't on one.
 *
 * @throws {NativeError} if Windows doesn't tell.
 */
export async function diskFileOf(host: Host, volume: string): Promise<string | undefined> {
  using root = openFile(host, volume, { flags: fileFlag.BACKUP_SEMANTICS });
  const { GetStorageDependencyInformation } = host.symbols(virtdisk);
  for (let room = FIRST_ROOM;;) {
    const bytes = new Uint8Array(room);
    new DataView(bytes.buffer).setUint32(0, DEPENDENCY_VERSION, true);
    using block = nativeCopy(host, bytes);
    const used = new Uint8Array(4);
    const code = await GetStorageDependencyInformation(root.value, HOST_VOLUMES, room, block.address, used);
    if (isNoVirtualDisk(code)) return undefined;
    const needed = new DataView(used.buffer).getUint32(0, true);
    if (code === win32.ERROR_INSUFFICIENT_BUFFER && needed > room && needed <= MOST_ROOM) {
      room = needed;
      continue;
    }
    checkCode(host, "GetStorageDependencyInformation", code, volume);
    host.symbols(kernel32).copyOut(bytes, block.address, BigInt(room));
    return nearestFile(bytes, block.address);
  }
}

// Nobody has written down which of them it is.
function isNoVirtualDisk(code: number): boolean {
  return code === win32.ERROR_INVALID_FUNCTION || code === win32.ERROR_NOT_SUPPORTED ||
    code === hresult.ERROR_VIRTDISK_NOT_VIRTUAL_DISK;
}

// The next ones are the parents of a differencing disk, and the disk that the file itself is on.
function nearestFile(bytes: Uint8Array<ArrayBuffer>, address: bigint): string | undefined {
  const view = new DataView(bytes.buffer);
  const textAt = (at: number) => {
    const offset = view.getBigUint64(at, true) - address;
    return offset >= 0n && offset < BigInt(bytes.byteLength) ? fromWide(bytes.subarray(Number(offset))) : "";
  };
  const end = Math.min(DEPENDENCIES + DEPENDENCY_BYTES * view.getUint32(4, true), bytes.byteLength);
  let nearest: { readonly level: number; readonly file: string } | undefined;
  for (let at = DEPENDENCIES; at + DEPENDENCY_BYTES <= end; at += DEPENDENCY_BYTES) {
    const level = view.getUint32(at + 28, true);
    const [volume, path] = [textAt(at + 40), textAt(at + 56)];
    if (![VHD, VHDX].includes(view.getUint32(at + 8, true)) || volume === "" || path === "") continue;
    if (nearest !== undefined && nearest.level <= level) continue;
    nearest = { level, file: `${volume.replace(/\\$/, "")}\\${path.replace(/^\\/, "")}` };
  }
  return nearest?.file;
}

/**
 * Returns the files of the virtual disks that are attached to the host. In spite of its name, the function of Windows returns
 * these, and not devices. Whether it tells of those that the compute service attached, nobody has written down.
 *
 * @throws {NativeError} if Windows refuses.
 */
export async function attachedDiskFiles(host: Host): Promise<string[]> {
  const { GetAllAttachedVirtualDiskPhysicalPaths } = host.symbols(virtdisk);
  for (let room = FIRST_ROOM;;) {
    const list = new Uint8Array(room);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, room, true);
    const code = await GetAllAttachedVirtualDiskPhysicalPaths(bytes, list);
    const needed = new DataView(bytes.buffer).getUint32(0, true);
    if (code === win32.ERROR_INSUFFICIENT_BUFFER && needed > room && needed <= MOST_ROOM) {
      room = needed;
      continue;
    }
    checkCode(host, "GetAllAttachedVirtualDiskPhysicalPaths", code);
    return fromWideList(list);
  }
}
