/**
 * Disks of scratch layers by path: formatting one, and mounting its volume.
 *
 * @module
 */

import { formatWritableLayerVhd, layerVhdMountPath } from "../ffi/computestorage.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { access, openFile, share } from "../ffi/kernel32.ts";
import { acquire } from "../holds/hold_list.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { buildOf, MINIMUM_BUILD } from "../checks/builds.ts";
import { type Disk, requireFreeFile, takeOpenDisk, withDisk } from "./virtual_disk.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { volumeRoot, windowsPath } from "../checks/windows_path.ts";

/** Options of {@linkcode formatWritableLayerDisk}. */
export type FormatWritableLayerDiskOptions = HostOptions;

/**
 * Formats a virtual disk as that of a scratch layer. What is on it is lost.
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file, or it is in use.
 * @throws {NativeError} if Windows refuses.
 */
export async function formatWritableLayerDisk(
  path: string,
  options: FormatWritableLayerDiskOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireFreeFile(host, file, "path");
  await withDisk(host, file, signal, (disk) => formatDisk(host, disk));
}

/** Formats an open disk that isn't attached. */
export async function formatDisk(host: Host, disk: Disk): Promise<void> {
  if (buildOf(host) > MINIMUM_BUILD) {
    await formatWritableLayerVhd(host, disk.handle);
    return;
  }
  // Server 2019 knows only the device of an attached disk.
  await disk.attach({ bypassEncryptionPolicy: true });
  using device = openFile(host, disk.physicalPath(), {
    access: access.GENERIC_READ | access.GENERIC_WRITE,
    share: share.READ | share.WRITE,
  });
  await formatWritableLayerVhd(host, device.value);
}

/** Options of {@linkcode mountWritableLayerDisk}. */
export type MountWritableLayerDiskOptions = HostOptions;

/** A disk mounted by {@linkcode mountWritableLayerDisk}. */
export interface MountedDisk extends Mounted {
  /** Path of its file. */
  readonly path: string;
  /** Its volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}

/**
 * Attaches the disk of a scratch layer, and answers its volume. It stays attached until it is released, or the process
 * ends.
 *
 * ```ts
 * import { mountWritableLayerDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await mountWritableLayerDisk("C:\\scratch\\sandbox.vhdx", { host });
 * console.log(disk.volume);
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file, it is in use, or Windows' answer is no volume.
 * @throws {NativeError} if Windows refuses.
 */
export async function mountWritableLayerDisk(
  path: string,
  options: MountWritableLayerDiskOptions = {},
): Promise<MountedDisk> {
  const { host = defaultHost(), signal } = options;
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireFreeFile(host, file, "path");
  return await acquire(host, async (holds) => {
    const disk = await takeOpenDisk(host, holds, file, signal);
    await disk.attach({ bypassEncryptionPolicy: true });
    signal?.throwIfAborted();
    const volume = volumeRoot(await layerVhdMountPath(host, disk.handle), "HcsGetLayerVhdMountPath's answer");
    return mounted(holds, { path: file, volume });
  });
}
