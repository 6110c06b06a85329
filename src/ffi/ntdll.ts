/**
 * ntdll.dll: the true version of Windows, no matter what a program's manifest says, and who may do what. Other DLLs tell that
 * as well, for which scripts would need another grant.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "./host.ts";
import { errorOf, handleOf, kernel32 } from "./kernel32.ts";
import { addressIn } from "./memory.ts";
import { type Security, securityIn, sidAt } from "./security.ts";
import type { Dll } from "./table.ts";

/** The functions of ntdll.dll that are used. */
export const ntdllSymbols = {
  NtOpenProcessToken: {
    parameters: ["usize", /* HANDLE process */ "u32", /* ACCESS_MASK */ "buffer" /* PHANDLE */],
    result: "i32", /* NTSTATUS */
  },
  NtQueryInformationToken: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* TOKEN_INFORMATION_CLASS */
      "buffer", /* PVOID information */
      "u32", /* ULONG size of information */
      "buffer", /* PULONG size needed */
    ],
    result: "i32", /* NTSTATUS */
  },
  NtQuerySecurityObject: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* SECURITY_INFORMATION */
      "buffer", /* PSECURITY_DESCRIPTOR */
      "u32", /* ULONG size of the descriptor */
      "buffer", /* PULONG size needed */
    ],
    result: "i32", /* NTSTATUS */
  },
  NtQuerySystemInformation: {
    parameters: [
      "u32", /* SYSTEM_INFORMATION_CLASS */
      "buffer", /* PVOID information */
      "u32", /* ULONG size of information */
      "buffer", /* PULONG size needed */
    ],
    result: "i32", /* NTSTATUS */
  },
  RtlGetVersion: { parameters: ["buffer" /* OSVERSIONINFOEXW* */], result: "i32" /* NTSTATUS */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** ntdll.dll. */
export const ntdll: Dll<typeof ntdllSymbols> = {
  file: "ntdll.dll",
  symbols: ntdllSymbols,
  remedy: "It is part of every Windows",
};

/** Returns the build number of Windows, such as 20348. */
export function buildNumber(host: Host): number {
  const info = new DataView(new ArrayBuffer(284));
  info.setUint32(0, info.byteLength, true);
  const status = host.symbols(ntdll).RtlGetVersion(new Uint8Array(info.buffer));
  if (status < 0) {
    throw errorOf(host, "RtlGetVersion", status);
  }
  return info.getUint32(12, true);
}

const SYSTEM_TIME_OF_DAY_INFORMATION = 3;

/**
 * Returns when Windows was started, in units of 100 ns since 1601: what the clock showed then, without what it was set by since.
 * Two answers during one boot can differ by seconds.
 *
 * @throws {NativeError} if Windows refuses.
 */
export function bootTime(host: Host): bigint {
  // SYSTEM_TIMEOFDAY_INFORMATION: the time of the boot, at 32 what it moved by when the clock was set.
  const bytes = new Uint8Array(48);
  const { NtQuerySystemInformation } = host.symbols(ntdll);
  const status = NtQuerySystemInformation(SYSTEM_TIME_OF_DAY_INFORMATION, bytes, bytes.byteLength, new Uint8Array(4));
  if (status < 0) throw errorOf(host, "NtQuerySystemInformation", status);
  const view = new DataView(bytes.buffer);
  return view.getBigInt64(0, true) - view.getBigInt64(32, true);
}

const OWNER_AND_LIST = 0x1 | 0x4;
const BYTES = 65536;

/**
 * Returns who owns an open file or folder, and who may do what with it.
 *
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if the result makes no sense.
 */
export function securityOf(host: Host, handle: bigint, path: string): Security {
  const bytes = new Uint8Array(BYTES);
  const status = host.symbols(ntdll).NtQuerySecurityObject(handle, OWNER_AND_LIST, bytes, BYTES, new Uint8Array(4));
  if (status < 0) throw errorOf(host, "NtQuerySecurityObject", status, path);
  return meant("NtQuerySecurityObject", path, () => securityIn(bytes));
}

// What points out of its buffer.
function meant<T>(operation: string, answer: unknown, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new UnexpectedAnswerError(operation, "makes no sense", answer, { cause });
  }
}

const TOKEN_QUERY = 0x8;
const TOKEN_USER = 1;
// Behind the pointer to it.
const SID_AT = 16;

/**
 * Returns the SID of the user as whom this process runs.
 *
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if the result makes no sense.
 */
export function currentUser(host: Host): string {
  const { NtOpenProcessToken, NtQueryInformationToken } = host.symbols(ntdll);
  const opened = new Uint8Array(8);
  const status = NtOpenProcessToken(host.symbols(kernel32).GetCurrentProcess(), TOKEN_QUERY, opened);
  if (status < 0) throw errorOf(host, "NtOpenProcessToken", status);
  using token = handleOf(host, addressIn(opened));
  const bytes = new Uint8Array(256);
  const queried = NtQueryInformationToken(token.value, TOKEN_USER, bytes, bytes.byteLength, new Uint8Array(4));
  if (queried < 0) throw errorOf(host, "NtQueryInformationToken", queried);
  return meant("NtQueryInformationToken", bytes, () => sidAt(bytes, SID_AT));
}
