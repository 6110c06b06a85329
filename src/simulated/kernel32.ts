/**
 * kernel32.dll, simulated: files, folders, volumes, mount points, memory.
 *
 * @module
 */

import { nameOf, win32 } from "../errors/codes.ts";
import type { AddressSpace } from "./address_space.ts";
import {
  ADDRESS,
  ATTRIBUTES,
  big,
  BOOL,
  buffer,
  type Context,
  define,
  HANDLE,
  INFALLIBLE,
  number,
  type OpenHandle,
  optionalBuffer,
  put32,
  put64,
  putText,
  type SimulatedDll,
  text,
  viewOf,
  win32Failure,
} from "./call.ts";
import { closeFiles } from "./closing.ts";
import { bytesOf, copyFile, fileWith, streamBytes, streamText } from "./contents.ts";
import { diskOfDevice, numberOfVolume } from "./disks.ts";
import { type AtLink, dosPath, pathsOfVolume, rootOfPlace, volumeOfPlace } from "./links.ts";
import { foldName, isDeviceName } from "./names.ts";
import {
  addOpening,
  EVERY_USE,
  isOpenWithin,
  lockByte,
  type Opening,
  removeOrMark,
  requireOpenable,
  unlockByte,
  USES,
  usesOf,
} from "./open_files.ts";
import { linkFile, putInformation } from "./nt_files.ts";
import { linkTag, putReparseData, requireDeletable } from "./reparse_points.ts";
import { securityIn, sid } from "../ffi/security.ts";
import { Failure, unknown } from "./simulation_error.ts";
import {
  keyOf,
  type Node,
  parentOf,
  partitionOn,
  type Security,
  type VirtualDisk,
  volumeKey,
  type Windows,
} from "./windows.ts";

const DIRECTORY = 0x10;
const NORMAL = 0x80;
const REPARSE_POINT = 0x400;
const MOVEFILE_WRITE_THROUGH = 0x8;
const CREATE_NEW = 1;
const CREATE_ALWAYS = 2;
const OPEN_ALWAYS = 4;
const FILE_APPEND_DATA = 0x4;
const CURRENT_PROCESS = 0xffffffffffffffffn;
const PROGRAM_DATA = "C:\\ProgramData";
const BACKUP_SEMANTICS = 0x02000000;
const FSCTL_DELETE_REPARSE_POINT = 0x000900ac;
const FSCTL_EXTEND_VOLUME = 0x000900f0;
const FSCTL_GET_REPARSE_POINT = 0x000900a8;
const OPEN_REPARSE_POINT = 0x00200000;
const VOLUME_NAME_GUID = 1;
const VOLUME_NAME_NT = 2;
const VOLUME_NAME_NONE = 4;
const CLUSTER = 4096;
const ERROR_ENVVAR_NOT_FOUND = 203;
const FILE_ID_INFO = 18;
const WAIT_TIMEOUT = 258;
// When the first simulated process starts, in units of 100 ns since 1601.
const FIRST_START = 133_000_000_000_000_000n;

/** Returns a time of the machine's clock as a FILETIME. */
export function fileTime(milliseconds: number): bigint {
  return FIRST_START + BigInt(Math.floor(milliseconds)) * 10_000n;
}

const IOCTL_DISK_GET_LENGTH_INFO = 0x0007405c;
const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS = 0x00560000;
const EXTENTS = 8;
const EXTENT = 24;

interface FindHandle extends OpenHandle {
  readonly names: Iterator<string, undefined>;
}

/** An open file, folder, stream or volume. */
export interface FileHandle extends OpenHandle {
  /** Its type. */
  readonly type: "file";
  /** The access that was requested. */
  readonly access: number;
  /** Where it is read and written next. */
  position: number;
}

interface ProcessHandle extends OpenHandle {
  readonly type: "process";
  /** When the process was started. */
  readonly startedAt: number;
}

