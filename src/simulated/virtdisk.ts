/**
 * virtdisk.dll, simulated.
 *
 * @module
 */

import { hresult, win32 } from "../errors/codes.ts";
import {
  big,
  buffer,
  type Context,
  type Decoder,
  define,
  number,
  optionalBuffer,
  put32,
  put64,
  putText,
  type SimulatedDll,
  type Style,
  text,
  win32Failure,
} from "./call.ts";
import { copyVolume } from "./contents.ts";
import type { FileHandle } from "./kernel32.ts";
import { rootOfPlace, volumeOfPlace } from "./links.ts";
import { attach, detach, type DiskHandle } from "./disks.ts";
import { addOpening, ATTACHED, ATTACHED_READ_ONLY, isOpenDisk, requireOpenable } from "./open_files.ts";
import { Failure, unknown } from "./simulation_error.ts";
import { parentOf } from "./windows.ts";

// A Win32 code, or a code that is specific to virtual disks, which isn't a Win32 code.
const CODE: Style = { done: 0, fail: (code) => (code >>> 16) === 0x8007 ? code & 0xffff : code >>> 0 };

interface CreateParameters {
  readonly version: number;
  readonly size: number;
  readonly blockSize: number;
  readonly parent: string | undefined;
  readonly parentFlags: number;
}

const createParameters: Decoder<CreateParameters> = (raw, memory) => {
  const view = viewOf(raw);
  const parent = view.getBigUint64(48, true);
  return {
    version: view.getUint32(0, true),
    size: Number(view.getBigUint64(24, true)),
    blockSize: view.getUint32(32, true),
    parent: parent === 0n ? undefined : memory.readWide(parent),
    parentFlags: view.getUint32(64, true),
  };
};

const version: Decoder<number | undefined> = (raw) => raw === null ? undefined : viewOf(raw).getUint32(0, true);

