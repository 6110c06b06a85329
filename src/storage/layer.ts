/**
 * Layers of containers. Each function calls one function of vmcompute.dll. A layer is named by the absolute path of its
 * folder.
 *
 * @module
 */

import { diskSize, hostOptions, withHostOptions } from "../checks/arguments.ts";
import { existingParents, kindOf, requireKind } from "../checks/existing.ts";
import { type Operation, requireGrantsFor } from "../checks/grants.ts";
import { realFolder, realLayer, realPathIfTold, realScratch } from "../checks/real_path.ts";
import { returnedJson } from "../checks/returned_json.ts";
import {
  diskOf,
  namedFolder,
  parentFolders,
  requireDistinct,
  scratchFolder,
  scratchParents,
  volumeIn,
} from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { diskSizes } from "../ffi/virtdisk.ts";
import * as native from "../ffi/vmcompute.ts";
import { withHolds } from "../holds/hold_list.ts";
import { acquireActivation, activationOf, requireFreeDisk } from "../host_holds/activation.ts";
import { withDisk } from "../host_holds/disk.ts";
import { deleteLayer, DESTROY_LAYER, makeLayer, makeScratchLayer, type Making } from "../host_holds/made_layer.ts";
import { acquireFilter, filterOf } from "../host_holds/wcifs_filter.ts";
import { optional } from "../options.ts";
import { mountShowing } from "../session/all_records.ts";
import { claimAbsent, isBeingCreated, isOwn } from "../session/creations.ts";
import { layerId as idOf, parentLayers, sessionOf } from "../session/session.ts";
import { forgetUnmounted } from "../session/unmounted.ts";
import { onceFree } from "../session/waiting.ts";
import { vmUsing } from "../session/vm_files.ts";

