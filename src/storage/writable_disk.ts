/**
 * Formatting and mounting the disks of scratch layers, by path.
 *
 * @module
 */

import { withHostOptions } from "../checks/arguments.ts";
import { returnedVolume, shortPath } from "../checks/windows_path.ts";
import { formatWritableLayerVhd, layerVhdMountPath } from "../ffi/computestorage.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { access, openFile, share } from "../ffi/kernel32.ts";
import { withHolds } from "../holds/hold_list.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { acquireOpenDisk, type Disk, withDisk } from "../host_holds/disk.ts";
import { buildOf, firstBuild } from "../session/builds.ts";
import { requireFreeFile } from "../session/waiting.ts";

/**
 * Formats a virtual disk for a scratch layer. Its content is lost.
 *
 * ```ts
 * import { createVhdx, formatWritableLayerDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\scratch");
 * await createVhdx("C:\\scratch\\sandbox.vhdx", { size: 20 * 2 ** 30, host });
 * await formatWritableLayerDisk("C:\\scratch\\sandbox.vhdx", { host });
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {InUseError} if it is in use.
 * @throws {NativeError} if Windows refuses.
 * @category Scratches and base layers
 */
export async function formatWritableLayerDisk(
  path: string,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [path], async ({ host, signal }) => {
    const file = shortPath(path, "path");
    signal?.throwIfAborted();
    await requireFreeFile(host, file, "path", signal);
    await withDisk(host, file, signal, (disk) => formatDisk(host, disk));
  });
}

/** Formats an open disk that isn't attached. */
export async function formatDisk(host: Host, disk: Disk): Promise<void> {
  if (buildOf(host) >= firstBuild.formatDetachedDisk) {
    await formatWritableLayerVhd(host, disk.handle);
    return;
  }
  // Server 2019 formats only the device of an attached disk.
  await disk.attach({ bypassEncryptionPolicy: true });
  using device = openFile(host, disk.physicalPath(), {
    access: access.GENERIC_READ | access.GENERIC_WRITE,
    share: share.READ | share.WRITE,
  });
  await formatWritableLayerVhd(host, device.value);
}

/**
 * A disk mounted by {@linkcode mountWritableLayerDisk}.
 *
 * @category Results
 */
export interface MountedDisk extends Mounted {
  /** Path of its file. */
  readonly path: string;
  /** Its volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}

/**
 * Attaches the disk of a scratch layer, and returns its volume. The disk stays attached until it is released or the process
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
 * @throws {InvalidInputError} if there is no such file.
 * @throws {InUseError} if it is in use.
 * @throws {NativeError} if Windows refuses.
 * @category Scratches and base layers
 */
export async function mountWritableLayerDisk(
  path: string,
  options: HostOptions = {},
): Promise<MountedDisk> {
  return await withHostOptions(options, {}, [path], async ({ host, signal }) => {
    const file = shortPath(path, "path");
    signal?.throwIfAborted();
    await requireFreeFile(host, file, "path", signal);
    return await withHolds(async (holds) => {
      const { disk } = await holds.acquire(() => acquireOpenDisk(host, file, signal), signal);
      await disk.attach({ bypassEncryptionPolicy: true });
      signal?.throwIfAborted();
      const volume = returnedVolume("HcsGetLayerVhdMountPath", await layerVhdMountPath(host, disk.handle));
      return mounted(host, holds, { path: file, volume });
    });
  });
}
