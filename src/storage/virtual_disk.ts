/**
 * Virtual disks: files that are attached to the host as disks.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { diskBlockSize, diskSize, hostOptions, withHostOptions } from "../checks/arguments.ts";
import { isInUse, isOpen, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realPathIfTold } from "../checks/real_path.ts";
import { diskOf, isVHDX, pathKey, shortPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { type CreateVirtualDiskInit, openFlag } from "../ffi/virtdisk.ts";
import { withHolds } from "../holds/hold_list.ts";
import {
  acquireNewDisk,
  acquireOpenDisk,
  ATTACH_OPTIONS,
  type AttachOptions,
  type Disk,
  withDisk,
} from "../host_holds/disk.ts";
import { optional } from "../options.ts";
import { claimAbsent } from "../session/creations.ts";
import { mountOfScratch } from "../session/all_records.ts";
import { sessionOf } from "../session/session.ts";
import { forgetUnmounted } from "../session/unmounted.ts";
import { requireFreeFile } from "../session/waiting.ts";

/**
 * Options of {@linkcode createVhdx}.
 *
 * @category Virtual disks
 */
export interface CreateVhdxOptions extends HostOptions {
  /** Size of the disk in bytes: a multiple of 512 between 3 MiB and 64 TiB. */
  size: number | bigint;
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, which lets Windows choose. */
  blockSize?: number | undefined;
}

/**
 * Options of {@linkcode createDifferencingDisk}.
 *
 * @category Virtual disks
 */
export interface CreateDifferencingDiskOptions extends HostOptions {
  /** Size of its blocks in bytes: a power of two between 1 MiB and 256 MiB. Default: 0, which lets Windows choose. */
  blockSize?: number | undefined;
}

/**
 * Creates a virtual disk whose file grows as data is written. It has no partition and no volume.
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
 * @throws {InvalidInputError} if an argument is refused. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function createVhdx(path: string, options: CreateVhdxOptions): Promise<void> {
  return await withHostOptions(
    options,
    {
      size: diskSize,
      blockSize: optional(diskBlockSize),
    },
    [path],
    async ({ host, signal, size, blockSize = 0 }) => {
      const file = vhdxPath(path, "path");
      signal?.throwIfAborted();
      requireGrantsFor(host, "disk");
      using _claim = claimAbsent(host, file, "path");
      await createDisk(host, file, { size, blockSize }, signal);
    },
  );
}

/**
 * Creates a differencing disk: it stores only what differs from its parent. From then on nothing may write to the parent.
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
 * @param parent Absolute path of the parent disk, which ends in `.vhdx`.
 * @throws {InvalidInputError} if an argument is refused. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function createDifferencingDisk(
  path: string,
  parent: string,
  options: CreateDifferencingDiskOptions = {},
): Promise<void> {
  return await withHostOptions(
    options,
    { blockSize: optional(diskBlockSize) },
    [path, parent],
    async ({ host, signal, blockSize = 0 }) => {
      const file = vhdxPath(path, "path");
      const from = vhdxPath(parent, "parent");
      signal?.throwIfAborted();
      requireGrantsFor(host, "disk");
      requireKind(host, from, "parent", "file");
      using _claim = claimAbsent(host, file, "path");
      await createDisk(host, file, differencing(from, blockSize), signal);
    },
  );
}

/** Returns how to create a disk that differs from `parent`. */
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
    const { disk } = await holds.acquire((expect) => acquireNewDisk(host, path, init, expect), signal);
    disk[Symbol.dispose]();
  });
}

/**
 * Checks the path of a disk file and returns it. Windows recognizes the format by the extension.
 *
 * @throws {InvalidInputError} if it isn't an absolute path that ends in `.vhdx`.
 */
export function vhdxPath(path: unknown, argument: string): string {
  const file = shortPath(path, argument);
  if (!isVHDX(file)) {
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
  return await withHostOptions(options, {}, [path], async ({ host, signal }) => {
    const file = shortPath(path, "path");
    signal?.throwIfAborted();
    requireGrantsFor(host, "disk");
    requireKind(host, file, "path", "file");
    return await withHolds(async (holds) => {
      const { disk } = await holds.acquire(() => acquireOpenDisk(host, file, signal), signal);
      return disk;
    });
  });
}

/**
 * Options of {@linkcode attachDisk}.
 *
 * @category Virtual disks
 */
export interface AttachDiskOptions extends AttachOptions, HostOptions {}

/**
 * Opens a virtual disk and attaches it. It is detached when it is disposed of or the process ends, unless it was attached
 * with {@linkcode AttachOptions.permanent}.
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
  return await withHostOptions(options, ATTACH_OPTIONS, [path], async ({ host, signal, ...how }) => {
    const file = shortPath(path, "path");
    signal?.throwIfAborted();
    requireGrantsFor(host, "disk");
    await requireFreeFile(host, file, "path", signal);
    return await withHolds(async (holds) => {
      const { disk } = await holds.acquire(() => acquireOpenDisk(host, file, signal), signal);
      await disk.attach({ ...how, signal });
      return disk;
    });
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
 * @throws {InUseError} if it is the disk of a scratch that is mounted, as far as records of mounts tell. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Virtual disks
 */
export async function detachDisk(path: string, options: HostOptions = {}): Promise<boolean> {
  return await withHostOptions(options, {}, [path], async ({ host, signal }) => {
    const file = shortPath(path, "path");
    signal?.throwIfAborted();
    requireGrantsFor(host, "disk");
    requireKind(host, file, "path", "file");
    await requireNoFilter(host, file, signal);
    // Nobody knows which error Windows returns for a disk that isn't attached. The file of an attached disk is open.
    if (!isInUse(host, file)) return false;
    await withDisk(host, file, signal, (disk) => disk.detach());
    return true;
  });
}

// A filter is never left without its disk.
async function requireNoFilter(host: Host, file: string, signal: AbortSignal | undefined): Promise<void> {
  const { mounts } = sessionOf(host);
  const real = realPathIfTold(host, file);
  const scratch = dirname(real);
  if (pathKey(real) !== pathKey(diskOf(scratch))) return;
  forgetUnmounted(host, scratch);
  const isOurs = mounts.isMounting(scratch) || mounts.hasLayers(scratch);
  const mount = isOurs ? undefined : await mountOfScratch(host, scratch, signal);
  if (!isOurs && mount === undefined) return;
  const by = mount === undefined ? "this process" : `process ${mount.process.pid}`;
  throw new InUseError(file, "is the disk of a mounted scratch. Unmount that", by);
}

/**
 * Returns whether anybody has the file of a virtual disk open: it is attached to the host or a VM, mounted as a scratch, or
 * open in a program, such as a scanner.
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
 * @throws {NativeError} if Windows refuses to open the file for another reason.
 * @category Virtual disks
 */
export function isDiskInUse(path: string, options: Pick<HostOptions, "host"> = {}): boolean {
  const { host } = hostOptions(options, {});
  const file = shortPath(path, "path");
  requireGrantsFor(host, "files");
  requireKind(host, file, "path", "file");
  return isOpen(host, file);
}
