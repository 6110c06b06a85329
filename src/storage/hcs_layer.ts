/**
 * Layers by documents: the functions of computestorage.dll, under their own names.
 *
 * @module
 */

import { boolean, documentOf, requireText, withHostOptions } from "../checks/arguments.ts";
import { requireKind } from "../checks/existing.ts";
import { realFolder } from "../checks/real_path.ts";
import { namedFolder, requireDistinct, returnedVolume, volumeRoot } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { isUnclear } from "../errors/outcomes.ts";
import * as native from "../ffi/computestorage.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { INVALID_HANDLE } from "../ffi/kernel32.ts";
import type { LayerData, OsLayerOptions } from "../hcsschema/storage.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { withHolds } from "../holds/hold_list.ts";
import { deleteLayer, type Deletion } from "../host_holds/made_layer.ts";
import { isNoFilter } from "../host_holds/wcifs_filter.ts";
import { oneOf, optional } from "../options.ts";
import { requireBuild } from "../session/builds.ts";
import { sessionOf } from "../session/session.ts";
import { existingLayer, importInto, requireUnused } from "./layer.ts";
import { layerData, layerDataOf } from "./layer_data.ts";

const HCS_DESTROY_LAYER: Deletion = { by: "HcsDestroyLayer", destroy: native.destroyLayer };

/**
 * Options of {@linkcode hcsImportLayer}.
 *
 * @category Layers by documents
 */
export interface HcsImportLayerOptions extends HostOptions {
  /** The parents of the layer. Default: none. */
  data?: LayerData | undefined;
}

/**
 * Imports a layer from the transport format. Windows creates the layer's folder.
 *
 * ```ts
 * import { hcsImportLayer, layerData, layerId } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addFolder("C:\\unpacked\\app");
 * const parent = { Id: layerId("C:\\layers\\base", { host }), Path: "C:\\layers\\base" };
 * const data = layerData({ layers: [parent] });
 * await hcsImportLayer("C:\\layers\\app", "C:\\unpacked\\app", { data, host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param sourceFolder Absolute path of the folder with the transport format. It can't be the layer's folder.
 * @throws {InvalidInputError} if the source doesn't exist, or is the layer.
 * @throws {InUseError} if the layer is there and known to be in use, see {@linkcode destroyLayer}.
 * @throws {NativeError} if Windows refuses. A layer that was there may be part of both then.
 * @throws {UnexpectedAnswerError} if Windows reports success, and has created nothing.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Layers by documents
 */
export async function hcsImportLayer(
  layer: string,
  sourceFolder: string,
  options: HcsImportLayerOptions = {},
): Promise<void> {
  return await withHostOptions(
    options,
    { data: optional(layerDataOf) },
    [layer, sourceFolder],
    async ({ host, signal, data = layerData() }) => {
      const named = namedFolder(layer, "layer");
      requireDistinct(
        namedFolder(sourceFolder, "sourceFolder"),
        named,
        "sourceFolder",
        "is the folder of the layer itself",
      );
      const from = existingLayer(host, sourceFolder, "sourceFolder", signal, "hcsLayer");
      const to = realFolder(host, named, "layer");
      requireDistinct(from, to, "sourceFolder", "is the folder of the layer itself");
      const make = () => native.importLayer(host, to, from, data);
      await importInto(host, to, { by: "HcsImportLayer", make, deletion: HCS_DESTROY_LAYER }, signal);
    },
  );
}

/**
 * Options of {@linkcode hcsExportLayer}.
 *
 * @category Layers by documents
 */
export interface HcsExportLayerOptions extends HostOptions {
  /** The parents of the layer. Default: none. */
  data?: LayerData | undefined;
  /** Whether it is a scratch layer. Default: false. */
  writable?: boolean | undefined;
}

