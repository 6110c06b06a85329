/**
 * kernel32.dll: files, folders, volumes and their mount points, memory, last error and messages.
 *
 * Its functions report errors through `GetLastError`, which is per thread. So all of them are called on the calling
 * thread, and the error is read immediately after the call.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { TimeZoneDate, TimeZoneInformation } from "../hcsschema/guest_messages.ts";
import { present } from "../hcsschema/requests.ts";
import { log } from "../log.ts";
import type { Host } from "./host.ts";
import { noted } from "./operation.ts";
import type { Dll, NativeSymbols, SymbolTable } from "./table.ts";
import { fromWide, fromWideList, wide } from "./wide.ts";

/** The functions of kernel32.dll that are used. */
export const kernel32Symbols = {
  CloseHandle: { parameters: ["usize" /* HANDLE */], result: "i32" /* BOOL */ },
  CopyFileW: {
    parameters: ["buffer", /* LPCWSTR from */ "buffer", /* LPCWSTR to */ "i32" /* BOOL fail if to exists */],
    result: "i32", /* BOOL */
  },
  CreateDirectoryW: {
    parameters: ["buffer", /* LPCWSTR path */ "buffer" /* SECURITY_ATTRIBUTES* */],
    result: "i32", /* BOOL */
  },
  CreateFileW: {
    parameters: [
      "buffer", /* LPCWSTR path */
      "u32", /* DWORD access */
      "u32", /* DWORD share */
      "buffer", /* SECURITY_ATTRIBUTES*, NULL */
      "u32", /* DWORD disposition */
      "u32", /* DWORD flags */
      "usize", /* HANDLE template, NULL */
    ],
    result: "usize", /* HANDLE, all ones on failure */
  },
  DeleteFileW: { parameters: ["buffer" /* LPCWSTR path */], result: "i32" /* BOOL */ },
  DeleteVolumeMountPointW: { parameters: ["buffer" /* LPCWSTR folder\ */], result: "i32" /* BOOL */ },
  DeviceIoControl: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* DWORD code */
      "buffer", /* void* in */
      "u32", /* DWORD size of in */
      "buffer", /* void* out */
      "u32", /* DWORD size of out */
      "buffer", /* DWORD* returned */
      "buffer", /* OVERLAPPED*, NULL */
    ],
    result: "i32", /* BOOL */
  },
  FindClose: { parameters: ["usize" /* HANDLE */], result: "i32" /* BOOL */ },
  FindFirstFileW: {
    parameters: ["buffer", /* LPCWSTR pattern */ "buffer" /* WIN32_FIND_DATAW* */],
    result: "usize", /* HANDLE, all ones on failure */
  },
  FindNextFileW: {
    parameters: ["usize", /* HANDLE */ "buffer" /* WIN32_FIND_DATAW* */],
    result: "i32", /* BOOL */
  },
  FindFirstVolumeW: {
    parameters: ["buffer", /* LPWSTR volume */ "u32" /* DWORD units */],
    result: "usize", /* HANDLE, all ones on failure */
  },
  FindNextVolumeW: {
    parameters: ["usize", /* HANDLE */ "buffer", /* LPWSTR volume */ "u32" /* DWORD units */],
    result: "i32", /* BOOL */
  },
  FindVolumeClose: { parameters: ["usize" /* HANDLE */], result: "i32" /* BOOL */ },
  FlushFileBuffers: { parameters: ["usize" /* HANDLE */], result: "i32" /* BOOL */ },
  FormatMessageW: {
    parameters: [
      "u32", /* DWORD flags */
      "usize", /* LPCVOID source, NULL */
      "u32", /* DWORD code */
      "u32", /* DWORD language */
      "buffer", /* LPWSTR text */
      "u32", /* DWORD units in text */
      "usize", /* va_list*, NULL */
    ],
    result: "u32", /* DWORD units written */
  },
  GetCurrentProcess: { parameters: [], result: "usize" /* HANDLE */ },
  GetCurrentProcessId: { parameters: [], result: "u32" /* DWORD */ },
  GetDiskFreeSpaceExW: {
    parameters: [
      "buffer", /* LPCWSTR folder\ */
      "buffer", /* ULARGE_INTEGER* bytes free to the caller, NULL */
      "buffer", /* ULARGE_INTEGER* bytes of the volume */
      "buffer", /* ULARGE_INTEGER* bytes free, NULL */
    ],
    result: "i32", /* BOOL */
  },
  GetEnvironmentVariableW: {
    parameters: ["buffer", /* LPCWSTR name */ "buffer", /* LPWSTR value */ "u32" /* DWORD units */],
    result: "u32", /* DWORD units, without the NUL if the value fits */
  },
  GetFileAttributesW: { parameters: ["buffer" /* LPCWSTR path */], result: "u32" /* DWORD, all ones on failure */ },
  GetFileInformationByHandleEx: {
    parameters: [
      "usize", /* HANDLE */
      "i32", /* FILE_INFO_BY_HANDLE_CLASS */
      "buffer", /* LPVOID information */
      "u32", /* DWORD size of information */
    ],
    result: "i32", /* BOOL */
  },
  GetFileSizeEx: { parameters: ["usize", /* HANDLE */ "buffer" /* LARGE_INTEGER* */], result: "i32" /* BOOL */ },
  GetFinalPathNameByHandleW: {
    parameters: ["usize", /* HANDLE */ "buffer", /* LPWSTR path */ "u32", /* DWORD units */ "u32" /* DWORD flags */],
    result: "u32", /* DWORD units */
  },
  GetLastError: { parameters: [], result: "u32" /* DWORD */ },
  GetProcessTimes: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* FILETIME* start */
      "buffer", /* FILETIME* end */
      "buffer", /* FILETIME* in the kernel */
      "buffer", /* FILETIME* in the program */
    ],
    result: "i32", /* BOOL */
  },
  GetSystemTimeAsFileTime: { parameters: ["buffer" /* FILETIME* */], result: "void" },
  GetTimeZoneInformation: {
    parameters: ["buffer" /* TIME_ZONE_INFORMATION* */],
    result: "u32", /* DWORD, all ones on failure */
  },
  GetVolumeInformationW: {
    parameters: [
      "buffer", /* LPCWSTR volume\ */
      "buffer", /* LPWSTR label, NULL */
      "u32", /* DWORD units in label */
      "buffer", /* LPDWORD serial number, NULL */
      "buffer", /* LPDWORD longest name, NULL */
      "buffer", /* LPDWORD flags, NULL */
      "buffer", /* LPWSTR file system */
      "u32", /* DWORD units in file system */
    ],
    result: "i32", /* BOOL */
  },
  GetVolumeNameForVolumeMountPointW: {
    parameters: ["buffer", /* LPCWSTR folder\ */ "buffer", /* LPWSTR volume */ "u32" /* DWORD units */],
    result: "i32", /* BOOL */
  },
  GetVolumePathNamesForVolumeNameW: {
    parameters: [
      "buffer", /* LPCWSTR volume\ */
      "buffer", /* LPWCH list of folders */
      "u32", /* DWORD units */
      "buffer", /* PDWORD units needed */
    ],
    result: "i32", /* BOOL */
  },
  LocalAlloc: { parameters: ["u32", /* UINT flags */ "usize" /* SIZE_T bytes */], result: "usize" /* HLOCAL */ },
  LocalFree: { parameters: ["usize" /* HLOCAL */], result: "usize" /* HLOCAL, NULL on success */ },
  LockFileEx: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* DWORD flags */
      "u32", /* DWORD 0 */
      "u32", /* DWORD bytes, low half */
      "u32", /* DWORD bytes, high half */
      "buffer", /* OVERLAPPED* */
    ],
    result: "i32", /* BOOL */
  },
  lstrlenW: { parameters: ["usize" /* LPCWSTR */], result: "i32" /* int, units */ },
  OpenProcess: {
    parameters: ["u32", /* DWORD access */ "i32", /* BOOL inherit */ "u32" /* DWORD process */],
    result: "usize", /* HANDLE, NULL on failure */
  },
  ReadFile: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* LPVOID data */
      "u32", /* DWORD bytes */
      "buffer", /* LPDWORD bytes read */
      "buffer", /* OVERLAPPED*, NULL */
    ],
    result: "i32", /* BOOL */
  },
  RemoveDirectoryW: { parameters: ["buffer" /* LPCWSTR path */], result: "i32" /* BOOL */ },
  SetHandleInformation: {
    parameters: ["usize", /* HANDLE */ "u32", /* DWORD which flags */ "u32" /* DWORD flags */],
    result: "i32", /* BOOL */
  },
  SetVolumeMountPointW: {
    parameters: ["buffer", /* LPCWSTR folder\ */ "buffer" /* LPCWSTR volume\ */],
    result: "i32", /* BOOL */
  },
  UnlockFileEx: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* DWORD 0 */
      "u32", /* DWORD bytes, low half */
      "u32", /* DWORD bytes, high half */
      "buffer", /* OVERLAPPED* */
    ],
    result: "i32", /* BOOL */
  },
  WaitForSingleObject: {
    parameters: ["usize", /* HANDLE */ "u32" /* DWORD milliseconds */],
    result: "u32", /* DWORD */
  },
  WriteFile: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* LPCVOID data */
      "u32", /* DWORD bytes */
      "buffer", /* LPDWORD bytes written */
      "buffer", /* OVERLAPPED*, NULL */
    ],
    result: "i32", /* BOOL */
  },
  // One export under two names: into and out of native memory. This way a pointer never has to become a Deno object.
  copyIn: {
    name: "RtlMoveMemory",
    parameters: ["usize", /* void* to */ "buffer", /* const void* from */ "usize" /* SIZE_T bytes */],
    result: "void",
  },
  copyOut: {
    name: "RtlMoveMemory",
    parameters: ["buffer", /* void* to */ "usize", /* const void* from */ "usize" /* SIZE_T bytes */],
    result: "void",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** kernel32.dll. */
export const kernel32: Dll<typeof kernel32Symbols> = {
  file: "kernel32.dll",
  symbols: kernel32Symbols,
  remedy: "It is part of every Windows",
};

/** The HANDLE that stands for a failed open. */
export const INVALID_HANDLE = 0xffffffffffffffffn;

/** File attributes, by their names in winnt.h. */
export const attribute = { READONLY: 0x1, DIRECTORY: 0x10, NORMAL: 0x80, REPARSE_POINT: 0x400 } as const;

/** Access rights to a file. */
export const access = {
  NONE: 0,
  FILE_APPEND_DATA: 0x4,
  READ_CONTROL: 0x20000,
  WRITE_DAC: 0x40000,
  GENERIC_WRITE: 0x40000000,
  GENERIC_READ: 0x80000000,
} as const;

/** What others may do with the file while it is open. */
export const share = { NONE: 0, READ: 1, WRITE: 2, DELETE: 4, ALL: 7 } as const;

/** What to do depending on whether the file exists. */
export const disposition = { CREATE_NEW: 1, CREATE_ALWAYS: 2, OPEN_EXISTING: 3, OPEN_ALWAYS: 4 } as const;

/** Flags for opening a file. */
export const fileFlag = { BACKUP_SEMANTICS: 0x02000000, OPEN_REPARSE_POINT: 0x00200000 } as const;

/** The form of a final path: how much of it is normalized, and how the volume is named. */
export const finalPath = { NAME_NORMALIZED: 0, NAME_OPENED: 8, VOLUME_NAME_DOS: 0, VOLUME_NAME_GUID: 1 } as const;

const INVALID_ATTRIBUTES = 0xffffffff;
const FORMAT_FROM_SYSTEM = 0x1000 | 0x2000 | 0x200;
const FIND_DATA_BYTES = 592;
const FIND_DATA_NAME = 44;
const VOLUME_NAME_UNITS = 50;

/** Returns the message of Windows for an HRESULT, in the host's language; `undefined` if there is none or it can't be read. */
export function systemMessage(host: Host, code: number): string | undefined {
  try {
    const text = new Uint8Array(2 * 512);
    const units = host.symbols(kernel32).FormatMessageW(FORMAT_FROM_SYSTEM, 0n, code >>> 0, 0, text, 512, 0n);
    return units === 0 ? undefined : fromWide(text).trim();
  } catch {
    // This failure must not replace the one that is being reported.
    return undefined;
  }
}

/** Returns the error of `fn` for the last error of the calling thread. */
export function lastError(host: Host, fn: string, path?: string): NativeError {
  return errorOf(host, fn, fromWin32(host.symbols(kernel32).GetLastError()), path);
}

/**
 * Returns functions of kernel32.dll in a table of their own. `GetLastError` is resolved before: doing that later would lose the error
 * of the first of them that fails.
 */
export function functionsOf<T extends SymbolTable>(host: Host, dll: Dll<T>): NativeSymbols<T> {
  host.symbols(kernel32);
  return host.symbols(dll);
}

/** Returns the error of `fn` for an HRESULT. */
export function errorOf(host: Host, fn: string, code: number, path?: string): NativeError {
  return new NativeError({ function: fn, code, path, systemMessage: systemMessage(host, code) });
}

/** Returns whether `error` says that a file or folder doesn't exist. */
export function isNotFound(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_FILE_NOT_FOUND || error.win32 === win32.ERROR_PATH_NOT_FOUND);
}

