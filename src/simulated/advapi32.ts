/**
 * advapi32.dll, simulated: the registry, privileges, access lists.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { allocateAccessList, readAccessList } from "./access_list.ts";
import {
  big,
  BOOL,
  buffer,
  type Decoder,
  define,
  number,
  type OpenHandle,
  optionalBuffer,
  optionalText,
  type Process,
  put32,
  put64,
  type SimulatedDll,
  text,
  viewOf,
  WIN32,
  win32Failure,
} from "./call.ts";
import type { FileHandle } from "./kernel32.ts";
import { SimulationError, unknown } from "./simulation_error.ts";

// The names in winnt.h in the order of their LUIDs, without SeUnsolicitedInputPrivilege, which no Windows has any more.
const PRIVILEGES = [
  "SeCreateTokenPrivilege",
  "SeAssignPrimaryTokenPrivilege",
  "SeLockMemoryPrivilege",
  "SeIncreaseQuotaPrivilege",
  "SeMachineAccountPrivilege",
  "SeTcbPrivilege",
  "SeSecurityPrivilege",
  "SeTakeOwnershipPrivilege",
  "SeLoadDriverPrivilege",
  "SeSystemProfilePrivilege",
  "SeSystemtimePrivilege",
  "SeProfileSingleProcessPrivilege",
  "SeIncreaseBasePriorityPrivilege",
  "SeCreatePagefilePrivilege",
  "SeCreatePermanentPrivilege",
  "SeBackupPrivilege",
  "SeRestorePrivilege",
  "SeShutdownPrivilege",
  "SeDebugPrivilege",
  "SeAuditPrivilege",
  "SeSystemEnvironmentPrivilege",
  "SeChangeNotifyPrivilege",
  "SeRemoteShutdownPrivilege",
  "SeUndockPrivilege",
  "SeSyncAgentPrivilege",
  "SeEnableDelegationPrivilege",
  "SeManageVolumePrivilege",
  "SeImpersonatePrivilege",
  "SeCreateGlobalPrivilege",
  "SeTrustedCredManAccessPrivilege",
  "SeRelabelPrivilege",
  "SeIncreaseWorkingSetPrivilege",
  "SeTimeZonePrivilege",
  "SeCreateSymbolicLinkPrivilege",
  "SeDelegateSessionUserImpersonatePrivilege",
];
const FIRST_LUID = 2;
// The default rights of a server don't give these to Administrators. The others they have, disabled at first, except for three.
const NOT_HELD = new Set([
  "SeCreateTokenPrivilege",
  "SeAssignPrimaryTokenPrivilege",
  "SeLockMemoryPrivilege",
  "SeMachineAccountPrivilege",
  "SeTcbPrivilege",
  "SeCreatePermanentPrivilege",
  "SeAuditPrivilege",
  "SeSyncAgentPrivilege",
  "SeEnableDelegationPrivilege",
  "SeTrustedCredManAccessPrivilege",
  "SeRelabelPrivilege",
]);
const ENABLED_AT_FIRST = ["SeChangeNotifyPrivilege", "SeImpersonatePrivilege", "SeCreateGlobalPrivilege"];
const ENABLED = 2;
const ERROR_NO_SUCH_PRIVILEGE = 1313;
const WRITE_DAC = 0x40000;
const READ_CONTROL = 0x20000;
const GRANT_ACCESS = 1;
// TRUSTEE_FORM and TRUSTEE_TYPE in accctrl.h.
const TRUSTEE_IS_SID = 0;
const MOST_TRUSTEE_TYPE = 8;
const SE_FILE_OBJECT = 1;
const DACL_SECURITY_INFORMATION = 4;
const TOKEN_ADJUST_AND_QUERY = 0x28;
const HKEY_LOCAL_MACHINE = 0xffffffff80000002n;
const CURRENT_VERSION = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";
const RRF_RT_REG_DWORD = 0x10;

const enabled = new WeakMap<Process, Set<string>>();

interface AccessEntry {
  readonly mask: number;
  readonly mode: number;
  readonly inheritance: number;
  readonly sid: string;
}

const CONTAINERS_AND_OBJECTS_INHERIT = 3;

const accessEntry: Decoder<AccessEntry> = (raw, memory) => {
  const bytes = raw as Uint8Array;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [multiple, form, type] = [view.getBigUint64(16, true), view.getUint32(28, true), view.getUint32(32, true)];
  if (multiple !== 0n || form !== TRUSTEE_IS_SID || type > MOST_TRUSTEE_TYPE) {
    throw new SimulationError(`an entry for an access list is for no single SID: form ${form}, type ${type}`);
  }
  return {
    mask: view.getUint32(0, true),
    mode: view.getUint32(4, true),
    inheritance: view.getUint32(8, true),
    sid: memory.readWide(view.getBigUint64(40, true)),
  };
};

/** Returns the privileges of a process that are enabled. */
export function enabledPrivileges(process: Process): Set<string> {
  let names = enabled.get(process);
  if (names === undefined) {
    enabled.set(process, names = new Set());
  }
  return names;
}