/**
 * Exports a layer to the transport format.
 *
 * ```ts
 * import { hcsExportLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addFolder("C:\\export");
 * await hcsExportLayer("C:\\layers\\base", "C:\\export", { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param exportFolder Absolute path of the folder to write to, which must exist.
 * @throws {InvalidInputError} if a folder doesn't exist, or both are one.
 * @throws {NativeError} if Windows refuses; part of the export may be there then.
 * @category Layers by documents
 */
export async function hcsExportLayer(
  layer: string,
  exportFolder: string,
  options: HcsExportLayerOptions = {},
): Promise<void> {
  return await withHostOptions(
    options,
    {
      data: optional(layerDataOf),
      writable: optional(boolean),
    },
    [layer, exportFolder],
    async ({ host, signal, data = layerData(), writable }) => {
      const named = namedFolder(exportFolder, "exportFolder");
      requireDistinct(named, namedFolder(layer, "layer"), "exportFolder", "is the folder of the layer itself");
      const from = existingLayer(host, layer, "layer", signal, "hcsLayer");
      requireKind(host, named, "exportFolder", "folder");
      const to = realFolder(host, named, "exportFolder");
      requireDistinct(to, from, "exportFolder", "is the folder of the layer itself");
      await native.exportLayer(host, from, to, data, writable ? { IsWritableLayer: true } : {});
    },
  );
}

/**
 * Deletes a layer with its folder. A layer in use is refused, as by `destroyLayer`.
 *
 * ```ts
 * import { hcsDestroyLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\app");
 * await hcsDestroyLayer("C:\\layers\\app", { host });
 * console.log(host.exists("C:\\layers\\app")); // false
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {InUseError} if it is in use; or if it is still there after Windows has reported that it was deleted.
 * @throws {NativeError} if Windows refuses; part of the layer may be deleted then.
 * @category Layers by documents
 */
export async function hcsDestroyLayer(layer: string, options: HostOptions = {}): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const folder = existingLayer(host, layer, "layer", signal, "hcsLayer");
    using _destroying = sessionOf(host).mounts.startDestroying(folder);
    await requireUnused(host, folder, signal);
    await deleteLayer(host, folder, HCS_DESTROY_LAYER, signal);
  });
}

/**
 * Options of {@linkcode hcsSetupBaseOSLayer}.
 *
 * @category Layers by documents
 */
export interface HcsSetupBaseOSLayerOptions extends HostOptions {
  /** HANDLE of the attached disk of a utility VM (`Disk.handle`). Leave it out for containers. */
  vhd?: bigint | undefined;
}

/**
 * Sets up an operating system layer. `setupContainerBaseLayer` and `setupUtilityVMBaseLayer` also create its disks.
 *
 * ```ts
 * import { hcsSetupBaseOSLayer } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * await hcsSetupBaseOSLayer("C:\\layers\\base", { Type: "Container" }, { host });
 * console.log(host.exists("C:\\layers\\base\\Hives")); // true
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param os What the layer is for.
 * @throws {InvalidInputError} if there is no such folder, or if `vhd` is missing for type `Vm` or set for another type.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsSetupBaseOSLayer(
  layer: string,
  os: OsLayerOptions,
  options: HcsSetupBaseOSLayerOptions = {},
): Promise<void> {
  return await withHostOptions(options, { vhd: optional(openHandle) }, [layer], async ({ host, signal, vhd }) => {
    const wanted = osLayer(os, "os");
    if ((wanted.Type === "Vm") !== (vhd !== undefined)) {
      throw new InvalidInputError("vhd", "is required for layers of type Vm, and not allowed for others", wanted);
    }
    const folder = existingLayer(host, layer, "layer", signal, "hcsLayer");
    await native.setupBaseOSLayer(host, folder, vhd ?? 0n, wanted);
  });
}

/**
 * Options of {@linkcode hcsSetupBaseOSVolume}.
 *
 * @category Layers by documents
 */
export interface HcsSetupBaseOSVolumeOptions extends HostOptions {
  /** What the layer is for. Default: containers. */
  os?: OsLayerOptions | undefined;
}