/** Whether a file couldn't be made because somebody else had made it first. */
export function isTaken(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_FILE_EXISTS || error.win32 === win32.ERROR_ALREADY_EXISTS);
}

// Windows limits paths to 260 units, and those of folders to 248, unless they start with `\\?\`.
const LONG = 247;

/** Returns `path` in the form that kernel32 accepts at any length. `path` must be absolute and use `\`. */
export function longPath(path: string): string {
  if (path.length <= LONG || path.startsWith("\\\\?\\") || path.startsWith("\\\\.\\")) {
    return path;
  }
  return path.startsWith("\\\\") ? `\\\\?\\UNC\\${path.slice(2)}` : `\\\\?\\${path}`;
}

const widePath = (path: string) => wide(longPath(path));
const folderForm = (path: string) => wide(longPath(path.endsWith("\\") ? path : `${path}\\`));

/**
 * Returns the attributes of a file or folder, or `undefined` if there is none.
 *
 * @throws {NativeError} if Windows refuses.
 */
export function fileAttributes(host: Host, path: string): number | undefined {
  const attributes = host.symbols(kernel32).GetFileAttributesW(widePath(path));
  if (attributes !== INVALID_ATTRIBUTES) {
    return attributes;
  }
  const code = host.symbols(kernel32).GetLastError();
  if (code === win32.ERROR_FILE_NOT_FOUND || code === win32.ERROR_PATH_NOT_FOUND) {
    return undefined;
  }
  throw errorOf(host, "GetFileAttributesW", fromWin32(code), path);
}

