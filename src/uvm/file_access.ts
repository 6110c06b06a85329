/**
 * The right of a VM to open a file of the host.
 *
 * @module
 */

import { MissingExportError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { grantVmAccess, revokeVmAccess } from "../ffi/vmcompute.ts";

/** Grants it. */
export function grantAccess(host: Host, vm: string, path: string): Promise<void> {
  return grantVmAccess(host, vm, path);
}

/** Revokes it. Returns false on a Windows that has no function for that: then it stays, of use to nobody without the VM. */
export async function revokeAccess(host: Host, vm: string, path: string): Promise<boolean> {
  try {
    await revokeVmAccess(host, vm, path);
    return true;
  } catch (error) {
    if (error instanceof MissingExportError) return false;
    throw error;
  }
}