/**
 * Sets up an operating system layer on a volume. Needs Windows build 19645 or later.
 *
 * ```ts
 * import { hcsSetupBaseOSVolume } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * const volume = host.addVolume(crypto.randomUUID());
 * await hcsSetupBaseOSVolume("C:\\layers\\base", volume, { host });
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @throws {InvalidInputError} if there is no such folder, or `volume` isn't the name of a volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19645.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsSetupBaseOSVolume(
  layer: string,
  volume: string,
  options: HcsSetupBaseOSVolumeOptions = {},
): Promise<void> {
  return await withHostOptions(
    options,
    { os: optional(osLayer) },
    [layer, volume],
    async ({ host, signal, os = { Type: "Container" } as const }) => {
      const root = volumeRoot(volume, "volume");
      const folder = namedFolder(layer, "layer");
      signal?.throwIfAborted();
      requireBuild(host, "baseOSVolume", "HcsSetupBaseOSVolume");
      requireKind(host, folder, "layer", "folder");
      await native.setupBaseOSVolume(host, onDrive(host, folder), root, os);
    },
  );
}

/**
 * Initializes the volume of a formatted disk as a scratch layer.
 *
 * ```ts
 * import { hcsInitializeWritableLayer, layerData, layerId } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * const volume = host.addVolume(crypto.randomUUID());
 * const parent = { Id: layerId("C:\\layers\\base", { host }), Path: "C:\\layers\\base" };
 * await hcsInitializeWritableLayer(volume, layerData({ layers: [parent] }), { host });
 * ```
 *
 * @param layer The volume, `\\?\Volume{guid}\`, or the absolute path of the folder at which it is mounted.
 * @param data The parents of the layer.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsInitializeWritableLayer(
  layer: string,
  data: LayerData,
  options: HostOptions = {},
): Promise<void> {
  await onLayer(layer, data, options, native.initializeWritableLayer);
}

/**
 * Attaches the filter that shows its parents through the volume of a scratch layer.
 *
 * ```ts
 * import * as storage from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await using disk = await storage.mountWritableLayerDisk("C:\\scratch\\sandbox.vhdx", { host });
 * const parent = { Id: storage.layerId("C:\\layers\\base", { host }), Path: "C:\\layers\\base" };
 * await storage.hcsAttachLayerStorageFilter(disk.volume, storage.layerData({ layers: [parent] }), { host });
 * await storage.hcsDetachLayerStorageFilter(disk.volume, { host });
 * ```
 *
 * @param layer The volume, `\\?\Volume{guid}\`, or the absolute path of a folder at which it is mounted.
 * @param data The parents of the layer.
 * @throws {InvalidInputError} if there is no such volume or folder.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if the call timed out, and what it may have attached couldn't be removed.
 * @category Layers by documents
 */
export async function hcsAttachLayerStorageFilter(
  layer: string,
  data: LayerData,
  options: HostOptions = {},
): Promise<void> {
  await onLayer(layer, data, options, (host, scratch, document, signal) => {
    const layers = (document.Layers ?? []).map(({ Path }) => Path ?? "");
    const held: Held<HoldOf<"filter">> = {
      hold: { kind: "filter", scratch, layers },
      restsOn: [],
      release: () => detached(native.detachLayerStorageFilter(host, scratch)),
    };
    return attachAs(held, () => native.attachLayerStorageFilter(host, scratch, document), signal);
  });
}