/**
 * Creates a folder in an existing folder. Returns false if there is already something with that name.
 *
 * @param security A SECURITY_ATTRIBUTES for the folder. Default: what it inherits.
 */
export function createDirectory(host: Host, path: string, security: Uint8Array<ArrayBuffer> | null = null): boolean {
  if (host.symbols(kernel32).CreateDirectoryW(widePath(path), security) !== 0) {
    return true;
  }
  const error = lastError(host, "CreateDirectoryW", path);
  if (error.win32 === win32.ERROR_ALREADY_EXISTS) {
    return false;
  }
  throw error;
}

/** Removes an empty folder. */
export function removeDirectory(host: Host, path: string): void {
  if (host.symbols(kernel32).RemoveDirectoryW(widePath(path)) === 0) {
    throw lastError(host, "RemoveDirectoryW", path);
  }
}

/** A file or folder in a folder. */
export interface DirectoryEntry {
  /** Its name. */
  readonly name: string;
  /** Sum of {@linkcode attribute}. */
  readonly attributes: number;
}

/** Returns whether a folder is empty. */
export function isDirectoryEmpty(host: Host, path: string): boolean {
  for (const _ of directoryEntries(host, path)) {
    return false;
  }
  return true;
}

/**
 * Lists the files and folders in a folder.
 *
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if it returns one entry again and again.
 */