/**
 * Activates a layer: attaches the disk of a scratch layer, `sandbox.vhdx`, to the host. The disk stays attached until
 * {@linkcode deactivateLayer}, even after the process ends.
 *
 * ```ts
 * import { activateLayer, deactivateLayer, layerMountPath } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await activateLayer("C:\\scratch", { host });
 * console.log(await layerMountPath("C:\\scratch", { host })); // \\?\Volume{…}\
 * await deactivateLayer("C:\\scratch", { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {InUseError} if the scratch is mounted by this process, or its disk is in use.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function activateLayer(layer: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const folder = existingLayer(host, layer, "layer", signal);
    if (kindOf(host, diskOf(folder)) === undefined) {
      await native.activateLayer(host, folder);
    } else {
      await withHolds((holds) =>
        holds.acquire(
          (expect) => acquireActivation(host, folder, { signal, expect }, (error) => isOwn(error, false)),
          signal,
        )
      );
    }
  });
}

/**
 * Deactivates a layer, no matter which process activated it. If the layer isn't activated, nothing happens. Remove its
 * filter first ({@linkcode unprepareLayer}).
 *
 * ```ts
 * import { activateLayer, deactivateLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await activateLayer("C:\\scratch", { host });
 * await deactivateLayer("C:\\scratch", { host });
 * console.log(host.held()); // []
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {InUseError} if this process is mounting the layer, or has attached its filter. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function deactivateLayer(layer: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const named = namedFolder(layer, "layer");
    signal?.throwIfAborted();
    const scratch = realPathIfTold(host, named);
    requireNoFilter(host, scratch);
    await activationOf(host, scratch).release();
  });
}

/**
 * Attaches the filter that shows the parents of a layer through it. Calls of this process run one at a time, because
 * Windows runs into timeouts otherwise. A call that waits for another one stops waiting when its signal is aborted.
 *
 * ```ts
 * import { activateLayer, prepareLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await activateLayer("C:\\scratch", { host });
 * await prepareLayer("C:\\scratch", ["C:\\layers\\base"], { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param parents Absolute paths of the parents' folders, the topmost first; none for a base layer.
 * @throws {InvalidInputError} if a folder doesn't exist, or two parents have the same name.
 * @throws {InUseError} if this process has attached the filter of the layer, or is mounting it. Nothing was changed.
 * @throws {HungCallError} if the call that is waited for doesn't return for a minute.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function prepareLayer(
  layer: string,
  parents: readonly string[],
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const named = parentFolders(parents, "parents");
    const scratch = existingLayer(host, layer, "layer", signal);
    const layers = existingParents(host, named, "parents");
    forgetUnmounted(host, scratch);
    const { mounts } = sessionOf(host);
    if (mounts.isMounting(scratch) || mounts.hasLayers(scratch)) {
      throw new InUseError(
        scratch,
        "is mounted, being mounted, or has its filter already. Remove that first",
        "this process",
      );
    }
    using _mounting = mounts.startMount(scratch, layers);
    // If the call fails, the filter of a scratch that somebody else activated can be theirs.
    const isOurs = mounts.isActivated(scratch);
    await withHolds((holds) =>
      holds.acquire(
        (expect) => acquireFilter(host, { scratch, layers }, { signal, expect: isOurs ? expect : () => {} }),
        signal,
      )
    );
  });
}

/**
 * Removes the filter from a layer, no matter which process attached it.
 *
 * ```ts
 * import { deactivateLayer, unprepareLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * // Cleans up after another process. This scratch has no filter.
 * console.log(await unprepareLayer("C:\\scratch", { host })); // false
 * await deactivateLayer("C:\\scratch", { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @returns False if there was none.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {InUseError} if this process is mounting the layer. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function unprepareLayer(layer: string, options: HostOptions = {}): Promise<boolean> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const named = namedFolder(layer, "layer");
    signal?.throwIfAborted();
    const scratch = realPathIfTold(host, named);
    requireNotMounting(host, scratch);
    return await filterOf(host, { scratch }).release();
  });
}

/**
 * Returns the path of the files of an activated layer: the volume of a scratch, `\\?\Volume{guid}\`, or the folder of a
 * read-only layer. It is not known what Windows returns for a scratch that isn't activated.
 *
 * ```ts
 * import { layerMountPath } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * console.log(await layerMountPath("C:\\layers\\base", { host })); // C:\layers\base
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {UnexpectedAnswerError} if Windows returns no path.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function layerMountPath(layer: string, options: HostOptions = {}): Promise<string> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const folder = existingLayer(host, layer, "layer", signal);
    const path = await native.getLayerMountPath(host, folder);
    const volume = volumeIn(path);
    if (volume !== undefined) return volume;
    // The files of a read-only layer are in its folder.
    if (!/^([A-Za-z]:|\\\\[^\\?.])/.test(path)) {
      throw new UnexpectedAnswerError("GetLayerMountPath", "is neither a volume nor a folder", path);
    }
    return path.replace(/(?<=[^:])\\+$/, "");
  });
}

/**
 * Returns whether there is a layer in a folder.
 *
 * ```ts
 * import { layerExists } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * console.log(await layerExists("C:\\layers\\base", { host })); // true
 * console.log(await layerExists("C:\\layers\\app", { host })); // false
 * ```
 *
 * @param layer Absolute path of the folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function layerExists(layer: string, options: HostOptions = {}): Promise<boolean> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const folder = namedFolder(layer, "layer");
    signal?.throwIfAborted();
    return await native.layerExists(host, realFolder(host, folder, "layer"));
  });
}

/**
 * Options of {@linkcode createLayer}.
 *
 * @category Layers
 */
export interface CreateLayerOptions extends HostOptions {
  /** Absolute path of the parent's folder. Default: none, for a base layer. */
  parent?: string | undefined;
}

/**
 * Creates an empty read-only layer.
 *
 * ```ts
 * import { createLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * await createLayer("C:\\layers\\app", { parent: "C:\\layers\\base", host });
 * ```
 *
 * @param layer Absolute path of its folder, which must not exist.
 * @throws {InvalidInputError} if the folder exists, or the parent doesn't.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Layers
 */
export async function createLayer(layer: string, options: CreateLayerOptions = {}): Promise<void> {
  return await withHostOptions(
    options,
    { parent: optional(namedFolder) },
    [layer],
    async ({ host, signal, parent }) => {
      const named = namedFolder(layer, "layer");
      signal?.throwIfAborted();
      const folder = realFolder(host, named, "layer");
      using _claim = claimAbsent(host, folder, "layer");
      if (parent !== undefined) requireKind(host, parent, "parent", "folder");
      const parentFolder = parent === undefined ? "" : realLayer(host, parent, "parent");
      using _parent = sessionOf(host).mounts.need(parent === undefined ? [] : [parentFolder]);
      const make = () => native.createLayer(host, folder, parentFolder);
      await makeLayer(host, folder, { by: "CreateLayer", make }, signal);
    },
  );
}