function viewOf(raw: unknown): DataView {
  const bytes = raw as Uint8Array;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const MIB = 2 ** 20;
const SERVER_2019 = 17763;
const READ_ONLY_AND_MORE = 0x1 | 0x2 | 0x4 | 0x20;
const NO_DRIVE_LETTER = 0x2;
const READ_ONLY = 0x1;
const PERMANENT_LIFETIME = 0x4;
const EMPTY_FILE = 4 * MIB;
const DEFAULT_BLOCK = 32 * MIB;

/** virtdisk.dll. */
export const virtdiskFunctions: SimulatedDll = {
  AttachVirtualDisk: define(
    CODE,
    {
      handle: big,
      security: optionalBuffer,
      flags: number,
      providerFlags: number,
      parameters: version,
      overlapped: optionalBuffer,
    },
    (context, { handle, flags, parameters }) => {
      const { windows } = context;
      // A handle of a disk's device is a file handle.
      if (context.process.handles.get(handle).type !== "disk") {
        throw win32Failure(win32.ERROR_INVALID_FUNCTION, "attaching the device of a disk");
      }
      const path = diskOf(context, handle);
      if ((flags & ~READ_ONLY_AND_MORE) !== 0) unknown(`attaching with flags ${flags}`);
      if (parameters === 2 && windows.state.build <= SERVER_2019) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "attaching a disk with parameters of version 2");
      }
      const isAttached = "attaching a disk that is attached";
      if (windows.isAttached(path)) throw win32Failure(win32.ERROR_SHARING_VIOLATION, isAttached);
      const readOnly = (flags & READ_ONLY) !== 0;
      const opening = { ...(readOnly ? ATTACHED_READ_ONLY : ATTACHED), isDisk: true } as const;
      requireOpenable(windows, windows.existing(path), opening, isAttached);
      attach(windows, path, {
        permanent: (flags & PERMANENT_LIFETIME) !== 0,
        readOnly,
        driveLetter: (flags & NO_DRIVE_LETTER) === 0,
      });
    },
  ),

  CreateVirtualDisk: define(
    CODE,
    {
      type: buffer,
      path: text,
      access: number,
      security: optionalBuffer,
      flags: number,
      providerFlags: number,
      parameters: createParameters,
      overlapped: optionalBuffer,
      handle: buffer,
    },
    (context, { path, access, parameters, handle }) => {
      const { windows } = context;
      if (parameters.version !== 2 || access !== 0) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      if (windows.node(path) !== undefined) throw win32Failure(win32.ERROR_FILE_EXISTS, "creating a disk over a file");
      if (windows.node(parentOf(path))?.type !== "folder") {
        throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "creating a disk in a folder that doesn't exist");
      }
      const disk = parameters.parent === undefined
        ? { size: parameters.size }
        : { ...windows.disk(parameters.parent), parent: parameters.parent };
      const blockSize = parameters.blockSize || DEFAULT_BLOCK;
      if (disk.size % 512 !== 0) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "creating a disk with a part of a sector");
      }
      if (disk.size < 3 * MIB || disk.size > 64 * 2 ** 40 || blockSize % MIB !== 0) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "creating a disk of an impossible size");
      }
      windows.add({ path, type: "file", size: EMPTY_FILE, disk: { ...disk, blockSize }, createdBy: windows.by });
      if (parameters.parent !== undefined) copyVolume(windows, parameters.parent, path);
      put64(handle, openDisk(context, path));
    },
  ),

  DetachVirtualDisk: define(CODE, { handle: big, flags: number, providerFlags: number }, (context, { handle }) => {
    const path = diskOf(context, handle);
    if (!context.windows.isAttached(path)) unknown(`detaching a disk that isn't attached: ${path}`);
    detach(context.windows, path);
  }),

  // It tells of files (the sample "Storage" of Windows-classic-samples).
  GetAllAttachedVirtualDiskPhysicalPaths: define(
    CODE,
    { size: buffer, paths: buffer },
    ({ windows }, { size, paths }) => {
      const { active, disks } = windows.state;
      const files = [
        ...Object.values(disks).map(({ path }) => path),
        ...Object.values(active).filter(({ volume }) => volume !== undefined).map(({ path }) =>
          `${path}\\sandbox.vhdx`
        ),
      ];
      const list = `${files.map((file) => `${file}\0`).join("")}\0`;
      const room = numberIn(size);
      put32(size, 2 * list.length);
      if (2 * list.length > room) throw win32Failure(win32.ERROR_INSUFFICIENT_BUFFER);
      putText(paths, list.slice(0, -1));
    },
  ),

  GetStorageDependencyInformation: define(
    CODE,
    { handle: big, flags: number, size: number, information: big, used: buffer },
    ({ windows, process }, { handle, flags, size, information, used }) => {
      const { target } = process.handles.get<FileHandle>(handle, "file");
      const block = process.memory.view(information, size);
      if (flags !== 1 || viewOf(block).getUint32(0, true) !== 2) unknown("asking what depends on a disk or volume");
      const disk = windows.diskOfVolume(target);
      if (disk === undefined) {
        throw new Failure(hresult.ERROR_VIRTDISK_NOT_VIRTUAL_DISK, "asking for the disk file of a volume without one");
      }
      const file = windows.place(disk).path;
      const root = rootOfPlace(file);
      const needed = putDependency(block, information, [
        "",
        `${volumeOfPlace(file)}\\`,
        `${target.replace(/\\$/, "")}\\`,
        file.slice(root.length),
      ]);
      put32(used, needed);
      if (needed > size) throw win32Failure(win32.ERROR_INSUFFICIENT_BUFFER);
    },
  ),

  GetVirtualDiskInformation: define(
    CODE,
    { handle: big, size: buffer, information: buffer, used: buffer },
    (context, { handle, size, information, used }) => {
      const path = diskOf(context, handle);
      const { windows } = context;
      const disk = windows.disk(path);
      const view = viewOf(information);
      const room = viewOf(size).getUint32(0, true);
      switch (view.getUint32(0, true)) {
        case 1:
          view.setBigUint64(8, BigInt(disk.size), true);
          view.setBigUint64(16, BigInt(windows.existing(path).size!), true);
          view.setUint32(24, disk.blockSize, true);
          view.setUint32(28, 512, true);
          put32(used, 32);
          break;
        case 3: {
          if (disk.parent === undefined) {
            throw new Failure(hresult.ERROR_VHD_INVALID_TYPE, "querying the parent of a disk that has none");
          }
          const needed = 12 + 2 * (disk.parent.length + 1);
          if (needed > room) throw win32Failure(win32.ERROR_INSUFFICIENT_BUFFER);
          view.setUint32(8, windows.node(disk.parent) === undefined ? 0 : 1, true);
          putText(information.subarray(12), disk.parent);
          put32(used, needed);
          break;
        }
        default:
          unknown("querying anything but the size and parent of a disk");
      }
    },
  ),

  GetVirtualDiskPhysicalPath: define(CODE, { handle: big, size: buffer, path: buffer }, (context, args) => {
    const disk = diskOf(context, args.handle);
    const attached = context.windows.state.disks[context.windows.key(disk)];
    if (attached === undefined) unknown(`getting the device of a disk that no program attached: ${disk}`);
    putText(args.path, `\\\\.\\PhysicalDrive${attached.number}`);
  }),

  OpenVirtualDisk: define(
    CODE,
    { type: buffer, path: text, access: number, flags: number, parameters: version, handle: buffer },
    (context, { path, access, parameters, handle }) => {
      const { windows } = context;
      if (parameters !== 2) unknown("opening a disk with parameters of a version other than 2");
      if (access !== 0) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "opening a disk with access flags and version 2");
      }
      const { parent } = windows.disk(path);
      if (parent !== undefined && windows.node(parent) === undefined) {
        unknown(`opening a differencing disk whose parent is gone: ${parent}`);
      }
      // Another handle of a disk that is open or attached shares what the first one has opened.
      if (!isOpenDisk(windows, windows.existing(path)) && !windows.isAttachedToHost(path)) {
        requireOpenable(windows, windows.existing(path), { ...ATTACHED, isDisk: true });
      }
      put64(handle, openDisk(context, path));
    },
  ),
};

