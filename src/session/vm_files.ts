/**
 * The files and folders of the host that VMs of this process use.
 *
 * @module
 */

import { hostFile } from "../checks/host_file.ts";
import { isWithin } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { sessionOf } from "./session.ts";

/** A VM. Nothing is used by one that has ended. */
export interface FileUser {
  /** Its id. */
  readonly id: string;
  /** Its state. */
  readonly state: string;
}

/** Notes that a VM uses a file or folder, named by its key, until the result is called. */
export function noteVMFile(host: Host, key: string, vm: FileUser): () => void {
  const { vmFiles } = sessionOf(host);
  const use = { key, vm };
  vmFiles.add(use);
  return () => void vmFiles.delete(use);
}

/** Returns a VM of this process that uses an existing file or folder, or something in it. */
export function vmUsing(host: Host, path: string): FileUser | undefined {
  const { vmFiles } = sessionOf(host);
  for (const use of vmFiles) {
    if (use.vm.state === "ended") vmFiles.delete(use);
  }
  if (vmFiles.size === 0) return undefined;
  const { key } = hostFile(host, path);
  return [...vmFiles].find((use) => isWithin(use.key, key))?.vm;
}
