/**
 * Letting VMs open files of the host.
 *
 * @module
 */

import { requireText, withHostOptions } from "../checks/arguments.ts";
import { requireKind } from "../checks/existing.ts";
import { shortPath, windowsPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { grantRead } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { access, attribute, fileAttributes, fileFlag, openFile, share } from "../ffi/kernel32.ts";
import { grantVmAccess as grant } from "../ffi/vmcompute.ts";

/**
 * Lets one VM open a file. The right stays in the file's access list after the VM is gone.
 *
 * ```ts
 * import { grantVmAccess } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addDisk("C:\\disks\\data.vhdx", 2 ** 30);
 * await grantVmAccess("C:\\disks\\data.vhdx", "5c8d9f2e-77a1-4b0e-9a43-1f0f5b6f2d10", { host });
 * console.log(host.grantsOf("C:\\disks\\data.vhdx"));
 * ```
 *
 * @param file Absolute path of the file.
 * @param vmId Id of the VM.
 * @throws {InvalidInputError} if an argument is refused. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Access and privileges
 */
export async function grantVmAccess(file: string, vmId: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [file, vmId], async ({ host, signal }) => {
    const path = shortPath(file, "file");
    requireText(vmId, "vmId");
    signal?.throwIfAborted();
    requireKind(host, path, "file", "file");
    await grant(host, vmId, path);
  });
}

const VIRTUAL_MACHINES = "S-1-5-83-0";

/**
 * Lets every VM read a file, or a folder with everything that is or will be in it. The base disks of the differencing disks
 * that VMs use need this.
 *
 * ```ts
 * import { grantVmGroupAccess } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addDisk("C:\\disks\\base.vhdx", 2 ** 30);
 * await grantVmGroupAccess("C:\\disks\\base.vhdx", { host });
 * console.log(host.grantsOf("C:\\disks\\base.vhdx")); // [ "s-1-5-83-0" ]
 * ```
 *
 * @param path Absolute path of the file or folder.
 * @throws {InvalidInputError} if there is nothing at the path.
 * @throws {NativeError} if Windows refuses.
 * @category Access and privileges
 */
export async function grantVmGroupAccess(path: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [path], async ({ host, signal }) => {
    const target = windowsPath(path, "path");
    signal?.throwIfAborted();
    await grantGroup(host, target);
  });
}

/** Does what {@linkcode grantVmGroupAccess} does, for a path that is already checked. */
export async function grantGroup(host: Host, path: string): Promise<void> {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) {
    throw new InvalidInputError("path", "names a file or folder that doesn't exist", path);
  }
  const folder = (attributes & attribute.DIRECTORY) !== 0;
  using target = openFile(host, path, {
    access: access.READ_CONTROL | access.WRITE_DAC,
    share: share.READ | share.WRITE,
    flags: folder ? fileFlag.BACKUP_SEMANTICS : 0,
  });
  await grantRead(host, target.value, { group: VIRTUAL_MACHINES, path, folder });
}
