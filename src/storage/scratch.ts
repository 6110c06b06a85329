/**
 * Creating and expanding scratch layers.
 *
 * @module
 */

import { diskSize, text, withHostOptions } from "../checks/arguments.ts";
import { existingParents, kindOf, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realScratch } from "../checks/real_path.ts";
import { diskOf, scratchFolder, scratchParents, templateOf } from "../checks/windows_path.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { access, deviceIoControl, openFile, share, volumeSize } from "../ffi/kernel32.ts";
import { diskSizes } from "../ffi/virtdisk.ts";
import { grantVmAccess } from "../ffi/vmcompute.ts";
import { withHolds } from "../holds/hold_list.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { type Disk, withDisk } from "../host_holds/disk.ts";
import { acquireFolder, unmark } from "../host_holds/mount_folder.ts";
import { acquireNewFile } from "../host_holds/new_file.ts";
import { acquireNewScratch } from "../host_holds/new_scratch.ts";
import { optional } from "../options.ts";
import { claim, claimAbsent } from "../session/creations.ts";
import { sessionOf } from "../session/session.ts";
import { copyOnceFree } from "../session/waiting.ts";
import { existingLayer, expandDisk } from "./layer.ts";

/**
 * Options of {@linkcode createScratch}.
 *
 * @category Scratches and base layers
 */
export interface CreateScratchOptions extends HostOptions {
  /** Size of its disk and volume in bytes, as for {@linkcode expandScratch}. Default: 20 GiB, the size that Windows uses. */
  size?: number | bigint | undefined;
}

/**
 * Creates the scratch layer of a container: its folder if it is missing, and the formatted disk `sandbox.vhdx` in it.
 * If a step fails, everything created is removed.
 *
 * ```ts
 * import { createScratch } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * await createScratch("C:\\scratch", ["C:\\layers\\base"], { host });
 * ```
 *
 * @param folder Absolute path of the scratch layer's folder, which must not hold a disk.
 * @param layers Absolute paths of the read-only layers' folders, the topmost first.
 * @throws {InvalidInputError} if there are no layers, one doesn't exist, or the disk does or is being created. Nothing is
 * ever replaced.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing, or a disk of another size.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Scratches and base layers
 */
export async function createScratch(
  folder: string,
  layers: readonly string[],
  options: CreateScratchOptions = {},
): Promise<void> {
  return await withHostOptions(options, { size: optional(diskSize) }, [folder], async ({ host, signal, size }) => {
    const named = scratchFolder(folder, "folder");
    const folders = scratchParents(layers, "layers");
    signal?.throwIfAborted();
    requireGrantsFor(host, size === undefined ? "layer" : "scratchDisk");
    const parents = existingParents(host, folders, "layers");
    const scratch = realScratch(host, named, "folder");
    using _claim = claimDisk(host, scratch, "folder");
    const wasThere = kindOf(host, scratch) !== undefined;
    using _layers = sessionOf(host).mounts.need(parents);
    await withHolds(async (holds) => {
      await acquireNewScratch(host, holds, { scratch, layers: parents }, signal);
      if (size !== undefined) await expand(host, scratch, "folder", size, signal);
      // Otherwise, recover() would take the disk for that of a mount that began to create a scratch here, and whose process ended.
      if (wasThere) unmark(host, scratch);
    });
  });
}

function claimDisk(host: Host, folder: string, argument: string): Disposable {
  const disk = diskOf(folder);
  if (kindOf(host, folder) === undefined) return claim(host, disk, argument);
  requireKind(host, folder, argument, "folder");
  return claimAbsent(host, disk, argument);
}

/**
 * Options of {@linkcode createUtilityVMScratch}.
 *
 * @category Scratches and base layers
 */
export interface CreateUtilityVMScratchOptions extends HostOptions {
  /** Id of the VM that will open the disk. */
  vmId: string;
}

/**
 * Creates the scratch of a Windows utility VM: its folder if it is missing, and the disk `sandbox.vhdx` in it, a copy of
 * the layer's `UtilityVM\SystemTemplate.vhdx` that the VM may open. If a step fails, everything created is removed.
 *
 * ```ts
 * import { createUtilityVMScratch } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addWindowsBootLayer("C:\\layers\\base");
 * await createUtilityVMScratch("C:\\vms\\web", "C:\\layers\\base", { vmId: crypto.randomUUID(), host });
 * ```
 *
 * @param folder Absolute path of the scratch's folder, which must not hold a disk.
 * @param layer Absolute path of the folder of the layer with the utility VM.
 * @throws {InvalidInputError} if the layer has no utility VM, or the disk exists. Nothing is ever replaced.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Scratches and base layers
 */