export function* directoryEntries(host: Host, path: string): Generator<DirectoryEntry, void> {
  const { FindFirstFileW, FindNextFileW, FindClose } = host.symbols(kernel32);
  const data = new Uint8Array(FIND_DATA_BYTES);
  const find = FindFirstFileW(widePath(path.endsWith("\\") ? `${path}*` : `${path}\\*`), data);
  if (find === INVALID_HANDLE) {
    throw lastError(host, "FindFirstFileW", path);
  }
  let last: string | undefined;
  try {
    do {
      const name = fromWide(data.subarray(FIND_DATA_NAME));
      if (name === last) throw new UnexpectedAnswerError("FindNextFileW", "is the entry before it", name);
      last = name;
      if (name !== "." && name !== "..") {
        yield { name, attributes: new DataView(data.buffer).getUint32(0, true) };
      }
    } while (FindNextFileW(find, data) !== 0);
    const error = lastError(host, "FindNextFileW", path);
    if (error.win32 !== win32.ERROR_NO_MORE_FILES) {
      throw error;
    }
  } finally {
    FindClose(find);
  }
}

/** Copies a file. `to` must not exist: nothing is ever overwritten. */
export function copyFile(host: Host, from: string, to: string): void {
  if (host.symbols(kernel32).CopyFileW(widePath(from), widePath(to), 1) === 0) {
    throw lastError(host, "CopyFileW", to);
  }
}

/** Deletes a file. */
export function deleteFile(host: Host, path: string): void {
  if (host.symbols(kernel32).DeleteFileW(widePath(path)) === 0) {
    throw lastError(host, "DeleteFileW", path);
  }
}

/** Returns the size of a file in bytes. */
export function fileSize(host: Host, path: string): bigint {
  using file = openFile(host, path);
  const size = new Uint8Array(8);
  if (host.symbols(kernel32).GetFileSizeEx(file.value, size) === 0) {
    throw lastError(host, "GetFileSizeEx", path);
  }
  return new DataView(size.buffer).getBigInt64(0, true);
}

const FILE_ID_INFO = 18;
const FILE_ID_INFO_BYTES = 24;

/**
 * Returns what no other file or folder of this machine has, as long as it exists: its volume, and its 128-bit id there, in
 * hexadecimal digits. Some file systems have none.
 *
 * @throws {NativeError} if there is none.
 */
export function fileId(host: Host, handle: bigint, path: string): string {
  const information = new Uint8Array(FILE_ID_INFO_BYTES);
  if (
    host.symbols(kernel32).GetFileInformationByHandleEx(handle, FILE_ID_INFO, information, FILE_ID_INFO_BYTES) === 0
  ) {
    throw lastError(host, "GetFileInformationByHandleEx", path);
  }
  return information.toHex();
}

