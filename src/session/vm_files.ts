/**
 * The files and folders of the host that VMs of this process use.
 *
 * @module
 */

import { type HostFile, hostFile } from "../checks/host_file.ts";
import { isWithin, pathKey } from "../checks/windows_path.ts";
import { runsWithoutGuest } from "../errors/vm_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { access, openFile } from "../ffi/kernel32.ts";
import { securityOf } from "../ffi/ntdll.ts";
import { ALLOW } from "../ffi/security.ts";
import { sessionOf } from "./session.ts";

/** A VM. Nothing is used by one that has ended. */
export interface FileUser {
  /** Its id. */
  readonly id: string;
  /** Its state. */
  readonly state: string;
  /** Why it has ended. */
  readonly end?: unknown;
}

/** Notes that a VM uses a file or folder, until the result is called. */
export function noteVMFile(host: Host, file: HostFile, vm: FileUser): () => void {
  const { vmFiles } = sessionOf(host);
  const use = { keyOf: () => file.key, vm };
  vmFiles.add(use);
  return () => void vmFiles.delete(use);
}

/** Notes that a VM boots from a file or folder, as long as it lives. */
export function noteBootFile(host: Host, path: string, vm: FileUser): void {
  sessionOf(host).vmFiles.add({ keyOf: () => keyOfBootFile(host, path), vm });
}

// It can be replaced or out of reach by now, which says nothing about other files.
function keyOfBootFile(host: Host, path: string): string {
  try {
    return hostFile(host, path).key;
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return pathKey(path);
  }
}

// NT VIRTUAL MACHINE, of which each has its own.
const VIRTUAL_MACHINE = "S-1-5-83-1-";

/** Returns whether a VM of any process has the right to open a file, as far as Windows tells. It can be left from an ended VM. */
export function isOpenToVM(host: Host, file: string): boolean {
  try {
    using opened = openFile(host, file, { access: access.READ_CONTROL });
    const { entries = [] } = securityOf(host, opened.value, file);
    return entries.some(({ type, sid }) => type === ALLOW && sid?.startsWith(VIRTUAL_MACHINE));
  } catch (error) {
    if (!(error instanceof NativeError || error instanceof RangeError)) throw error;
    return false;
  }
}

/** Returns a VM of this process that uses an existing file or folder, or something in it. */
export function vmUsing(host: Host, path: string): FileUser | undefined {
  const uses = currentUses(host);
  if (uses.length === 0) return undefined;
  const keys = [hostFile(host, path).key, pathKey(path)];
  return uses.find(({ keyOf }) => {
    const used = keyOf();
    return keys.some((key) => isWithin(used, key));
  })?.vm;
}

/** Returns another VM of this process that uses a file. */
export function otherVMUsing(host: Host, { key }: HostFile, vm: FileUser): FileUser | undefined {
  return currentUses(host).find((use) => use.vm !== vm && use.keyOf() === key)?.vm;
}

function currentUses(host: Host) {
  const { vmFiles } = sessionOf(host);
  for (const use of vmFiles) {
    if (use.vm.state === "ended" && !runsWithoutGuest(use.vm)) vmFiles.delete(use);
  }
  return [...vmFiles];
}
