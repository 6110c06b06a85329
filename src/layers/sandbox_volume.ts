/**
 * The volume of a scratch disk at a folder with a friendly name.
 *
 * @module
 */

import { defaultHost } from "../ffi/host.ts";
import { acquire, HoldList } from "../holds/hold_list.ts";
import { checkMountable, folder } from "../host_holds/mount_folder.ts";
import { mountPoint } from "../host_holds/mount_point.ts";
import { namedFolder, volumeRoot } from "../checks/windows_path.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { mounted, type MountedVolume } from "./mounted_layers.ts";

/** Options of {@linkcode mountSandboxVolume}. */
export type MountSandboxVolumeOptions = HostOptions;

/** Options of {@linkcode removeSandboxMountPoint}. */
export type RemoveSandboxMountPointOptions = HostOptions;

/**
 * Mounts the volume of a scratch disk at a folder. The folder is created where it is missing, its parents too; where it
 * exists it has to be empty. A failure removes only what was created.
 *
 * ```ts
 * import { mountSandboxVolume } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
 * await using mounted = await mountSandboxVolume("C:\\mnt\\c1", volume, { host });
 * console.log(mounted.path);
 * ```
 *
 * @param hostPath Absolute path of the folder, such as `C:\mnt\c1`.
 * @param volumeName The volume, `\\?\Volume{guid}` with or without a closing `\`.
 * @throws {InvalidInputError} if a path is of the wrong form, or the folder is a file, not empty, or a mount point.
 * @throws {NativeError} if Windows refuses.
 */
export async function mountSandboxVolume(
  hostPath: string,
  volumeName: string,
  options: MountSandboxVolumeOptions = {},
): Promise<MountedVolume> {
  const { host = defaultHost(), signal } = options;
  const path = namedFolder(hostPath, "hostPath");
  const volume = volumeRoot(volumeName, "volumeName");
  signal?.throwIfAborted();
  checkMountable(host, path, "hostPath");
  return await acquire(host, async (holds) => {
    await takeMountPoint(holds, path, volume, signal);
    return mounted(holds, { path, volume });
  });
}

/** Takes the folder and the mount point on it. */
export async function takeMountPoint(
  holds: HoldList,
  path: string,
  volume: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await holds.take(folder, { kind: "folder", folder: path }, signal);
  await holds.take(mountPoint, { kind: "mountPoint", folder: path, volume }, signal);
}

/** Adds the mount point at a folder, and the folder where this library created it, to what is to be given back. */
export function adoptMountPoint(holds: HoldList, path: string, volume?: string): void {
  holds.adopt(folder, { kind: "folder", folder: path });
  holds.adopt(mountPoint, { kind: "mountPoint", folder: path, ...(volume && { volume }) });
}

/**
 * Takes the mount point off a folder, from this process or another than mounted it, and removes the folder where
 * {@linkcode mountSandboxVolume} or {@linkcode mountWCOWLayers} created it. A folder that isn't a mount point, or isn't
 * there, counts as done.
 *
 * @param hostPath Absolute path of the folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {ReleaseError} if Windows refuses.
 */
export async function removeSandboxMountPoint(
  hostPath: string,
  options: RemoveSandboxMountPointOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const path = namedFolder(hostPath, "hostPath");
  signal?.throwIfAborted();
  const holds = new HoldList(host);
  adoptMountPoint(holds, path);
  await holds.release({ signal });
}
