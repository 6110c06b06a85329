/**
 * Virtual disks: files that are attached to the host as disks.
 *
 * @module
 */

import { diskBlockSize, diskSize, hostOptions } from "../checks/arguments.ts";
import { isInUse, requireAbsent, requireFreeFile, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { windowsPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { type CreateVirtualDiskInit, openFlag } from "../ffi/virtdisk.ts";
import { withHolds } from "../holds/hold_list.ts";
import {
  acquireNewDisk,
  acquireOpenDisk,
  type AttachOptions,
  type Disk,
  openDisk as open,
  withDisk,
} from "../host_holds/disk.ts";

/**
 * Options of {@linkcode createVhdx}.
 *
 * @category Virtual disks
 */
export interface CreateVhdxOptions extends HostOptions {
  /** Size of the disk in bytes: a multiple of 512 between 3 MiB and 64 TiB. */
  size: number | bigint;
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, Windows chooses. */
  blockSize?: number | undefined;
}

/**
 * Options of {@linkcode createDifferencingDisk}.
 *
 * @category Virtual disks
 */
export interface CreateDifferencingDiskOptions extends HostOptions {
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, Windows chooses. */
  blockSize?: number | undefined;
}

/**
 * Creates a virtual disk that grows with what is written to it. It has no partition and no volume.
 *
 * ```ts
 * import { createVhdx } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\disks");
 * await createVhdx("C:\\disks\\data.vhdx", { size: 20 * 2 ** 30, host });
 * ```
 *
 * @param path Absolute path of the file, which ends in `.vhdx` and must not exist.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function createVhdx(path: string, options: CreateVhdxOptions): Promise<void> {
  const { host, signal } = hostOptions(options, { size: true, blockSize: true });
  const file = vhdxPath(path, "path");
  const size = diskSize(options.size, "size");
  const blockSize = diskBlockSize(options.blockSize, "blockSize");
  signal?.throwIfAborted();
  requireGrantsFor(host, "disk");
  requireAbsent(host, file, "path");
  await createDisk(host, file, { size, blockSize }, signal);
}

/**
 * Creates a virtual disk that holds what differs from another. The other must not be written to any more.
 *
 * ```ts
 * import { createDifferencingDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addDisk("C:\\disks\\base.vhdx", 20 * 2 ** 30);
 * await createDifferencingDisk("C:\\disks\\web.vhdx", "C:\\disks\\base.vhdx", { host });
 * ```
 *
 * @param path Absolute path of the file, which ends in `.vhdx` and must not exist.
 * @param parent Absolute path of the disk that it differs from.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function createDifferencingDisk(
  path: string,
  parent: string,
  options: CreateDifferencingDiskOptions = {},
): Promise<void> {
  const { host, signal } = hostOptions(options, { blockSize: true });
  const file = vhdxPath(path, "path");
  const from = vhdxPath(parent, "parent");
  const blockSize = diskBlockSize(options.blockSize, "blockSize");
  signal?.throwIfAborted();
  requireGrantsFor(host, "disk");
  requireKind(host, from, "parent", "file");
  requireAbsent(host, file, "path");
  await createDisk(host, file, differencing(from, blockSize), signal);
}

/** What a disk is created from that differs from `parent`. */
export function differencing(parent: string, blockSize: number): CreateVirtualDiskInit {
  return { parent, parentFlags: openFlag.CACHED_IO, blockSize };
}

function createDisk(
  host: Host,
  path: string,
  init: CreateVirtualDiskInit,
  signal: AbortSignal | undefined,
): Promise<void> {
  return withHolds(async (holds) => {
    const { disk } = await holds.acquire(() => acquireNewDisk(host, path, init), signal);
    disk[Symbol.dispose]();
  });
}

/**
 * The path of a disk file. Windows goes by its name.
 *
 * @throws {InvalidInputError} if it isn't an absolute path that ends in `.vhdx`.
 */
export function vhdxPath(path: unknown, argument: string): string {
  const file = windowsPath(path, argument);
  if (!/\.vhdx$/i.test(file)) {
    throw new InvalidInputError(argument, "doesn't end in .vhdx", file);
  }
  return file;
}

/**
 * Opens a virtual disk (VHD or VHDX).
 *
 * ```ts
 * import { openDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await openDisk("C:\\scratch\\sandbox.vhdx", { host });
 * await disk.attach();
 * console.log(disk.physicalPath());
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function openDisk(path: string, options: HostOptions = {}): Promise<Disk> {
  const { host, signal } = hostOptions(options, {});
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireGrantsFor(host, "disk");
  requireKind(host, file, "path", "file");
  return await open(host, file);
}

/**
 * Options of {@linkcode attachDisk}.
 *
 * @category Virtual disks
 */
export interface AttachDiskOptions extends AttachOptions, HostOptions {}

/**
 * Opens a virtual disk and attaches it. Disposing of it detaches it, unless it was attached with
 * {@linkcode AttachOptions.permanent}; the end of the process does too.
 *
 * ```ts
 * import { attachDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await attachDisk("C:\\scratch\\sandbox.vhdx", { readOnly: true, host });
 * console.log(disk.physicalPath(), disk.info().size);
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {InUseError} if it is in use.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function attachDisk(path: string, options: AttachDiskOptions = {}): Promise<Disk> {
  const { host, signal } = hostOptions(options, {
    readOnly: true,
    driveLetter: true,
    permanent: true,
    bypassEncryptionPolicy: true,
  });
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireGrantsFor(host, "disk");
  requireFreeFile(host, file, "path");
  return await withHolds(async (holds) => {
    const { disk } = await holds.acquire(() => acquireOpenDisk(host, file), signal);
    await disk.attach(options);
    return disk;
  });
}

/**
 * Detaches a virtual disk from the host, no matter which process attached it.
 *
 * ```ts
 * import { attachDisk, detachDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * {
 *   await using _ = await attachDisk("C:\\scratch\\sandbox.vhdx", { permanent: true, host });
 * }
 * console.log(await detachDisk("C:\\scratch\\sandbox.vhdx", { host })); // true
 * ```
 *
 * @param path Absolute path of its file.
 * @returns False if it isn't attached.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function detachDisk(path: string, options: HostOptions = {}): Promise<boolean> {
  const { host, signal } = hostOptions(options, {});
  const file = windowsPath(path, "path");
  signal?.throwIfAborted();
  requireGrantsFor(host, "disk");
  requireKind(host, file, "path", "file");
  // Nobody knows how Windows says that a disk isn't attached; one that is, is open.
  if (!isInUse(host, file)) return false;
  await withDisk(host, file, signal, (disk) => disk.detach());
  return true;
}

/**
 * Whether a virtual disk is in use: open, attached to the host, mounted as a scratch, or attached to a virtual machine.
 *
 * ```ts
 * import { isDiskInUse, openDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await openDisk("C:\\scratch\\sandbox.vhdx", { host });
 * console.log(isDiskInUse(disk.path, { host })); // true
 * ```
 *
 * @param path Absolute path of its file.
 * @throws {InvalidInputError} if there is no such file.
 * @throws {NativeError} if Windows doesn't tell.
 * @category Virtual disks
 */
export function isDiskInUse(path: string, options: Pick<HostOptions, "host"> = {}): boolean {
  const { host } = hostOptions(options, {});
  const file = windowsPath(path, "path");
  requireGrantsFor(host, "files");
  requireKind(host, file, "path", "file");
  return isInUse(host, file);
}
