/**
 * ntdll.dll and ole32.dll, simulated.
 *
 * @module
 */

import { descriptor, sid, sidBytes } from "../ffi/security.ts";
import { grantEntries } from "./access_list.ts";
import { big, buffer, define, INFALLIBLE, NTSTATUS, number, put32, put64, type SimulatedDll } from "./call.ts";
import { type FileHandle, fileTime } from "./kernel32.ts";
import { unknown } from "./simulation_error.ts";
import type { Security } from "./windows.ts";

const TOKEN_USER = 1;
const SYSTEM_TIME_OF_DAY_INFORMATION = 3;

const ALL = 0x1f01ff;
const READ_AND_EXECUTE = 0x1200a9;
const ADD_FILES_AND_FOLDERS = 0x6;

// What folders have that an administrator makes in C:\ProgramData.
const USUAL: Security = {
  owner: sid.ADMINISTRATORS,
  entries: [
    { type: 0, flags: 3, mask: ALL, sid: sid.SYSTEM },
    { type: 0, flags: 3, mask: ALL, sid: sid.ADMINISTRATORS },
    { type: 0, flags: 3, mask: READ_AND_EXECUTE, sid: sid.USERS },
    { type: 0, flags: 2, mask: ADD_FILES_AND_FOLDERS, sid: sid.USERS },
  ],
};

/** ntdll.dll. */
export const ntdllFunctions: SimulatedDll = {
  NtOpenProcessToken: define(
    NTSTATUS,
    { process: big, access: number, token: buffer },
    ({ process }, { token }) =>
      put64(token, process.handles.open({ type: "token", target: "the token of this process" })),
  ),

  NtQueryInformationToken: define(
    NTSTATUS,
    { token: big, class: number, information: buffer, size: number, needed: buffer },
    ({ process }, { token, class: kind, information, needed }) => {
      process.handles.get(token, "token");
      if (kind !== TOKEN_USER) unknown(`asking for information ${kind} about a token`);
      // Processes run as the system. The pointer to it is never followed.
      const user = sidBytes(sid.SYSTEM);
      put32(needed, 16 + user.byteLength);
      information.set(user, 16);
    },
  ),

  NtQuerySecurityObject: define(
    NTSTATUS,
    { handle: big, information: number, descriptor: buffer, size: number, needed: buffer },
    ({ windows, process }, { handle, descriptor: bytes, needed }) => {
      const { target } = process.handles.get<FileHandle>(handle, "file");
      const { security, grants } = windows.existing(target, "stay");
      const { owner, entries } = security ?? USUAL;
      const all = descriptor([...entries, ...grantEntries(grants)], owner);
      put32(needed, all.byteLength);
      bytes.set(all);
    },
  ),

  NtQuerySystemInformation: define(
    NTSTATUS,
    { class: number, information: buffer, size: number, needed: buffer },
    ({ windows }, { class: kind, information, needed }) => {
      if (kind !== SYSTEM_TIME_OF_DAY_INFORMATION) unknown(`asking for information ${kind} about the system`);
      put64(information, fileTime(windows.state.bootedAt ?? 0));
      put32(needed, 48);
    },
  ),

  RtlGetVersion: define(NTSTATUS, { info: buffer }, ({ windows }, { info }) => {
    const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
    view.setUint32(4, 10, true);
    view.setUint32(8, 0, true);
    view.setUint32(12, windows.state.build, true);
  }),
};

/** ole32.dll. */
export const ole32Functions: SimulatedDll = {
  CoTaskMemFree: define(INFALLIBLE, { address: big }, ({ process }, { address }) => {
    if (address !== 0n) process.memory.free(address);
  }),
};