/**
 * The space on a volume.
 *
 * @category Mounts on the host
 */
export interface VolumeSpace {
  /** Its size in bytes. */
  readonly size: bigint;
  /** The bytes that are free. */
  readonly free: bigint;
}

/** Returns the space on the volume that a folder is on. */
export function volumeSpace(host: Host, folder: string): VolumeSpace {
  const [total, free] = [new Uint8Array(8), new Uint8Array(8)];
  if (host.symbols(kernel32).GetDiskFreeSpaceExW(folderForm(folder), null, total, free) === 0) {
    throw lastError(host, "GetDiskFreeSpaceExW", folder);
  }
  const [size, left] = [total, free].map(({ buffer }) => new DataView(buffer).getBigUint64(0, true)) as [
    bigint,
    bigint,
  ];
  return { size, free: left };
}

/** Returns the size in bytes of the volume that a folder is on. */
export function volumeSize(host: Host, folder: string): bigint {
  return volumeSpace(host, folder).size;
}

/** How to open a file. Default: without access, shared with everybody, the file must exist. */
export interface OpenFileOptions {
  /** Sum of {@linkcode access}. */
  access?: number;
  /** Sum of {@linkcode share}. */
  share?: number;
  /** One of {@linkcode disposition}. */
  disposition?: number;
  /** Sum of {@linkcode fileFlag}. */
  flags?: number;
}

/** An open handle. `using` closes it, and logs if that fails: what was done with it stays done, or has failed anyway. */
export interface Handle extends Disposable {
  /** The HANDLE. */
  readonly value: bigint;
  /**
   * Closes it. If that fails, it can be called again.
   *
   * @throws {NativeError} if Windows refuses.
   */
  close(): void;
}

/** Opens a file, a folder (with `BACKUP_SEMANTICS`), a volume or a disk. */
export function openFile(host: Host, path: string, options: OpenFileOptions = {}): Handle {
  const value = host.symbols(kernel32).CreateFileW(
    widePath(path),
    (options.access ?? access.NONE) >>> 0,
    options.share ?? share.ALL,
    null,
    options.disposition ?? disposition.OPEN_EXISTING,
    options.flags ?? 0,
    0n,
  );
  if (value === INVALID_HANDLE) {
    throw lastError(host, "CreateFileW", path);
  }
  return handleOf(host, value);
}

/** Wraps an open HANDLE in a {@linkcode Handle}. */
export function handleOf(host: Host, value: bigint): Handle {
  let hasFailed = false;
  const close = () => {
    try {
      closeHandle(host, value);
    } catch (error) {
      // The call that failed closed it nevertheless.
      if (hasFailed && error instanceof NativeError && error.win32 === win32.ERROR_INVALID_HANDLE) return;
      hasFailed = true;
      throw error;
    }
  };
  return {
    value,
    close,
    [Symbol.dispose]() {
      try {
        close();
      } catch (error) {
        if (!(error instanceof NativeError)) throw error;
        log("warn", () => `a handle stays open: ${messageOf(error)}`);
      }
    },
  };
}

/** Closes a handle. */
export function closeHandle(host: Host, handle: bigint): void {
  if (host.symbols(kernel32).CloseHandle(handle) === 0) {
    throw lastError(host, "CloseHandle");
  }
}

const HANDLE_FLAG_INHERIT = 1;

/** Keeps processes that this one starts from getting a handle as well. */
export function keepFromChildren(host: Host, handle: bigint, path?: string): void {
  if (host.symbols(kernel32).SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) === 0) {
    throw lastError(host, "SetHandleInformation", path);
  }
}

/** Writes text to an open file, where the last write ended; at its end, if it is open for `FILE_APPEND_DATA`. */
export function writeTo(host: Host, file: Handle, text: string, path: string): void {
  const bytes = new TextEncoder().encode(text);
  if (host.symbols(kernel32).WriteFile(file.value, bytes, bytes.byteLength, new Uint8Array(4), null) === 0) {
    throw lastError(host, "WriteFile", path);
  }
}

/** Waits until what was written to a file is on the disk. */
export function flushFile(host: Host, file: Handle, path: string): void {
  if (host.symbols(kernel32).FlushFileBuffers(file.value) === 0) {
    throw lastError(host, "FlushFileBuffers", path);
  }
}

// Most records fit into one.
const CHUNK = 16384;

// Lists of paths are the longest texts.
const MOST_UNITS = 2 ** 20;

/**
 * Returns the length of a text that a function returned, or for which it needs room.
 *
 * @throws {UnexpectedAnswerError} if it is longer than any.
 */
export function textLength(operation: string, units: number): number {
  if (units > MOST_UNITS) throw new UnexpectedAnswerError(operation, "is no length of a text", units);
  return units;
}

// No file that is read is nearly as long.
const MOST_BYTES = 2 ** 26;

