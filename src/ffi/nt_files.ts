/**
 * ntdll.dll: files by a path that is relative to an open folder, on which no link is followed.
 *
 * @module
 */

import { fromWin32 } from "../errors/codes.ts";
import { viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import {
  errorOf,
  functionsOf,
  type Handle,
  handleOf,
  INVALID_HANDLE,
  isNotFound,
  kernel32,
  lastError,
  longPath,
  share,
} from "./kernel32.ts";
import { addressIn, nativeCopy } from "./memory.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of ntdll.dll for files. */
export const ntFilesSymbols = {
  NtCreateFile: {
    parameters: [
      "buffer", /* PHANDLE */
      "u32", /* ACCESS_MASK */
      "buffer", /* OBJECT_ATTRIBUTES* */
      "buffer", /* IO_STATUS_BLOCK* */
      "buffer", /* LARGE_INTEGER* size, NULL */
      "u32", /* ULONG attributes */
      "u32", /* ULONG share */
      "u32", /* ULONG disposition */
      "u32", /* ULONG options */
      "buffer", /* PVOID extended attributes, NULL */
      "u32", /* ULONG their bytes */
    ],
    result: "i32", /* NTSTATUS */
  },
  NtSetInformationFile: {
    parameters: [
      "usize", /* HANDLE */
      "buffer", /* IO_STATUS_BLOCK* */
      "buffer", /* PVOID information */
      "u32", /* ULONG its bytes */
      "u32", /* FILE_INFORMATION_CLASS */
    ],
    result: "i32", /* NTSTATUS */
  },
  RtlNtStatusToDosError: { parameters: ["i32" /* NTSTATUS */], result: "u32" /* Win32 code */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** ntdll.dll, for files. */
export const ntFiles: Dll<typeof ntFilesSymbols> = {
  file: "ntdll.dll",
  symbols: ntFilesSymbols,
  remedy: "It is part of every Windows",
};

/** The functions of kernel32.dll that change files by their handles. */
export const fileChangeSymbols = {
  SetFileInformationByHandle: {
    parameters: [
      "usize",
      /* HANDLE */ "i32",
      /* class */ "buffer",
      /* LPVOID information */ "u32", /* DWORD its bytes */
    ],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** kernel32.dll, for changing files. */
export const fileChange: Dll<typeof fileChangeSymbols> = {
  file: "kernel32.dll",
  symbols: fileChangeSymbols,
  remedy: "It is part of every Windows",
};

/** Rights to files that programs which restore them need. */
export const restoreAccess = {
  READ: 0x80000000,
  DELETE: 0x00010000,
  LIST: 0x1,
  WRITE_ATTRIBUTES: 0x100,
  READ_ATTRIBUTES: 0x80,
  SYNCHRONIZE: 0x00100000,
  /** To read and write, with the access list, the owner and what is audited. */
  ALL: 0xc0000000 | 0x00040000 | 0x00080000 | 0x01000000,
} as const;

const DISPOSITION = { open: 1, create: 2 } as const;
const FILE_DIRECTORY_FILE = 0x1;
const FILE_SYNCHRONOUS_IO_NONALERT = 0x20;
const FILE_NON_DIRECTORY_FILE = 0x40;
const FILE_OPEN_FOR_BACKUP_INTENT = 0x4000;
const FILE_OPEN_REPARSE_POINT = 0x200000;
const OBJ_CASE_INSENSITIVE = 0x40;
const OBJ_DONT_REPARSE = 0x1000;

/** An open folder, to which paths are relative. */
export interface OpenRoot {
  readonly handle: Handle;
  /** Its path, for errors. */
  readonly path: string;
}

/** How a file is opened. */
export interface RelativeOpening {
  readonly access: number;
  readonly create?: boolean;
  /** Whether it is, or has to be, a folder or a file. Default: either. */
  readonly kind?: "folder" | "file";
}

/** Opens a folder by its path, to open others relative to it. Of a link, the folder itself. */
export function openRoot(host: Host, path: string): OpenRoot {
  const BACKUP_SEMANTICS_AND_REPARSE_POINT = 0x02200000;
  const prefixed = path.startsWith("\\\\") ? longPath(path) : `\\\\?\\${path}`;
  const access = (restoreAccess.LIST | restoreAccess.READ_ATTRIBUTES | restoreAccess.SYNCHRONIZE) >>> 0;
  const value = host.symbols(kernel32).CreateFileW(
    wide(prefixed),
    access,
    share.ALL,
    null,
    3,
    BACKUP_SEMANTICS_AND_REPARSE_POINT,
    0n,
  );
  if (value === INVALID_HANDLE) throw lastError(host, "CreateFileW", path);
  return { handle: handleOf(host, value), path };
}

/** Opens or creates what is at a path below an open folder. No link on the way is followed, and of one at its end, itself is opened. */
export function openRelative(
  host: Host,
  root: OpenRoot,
  path: string,
  { access, create, kind }: RelativeOpening,
): Handle {
  const units = wide(path);
  using text = nativeCopy(host, units);
  const name = new Uint8Array(16);
  const bytes = units.byteLength - 2;
  viewOf(name).setUint16(0, bytes, true);
  viewOf(name).setUint16(2, bytes, true);
  viewOf(name).setBigUint64(8, text.address, true);
  using named = nativeCopy(host, name);
  const attributes = new Uint8Array(48);
  const view = viewOf(attributes);
  view.setUint32(0, attributes.byteLength, true);
  view.setBigUint64(8, root.handle.value, true);
  view.setBigUint64(16, named.address, true);
  view.setUint32(24, OBJ_CASE_INSENSITIVE | OBJ_DONT_REPARSE, true);
  const out = new Uint8Array(8);
  const options = FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT | FILE_OPEN_REPARSE_POINT |
    (kind === "folder" ? FILE_DIRECTORY_FILE : kind === "file" ? FILE_NON_DIRECTORY_FILE : 0);
  const status = host.symbols(ntFiles).NtCreateFile(
    out,
    (access | restoreAccess.SYNCHRONIZE) >>> 0,
    attributes,
    new Uint8Array(16),
    null,
    0,
    create ? share.READ : share.ALL,
    create ? DISPOSITION.create : DISPOSITION.open,
    options,
    null,
    0,
  );
  if (status < 0) throw ntError(host, "NtCreateFile", status, `${root.path}\\${path}`);
  return handleOf(host, addressIn(out));
}

/** {@linkcode openRelative}, or undefined if there is nothing. */
export function findRelative(host: Host, root: OpenRoot, path: string, opening: RelativeOpening): Handle | undefined {
  try {
    return openRelative(host, root, path, opening);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function ntError(host: Host, fn: string, status: number, path: string) {
  return errorOf(host, fn, fromWin32(host.symbols(ntFiles).RtlNtStatusToDosError(status)), path);
}

const FILE_LINK_INFORMATION = 11;

/** Gives an open file one more name in an open folder. There must be nothing with that name. */
export function linkRelative(host: Host, file: Handle, folder: OpenRoot, name: string): void {
  const information = new Uint8Array(20 + 2 * name.length + 2);
  const view = viewOf(information);
  view.setBigUint64(8, folder.handle.value, true);
  view.setUint32(16, 2 * name.length, true);
  for (let i = 0; i < name.length; i++) view.setUint16(20 + 2 * i, name.charCodeAt(i), true);
  const { NtSetInformationFile } = host.symbols(ntFiles);
  const block = new Uint8Array(16);
  const status = NtSetInformationFile(file.value, block, information, information.byteLength, FILE_LINK_INFORMATION);
  if (status < 0) throw ntError(host, "NtSetInformationFile", status, `${folder.path}\\${name}`);
}

/** Times and attributes of a file. */
export interface BasicInfo {
  readonly creation: bigint;
  readonly access: bigint;
  readonly write: bigint;
  readonly change: bigint;
  /** 0 to leave them as they are. */
  readonly attributes: number;
}

const FILE_BASIC_INFO = 0;
const FILE_DISPOSITION_INFO_EX = 21;
const DELETE_AS_POSIX_ALSO_READ_ONLY = 0x1 | 0x2 | 0x10;

/** Sets times and attributes of an open file. A time of 0 stays as it is. */
export function setBasicInfo(host: Host, file: Handle, info: BasicInfo, path: string): void {
  const bytes = new Uint8Array(40);
  const view = viewOf(bytes);
  [info.creation, info.access, info.write, info.change].forEach((time, i) => view.setBigInt64(8 * i, time, true));
  view.setUint32(32, info.attributes, true);
  setInformation(host, file, FILE_BASIC_INFO, bytes, path);
}

/** Deletes an open file or empty folder, which is gone at once, although it is open. */
export function deleteOpen(host: Host, file: Handle, path: string): void {
  const flags = new Uint8Array(Uint32Array.of(DELETE_AS_POSIX_ALSO_READ_ONLY).buffer);
  setInformation(host, file, FILE_DISPOSITION_INFO_EX, flags, path);
}

function setInformation(host: Host, file: Handle, kind: number, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  const { SetFileInformationByHandle } = functionsOf(host, fileChange);
  if (SetFileInformationByHandle(file.value, kind, bytes, bytes.byteLength) === 0) {
    throw lastError(host, "SetFileInformationByHandle", path);
  }
}

/** What Windows tells of a file in a folder. */
export interface FolderEntry extends BasicInfo {
  readonly name: string;
  /** Length of its contents in bytes. */
  readonly size: number;
  /** Its number on its volume, the same for all names of a file. */
  readonly fileId: bigint;
}

const FILE_STANDARD_INFO = 1;
const FILE_ATTRIBUTE_TAG_INFO = 9;

/** Returns the attributes of an open file. */
export function attributesOfOpen(host: Host, file: Handle, path: string): number {
  return viewOf(information(host, file, FILE_ATTRIBUTE_TAG_INFO, 8, path)).getUint32(0, true);
}

/** Returns how long an open file is in bytes, and how many names it has. */
export function standardInfo(
  host: Host,
  file: Handle,
  path: string,
): { readonly size: number; readonly links: number } {
  const view = viewOf(information(host, file, FILE_STANDARD_INFO, 24, path));
  return { size: Number(view.getBigInt64(8, true)), links: view.getUint32(16, true) };
}

function information(host: Host, file: Handle, kind: number, size: number, path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  if (host.symbols(kernel32).GetFileInformationByHandleEx(file.value, kind, bytes, size) === 0) {
    throw lastError(host, "GetFileInformationByHandleEx", path);
  }
  return bytes;
}

const FILE_ID_BOTH_DIRECTORY_INFO = 10;
const FILE_ID_BOTH_DIRECTORY_RESTART_INFO = 11;
const LISTED_BYTES = 65536;
const ERROR_NO_MORE_FILES = 18;

/** Returns what is in an open folder, which has to be opened with {@linkcode restoreAccess.LIST}. */
export function* listOpen(host: Host, folder: Handle, path: string): Generator<FolderEntry, void> {
  const { GetFileInformationByHandleEx, GetLastError } = host.symbols(kernel32);
  const bytes = new Uint8Array(LISTED_BYTES);
  const view = viewOf(bytes);
  for (let kind = FILE_ID_BOTH_DIRECTORY_RESTART_INFO;; kind = FILE_ID_BOTH_DIRECTORY_INFO) {
    if (GetFileInformationByHandleEx(folder.value, kind, bytes, LISTED_BYTES) === 0) {
      const code = GetLastError();
      if (code === ERROR_NO_MORE_FILES) return;
      throw errorOf(host, "GetFileInformationByHandleEx", fromWin32(code), path);
    }
    for (let at = 0, next = -1; next !== 0; at += next) {
      next = view.getUint32(at, true);
      const length = view.getUint32(at + 60, true);
      const name = String.fromCharCode(
        ...Array.from({ length: length / 2 }, (_, i) => view.getUint16(at + 104 + 2 * i, true)),
      );
      if (name === "." || name === "..") continue;
      yield {
        name,
        creation: view.getBigInt64(at + 8, true),
        access: view.getBigInt64(at + 16, true),
        write: view.getBigInt64(at + 24, true),
        change: view.getBigInt64(at + 32, true),
        size: Number(view.getBigInt64(at + 40, true)),
        attributes: view.getUint32(at + 56, true),
        fileId: view.getBigUint64(at + 96, true),
      };
    }
  }
}