const DEPENDENCIES = 8;
const DEPENDENCY = 64;
const VHDX = 3;

// A STORAGE_DEPENDENCY_INFO with one STORAGE_DEPENDENCY_INFO_TYPE_2, if it fits. Returns how many bytes it needs.
function putDependency(block: Uint8Array<ArrayBuffer>, address: bigint, texts: readonly string[]): number {
  let end = DEPENDENCIES + DEPENDENCY;
  const places = texts.map((text) => {
    const at = end;
    end += 2 * (text.length + 1);
    return { text, at };
  });
  if (end > block.byteLength) return end;
  const view = viewOf(block);
  view.setUint32(4, 1, true);
  view.setUint32(DEPENDENCIES + 8, VHDX, true);
  view.setUint32(DEPENDENCIES + 28, 1, true);
  places.forEach(({ text, at }, i) => {
    view.setBigUint64(DEPENDENCIES + 32 + 8 * i, address + BigInt(at), true);
    putText(block.subarray(at), text);
  });
  return end;
}

function numberIn(size: Uint8Array<ArrayBuffer>): number {
  return viewOf(size).getUint32(0, true);
}

function openDisk({ windows, process }: Context, path: string): bigint {
  const node = windows.existing(path);
  const value = process.handles.open({ type: "disk", target: path, file: node.path });
  addOpening(windows, node, { ...ATTACHED, isDisk: true, process: windows.by.process, handle: `${value}` });
  return value;
}

function diskOf({ process }: Context, handle: bigint): string {
  return process.handles.get<DiskHandle>(handle, "disk").target;
}