/** Reads a text file, or an alternate data stream, as {@linkcode readBytes} does. */
export function readText(host: Host, path: string, most?: number): string {
  return new TextDecoder().decode(readBytes(host, path, most));
}

/**
 * Reads a file, or an alternate data stream. Others may read, write and delete it meanwhile.
 *
 * @param most The bytes that it may have.
 * @throws {UnexpectedAnswerError} if it has more.
 */
export function readBytes(host: Host, path: string, most: number = MOST_BYTES): Uint8Array<ArrayBuffer> {
  using file = openFile(host, path, { access: access.GENERIC_READ });
  let bytes = new Uint8Array(CHUNK);
  let total = 0;
  for (;;) {
    const room = bytes.subarray(total);
    const read = new Uint8Array(4);
    if (host.symbols(kernel32).ReadFile(file.value, room, room.byteLength, read, null) === 0) {
      throw lastError(host, "ReadFile", path);
    }
    const count = new DataView(read.buffer).getUint32(0, true);
    total += count;
    if (count > room.byteLength || total > most) {
      throw new UnexpectedAnswerError("ReadFile", `is longer than ${Math.min(most, bytes.byteLength)} bytes`, path);
    }
    if (count < room.byteLength) return bytes.subarray(0, total);
    const larger = new Uint8Array(2 * bytes.byteLength);
    larger.set(bytes);
    bytes = larger;
  }
}

const LOCKFILE_EXCLUSIVE_AND_FAIL = 3;

/** Locks a byte of an open file against all others, until the file is closed. Returns false if somebody else has it locked. */
export function lockByte(host: Host, file: Handle, offset: bigint, path: string): boolean {
  if (host.symbols(kernel32).LockFileEx(file.value, LOCKFILE_EXCLUSIVE_AND_FAIL, 0, 1, 0, at(offset)) !== 0) {
    return true;
  }
  const code = host.symbols(kernel32).GetLastError();
  if (code === win32.ERROR_LOCK_VIOLATION || code === win32.ERROR_IO_PENDING) return false;
  throw errorOf(host, "LockFileEx", fromWin32(code), path);
}

/** Unlocks a byte that {@linkcode lockByte} has locked. */
export function unlockByte(host: Host, file: Handle, offset: bigint, path: string): void {
  if (host.symbols(kernel32).UnlockFileEx(file.value, 0, 1, 0, at(offset)) === 0) {
    throw lastError(host, "UnlockFileEx", path);
  }
}

// An OVERLAPPED.
function at(offset: bigint): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(32));
  view.setBigUint64(16, offset, true);
  return new Uint8Array(view.buffer);
}

/** Returns an environment variable of this process, or undefined if it isn't set. */
export function environmentVariable(host: Host, name: string): string | undefined {
  const value = new Uint8Array(2 * 32768);
  const units = host.symbols(kernel32).GetEnvironmentVariableW(wide(name), value, 32768);
  return units === 0 ? undefined : fromWide(value);
}

const USUAL_PROGRAM_DATA = "C:\\ProgramData";

/** Returns the folder of what programs keep for all users. */
export function programData(host: Host): string {
  return environmentVariable(host, "ProgramData") ?? USUAL_PROGRAM_DATA;
}

// From 1601 to 1970, in milliseconds.
const EPOCH_MS = 11_644_473_600_000n;

/** Returns the time, in ISO 8601 and UTC. */
export function now(host: Host): string {
  const time = new Uint8Array(8);
  host.symbols(kernel32).GetSystemTimeAsFileTime(time);
  return new Date(Number(new DataView(time.buffer).getBigUint64(0, true) / 10_000n - EPOCH_MS)).toISOString();
}

/** A process. Its number is used again after it has ended, but not with the same start. */
export interface ProcessId {
  /** Its number. */
  readonly pid: number;
  /** When it started, in units of 100 ns since 1601. */
  readonly start: string;
}

/** Returns this process. */
export function currentProcess(host: Host): ProcessId {
  const { GetCurrentProcess, GetCurrentProcessId } = host.symbols(kernel32);
  return { pid: GetCurrentProcessId(), start: startOf(host, GetCurrentProcess()) };
}

/** Returns whether a process is this one. */
export function isCurrentProcess(host: Host, { pid, start }: ProcessId): boolean {
  const { GetCurrentProcess, GetCurrentProcessId } = host.symbols(kernel32);
  return pid === GetCurrentProcessId() && start === startOf(host, GetCurrentProcess());
}

function startOf(host: Host, process: bigint): string {
  const [start, ...others] = Array.from({ length: 4 }, () => new Uint8Array(8)) as Uint8Array<ArrayBuffer>[];
  if (host.symbols(kernel32).GetProcessTimes(process, start!, others[0]!, others[1]!, others[2]!) === 0) {
    throw lastError(host, "GetProcessTimes");
  }
  return `${new DataView(start!.buffer).getBigUint64(0, true)}`;
}

