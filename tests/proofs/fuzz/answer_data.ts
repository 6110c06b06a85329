/**
 * Answers of Windows that somebody has thought of, and of what others are made.
 *
 * @module
 */

import { wide } from "../../../src/ffi/wide.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What a function answers instead: changes what is behind its arguments, and returns another result. */
export type Odd = (args: readonly unknown[], result: unknown) => unknown;

/** Texts that Windows wouldn't return, in place of paths and volumes. */
export const TEXTS: readonly string[] = [
  "",
  " ",
  "x",
  "..",
  "C:",
  "C:\\",
  "C:\\Windows\\System32",
  "C:\\data",
  "C:\\scratches\\ours\\..\\theirs",
  "C:\\mnt\\*",
  "C:\\NUL",
  "C:\\data\\theirs.txt:stream",
  "\\\\",
  "\\\\?\\",
  "\\\\?\\Volume{}\\",
  "\\\\?\\Volume{not a guid}\\",
  "\\\\?\\Volume{deadbeef-0000-0000-0000-000000000000}",
  "\\\\?\\Volume{deadbeef-0000-0000-0000-000000000000}\\",
  "\\\\?\\Volume{deadbeef-0000-0000-0000-000000000000}\\x",
  "\\\\?\\Volume{DEADBEEF-0000-0000-0000-000000000000}\\",
  "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume1",
  "\\\\.\\PhysicalDrive0",
  "\\\\server\\share\\x",
  "\u001b[2J\r\n",
  "\ud800",
  "\uffff",
  "x".repeat(10_000),
];

/** Numbers that make no sense as a count, a size, a result or a handle. */
export const NUMBERS: readonly number[] = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** Results of functions that return an HRESULT or an NTSTATUS. */
export const STATUSES: readonly number[] = [1, 0x7fffffff, 0x8badf00d, 0xffffffff, 0x80000000, 0xc0000001, 0xc0370106];

/** What a function writes where. */
export interface Out {
  /** The parameters that it fills with a struct. */
  readonly structs?: readonly number[];
  /** The parameter that it fills with a text. */
  readonly text?: number;
  /** The parameters that it fills with a number of 4 bytes. */
  readonly counts?: readonly number[];
  /** What kind of result it has. */
  readonly result?: "bool" | "status" | "number";
}

/** What the functions write where that a mount on the host and a release call. */
export const OUT: Readonly<Record<string, Out>> = {
  GetFinalPathNameByHandleW: { text: 1, result: "number" },
  GetVolumeNameForVolumeMountPointW: { text: 1, result: "bool" },
  GetVolumePathNamesForVolumeNameW: { text: 1, counts: [3], result: "bool" },
  GetEnvironmentVariableW: { text: 1, result: "number" },
  GetLayerMountPath: { text: 3, structs: [2], result: "status" },
  GetFileInformationByHandleEx: { structs: [2], result: "bool" },
  GetDiskFreeSpaceExW: { structs: [2, 3], result: "bool" },
  GetFileSizeEx: { structs: [1], result: "bool" },
  ReadFile: { structs: [1], counts: [3], result: "bool" },
  WriteFile: { counts: [3], result: "bool" },
  FindFirstFileW: { structs: [1] },
  FindNextFileW: { structs: [1], result: "bool" },
  GetProcessTimes: { structs: [1, 2], result: "bool" },
  GetSystemTimeAsFileTime: { structs: [0] },
  NtQuerySecurityObject: { structs: [2], counts: [4], result: "status" },
  NtQueryInformationToken: { structs: [2], counts: [4], result: "status" },
  RtlGetVersion: { structs: [0], result: "status" },
  NameToGuid: { structs: [1], result: "status" },
  DeviceIoControl: { structs: [4], counts: [6], result: "bool" },
  GetFileAttributesW: { result: "number" },
  GetLastError: { result: "number" },
  GetCurrentProcessId: { result: "number" },
  WaitForSingleObject: { result: "number" },
  FormatMessageW: { text: 4, result: "number" },
  ...Object.fromEntries(
    ["CreateDirectoryW", "DeleteFileW", "RemoveDirectoryW", "SetVolumeMountPointW", "DeleteVolumeMountPointW"]
      .concat("FlushFileBuffers", "LockFileEx", "UnlockFileEx").map((fn) => [fn, { result: "bool" }]),
  ),
  ...Object.fromEntries(
    ["ActivateLayer", "DeactivateLayer", "PrepareLayer", "UnprepareLayer", "CimMountImage", "CimDismountImage"]
      .concat("HcsAttachOverlayFilter", "HcsDetachOverlayFilter").map((fn) => [fn, { result: "status" }]),
  ),
};

