/**
 * advapi32.dll: the registry, the privileges of the process, and the access lists of files.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { buffer, viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import { errorOf, type Handle, handleOf, kernel32, lastError } from "./kernel32.ts";
import { addressIn } from "./memory.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of advapi32.dll that are used. */
export const advapi32Symbols = {
  AdjustTokenPrivileges: {
    parameters: [
      "usize", /* HANDLE token */
      "i32", /* BOOL disable all */
      "buffer", /* TOKEN_PRIVILEGES* */
      "u32", /* DWORD size of the previous ones */
      "buffer", /* TOKEN_PRIVILEGES* previous */
      "buffer", /* PDWORD size needed */
    ],
    result: "i32", /* BOOL; the last error says whether all were set */
  },
  ConvertStringSidToSidW: { parameters: ["buffer", /* LPCWSTR */ "buffer" /* PSID* */], result: "i32" /* BOOL */ },
  GetSecurityInfo: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* SE_OBJECT_TYPE */
      "u32", /* SECURITY_INFORMATION */
      "buffer", /* PSID* owner, NULL */
      "buffer", /* PSID* group, NULL */
      "buffer", /* PACL* */
      "buffer", /* PACL* system list, NULL */
      "buffer", /* PSECURITY_DESCRIPTOR* that holds the list */
    ],
    result: "u32", /* DWORD */
  },
  LookupPrivilegeValueW: {
    parameters: ["buffer", /* LPCWSTR machine, NULL */ "buffer", /* LPCWSTR name */ "buffer" /* PLUID */],
    result: "i32", /* BOOL */
  },
  OpenProcessToken: {
    parameters: ["usize", /* HANDLE process */ "u32", /* DWORD access */ "buffer" /* PHANDLE */],
    result: "i32", /* BOOL */
  },
  RegGetValueW: {
    parameters: [
      "usize", /* HKEY */
      "buffer", /* LPCWSTR subkey */
      "buffer", /* LPCWSTR value */
      "u32", /* DWORD flags */
      "buffer", /* LPDWORD type, NULL */
      "buffer", /* PVOID data */
      "buffer", /* LPDWORD size of data */
    ],
    result: "i32", /* LSTATUS */
  },
  SetEntriesInAclW: {
    parameters: [
      "u32", /* ULONG entries */
      "buffer", /* EXPLICIT_ACCESS_W* */
      "usize", /* PACL old */
      "buffer", /* PACL* new */
    ],
    result: "u32", /* DWORD */
  },
  SetSecurityInfo: {
    parameters: [
      "usize", /* HANDLE */
      "u32", /* SE_OBJECT_TYPE */
      "u32", /* SECURITY_INFORMATION */
      "usize", /* PSID owner, NULL */
      "usize", /* PSID group, NULL */
      "usize", /* PACL */
      "usize", /* PACL system list, NULL */
    ],
    result: "u32", /* DWORD */
    // For a folder, it changes everything in it.
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** advapi32.dll. */
export const advapi32: Dll<typeof advapi32Symbols> = {
  file: "advapi32.dll",
  symbols: advapi32Symbols,
  remedy: "It is part of every Windows",
};

const HKEY_LOCAL_MACHINE = 0xffffffff80000002n;
const RRF_RT_REG_DWORD = 0x10;
const CURRENT_VERSION = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";

/** Returns the revision of the build of Windows (UBR), such as 2031. */
export function buildRevision(host: Host): number {
  const data = new Uint8Array(4);
  const size = new Uint8Array([4, 0, 0, 0]);
  const status = host.symbols(advapi32).RegGetValueW(
    HKEY_LOCAL_MACHINE,
    wide(CURRENT_VERSION),
    wide("UBR"),
    RRF_RT_REG_DWORD,
    null,
    data,
    size,
  );
  if (status !== 0) {
    throw errorOf(host, "RegGetValueW", fromWin32(status), `HKLM\\${CURRENT_VERSION}\\UBR`);
  }
  return new DataView(data.buffer).getUint32(0, true);
}

const TOKEN_ADJUST_PRIVILEGES = 0x20;
const TOKEN_QUERY = 0x8;
const SE_PRIVILEGE_ENABLED = 0x2;
const TOKEN_PRIVILEGES_BYTES = 16;

/** Opens the token of this process for changing its privileges. */
export function openProcessToken(host: Host): Handle {
  const token = new Uint8Array(8);
  const process = host.symbols(kernel32).GetCurrentProcess();
  if (host.symbols(advapi32).OpenProcessToken(process, TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, token) === 0) {
    throw lastError(host, "OpenProcessToken");
  }
  return handleOf(host, addressIn(token));
}

/** The state of one privilege, in the form that `AdjustTokenPrivileges` expects. */
export type PrivilegeState = Uint8Array<ArrayBuffer>;

/** Returns the state of an enabled privilege. */
export function enabledPrivilege(host: Host, name: string): PrivilegeState {
  const luid = new Uint8Array(8);
  if (host.symbols(advapi32).LookupPrivilegeValueW(null, wide(name), luid) === 0) {
    throw lastError(host, "LookupPrivilegeValueW", name);
  }
  const state = new Uint8Array(TOKEN_PRIVILEGES_BYTES);
  const view = new DataView(state.buffer);
  view.setUint32(0, 1, true);
  state.set(luid, 4);
  view.setUint32(12, SE_PRIVILEGE_ENABLED, true);
  return state;
}

/**
 * Sets the state of a privilege. Returns the state before, or `undefined` if it was the same.
 *
 * @throws {NativeError} with `ERROR_NOT_ALL_ASSIGNED` if the process doesn't have the privilege.
 */
export function setPrivilege(host: Host, token: bigint, state: PrivilegeState): PrivilegeState | undefined {
  const previous = new Uint8Array(TOKEN_PRIVILEGES_BYTES);
  const { AdjustTokenPrivileges } = host.symbols(advapi32);
  const succeeded = AdjustTokenPrivileges(token, 0, state, previous.byteLength, previous, new Uint8Array(4));
  // The function reports success even if it changed nothing because the process doesn't have the privilege.
  const error = lastError(host, "AdjustTokenPrivileges");
  if (succeeded === 0 || error.win32 === win32.ERROR_NOT_ALL_ASSIGNED) {
    throw error;
  }
  return new DataView(previous.buffer).getUint32(0, true) === 0 ? undefined : previous;
}

const SE_FILE_OBJECT = 1;
const DACL_SECURITY_INFORMATION = 4;
const GRANT_ACCESS = 1;
const GENERIC_READ = 0x80000000;
const SUB_CONTAINERS_AND_OBJECTS_INHERIT = 3;
const TRUSTEE_IS_WELL_KNOWN_GROUP = 5;
const EXPLICIT_ACCESS_BYTES = 48;

/** Lets a group read a file, or a folder with all that is or will be in it. `handle` needs `READ_CONTROL | WRITE_DAC`. */
export async function grantRead(
  host: Host,
  handle: bigint,
  { group, path, folder }: { group: string; path: string; folder: boolean },
): Promise<void> {
  const { ConvertStringSidToSidW, GetSecurityInfo, SetEntriesInAclW, SetSecurityInfo } = host.symbols(advapi32);
  const { LocalFree } = host.symbols(kernel32);
  using allocated = new DisposableStack();
  const out = () => allocated.adopt(new Uint8Array(8), (address) => void LocalFree(addressIn(address)));
  const checked = (fn: string, code: number) => {
    if (code !== 0) throw errorOf(host, fn, fromWin32(code), path);
  };
  const sid = out();
  if (ConvertStringSidToSidW(wide(group), sid) === 0) {
    throw lastError(host, "ConvertStringSidToSidW", group);
  }
  const list = new Uint8Array(8);
  checked(
    "GetSecurityInfo",
    GetSecurityInfo(handle, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, null, null, list, null, out()),
  );
  const entry = new Uint8Array(EXPLICIT_ACCESS_BYTES);
  const view = new DataView(entry.buffer);
  view.setUint32(0, GENERIC_READ, true);
  view.setUint32(4, GRANT_ACCESS, true);
  view.setUint32(8, folder ? SUB_CONTAINERS_AND_OBJECTS_INHERIT : 0, true);
  view.setUint32(32, TRUSTEE_IS_WELL_KNOWN_GROUP, true);
  view.setBigUint64(40, addressIn(sid), true);
  const longer = out();
  checked("SetEntriesInAclW", SetEntriesInAclW(1, entry, addressIn(list), longer));
  checked(
    "SetSecurityInfo",
    await SetSecurityInfo(handle, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, 0n, 0n, addressIn(longer), 0n),
  );
}

const ACL_BYTES = 8;
const ACE_HEADER_BYTES = 8;
const ACCESS_ALLOWED = 0;

/**
 * Returns whether the access list of an open file has an entry that allows something to a SID, given in its binary form.
 * `handle` needs `READ_CONTROL`.
 */
export function isAllowed(host: Host, handle: bigint, sid: Uint8Array, path: string): boolean {
  const { GetSecurityInfo } = host.symbols(advapi32);
  const { LocalFree, copyOut } = host.symbols(kernel32);
  using allocated = new DisposableStack();
  const descriptor = allocated.adopt(buffer(8), (address) => void LocalFree(addressIn(address)));
  const list = buffer(8);
  const code = GetSecurityInfo(handle, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, null, null, list, null, descriptor);
  if (code !== 0) throw errorOf(host, "GetSecurityInfo", fromWin32(code), path);
  // Without a list, everybody is allowed everything.
  if (addressIn(list) === 0n) return false;
  const header = buffer(ACL_BYTES);
  copyOut(header, addressIn(list), BigInt(ACL_BYTES));
  const entries = new Uint8Array(viewOf(header).getUint16(2, true));
  copyOut(entries, addressIn(list), BigInt(entries.byteLength));
  const view = viewOf(entries);
  for (let at = ACL_BYTES, size; at + ACE_HEADER_BYTES <= entries.byteLength; at += size) {
    size = view.getUint16(at + 2, true);
    if (size < ACE_HEADER_BYTES) break;
    const whose = entries.subarray(at + ACE_HEADER_BYTES, at + ACE_HEADER_BYTES + sid.byteLength);
    if (view.getUint8(at) === ACCESS_ALLOWED && sid.every((byte, i) => byte === whose[i])) return true;
  }
  return false;
}