const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;
const SYNCHRONIZE = 0x100000;
const WAIT_OBJECT_0 = 0;

/** Returns whether a process has ended. Undefined if Windows doesn't tell. */
export function hasEnded(host: Host, { pid, start }: ProcessId): boolean | undefined {
  const { OpenProcess, WaitForSingleObject } = host.symbols(kernel32);
  const open = () => OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, 0, pid);
  // For a number that no process has. Others are refused, and whether they have the same start isn't known.
  const isUnused = () => host.symbols(kernel32).GetLastError() === win32.ERROR_INVALID_PARAMETER;
  let value = open();
  // Asked twice, as an answer can be wrong once, and what a living process has mounted would be released.
  if (value === 0n && isUnused()) value = open();
  if (value === 0n) return isUnused() || undefined;
  using process = handleOf(host, value);
  if (WaitForSingleObject(process.value, 0) === WAIT_OBJECT_0) return true;
  try {
    return startOf(host, process.value) !== start;
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return undefined;
  }
}

// `\\?\C:\`, or `\\?\Volume{guid}\`.
const FINAL_PATH = /^\\\\\?\\[^\\]+\\/;

/**
 * Returns the path of an open handle, with links and mount points resolved. `flags` is a sum of {@linkcode finalPath}.
 *
 * @throws {UnexpectedAnswerError} if it is none.
 */
export function finalPathName(host: Host, handle: bigint, flags: number, path?: string): string {
  const { GetFinalPathNameByHandleW } = host.symbols(kernel32);
  let units = 512;
  // The name can grow between two calls, but hardly more than twice.
  for (let attempt = 0; attempt < 4; attempt++) {
    const text = new Uint8Array(2 * units);
    const needed = GetFinalPathNameByHandleW(handle, text, units, flags);
    if (needed === 0) {
      throw lastError(host, "GetFinalPathNameByHandleW", path);
    }
    if (needed < units) {
      const name = fromWide(text.subarray(0, 2 * needed));
      if (!FINAL_PATH.test(name)) throw new UnexpectedAnswerError("GetFinalPathNameByHandleW", "is no path", name);
      return name;
    }
    units = textLength("GetFinalPathNameByHandleW", needed) + 1;
  }
  throw errorOf(host, "GetFinalPathNameByHandleW", fromWin32(win32.ERROR_MORE_DATA), path);
}

/** Sends a control code to a device. Returns how many bytes of `output` were written. */
export function deviceIoControl(
  host: Host,
  handle: bigint,
  request: { code: number; input?: Uint8Array<ArrayBuffer>; output?: Uint8Array<ArrayBuffer>; path?: string },
): number {
  const { code, input, output } = request;
  const returned = new Uint8Array(4);
  const succeeded = host.symbols(kernel32).DeviceIoControl(
    handle,
    code,
    input ?? null,
    input?.byteLength ?? 0,
    output ?? null,
    output?.byteLength ?? 0,
    returned,
    null,
  );
  if (succeeded === 0) {
    throw lastError(host, "DeviceIoControl", request.path);
  }
  return new DataView(returned.buffer).getUint32(0, true);
}

/** Mounts a volume (`\\?\Volume{guid}\`) at an empty folder. */
export function setVolumeMountPoint(host: Host, folder: string, volume: string): void {
  if (host.symbols(kernel32).SetVolumeMountPointW(folderForm(folder), folderForm(volume)) === 0) {
    throw lastError(host, "SetVolumeMountPointW", folder);
  }
}

/** Removes the mount point from a folder. The folder stays. */
export function deleteVolumeMountPoint(host: Host, folder: string): void {
  if (host.symbols(kernel32).DeleteVolumeMountPointW(folderForm(folder)) === 0) {
    throw lastError(host, "DeleteVolumeMountPointW", folder);
  }
}

/** Returns the volume mounted at a folder, in the form `\\?\Volume{guid}\`. */
export function volumeNameForMountPoint(host: Host, folder: string): string {
  const text = new Uint8Array(2 * VOLUME_NAME_UNITS);
  if (
    host.symbols(kernel32).GetVolumeNameForVolumeMountPointW(folderForm(folder), text, VOLUME_NAME_UNITS) === 0
  ) {
    throw lastError(host, "GetVolumeNameForVolumeMountPointW", folder);
  }
  return fromWide(text);
}