/** Writes a text without a NUL behind it if it doesn't fit. */
export const text = (at: number, value: string): Odd => (args, result) => {
  const out = args[at] as Bytes | null;
  if (out === null) return result;
  const bytes = wide(value);
  out.fill(0);
  out.set(bytes.subarray(0, out.byteLength));
  return result;
};

/** Fills a struct with a byte. */
export const filled = (at: number, byte: number): Odd => (args, result) => {
  (args[at] as Bytes | null)?.fill(byte);
  return result;
};

/** Writes a number into a struct. */
export const number = (at: number, offset: number, value: number): Odd => (args, result) => {
  const out = args[at] as Bytes | null;
  if (out !== null) new DataView(out.buffer, out.byteOffset).setUint32(offset, value, true);
  return result;
};

/** Returns another result. */
export const result = (value: unknown): Odd => () => value;

const each = (...odds: readonly Odd[]): Odd => (args, value) => odds.reduce((last, odd) => odd(args, last), value);

const find = (name: string, attributes: number): Odd => (args, value) => {
  const out = args[1] as Bytes;
  out.fill(0, 44);
  out.set(wide(name), 44);
  return number(1, 0, attributes)(args, value);
};

const LARGE = 0x7fffffff;

/** Functions, and what they answer. */
export const ANSWERS: readonly (readonly [what: string, fn: string, odd: Odd])[] = [
  ["a path of zeros", "GetFinalPathNameByHandleW", filled(1, 0)],
  ["a path without an end", "GetFinalPathNameByHandleW", filled(1, 0x41)],
  ["a path that always needs more room", "GetFinalPathNameByHandleW", (args) => (args[2] as number) + 1],
  ["a path of 2^31 units", "GetFinalPathNameByHandleW", result(LARGE)],
  ["a path of 2^32 units", "GetFinalPathNameByHandleW", result(0xffffffff)],
  ["a path of no units", "GetFinalPathNameByHandleW", result(0)],
  ...["", "C:\\", "\\\\?\\C:\\data", "\\\\?\\Volume{x}\\", "\\\\?\\UNC\\server\\share\\x", "x", "\\\\?\\"].map((path) =>
    [`the path ${path}`, "GetFinalPathNameByHandleW", text(1, path)] as const
  ),
  ["a volume of zeros", "GetVolumeNameForVolumeMountPointW", filled(1, 0)],
  ["a volume without an end", "GetVolumeNameForVolumeMountPointW", filled(1, 0x41)],
  ...["x", "C:\\", "\\\\?\\Volume{x}\\", "\\\\?\\Volume{deadbeef-0000-0000-0000-000000000000}"].map((volume) =>
    [`the volume ${volume}`, "GetVolumeNameForVolumeMountPointW", text(1, volume)] as const
  ),
  ["mount points without an end", "GetVolumePathNamesForVolumeNameW", filled(1, 0x41)],
  ["no mount points", "GetVolumePathNamesForVolumeNameW", filled(1, 0)],
  ["a mount point that is relative", "GetVolumePathNamesForVolumeNameW", text(1, "mnt\\x")],
  ["a mount point that is a folder of others", "GetVolumePathNamesForVolumeNameW", text(1, "C:\\empty\\")],
  ["a mount point that is a drive", "GetVolumePathNamesForVolumeNameW", text(1, "C:\\")],
  ["a mount point of somebody else", "GetVolumePathNamesForVolumeNameW", text(1, "C:\\mnt\\theirs\\")],
  ["a mount point that is a device", "GetVolumePathNamesForVolumeNameW", text(1, "\\\\.\\PhysicalDrive0\\")],
  ["mount points that need 2^31 units", "GetVolumePathNamesForVolumeNameW", each(number(3, 0, LARGE), result(0))],
  ["mount points that need no units", "GetVolumePathNamesForVolumeNameW", each(number(3, 0, 0), result(0))],
  ["a layer's path of zeros", "GetLayerMountPath", filled(3, 0)],
  ["a layer's path without an end", "GetLayerMountPath", filled(3, 0x41)],
  ["a layer's path of no units", "GetLayerMountPath", filled(2, 0)],
  ["a layer's path of one unit", "GetLayerMountPath", number(2, 0, 1)],
  ["a layer's path of 2^31 units", "GetLayerMountPath", number(2, 0, LARGE)],
  ["a layer's path of 2^63 units", "GetLayerMountPath", filled(2, 0x7f)],
  ["a layer's path of 2^64 units", "GetLayerMountPath", filled(2, 0xff)],
  ...["", "x", "C:\\scratches\\mine", "\\\\?\\Volume{x}\\", "\\\\?\\Volume{x}", "\\\\?\\C:\\"].map((path) =>
    [`the layer's path ${path}`, "GetLayerMountPath", text(3, path)] as const
  ),
  ["a layer's path that is 1 in place of a success", "GetLayerMountPath", result(1)],
  ["an id of zeros", "GetFileInformationByHandleEx", filled(2, 0)],
  ["an id of ones", "GetFileInformationByHandleEx", filled(2, 0xff)],
  ["a volume of no bytes", "GetDiskFreeSpaceExW", each(filled(2, 0), filled(3, 0))],
  ["a volume of 2^64 bytes", "GetDiskFreeSpaceExW", each(filled(2, 0xff), filled(3, 0xff))],
  ["more free than there is", "GetDiskFreeSpaceExW", each(filled(2, 0), filled(3, 0xff))],
  ["a file of -1 bytes", "GetFileSizeEx", filled(1, 0xff)],
  ["a file of no bytes", "GetFileSizeEx", filled(1, 0)],
  ["a read of 2^32 bytes", "ReadFile", number(3, 0, 0xffffffff)],
  [
    "a read of one byte more than there is room for",
    "ReadFile",
    (args, value) => number(3, 0, (args[2] as number) + 1)(args, value),
  ],
  ["a read that never comes to an end", "ReadFile", (args, value) => number(3, 0, args[2] as number)(args, value)],
  ["a read of no bytes", "ReadFile", number(3, 0, 0)],
  ["a read of zeros", "ReadFile", filled(1, 0)],
  ["a read of ones", "ReadFile", filled(1, 0xff)],
  ["a write of no bytes", "WriteFile", number(3, 0, 0)],
  ["a write of half of the bytes", "WriteFile", (args, value) => number(3, 0, (args[2] as number) >> 1)(args, value)],
  ["a write of more bytes", "WriteFile", number(3, 0, 0xffffffff)],
  ["an entry without a name", "FindFirstFileW", find("", 0x20)],
  ["an entry whose name has no end", "FindFirstFileW", filled(1, 0x41)],
  ...["..\\..\\data", "C:\\data", "*", "con", "x:stream", "\u001b[2J", ".jsonl", "..jsonl", "\ud800", "a/b"].map((
    name,
  ) => [`an entry of the name ${JSON.stringify(name)}`, "FindFirstFileW", find(name, 0x20)] as const),
  ["a record that is a device", "FindFirstFileW", find("NUL.jsonl", 0x20)],
  ["a record outside the folder", "FindFirstFileW", find("..\\..\\..\\data\\x.jsonl", 0x20)],
  ["an entry with all attributes", "FindFirstFileW", find("x.jsonl", 0xffffffff)],
  ["entries without an end", "FindNextFileW", result(1)],
  ["no environment", "GetEnvironmentVariableW", result(0)],
  ["a variable of 2^32 units", "GetEnvironmentVariableW", result(0xffffffff)],
  ["a variable without an end", "GetEnvironmentVariableW", filled(1, 0x41)],
  ...["", "x", "..\\x", "\\\\server\\share", "\\\\.\\PhysicalDrive0", "C:\\data\\theirs.txt"].map((folder) =>
    [`the folder ${folder} of what programs keep`, "GetEnvironmentVariableW", text(1, folder)] as const
  ),
  ["a start of zero", "GetProcessTimes", filled(1, 0)],
  ["a start in the far future", "GetProcessTimes", filled(1, 0xff)],
  ["a time of zero", "GetSystemTimeAsFileTime", filled(0, 0)],
  ["a time in the far future", "GetSystemTimeAsFileTime", filled(0, 0xff)],
  ["a negative time", "GetSystemTimeAsFileTime", filled(0, 0x80)],
  ["a descriptor of zeros", "NtQuerySecurityObject", filled(2, 0)],
  ["a descriptor of ones", "NtQuerySecurityObject", filled(2, 0xff)],
  ["a descriptor with an owner outside it", "NtQuerySecurityObject", number(2, 4, 0xfffffff0)],
  ["a descriptor with an owner at its end", "NtQuerySecurityObject", number(2, 4, 65534)],
  ["a descriptor with a list outside it", "NtQuerySecurityObject", number(2, 16, 0xfffffff0)],
  ["a descriptor with a list in its header", "NtQuerySecurityObject", number(2, 16, 1)],
  ["a descriptor without a list", "NtQuerySecurityObject", number(2, 16, 0)],
  ["a descriptor with 65,535 entries", "NtQuerySecurityObject", (args, value) => {
    const out = args[2] as Bytes;
    const view = new DataView(out.buffer, out.byteOffset);
    view.setUint16(view.getUint32(16, true) + 4, 0xffff, true);
    return value;
  }],
  ["a user of zeros", "NtQueryInformationToken", filled(2, 0)],
  ["a user of ones", "NtQueryInformationToken", filled(2, 0xff)],
  ["a build of zero", "RtlGetVersion", filled(0, 0)],
  ["a build of 2^32", "RtlGetVersion", filled(0, 0xff)],
  ["a layer's id of zeros", "NameToGuid", filled(1, 0)],
  ["a layer's id of ones", "NameToGuid", filled(1, 0xff)],
  ["a link of zeros", "DeviceIoControl", filled(4, 0)],
  ["a link of ones", "DeviceIoControl", filled(4, 0xff)],
  ["a link of 2^32 bytes", "DeviceIoControl", number(6, 0, 0xffffffff)],
  ["attributes of zero", "GetFileAttributesW", result(0)],
  ["attributes that are all set but one", "GetFileAttributesW", result(0xfffffffe)],
  ["attributes of a link", "GetFileAttributesW", result(0x410)],
  ["attributes of a file", "GetFileAttributesW", result(0x20)],
  ["an error that nobody knows", "GetLastError", result(0xdeadbeef)],
  ["no error", "GetLastError", result(0)],
  ["the process 2^32", "GetCurrentProcessId", result(0xffffffff)],
  ["the process 0", "GetCurrentProcessId", result(0)],
  ["a wait that failed", "WaitForSingleObject", result(0xffffffff)],
  ["a wait for what was given up", "WaitForSingleObject", result(0x80)],
  ["a message without an end", "FormatMessageW", filled(4, 0x41)],
  ["a message that controls the terminal", "FormatMessageW", text(4, "\u001b[2J")],
  ["a disk that is attached with a status nobody knows", "ActivateLayer", result(0x7fffffff)],
  ["a disk that is attached with an error nobody knows", "ActivateLayer", result(0x8badf00d | 0)],
  ["a disk that is detached with a status nobody knows", "DeactivateLayer", result(1)],
  ["a disk that is detached with an error nobody knows", "DeactivateLayer", result(0x8badf00d | 0)],
  ["a filter with an error nobody knows", "PrepareLayer", result(0x8badf00d | 0)],
  ["no filter with an error nobody knows", "UnprepareLayer", result(0x8badf00d | 0)],
];