export async function createUtilityVMScratch(
  folder: string,
  layer: string,
  options: CreateUtilityVMScratchOptions,
): Promise<void> {
  return await withHostOptions(options, { vmId: text }, [folder, layer], async ({ host, signal, vmId }) => {
    const named = scratchFolder(folder, "folder");
    const template = templateOf(existingLayer(host, layer, "layer", signal));
    requireKind(host, template, "layer", "file");
    const scratch = realScratch(host, named, "folder");
    using _claim = claimDisk(host, scratch, "folder");
    const path = diskOf(scratch);
    await withHolds(async (holds) => {
      const parent = await holds.acquire((expect) => acquireFolder(host, scratch, expect), signal);
      const copy = { by: "CopyFileW", make: () => copyOnceFree(host, template, path, signal) };
      await holds.acquire((expect) => acquireNewFile(host, path, copy, { restsOn: [parent], expect }), signal);
      signal?.throwIfAborted();
      await grantVmAccess(host, vmId, path);
    });
  });
}

/**
 * Expands the disk of a scratch layer and the volume on it. If the disk already has that size, only the volume is expanded.
 *
 * ```ts
 * import { expandScratch } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await expandScratch("C:\\scratch", 40 * 2 ** 30, { host });
 * ```
 *
 * @param folder Absolute path of the scratch layer's folder.
 * @param size Size in bytes: a multiple of 512, not less than the disk has, at most 64 TiB.
 * @throws {InvalidInputError} if an argument is refused, or the disk would have to shrink.
 * @throws {InUseError} if the disk is in use.
 * @throws {NativeError} if Windows refuses. If the disk was expanded and its volume was not, another call continues.
 * @throws {UnexpectedAnswerError} if Windows reports success, and the disk has its old size.
 * @category Scratches and base layers
 */
export async function expandScratch(
  folder: string,
  size: number | bigint,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [folder], async ({ host, signal }) => {
    const bytes = diskSize(size, "size");
    await expand(host, existingLayer(host, folder, "folder", signal, "scratchDisk"), "folder", bytes, signal);
  });
}

function expand(
  host: Host,
  scratch: string,
  argument: string,
  size: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Of two calls for one scratch, the second finds what the first has done.
  return sessionOf(host).withScratch(scratch, async () => {
    await expandDisk(host, scratch, argument, size, signal);
    // Attaching the WCIFS filter would expand the volume too, but a scratch for CIM images gets another filter.
    await withDisk(host, diskOf(scratch), signal, async (disk) => {
      requireSize(host, disk, size);
      // As Windows does for scratch disks. Otherwise a BitLocker policy for fixed drives can make the volume read-only.
      await disk.attach({ bypassEncryptionPolicy: true });
      signal?.throwIfAborted();
      extendVolume(host, await scratchVolume(host, scratch));
    });
  }, signal);
}

// The volume of a disk that has its old size would be left as it is without a word.
function requireSize(host: Host, { handle, path }: Disk, size: bigint): void {
  const { size: actual } = diskSizes(host, handle, path);
  if (actual >= size) return;
  throw new UnexpectedAnswerError("ExpandSandboxSize", `reports success although the disk has ${actual} bytes`, 0);
}

const IOCTL_DISK_GET_LENGTH_INFO = 0x0007405c;
const FSCTL_EXTEND_VOLUME = 0x000900f0;
const CLUSTER = 4096n;
const SECTOR = 512n;

function extendVolume(host: Host, path: string): void {
  using volume = openFile(host, path.replace(/\\$/, ""), {
    access: access.GENERIC_READ | access.GENERIC_WRITE,
    share: share.READ | share.WRITE,
  });
  const length = new Uint8Array(8);
  deviceIoControl(host, volume.value, { code: IOCTL_DISK_GET_LENGTH_INFO, output: length, path });
  const clusters = new DataView(length.buffer).getBigInt64(0, true) / CLUSTER;
  // NTFS keeps one cluster in reserve. Windows refuses to extend a volume that already fills its disk.
  if (volumeSize(host, path) / CLUSTER + 1n >= clusters) return;
  const sectors = new Uint8Array(8);
  new DataView(sectors.buffer).setBigInt64(0, clusters * (CLUSTER / SECTOR), true);
  deviceIoControl(host, volume.value, { code: FSCTL_EXTEND_VOLUME, input: sectors, path });
}