/** advapi32.dll. */
export const advapi32Functions: SimulatedDll = {
  AdjustTokenPrivileges: define(
    BOOL,
    { token: big, disableAll: number, state: buffer, size: number, previous: buffer, needed: buffer },
    ({ process }, { token, disableAll, state, size, previous }) => {
      process.handles.get<OpenHandle>(token, "token");
      if (size < 16) unknown("adjusting privileges without a buffer for the previous state");
      if (disableAll !== 0) unknown("disabling all privileges");
      const view = viewOf(state);
      if (view.getUint32(0, true) !== 1) unknown("adjusting several privileges at once");
      const name = PRIVILEGES[view.getUint32(4, true) - FIRST_LUID]!;
      put32(previous, 0);
      process.lastError = NOT_HELD.has(name) ? win32.ERROR_NOT_ALL_ASSIGNED : 0;
      if (NOT_HELD.has(name)) return;
      const names = enabledPrivileges(process);
      const was = names.has(name);
      const enable = (view.getUint32(12, true) & ENABLED) !== 0;
      if (ENABLED_AT_FIRST.includes(name)) {
        if (enable) return;
        unknown(`disabling ${name}`);
      }
      if (was === enable) return;
      previous.set(state.subarray(0, 12));
      put32(previous.subarray(12), was ? ENABLED : 0);
      if (enable) names.add(name);
      else names.delete(name);
    },
  ),

  // SIDs are stored as text.
  ConvertStringSidToSidW: define(BOOL, { text, sid: buffer }, ({ process }, { text, sid }) => {
    put64(sid, process.memory.allocateWide(text));
  }),

  GetSecurityInfo: define(
    WIN32,
    {
      handle: big,
      type: number,
      what: number,
      owner: optionalBuffer,
      group: optionalBuffer,
      list: buffer,
      systemList: optionalBuffer,
      descriptor: buffer,
    },
    ({ windows, process }, { handle, type, what, list, descriptor }) => {
      const { target, access } = process.handles.get<FileHandle>(handle, "file");
      requireFileAccessList(type, what);
      if ((access & READ_CONTROL) === 0) throw win32Failure(win32.ERROR_ACCESS_DENIED);
      const { grants = [], inherited = [] } = windows.existing(target, "stay");
      const address = allocateAccessList(process.memory, { grants, inherited });
      put64(descriptor, address);
      put64(list, address);
    },
  ),

  LookupPrivilegeValueW: define(
    BOOL,
    { machine: optionalText, name: text, luid: buffer },
    (_, { machine, name, luid }) => {
      if (machine !== null) unknown(`looking for a privilege on another machine: ${machine}`);
      const at = PRIVILEGES.indexOf(name);
      if (at < 0) throw win32Failure(ERROR_NO_SUCH_PRIVILEGE);
      put32(luid, FIRST_LUID + at);
    },
  ),

  OpenProcessToken: define(BOOL, { process: big, access: number, token: buffer }, ({ process }, { access, token }) => {
    if (access !== TOKEN_ADJUST_AND_QUERY) unknown(`opening a token with access ${access}`);
    put64(token, process.handles.open({ type: "token", target: "the token of the process" }));
  }),

  RegGetValueW: define(
    WIN32,
    { key: big, subKey: text, value: text, flags: number, type: optionalBuffer, data: buffer, size: buffer },
    ({ windows }, { key, subKey, value, flags, data, size }) => {
      if (BigInt.asUintN(64, key) !== HKEY_LOCAL_MACHINE || flags !== RRF_RT_REG_DWORD) {
        unknown(`reading key ${key} of the registry with flags ${flags}`);
      }
      if (subKey.toLowerCase() !== CURRENT_VERSION.toLowerCase()) throw win32Failure(win32.ERROR_FILE_NOT_FOUND);
      if (value !== "UBR") throw win32Failure(2);
      put32(data, windows.state.revision);
      put32(size, 4);
    },
  ),

  SetEntriesInAclW: define(
    WIN32,
    { count: number, entry: accessEntry, oldList: big, newList: buffer },
    ({ process }, { count, entry, oldList, newList }) => {
      if (count !== 1 || entry.mode !== GRANT_ACCESS) unknown("changing an access list by anything but one grant");
      if (entry.mask === 0) unknown("granting no access");
      const { grants, inherited } = readAccessList(process.memory, oldList);
      const who = entry.sid.toLowerCase();
      const isInherited = (entry.inheritance & CONTAINERS_AND_OBJECTS_INHERIT) === CONTAINERS_AND_OBJECTS_INHERIT;
      const address = allocateAccessList(process.memory, {
        grants: [...new Set([...grants, who])],
        inherited: isInherited ? [...new Set([...inherited, who])] : inherited,
      });
      put64(newList, address);
    },
  ),

  SetSecurityInfo: define(
    WIN32,
    { handle: big, type: number, what: number, owner: big, group: big, list: big, systemList: big },
    ({ windows, process }, { handle, type, what, owner, group, list, systemList }) => {
      requireFileAccessList(type, what);
      if (owner !== 0n || group !== 0n || systemList !== 0n) unknown("changing the owner of a file");
      const { target, access } = process.handles.get<FileHandle>(handle, "file");
      if ((access & WRITE_DAC) === 0) throw win32Failure(win32.ERROR_ACCESS_DENIED);
      const { grants, inherited } = readAccessList(process.memory, list);
      windows.setGrants(target, grants, inherited);
    },
  ),
};

function requireFileAccessList(type: number, what: number): void {
  if (type !== SE_FILE_OBJECT || what !== DACL_SECURITY_INFORMATION) {
    unknown(`using anything but the access list of a file: ${what} of an object of type ${type}`);
  }
}