/**
 * Creates a scratch layer: its folder, with the disk `sandbox.vhdx` of 20 GiB, formatted. It is the call of
 * Windows alone; `createScratch` can also expand the disk.
 *
 * ```ts
 * import { createScratchLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * await createScratchLayer("C:\\scratch", ["C:\\layers\\base"], { host });
 * console.log(host.exists("C:\\scratch\\sandbox.vhdx")); // true
 * ```
 *
 * @param layer Absolute path of its folder, which must not hold a disk.
 * @param parents Absolute paths of the parents' folders, the topmost first.
 * @throws {InvalidInputError} if there are no parents, one doesn't exist, or the disk exists.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Scratches and base layers
 */
export async function createScratchLayer(
  layer: string,
  parents: readonly string[],
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const named = scratchFolder(layer, "layer");
    const folders = scratchParents(parents, "parents");
    signal?.throwIfAborted();
    const layers = existingParents(host, folders, "parents");
    const folder = realScratch(host, named, "layer");
    using _claim = claimAbsent(host, diskOf(folder), "layer");
    using _layers = sessionOf(host).mounts.need(layers);
    await makeScratchLayer(host, folder, layers, signal);
  });
}

/**
 * Makes the disk of a scratch layer larger. The volume on it keeps its size: `expandScratch` grows both.
 *
 * ```ts
 * import { expandScratchLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await expandScratchLayer("C:\\scratch", 40 * 2 ** 30, { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param size Size in bytes: a multiple of 512, not less than the disk has, at most 64 TiB.
 * @throws {InvalidInputError} if an argument is refused, or the disk would have to shrink.
 * @throws {InUseError} if the disk is in use.
 * @throws {NativeError} if Windows refuses.
 * @category Scratches and base layers
 */
export async function expandScratchLayer(
  layer: string,
  size: number | bigint,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const bytes = diskSize(size, "size");
    const folder = existingLayer(host, layer, "layer", signal, "scratchDisk");
    await sessionOf(host).withScratch(folder, () => expandDisk(host, folder, "layer", bytes, signal), signal);
  });
}

/** Grows the disk of a scratch to `bytes`. Errors name `argument`. */
export async function expandDisk(
  host: Host,
  folder: string,
  argument: string,
  bytes: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = diskOf(folder);
  requireKind(host, file, argument, "file");
  using _scratch = sessionOf(host).mounts.need([folder]);
  await requireFreeDisk(host, folder, signal);
  const { size } = await withDisk(host, file, signal, (disk) => diskSizes(host, disk.handle, file));
  if (bytes < size) {
    throw new InvalidInputError("size", `is less than the ${size} bytes that the disk has`, `${bytes}`);
  }
  // Nobody knows what Windows returns if the disk already has that size.
  if (bytes === size) return;
  signal?.throwIfAborted();
  await onceFree(host, file, () => native.expandSandboxSize(host, folder, bytes), signal);
}

/**
 * Deletes a layer with its folder.
 *
 * A layer that is known to be in use is refused: if this process has activated or mounted it, if a mount of any process shows
 * it, as far as records of mounts tell (Windows would end this process), if another call of this process needs it, if a VM of this
 * process uses it, or if it is a scratch whose disk is attached.
 *
 * ```ts
 * import { destroyLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\app");
 * await destroyLayer("C:\\layers\\app", { host });
 * console.log(host.exists("C:\\layers\\app")); // false
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {InUseError} if it is in use; or if it is still there after Windows has reported that it was deleted.
 * @throws {NativeError} if Windows refuses; part of the layer may be deleted then.
 * @category Layers
 */
export async function destroyLayer(layer: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const folder = existingLayer(host, layer, "layer", signal);
    using _destroying = sessionOf(host).mounts.startDestroying(folder);
    await requireUnused(host, folder, signal);
    await deleteLayer(host, folder, DESTROY_LAYER, signal);
  });
}