/**
 * Removes the filter from the volume of a scratch layer. It is not known what Windows returns if there is none.
 *
 * ```ts
 * import { hcsAttachLayerStorageFilter, hcsDetachLayerStorageFilter, layerData } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * const volume = host.addVolume(crypto.randomUUID());
 * await hcsAttachLayerStorageFilter(volume, layerData(), { host });
 * await hcsDetachLayerStorageFilter(volume, { host });
 * ```
 *
 * @param layer The volume, `\\?\Volume{guid}\`, or the absolute path of a folder at which it is mounted.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsDetachLayerStorageFilter(
  layer: string,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const path = layerPath(layer);
    signal?.throwIfAborted();
    await native.detachLayerStorageFilter(host, path);
  });
}

/**
 * Attaches the overlay filter to the volume of a scratch. Needs Windows build 20348 or later.
 *
 * ```ts
 * import * as storage from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addCimLayer("C:\\layers\\top");
 * const scratch = host.addVolume(crypto.randomUUID());
 * const image = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
 * await using _ = await storage.mountCimImage("C:\\layers\\cim-layers\\top.cim", image, { host });
 * const layer = { Id: storage.layerId("C:\\layers\\top", { host }), Path: `${image}Files` };
 * const data = storage.layerData({ layers: [layer], filterType: "UnionFS" });
 * await storage.hcsAttachOverlayFilter(scratch, data, { host });
 * await storage.hcsDetachOverlayFilter(scratch, data, { host });
 * ```
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @param data The layer to show, which is the folder `Files` of an image's volume, and the type of the filter.
 * @throws {InvalidInputError} if `volume` isn't the name of a volume.
 * @throws {MissingExportError} if this Windows has no overlay filter.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if the call timed out, and what it may have attached couldn't be removed.
 * @category Layers by documents
 */
export async function hcsAttachOverlayFilter(
  volume: string,
  data: LayerData,
  options: HostOptions = {},
): Promise<void> {
  await onVolume(volume, data, options, (host, root, document, signal) => {
    const scratch = sessionOf(host).mounts.scratchWithVolumeOf(root) ?? root;
    const held: Held<HoldOf<"overlay">> = {
      hold: { kind: "overlay", scratch, volume: root },
      restsOn: [],
      release: () => detached(native.detachOverlayFilter(host, root, document)),
    };
    return attachAs(held, () => native.attachOverlayFilter(host, root, document), signal);
  });
}

/**
 * Removes the overlay filter from the volume of a scratch. Needs Windows build 20348 or later.
 *
 * ```ts
 * import * as storage from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addCimLayer("C:\\layers\\top");
 * const scratch = host.addVolume(crypto.randomUUID());
 * const image = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
 * await using _ = await storage.mountCimImage("C:\\layers\\cim-layers\\top.cim", image, { host });
 * const layer = { Id: storage.layerId("C:\\layers\\top", { host }), Path: `${image}Files` };
 * const data = storage.layerData({ layers: [layer], filterType: "UnionFS" });
 * await storage.hcsAttachOverlayFilter(scratch, data, { host });
 * await storage.hcsDetachOverlayFilter(scratch, data, { host });
 * ```
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @param data The type of the filter. Nothing else in it matters.
 * @throws {InvalidInputError} if `volume` isn't the name of a volume.
 * @throws {MissingExportError} if this Windows has no overlay filter.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsDetachOverlayFilter(
  volume: string,
  data: LayerData,
  options: HostOptions = {},
): Promise<void> {
  await onVolume(volume, data, options, async (host, root, document) => {
    await native.detachOverlayFilter(host, root, document);
    const { mounts } = sessionOf(host);
    const scratch = mounts.scratchWithVolumeOf(root);
    if (scratch !== undefined) mounts.setLayers(scratch, []);
  });
}

/**
 * Formats the disk of a scratch layer. `formatWritableLayerDisk` does the same by path, on every build.
 *
 * ```ts
 * import { createVhdx, hcsFormatWritableLayerVhd, openDisk } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\scratch");
 * await createVhdx("C:\\scratch\\sandbox.vhdx", { size: 20 * 2 ** 30, host });
 * await using disk = await openDisk("C:\\scratch\\sandbox.vhdx", { host });
 * await hcsFormatWritableLayerVhd(disk.handle, { host });
 * ```
 *
 * @param vhd From build 18362 on, the HANDLE of a virtual disk (`Disk.handle`). On build 17763, a HANDLE of the device of
 * an attached disk (`Disk.physicalPath`).
 * @throws {InvalidInputError} if `vhd` isn't a HANDLE.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsFormatWritableLayerVhd(
  vhd: bigint,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [vhd], async ({ host, signal }) => {
    const handle = openHandle(vhd, "vhd");
    signal?.throwIfAborted();
    await native.formatWritableLayerVhd(host, handle);
  });
}

/**
 * Returns the volume on an attached disk, `\\?\Volume{guid}\`.
 *
 * ```ts
 * import { attachDisk, hcsGetLayerVhdMountPath } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addScratch("C:\\scratch");
 * await using disk = await attachDisk("C:\\scratch\\sandbox.vhdx", { host });
 * console.log(await hcsGetLayerVhdMountPath(disk.handle, { host })); // \\?\Volume{…}\
 * ```
 *
 * @param vhd HANDLE of the disk (`Disk.handle`).
 * @throws {InvalidInputError} if `vhd` isn't a HANDLE.
 * @throws {NativeError} if Windows refuses.
 * @category Layers by documents
 */