/** kernel32.dll. */
export const kernel32Functions: SimulatedDll = {
  CloseHandle: define(BOOL, { handle: big }, (context, { handle }) => {
    closeHandle(context, handle);
  }),

  CopyFileW: define(BOOL, { from: text, to: text, failIfExists: number }, ({ windows }, { from, to, failIfExists }) => {
    const source = windows.existing(from);
    requireOpenable(windows, source, { access: USES.read, share: EVERY_USE }, "copying the file of a disk in use");
    if (source.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
    if (failIfExists !== 0 && windows.node(to) !== undefined) throw win32Failure(win32.ERROR_FILE_EXISTS);
    requireFolder(windows, parentOf(windows.place(to).path));
    copyFile(windows, source, to, { createdBy: windows.by });
  }),

  CreateDirectoryW: define(
    BOOL,
    { path: text, security: optionalBuffer },
    ({ windows, process }, { path, security }) => {
      if (windows.node(path, "stay") !== undefined) throw win32Failure(win32.ERROR_ALREADY_EXISTS);
      requireFolder(windows, parentOf(windows.place(path, "stay").path));
      windows.add({
        path,
        type: "folder",
        createdBy: windows.by,
        ...(security && { security: securityAt(process.memory, security) }),
      });
    },
  ),

  CreateFileW: define(
    HANDLE,
    {
      path: text,
      access: number,
      share: number,
      security: optionalBuffer,
      disposition: number,
      flags: number,
      template: big,
    },
    (context, { path, access, share, disposition, flags }) => {
      const { windows, process } = context;
      const device: FileHandle = { type: "file", target: path, access, position: 0 };
      if (isDevice(windows, path)) return process.handles.open(device);
      const [file, stream] = splitStream(path);
      if (isDeviceName(file)) unknown(`opening a device: ${path}`);
      const atLink = (flags & OPEN_REPARSE_POINT) !== 0 ? "stay" : "follow";
      const isNew = stream === undefined && createIfMissing(windows, file, atLink, disposition);
      const node = windows.existing(file, atLink);
      const place = windows.place(file, atLink).path;
      const target = stream === undefined ? place : `${place}:${stream}`;
      const handle: FileHandle = { type: "file", target, access, position: 0 };
      const opening = { access: usesOf(access), share, ...(stream !== undefined && { stream }) };
      if (stream !== undefined) {
        requireStreams(windows, place);
        requireOpenable(windows, node, opening);
        openStream(windows.own(file, atLink), stream, disposition);
      } else if (node.type === "folder" && (flags & BACKUP_SEMANTICS) === 0) {
        throw win32Failure(win32.ERROR_ACCESS_DENIED);
      }
      requireOpenable(windows, node, opening, "opening the file of a disk in use");
      if (stream === undefined && disposition === CREATE_ALWAYS && !isNew) {
        if (node.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
        putContent(windows, node.path, new Uint8Array());
      }
      return openFile(context, { ...handle, file: node.path }, node, opening);
    },
  ),

  CreateHardLinkW: define(
    BOOL,
    { path: text, existing: text, security: optionalBuffer },
    ({ windows }, { path, existing }) => {
      linkFile(windows, existing, path);
    },
  ),

  DeleteFileW: define(BOOL, { path: text }, ({ windows }, { path }) => {
    const [file, stream] = splitStream(path);
    if (stream !== undefined) {
      const { streams } = windows.existing(file);
      if (streams?.[stream] === undefined) throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
      delete streams[stream];
      return;
    }
    const node = windows.existing(path, "stay");
    if (node.type === "folder") throw win32Failure(win32.ERROR_ACCESS_DENIED);
    removeOrMark(windows, node, "deleting the file of a disk in use");
  }),

  DeleteVolumeMountPointW: define(BOOL, { volumeMountPoint: text }, ({ windows }, { volumeMountPoint }) => {
    requireSeparator(volumeMountPoint);
    const drive = DRIVE_ROOT.exec(volumeMountPoint)?.[1];
    if (drive !== undefined) return windows.removeDriveLetter(drive);
    const node = windows.existing(volumeMountPoint, "stay");
    if (node.link !== undefined) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
    if (node.volume === undefined) throw new Failure(0, "removing the mount point of a folder that is none");
    if (!windows.hasVolume(node.volume)) unknown("removing the mount point of a volume that is gone");
    unmount(node);
  }),

  DeviceIoControl: define(
    BOOL,
    {
      handle: big,
      code: number,
      input: optionalBuffer,
      inputSize: number,
      output: optionalBuffer,
      outputSize: number,
      returned: buffer,
      overlapped: optionalBuffer,
    },
    ({ windows, process }, { handle, code, input, output, returned }) => {
      const { target, access } = process.handles.get<FileHandle>(handle, "file");
      put32(returned, 0);
      if (code === IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS) {
        putExtent(output!, numberOfVolume(windows, target));
        put32(returned, EXTENTS + EXTENT);
        return;
      }
      if (code === IOCTL_DISK_GET_LENGTH_INFO) {
        put64(output!, BigInt(partitionOn(volumeDisk(windows, target).size)));
        put32(returned, 8);
        return;
      }
      if (code === FSCTL_EXTEND_VOLUME) {
        extendVolume(volumeDisk(windows, target), Number(viewOf(input!).getBigInt64(0, true)));
        return;
      }
      if (code !== FSCTL_DELETE_REPARSE_POINT && code !== FSCTL_GET_REPARSE_POINT) {
        throw win32Failure(win32.ERROR_INVALID_FUNCTION);
      }
      const node = windows.existing(target, "stay");
      if (code === FSCTL_DELETE_REPARSE_POINT) {
        requireDeletable(node, access, input);
        unmount(node);
      } else {
        put32(returned, putReparseData(node, output!));
      }
    },
  ),

  FindClose: define(BOOL, { find: big }, (context, { find }) => {
    closeHandle(context, find);
  }),

  FindFirstFileW: define(HANDLE, { pattern: text, data: buffer }, (context, { pattern, data }) => {
    const { windows } = context;
    const folder = windows.existing(parentOf(pattern));
    const opening = { access: USES.read, share: EVERY_USE };
    requireOpenable(windows, folder, opening);
    const names = foundIn(windows, folder.path);
    putFound(windows, folder.path, names.next().value!, data);
    const handle: FindHandle = { type: "find", target: folder.path, file: folder.path, names };
    return openFile(context, handle, folder, opening);
  }),

  FindNextFileW: define(BOOL, { find: big, data: buffer }, ({ windows, process }, { find, data }) => {
    const { names, target } = process.handles.get<FindHandle>(find, "find");
    const { value: name } = names.next();
    if (name === undefined) throw win32Failure(win32.ERROR_NO_MORE_FILES);
    putFound(windows, target, name, data);
  }),

  FindFirstVolumeW: define(
    HANDLE,
    { volumeName: buffer, units: number },
    ({ windows, process }, { volumeName, units }) => {
      const names = windows.volumeNames().values();
      putText(volumeName, names.next().value!, units);
      return process.handles.open({ type: "volumes", target: "all volumes", names } as FindHandle);
    },
  ),

  FindNextVolumeW: define(
    BOOL,
    { find: big, volumeName: buffer, units: number },
    ({ process }, { find, volumeName, units }) => {
      const { value: name } = process.handles.get<FindHandle>(find, "volumes").names.next();
      if (name === undefined) throw win32Failure(win32.ERROR_NO_MORE_FILES);
      putText(volumeName, name, units);
    },
  ),

  FindVolumeClose: define(BOOL, { find: big }, (context, { find }) => {
    closeHandle(context, find);
  }),

  FlushFileBuffers: define(BOOL, { handle: big }, ({ process }, { handle }) => {
    const { access } = process.handles.get<FileHandle>(handle, "file");
    if ((usesOf(access) & USES.write) === 0) throw win32Failure(win32.ERROR_ACCESS_DENIED);
  }),

  FormatMessageW: define(
    { ...BOOL, done: undefined },
    { flags: number, source: big, code: number, language: number, text: buffer, units: number, arguments: big },
    (_, { code, text, units }) => {
      const name = nameOf(code);
      return name === undefined ? 0 : putText(text, `simulated: ${name}\r\n`, units) - 1;
    },
  ),

  GetCurrentProcess: define({ ...INFALLIBLE, done: undefined }, {}, () => CURRENT_PROCESS),

  GetCurrentProcessId: define({ ...INFALLIBLE, done: undefined }, {}, ({ windows }) => windows.by.process),

  GetDiskFreeSpaceExW: define(
    BOOL,
    { folder: text, free: optionalBuffer, total: optionalBuffer, totalFree: optionalBuffer },
    ({ windows }, { folder, total, totalFree }) => {
      requireSeparator(folder);
      const { volume } = volumeDisk(windows, folder);
      if (total !== null) put64(total, BigInt(volume));
      if (totalFree !== null) put64(totalFree, BigInt(Math.max(0, volume - usedOn(windows, folder))));
    },
  ),

  GetEnvironmentVariableW: define(
    { ...BOOL, done: undefined },
    { name: text, value: buffer, units: number },
    (_, { name, value, units }) => {
      if (foldName(name) !== "programdata") throw win32Failure(ERROR_ENVVAR_NOT_FOUND);
      const needed = putText(value, PROGRAM_DATA, units);
      return needed <= units ? needed - 1 : needed;
    },
  ),

  GetFileAttributesW: define(
    ATTRIBUTES,
    { path: text },
    ({ windows }, { path }) => {
      if (isDeviceName(path)) unknown(`asking for the attributes of a device: ${path}`);
      return attributesOf(windows.existing(path, "stay"));
    },
  ),

  GetFileInformationByHandleEx: define(
    BOOL,
    { handle: big, class: number, information: buffer, size: number },
    ({ windows, process }, { handle, class: kind, information }) => {
      if (putInformation({ windows, process } as Context, handle, kind, information)) return;
      const { target } = process.handles.get<FileHandle>(handle, "file");
      if (kind !== FILE_ID_INFO) unknown(`asking for information ${kind} about a file`);
      const [file] = splitStream(target);
      const { path } = windows.existing(file, "stay");
      const view = viewOf(information, 24);
      view.setBigUint64(0, BigInt(volumeSerial(rootOfPlace(path))), true);
      view.setBigUint64(8, BigInt(windows.idOf(path)), true);
    },
  ),

  GetFileSizeEx: define(BOOL, { handle: big, size: buffer }, ({ windows, process }, { handle, size }) => {
    const { target } = process.handles.get<FileHandle>(handle, "file");
    put64(size, BigInt(windows.existing(target, "stay").size ?? 0));
  }),

  GetFinalPathNameByHandleW: define(
    BOOL,
    { handle: big, path: buffer, units: number, flags: number },
    ({ windows, process }, { handle, path, units, flags }) => {
      const { target } = process.handles.get<FileHandle>(handle, "file");
      const needed = putText(path, finalPath(windows, target, flags), units);
      return needed <= units ? needed - 1 : needed;
    },
  ),

  GetLastError: define(INFALLIBLE, {}, ({ process }) => process.lastError),

  GetProcessTimes: define(
    BOOL,
    { process: big, start: buffer, end: buffer, kernel: buffer, user: buffer },
    ({ windows, process: { handles } }, { process, start }) => {
      const { startedAt } = process === CURRENT_PROCESS
        ? windows.state.running[windows.by.process] ?? unknown("a call of a process that has ended")
        : handles.get<ProcessHandle>(process, "process");
      put64(start, fileTime(startedAt));
    },
  ),

  GetSystemTimeAsFileTime: define(INFALLIBLE, { time: buffer }, ({ windows }, { time }) => {
    put64(time, fileTime(windows.now));
  }),

  // Central Europe, of which a guest can be told all that there is to tell.
  GetTimeZoneInformation: define(ATTRIBUTES, { zone: buffer }, (_, { zone }) => {
    const view = viewOf(zone, 172);
    const change = (at: number, month: number, hour: number) =>
      [0, month, 0, 5, hour, 0, 0, 0].forEach((part, i) => view.setUint16(at + 2 * i, part, true));
    view.setInt32(0, -60, true);
    putText(zone.subarray(4, 68), "W. Europe Standard Time");
    change(68, 10, 3);
    view.setInt32(84, 0, true);
    putText(zone.subarray(88, 152), "W. Europe Daylight Time");
    change(152, 3, 2);
    view.setInt32(168, -60, true);
    return 1;
  }),

  // Of an image it is cimfs: Get-CimDiskImage of the PowerShell module CimDiskImage looks for that, without regard to case.
  GetVolumeInformationW: define(
    BOOL,
    {
      root: text,
      label: optionalBuffer,
      labelUnits: number,
      serial: optionalBuffer,
      longestName: optionalBuffer,
      flags: optionalBuffer,
      fileSystem: buffer,
      units: number,
    },
    ({ windows }, { root, label, serial, longestName, flags, fileSystem, units }) => {
      requireSeparator(root);
      if ([label, serial, longestName, flags].some((part) => part !== null)) {
        unknown("asking for more about a volume than its file system");
      }
      const { path } = windows.existing(root);
      const isImage = windows.state.images[volumeKey(path)] !== undefined;
      putText(fileSystem, isImage ? "cimfs" : windows.fileSystem(path), units);
    },
  ),

  GetVolumeNameForVolumeMountPointW: define(
    BOOL,
    { volumeMountPoint: text, volumeName: buffer, units: number },
    ({ windows }, { volumeMountPoint, volumeName, units }) => {
      requireSeparator(volumeMountPoint);
      const { path, volume, link } = windows.existing(volumeMountPoint, "stay");
      if (link !== undefined) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      const own = rootOfPlace(path) === path ? volumeOfPlace(path) : undefined;
      if (volume === undefined && own === undefined) throw win32Failure(win32.ERROR_NOT_A_REPARSE_POINT);
      putText(volumeName, volume ?? `${own}\\`, units);
    },
  ),

  GetVolumePathNamesForVolumeNameW: define(
    BOOL,
    { volumeName: text, names: buffer, units: number, needed: buffer },
    ({ windows }, { volumeName, names, units, needed }) => {
      requireSeparator(volumeName);
      if (!windows.hasVolume(volumeName)) {
        throw win32Failure(win32.ERROR_FILE_NOT_FOUND, "listing the mount points of a volume that doesn't exist");
      }
      const list = pathsOfVolume(windows.state, volumeName.slice(0, -1)).map((path) => `${path}\\\0`).join("");
      put32(needed, list.length + 1);
      if (putText(names, list, units) > units) throw win32Failure(win32.ERROR_MORE_DATA);
    },
  ),

  LocalAlloc: define(
    { ...ADDRESS, done: undefined },
    { flags: number, bytes: big },
    ({ process }, { bytes }) => process.memory.allocate(Number(bytes)),
  ),

  LocalFree: define(ADDRESS, { address: big }, ({ process }, { address }) => {
    if (address !== 0n) process.memory.free(address);
    return 0n;
  }),

  // Locks are of handles, also in one process, and end with them; a byte can be locked that the file doesn't have
  // (documentation of LockFileEx).
  LockFileEx: define(
    BOOL,
    { handle: big, flags: number, reserved: number, bytes: number, bytesHigh: number, overlapped: buffer },
    ({ windows, process }, { handle, flags, bytes, bytesHigh, overlapped }) => {
      const { file } = process.handles.get<FileHandle>(handle, "file");
      if (flags !== 3 || bytes !== 1 || bytesHigh !== 0) {
        unknown("locking more than one byte of a file, or waiting for that");
      }
      lockByte(windows, file!, `${handle}`, offsetIn(overlapped));
    },
  ),

  lstrlenW: define(INFALLIBLE, { address: big }, ({ process }, { address }) => process.memory.readWide(address).length),

  MoveFileExW: define(BOOL, { from: text, to: text, flags: number }, ({ windows }, { from, to, flags }) => {
    if (flags !== MOVEFILE_WRITE_THROUGH) unknown(`renaming a file with flags ${flags}`);
    const node = windows.existing(from, "stay");
    const place = windows.place(to, "stay");
    if (place.node !== undefined) throw win32Failure(win32.ERROR_ALREADY_EXISTS);
    requireFolder(windows, parentOf(place.path));
    if (isOpenWithin(windows, node.path)) throw win32Failure(win32.ERROR_SHARING_VIOLATION);
    windows.move(node.path, place.path);
  }),

  OpenProcess: define(
    ADDRESS,
    { access: number, inherit: number, pid: number },
    ({ windows, process }, { pid }) => {
      const running = windows.state.running[pid];
      if (running === undefined) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
      // Windows tells it of an open handle also after the process has ended.
      const { startedAt } = running;
      return process.handles.open({ type: "process", target: `${pid}`, startedAt } as ProcessHandle);
    },
  ),

  ReadFile: define(
    BOOL,
    { handle: big, data: buffer, bytes: number, read: buffer, overlapped: optionalBuffer },
    ({ windows, process }, { handle, data, bytes, read }) => {
      const opened = process.handles.get<FileHandle>(handle, "file");
      if ((usesOf(opened.access) & USES.read) === 0) throw win32Failure(win32.ERROR_ACCESS_DENIED);
      const content = contentOf(windows, opened.target).subarray(opened.position, opened.position + bytes);
      viewOf(data, content.byteLength);
      data.set(content);
      opened.position += content.byteLength;
      put32(read, content.byteLength);
    },
  ),

  RemoveDirectoryW: define(BOOL, { path: text }, ({ windows }, { path }) => {
    const node = windows.existing(path, "stay");
    if (node.volume !== undefined) unknown("removing a folder at which a volume is mounted");
    if (node.type === "file") throw win32Failure(267);
    // Of a link, only the link is removed, whatever is in the folder that it leads to.
    if (node.link === undefined && !windows.isEmpty(path)) throw win32Failure(win32.ERROR_DIR_NOT_EMPTY);
    removeOrMark(windows, node);
  }),

  // No simulated process starts another one.
  SetHandleInformation: define(BOOL, { handle: big, mask: number, flags: number }, ({ process }, { handle }) => {
    if (process.handles.find(handle) === undefined) throw win32Failure(win32.ERROR_INVALID_HANDLE);
  }),

  SetVolumeMountPointW: define(
    BOOL,
    { volumeMountPoint: text, volumeName: text },
    ({ windows }, { volumeMountPoint, volumeName }) => {
      requireSeparator(volumeMountPoint);
      requireSeparator(volumeName);
      if (windows.node(volumeMountPoint, "stay") === undefined) {
        unknown("mounting a volume at a folder that doesn't exist");
      }
      const node = windows.own(volumeMountPoint, "stay");
      if (windows.fileSystem(node.path) !== "NTFS") unknown("mounting a volume at a folder that isn't on NTFS");
      if (!windows.hasVolume(volumeName)) unknown("mounting a volume that doesn't exist");
      if (attributesOf(node) !== DIRECTORY) {
        throw win32Failure(win32.ERROR_DIR_NOT_EMPTY, "mounting a volume at a mount point");
      }
      if (!windows.isEmpty(node.path)) {
        throw win32Failure(win32.ERROR_DIR_NOT_EMPTY, "mounting a volume at a folder that isn't empty");
      }
      node.volume = volumeName;
      node.mountedBy = windows.by;
    },
  ),

  UnlockFileEx: define(
    BOOL,
    { handle: big, reserved: number, bytes: number, bytesHigh: number, overlapped: buffer },
    ({ windows, process }, { handle, overlapped }) => {
      const { file } = process.handles.get<FileHandle>(handle, "file");
      unlockByte(windows, file!, `${handle}`, offsetIn(overlapped));
    },
  ),

  WaitForSingleObject: define(
    { ...ATTRIBUTES, done: undefined },
    { handle: big, ms: number },
    ({ windows, process }, { handle, ms }) => {
      if (ms !== 0) unknown("waiting for the end of a process");
      return windows.state.running[process.handles.get(handle, "process").target] === undefined ? 0 : WAIT_TIMEOUT;
    },
  ),

  WriteFile: define(
    BOOL,
    { handle: big, data: buffer, bytes: number, written: buffer, overlapped: optionalBuffer },
    ({ windows, process }, { handle, data, bytes, written }) => {
      const opened = process.handles.get<FileHandle>(handle, "file");
      if ((usesOf(opened.access) & USES.write) === 0) throw win32Failure(win32.ERROR_ACCESS_DENIED);
      const before = contentOf(windows, opened.target);
      const at = (opened.access & FILE_APPEND_DATA) !== 0 ? before.byteLength : opened.position;
      const after = new Uint8Array(Math.max(before.byteLength, at + bytes));
      after.set(before);
      after.set(data.subarray(0, bytes), at);
      putContent(windows, opened.target, after);
      opened.position = at + bytes;
      put32(written, bytes);
    },
  ),

  copyIn: define(INFALLIBLE, { to: big, from: buffer, bytes: big }, ({ process }, { to, from, bytes }) => {
    process.memory.view(to, Number(bytes)).set(from.subarray(0, Number(bytes)));
  }),

  copyOut: define(INFALLIBLE, { to: buffer, from: big, bytes: big }, ({ process }, { to, from, bytes }) => {
    to.set(process.memory.view(from, Number(bytes)));
  }),
};

const ATTRIBUTE = { sparse: 0x200, compressed: 0x800, encrypted: 0x4000 } as const;

/** Returns the attributes of a file or folder. */
export function attributesOf(node: Node): number {
  if (linkTag(node) !== undefined) return REPARSE_POINT | (node.type === "folder" ? DIRECTORY : 0);
  if (node.metadata !== undefined) return node.metadata.attributes;
  if (node.type === "folder") return DIRECTORY;
  return node.attributes?.reduce((sum, attribute) => sum | ATTRIBUTE[attribute], 0) ?? NORMAL;
}

function* foundIn(windows: Windows, folder: string): Generator<string, undefined> {
  yield* [".", ".."];
  for (const name of windows.names(folder)) yield name;
}

// What is being deleted is found, too.
function putFound(windows: Windows, folder: string, name: string, data: Uint8Array<ArrayBuffer>): void {
  const node = name === "." || name === ".." ? undefined : windows.place(`${folder}\\${name}`, "stay").node;
  put32(data, node === undefined ? DIRECTORY : attributesOf(node));
  put32(data.subarray(36), (node && linkTag(node)) ?? 0);
  putText(data.subarray(44), name);
  putText(data.subarray(564), node?.shortName ?? "");
}

function openFile({ windows, process }: Context, handle: OpenHandle, node: Node, opening: Opening): bigint {
  const value = process.handles.open(handle);
  addOpening(windows, node, { ...opening, process: windows.by.process, handle: `${value}` });
  return value;
}

function closeHandle(context: Context, value: bigint): void {
  closeFile(context, value, context.process.handles.close(value));
}

/** Closes the file of a handle, which stays. */
export function closeFile({ windows }: Context, value: bigint, { file }: OpenHandle): void {
  if (file === undefined) return;
  closeFiles(windows, (opening) => opening.process === windows.by.process && opening.handle === `${value}`, file);
}

// Whether a path names a volume or disk itself, and not a file on it.
function isDevice(windows: Windows, path: string): boolean {
  return /^\\\\\?\\volume\{[^}]*\}$/i.test(path) && windows.hasVolume(path) ||
    diskOfDevice(windows, path) !== undefined;
}

type Formatted = VirtualDisk & { volume: number };

function volumeDisk(windows: Windows, volume: string): Formatted {
  const path = windows.diskOfVolume(windows.place(`${volume.replace(/\\$/, "")}\\`).path);
  if (path === undefined) unknown(`getting the size of a volume that isn't on a virtual disk: ${volume}`);
  return windows.disk(path) as Formatted;
}

// A VOLUME_DISK_EXTENTS.
function putExtent(output: Uint8Array<ArrayBuffer>, disk: number): void {
  const view = viewOf(output, EXTENTS + EXTENT);
  view.setUint32(0, 1, true);
  view.setUint32(EXTENTS, disk, true);
}

function usedOn({ state }: Windows, volume: string): number {
  const root = `${keyOf(volume.replace(/\\$/, ""))}\\`;
  return Object.entries(state.nodes).reduce((sum, [key, { size = 0 }]) => key.startsWith(root) ? sum + size : sum, 0);
}

function extendVolume(disk: Formatted, sectors: number): void {
  const size = 512 * sectors;
  if (size > partitionOn(disk.size) || disk.volume >= size - CLUSTER) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
  disk.volume = size - CLUSTER;
}

function requireFolder(windows: Windows, path: string): void {
  if (windows.node(path)?.type !== "folder") throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
}

function requireSeparator(path: string): void {
  if (!path.endsWith("\\")) unknown(`receiving a mount point or volume without a closing \\: ${path}`);
}

function splitStream(path: string): [file: string, stream: string | undefined] {
  const at = path.lastIndexOf(":");
  return at > path.lastIndexOf("\\") && !/^(\\\\\?\\)?[A-Za-z]:$/.test(path)
    ? [path.slice(0, at), path.slice(at + 1)]
    : [path, undefined];
}

function openStream(node: Node, stream: string, disposition: number): void {
  // A volume mounted at a folder hides the folder's own streams.
  const there = node.volume === undefined && node.streams?.[stream] !== undefined;
  if (disposition === CREATE_NEW && there) throw win32Failure(win32.ERROR_FILE_EXISTS);
  if (disposition === CREATE_NEW || disposition === CREATE_ALWAYS) {
    node.streams = { ...node.streams, [stream]: "" };
  } else if (!there) {
    throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
  }
}

// Of an OVERLAPPED.
function offsetIn(overlapped: Uint8Array<ArrayBuffer>): string {
  return `${viewOf(overlapped).getBigUint64(16, true)}`;
}

// Of a SECURITY_ATTRIBUTES.
function securityAt(memory: AddressSpace, attributes: Uint8Array<ArrayBuffer>): Security {
  const { owner, entries = [] } = securityIn(memory.view(viewOf(attributes).getBigUint64(8, true)).slice());
  return {
    owner: owner === "" ? sid.ADMINISTRATORS : owner,
    entries: entries.map((entry) => ({ ...entry, sid: entry.sid! })),
  };
}

// Whether a file was made because there was none.
function createIfMissing(windows: Windows, path: string, atLink: AtLink, disposition: number): boolean {
  const isThere = windows.node(path, atLink) !== undefined;
  if (isThere && disposition === CREATE_NEW) throw win32Failure(win32.ERROR_FILE_EXISTS);
  if (isThere || ![CREATE_NEW, CREATE_ALWAYS, OPEN_ALWAYS].includes(disposition)) return false;
  const place = windows.place(path, atLink).path;
  requireFolder(windows, parentOf(place));
  windows.add({ ...fileWith(place, ""), createdBy: windows.by });
  return true;
}

function contentOf(windows: Windows, target: string): Uint8Array<ArrayBuffer> {
  const [file, stream] = splitStream(target);
  const node = windows.existing(file, "stay");
  if (stream === undefined) return bytesOf(node);
  return streamBytes(node.streams?.[stream] ?? refuseStream());
}

function refuseStream(): never {
  throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
}

function putContent(windows: Windows, target: string, content: Uint8Array): void {
  const [file, stream] = splitStream(target);
  const node = windows.own(file, "stay");
  if (stream !== undefined) {
    node.streams = { ...node.streams, [stream]: streamText(content) };
    return;
  }
  const { text, base64, size } = fileWith(file, content);
  delete node.text;
  delete node.base64;
  Object.assign(node, { size, ...(text !== undefined && { text }), ...(base64 !== undefined && { base64 }) });
}

// FNV-1a, as Windows draws the serial number of a volume once, and tells it ever after.
function volumeSerial(root: string): number {
  let hash = 0x811c9dc5;
  for (const unit of foldName(root)) hash = Math.imul(hash ^ unit.codePointAt(0)!, 0x01000193);
  return hash >>> 0;
}

const DRIVE_ROOT = /^(?:\\\\\?\\)?([A-Za-z]:)\\+$/;

function unmount(node: Node): void {
  delete node.volume;
  delete node.mountedBy;
  delete node.isUnlisted;
  delete node.link;
}

function finalPath(windows: Windows, target: string, flags: number): string {
  if ((flags & (VOLUME_NAME_NT | VOLUME_NAME_NONE)) !== 0) unknown(`asking for the final path with flags ${flags}`);
  const [file, stream] = splitStream(target);
  const place = windows.place(file, "stay").path;
  const root = rootOfPlace(place);
  const [volume, path] = (flags & VOLUME_NAME_GUID) !== 0
    ? [volumeOfPlace(place), place.slice(root.length)]
    : ["\\\\?\\", dosPath(windows.state, place)];
  if (volume === undefined || path === undefined) throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
  const whole = path.startsWith("\\\\") ? `\\\\?\\UNC\\${path.slice(2)}` : volume + path;
  return stream !== undefined ? `${whole}:${stream}` : place === root ? `${whole}\\` : whole;
}

function requireStreams(windows: Windows, path: string): void {
  if (["exFAT", "SMB"].includes(windows.fileSystem(path))) throw win32Failure(win32.ERROR_INVALID_NAME);
}

/** Returns the file at a path, or fails if there is none. */
export function requireFile({ windows }: Context, path: string): Node {
  const node = windows.existing(path);
  if (node.type !== "file") throw win32Failure(win32.ERROR_ACCESS_DENIED);
  return node;
}