/** Throws if a layer is known to be in use, so that what it has must not be changed. */
export async function requireUnused(host: Host, folder: string, signal: AbortSignal | undefined): Promise<void> {
  forgetUnmounted(host, folder);
  const { mounts } = sessionOf(host);
  if (mounts.isActivated(folder)) {
    throw new InUseError(folder, "is activated, or a scratch in it is", "this process");
  }
  if (mounts.isShown(folder)) {
    throw new InUseError(folder, "is a layer of a mounted scratch, or has one in it", "this process");
  }
  if (mounts.isNeeded(folder)) {
    throw new InUseError(folder, "is being mounted or read by another call, or a layer in it is", "this process");
  }
  if (isBeingCreated(host, folder)) {
    throw new InUseError(folder, "is being created, or something in it is", "this process");
  }
  const mount = await mountShowing(host, folder, signal);
  if (mount !== undefined) {
    const problem = `is a layer of the mounted scratch ${mount.scratch}, or has one in it. Unmount that first`;
    throw new InUseError(folder, problem, `process ${mount.process.pid}`);
  }
  const vm = vmUsing(host, folder);
  if (vm !== undefined) throw new InUseError(folder, `is used by the VM ${vm.id}, or something in it is`, vm.id);
  if (kindOf(host, diskOf(folder)) !== undefined) await requireFreeDisk(host, folder, signal);
}

/**
 * Options of functions for layers that have parents.
 *
 * @category Layers
 */
export interface ParentOptions extends HostOptions {
  /** Absolute paths of the parents' folders, the topmost first. Default: none. */
  parents?: readonly string[] | undefined;
}

/**
 * Copies a layer.
 *
 * ```ts
 * import { copyLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addLayer("C:\\layers\\app");
 * await copyLayer("C:\\layers\\app", "D:\\layers\\app", { parents: ["C:\\layers\\base"], host });
 * ```
 *
 * @param source Absolute path of its folder.
 * @param destination Absolute path of the copy's folder, which must not exist.
 * @throws {InvalidInputError} if the source doesn't exist, or the destination does.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Layers
 */
export async function copyLayer(source: string, destination: string, options: ParentOptions = {}): Promise<void> {
  return await withHostOptions(
    options,
    { parents: optional(parentFolders) },
    [source, destination],
    async ({ host, signal, parents = [] }) => {
      const named = namedFolder(destination, "destination");
      const from = existingLayer(host, source, "source", signal);
      const layers = existingParents(host, parents, "parents");
      const to = realFolder(host, named, "destination");
      using _claim = claimAbsent(host, to, "destination");
      using _layers = sessionOf(host).mounts.need([from, ...layers]);
      const make = () => native.copyLayer(host, from, to, parentLayers(host, layers));
      await makeLayer(host, to, { by: "CopyLayer", make }, signal);
    },
  );
}

/**
 * Imports a layer from the transport format. Needs the privileges `SeBackupPrivilege` and `SeRestorePrivilege`, which
 * `enablePrivileges` enables.
 *
 * ```ts
 * import { enablePrivileges, importLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addFolder("C:\\unpacked\\app");
 * using _ = enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
 * await importLayer("C:\\layers\\app", "C:\\unpacked\\app", { parents: ["C:\\layers\\base"], host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param folder Absolute path of the folder with the transport format.
 * @throws {InvalidInputError} if the folder doesn't exist, or is the layer.
 * @throws {InUseError} if the layer is there and known to be in use, see {@linkcode destroyLayer}.
 * @throws {NativeError} if Windows refuses. A layer that was there may be part of both then.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Layers
 */
export async function importLayer(layer: string, folder: string, options: ParentOptions = {}): Promise<void> {
  return await withHostOptions(
    options,
    { parents: optional(parentFolders) },
    [layer, folder],
    async ({ host, signal, parents = [] }) => {
      const named = namedFolder(layer, "layer");
      requireDistinct(namedFolder(folder, "folder"), named, "folder", "is the folder of the layer itself");
      const from = existingLayer(host, folder, "folder", signal);
      const to = realFolder(host, named, "layer");
      requireDistinct(from, to, "folder", "is the folder of the layer itself");
      const layers = existingParents(host, parents, "parents");
      using _layers = sessionOf(host).mounts.need(layers);
      const make = () => native.importLayer(host, to, from, parentLayers(host, layers));
      await importInto(host, to, { by: "ImportLayer", make }, signal);
    },
  );
}

/** Has Windows import into a layer. One that is there must not be in use, and stays if that fails; a new one doesn't. */
export async function importInto(
  host: Host,
  layer: string,
  making: Making,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (kindOf(host, layer) === undefined) {
    using _claim = claimAbsent(host, layer, "layer");
    await makeLayer(host, layer, making, signal);
  } else {
    await requireUnused(host, layer, signal);
    await making.make();
  }
}