export async function hcsGetLayerVhdMountPath(
  vhd: bigint,
  options: HostOptions = {},
): Promise<string> {
  return await withHostOptions(options, {}, [vhd], async ({ host, signal }) => {
    const handle = openHandle(vhd, "vhd");
    signal?.throwIfAborted();
    return returnedVolume("HcsGetLayerVhdMountPath", await native.layerVhdMountPath(host, handle));
  });
}

const osLayer = documentOf<OsLayerOptions>({
  Type: oneOf("Container", "Vm"),
  DisableCiCacheOptimization: optional(boolean),
  SkipUpdateBcdForBoot: optional(boolean),
});

type DocumentCall = (host: Host, path: string, data: LayerData, signal: AbortSignal | undefined) => Promise<void>;

// A filter is removed again if the call was cancelled before it returned, or may have gone on after it failed.
async function attachAs(held: Held, attach: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  await withHolds((holds) =>
    holds.acquire(async (expect) => {
      try {
        await attach();
      } catch (error) {
        if (isUnclear(error)) expect(held);
        throw error;
      }
      return held;
    }, signal)
  );
}

async function detached(detaching: Promise<void>): Promise<boolean> {
  try {
    await detaching;
    return true;
  } catch (error) {
    if (isNoFilter(error)) return false;
    throw error;
  }
}

async function onLayer(
  layer: string,
  data: LayerData,
  options: HostOptions,
  call: DocumentCall,
): Promise<void> {
  return await withHostOptions(options, {}, [layer], async ({ host, signal }) => {
    const document = layerDataOf(data, "data");
    const path = layerPath(layer);
    signal?.throwIfAborted();
    requireKind(host, path, "layer", "folder");
    await call(host, onDrive(host, path), document, signal);
  });
}

// Services of Windows don't know the drive letters of a session (`subst`). A volume stays one.
function onDrive(host: Host, path: string): string {
  return /^[A-Za-z]:/.test(path) ? realFolder(host, path, "layer") : path;
}

async function onVolume(
  volume: string,
  data: LayerData,
  options: HostOptions,
  call: DocumentCall,
): Promise<void> {
  return await withHostOptions(options, {}, [volume], async ({ host, signal }) => {
    const document = layerDataOf(data, "data");
    const root = volumeRoot(volume, "volume");
    signal?.throwIfAborted();
    await call(host, root, document, signal);
  });
}

function layerPath(path: unknown): string {
  requireText(path, "layer");
  return /^\\\\\?\\Volume\{/i.test(path) ? volumeRoot(path, "layer") : namedFolder(path, "layer");
}

function openHandle(handle: unknown, argument: string): bigint {
  if (typeof handle !== "bigint" || handle <= 0n || handle >= INVALID_HANDLE) {
    throw new InvalidInputError(argument, "is not an open HANDLE", handle);
  }
  return handle;
}