/** Returns the folders and drive letters at which a volume is mounted, none if there is no such volume. */
export function mountPointsOfVolume(host: Host, volume: string): string[] {
  const { GetVolumePathNamesForVolumeNameW } = host.symbols(kernel32);
  const needed = new Uint8Array(4);
  let units = 512;
  for (let attempt = 0; attempt < 4; attempt++) {
    const list = new Uint8Array(2 * units);
    if (GetVolumePathNamesForVolumeNameW(folderForm(volume), list, units, needed) !== 0) {
      return fromWideList(list);
    }
    const error = lastError(host, "GetVolumePathNamesForVolumeNameW", volume);
    if (isNotFound(error)) {
      return [];
    }
    if (error.win32 !== win32.ERROR_MORE_DATA) {
      throw error;
    }
    units = textLength("GetVolumePathNamesForVolumeNameW", new DataView(needed.buffer).getUint32(0, true));
  }
  throw errorOf(host, "GetVolumePathNamesForVolumeNameW", fromWin32(win32.ERROR_MORE_DATA), volume);
}

/** Returns all volumes, in the form `\\\\?\\Volume{guid}\\`: also those without drive letter. */
export function volumes(host: Host): string[] {
  const { FindFirstVolumeW, FindNextVolumeW, FindVolumeClose } = host.symbols(kernel32);
  const text = new Uint8Array(2 * VOLUME_NAME_UNITS);
  const find = FindFirstVolumeW(text, VOLUME_NAME_UNITS);
  if (find === INVALID_HANDLE) {
    throw lastError(host, "FindFirstVolumeW");
  }
  try {
    const found: string[] = [];
    do found.push(fromWide(text)); while (FindNextVolumeW(find, text, VOLUME_NAME_UNITS) !== 0);
    const error = lastError(host, "FindNextVolumeW");
    if (error.win32 !== win32.ERROR_NO_MORE_FILES) {
      throw error;
    }
    return found;
  } finally {
    FindVolumeClose(find);
  }
}

const FILE_SYSTEM_UNITS = 261;

/** Returns the name of the file system of a volume, such as `NTFS`. */
export function fileSystemOf(host: Host, volume: string): string {
  const name = new Uint8Array(2 * FILE_SYSTEM_UNITS);
  const { GetVolumeInformationW } = host.symbols(kernel32);
  if (GetVolumeInformationW(folderForm(volume), null, 0, null, null, null, name, FILE_SYSTEM_UNITS) === 0) {
    throw lastError(host, "GetVolumeInformationW", volume);
  }
  return fromWide(name);
}

const IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS = 0x00560000;
const EXTENTS = 8;
const EXTENT_BYTES = 24;

/**
 * Returns the N of the disk `\\\\.\\PhysicalDriveN` that a volume is on.
 *
 * @throws {NativeError} if it is on several disks, or on none that has a number.
 */
export function diskNumberOf(host: Host, volume: string): number {
  using device = openFile(host, volume.replace(/\\$/, ""));
  const output = new Uint8Array(EXTENTS + EXTENT_BYTES);
  deviceIoControl(host, device.value, { code: IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, output, path: volume });
  return new DataView(output.buffer).getUint32(EXTENTS, true);
}

const TIME_ZONE_BYTES = 172;
const ZONE_NAME_BYTES = 64;
const NO_TIME_ZONE = 0xffffffff;
const DATE_KEYS = ["Year", "Month", "DayOfWeek", "Day", "Hour", "Minute", "Second", "Milliseconds"] as const;

/**
 * Returns the time zone of the host.
 *
 * @throws {NativeError} if Windows can't tell it.
 */
export function timeZone(host: Host): TimeZoneInformation {
  const zone = new Uint8Array(TIME_ZONE_BYTES);
  if (host.symbols(kernel32).GetTimeZoneInformation(zone) === NO_TIME_ZONE) {
    throw lastError(host, "GetTimeZoneInformation");
  }
  const view = new DataView(zone.buffer);
  const nameAt = (at: number) => fromWide(zone.subarray(at, at + ZONE_NAME_BYTES));
  const dateAt = (at: number): TimeZoneDate =>
    present(Object.fromEntries(DATE_KEYS.map((key, i) => [key, view.getUint16(at + 2 * i, true)])));
  return present({
    Bias: view.getInt32(0, true),
    StandardName: nameAt(4),
    StandardDate: dateAt(68),
    StandardBias: view.getInt32(84, true),
    DaylightName: nameAt(88),
    DaylightDate: dateAt(152),
    DaylightBias: view.getInt32(168, true),
  });
}

/**
 * Throws if a function returned an error.
 *
 * @throws {NativeError} if the HRESULT `code` is negative, which marks an error.
 */
export function check(host: Host, fn: string, code: number, path?: string): void {
  if ((code | 0) < 0) {
    throw errorOf(host, fn, code, path);
  }
}

/** {@linkcode check} for a slow function, which may return a promise of its code. */
export async function checked(host: Host, fn: string, code: number | Promise<number>, path?: string): Promise<void> {
  check(host, fn, await noted(host, fn, path, code), path);
}