/**
 * Exports a layer to the transport format. Needs the privilege `SeBackupPrivilege`, which `enablePrivileges` enables.
 *
 * ```ts
 * import { enablePrivileges, exportLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addLayer("C:\\layers\\app");
 * host.addFolder("C:\\export");
 * using _ = enablePrivileges(["SeBackupPrivilege"], { host });
 * await exportLayer("C:\\layers\\app", "C:\\export", { parents: ["C:\\layers\\base"], host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param folder Absolute path of the folder to write to, which must exist.
 * @throws {InvalidInputError} if a folder doesn't exist, or both are one.
 * @throws {NativeError} if Windows refuses; part of the export may be there then.
 * @category Layers
 */
export async function exportLayer(layer: string, folder: string, options: ParentOptions = {}): Promise<void> {
  return await withHostOptions(
    options,
    { parents: optional(parentFolders) },
    [layer, folder],
    async ({ host, signal, parents = [] }) => {
      const named = namedFolder(folder, "folder");
      requireDistinct(named, namedFolder(layer, "layer"), "folder", "is the folder of the layer itself");
      const from = existingLayer(host, layer, "layer", signal);
      requireKind(host, named, "folder", "folder");
      const to = realFolder(host, named, "folder");
      requireDistinct(to, from, "folder", "is the folder of the layer itself");
      const layers = existingParents(host, parents, "parents");
      using _layers = sessionOf(host).mounts.need([from, ...layers]);
      await native.exportLayer(host, from, to, parentLayers(host, layers));
    },
  );
}

/**
 * A base image in the image store of Windows. Windows may add further properties.
 *
 * @category Layers
 */
export interface BaseImage {
  /** Name. */
  readonly Name?: string;
  /** Version. */
  readonly Version?: string;
  /** Folder of its layer. */
  readonly Path?: string;
  /** Size in bytes. */
  readonly Size?: number;
  /** When it was made. */
  readonly CreatedTime?: string;
}

/**
 * Returns the base images in the image store of Windows.
 *
 * ```ts
 * import { baseImages } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * for (const { Name, Version, Path } of await baseImages({ host })) console.log(Name, Version, Path);
 * ```
 *
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export async function baseImages(options: HostOptions = {}): Promise<BaseImage[]> {
  return await withHostOptions(options, {}, [], async ({ host, signal }) => {
    signal?.throwIfAborted();
    const text = await native.getBaseImages(host);
    if (text === "") return [];
    const images = returnedJson("GetBaseImages", text, (list: { Images?: unknown } | null) => list?.Images ?? []);
    if (!Array.isArray(images)) throw new UnexpectedAnswerError("GetBaseImages", "has no list of images", text);
    return images;
  });
}

/**
 * Returns the id by which Windows knows the layer in a folder. It depends only on the folder's own name, whatever path leads
 * to it.
 *
 * ```ts
 * import { layerId } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * console.log(layerId("C:\\layers\\base", { host }) === layerId("D:\\other\\base", { host })); // true
 * ```
 *
 * @param layer Absolute path of the folder, which need not exist.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 * @category Layers
 */
export function layerId(layer: string, options: Pick<HostOptions, "host"> = {}): string {
  const { host } = hostOptions(options, {});
  return idOf(host, realLayer(host, namedFolder(layer, "layer"), "layer"));
}

// A filter is never left without its disk.
function requireNoFilter(host: Host, scratch: string): void {
  requireNotMounting(host, scratch);
  forgetUnmounted(host, scratch);
  if (!sessionOf(host).mounts.hasLayers(scratch)) return;
  throw new InUseError(scratch, "has its filter. Release its mount, or remove the filter first", "this process");
}

function requireNotMounting(host: Host, scratch: string): void {
  if (!sessionOf(host).mounts.isMounting(scratch)) return;
  throw new InUseError(scratch, "is being mounted. Try again after that has ended", "this process");
}

/**
 * Checks the path of a layer's folder, which must exist, and returns where it really is: services of Windows don't know the drive
 * letters of a session (`subst`). Throws if Deno lacks a permission.
 */
export function existingLayer(
  host: Host,
  layer: string,
  argument: string,
  signal: AbortSignal | undefined,
  operation: Operation = "layer",
): string {
  const folder = namedFolder(layer, argument);
  signal?.throwIfAborted();
  requireGrantsFor(host, operation);
  requireKind(host, folder, argument, "folder");
  return realFolder(host, folder, argument);
}
