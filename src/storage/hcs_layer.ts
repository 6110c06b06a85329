/**
 * Layers by documents: the functions of computestorage.dll, one each, under their names.
 *
 * @module
 */

import * as native from "../ffi/computestorage.ts";
import { InvalidInputError, UnsupportedBuildError } from "../errors/windows_errors.ts";
import { defaultHost } from "../ffi/host.ts";
import { INVALID_HANDLE } from "../ffi/kernel32.ts";
import { type LayerData, layerData, type OsLayerOptions } from "../hcsschema/storage.ts";
import { buildOf } from "../checks/builds.ts";
import { requireKind } from "../checks/existing.ts";
import { existingLayer, requireOther, requireUnused } from "./layer.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { namedFolder, volumeRoot } from "../checks/windows_path.ts";

/** Options of {@linkcode hcsImportLayer}. */
export interface HcsImportLayerOptions extends HostOptions {
  /** The parents of the layer. Default: none. */
  data?: LayerData | undefined;
}

/**
 * Makes a layer out of the transport format. Windows creates the layer's folder.
 *
 * @param layer Absolute path of the layer's folder.
 * @param sourceFolder Absolute path of the folder with the transport format: not the layer's.
 * @throws {InvalidInputError} if the source doesn't exist, or is the layer.
 * @throws {NativeError} if Windows refuses; part of the layer may be there then.
 */
export async function hcsImportLayer(
  layer: string,
  sourceFolder: string,
  options: HcsImportLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal, data = layerData() } = options;
  const to = namedFolder(layer, "layer");
  const from = existingLayer(host, sourceFolder, "sourceFolder", signal);
  requireOther(from, to, "sourceFolder");
  await native.importLayer(host, to, from, data);
}

/** Options of {@linkcode hcsExportLayer}. */
export interface HcsExportLayerOptions extends HostOptions {
  /** The parents of the layer. Default: none. */
  data?: LayerData | undefined;
  /** Whether it is a scratch layer. Default: false. */
  writable?: boolean | undefined;
}

/**
 * Writes a layer in the transport format.
 *
 * @param layer Absolute path of the layer's folder.
 * @param exportFolder Absolute path of the folder to write to, which must exist.
 * @throws {InvalidInputError} if a folder doesn't exist, or both are one.
 * @throws {NativeError} if Windows refuses; part of the export may be there then.
 */
export async function hcsExportLayer(
  layer: string,
  exportFolder: string,
  options: HcsExportLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal, data = layerData(), writable = false } = options;
  const to = namedFolder(exportFolder, "exportFolder");
  const from = existingLayer(host, layer, "layer", signal);
  requireOther(to, from, "exportFolder");
  requireKind(host, to, "exportFolder", "folder");
  await native.exportLayer(host, from, to, data, writable ? { IsWritableLayer: true } : {});
}

/** Options of {@linkcode hcsDestroyLayer}. */
export type HcsDestroyLayerOptions = HostOptions;

/**
 * Deletes a layer with its folder. Refuses as `destroyLayer` does.
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder, or it is in use.
 * @throws {NativeError} if Windows refuses; part of the layer may be deleted then.
 */
export async function hcsDestroyLayer(layer: string, options: HcsDestroyLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const folder = existingLayer(host, layer, "layer", signal);
  requireUnused(host, folder, "layer");
  await native.destroyLayer(host, folder);
}

/** Options of {@linkcode hcsSetupBaseOSLayer}. */
export interface HcsSetupBaseOSLayerOptions extends HostOptions {
  /** HANDLE of the attached disk of a utility VM (`Disk.handle`). A layer for containers has none. */
  vhd?: bigint | undefined;
}

/**
 * Sets up an operating system layer. `setupContainerBaseLayer` and `setupUtilityVMBaseLayer` make its disks too.
 *
 * @param layer Absolute path of the layer's folder.
 * @param os What the layer is for.
 * @throws {InvalidInputError} if there is no such folder, a layer of type `Vm` has no disk, or one of another type has.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsSetupBaseOSLayer(
  layer: string,
  os: OsLayerOptions,
  options: HcsSetupBaseOSLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const vhd = options.vhd === undefined ? undefined : openHandle(options.vhd);
  if ((os.Type === "Vm") !== (vhd !== undefined)) {
    throw new InvalidInputError("vhd", "is for layers of type Vm, and needed for them", os);
  }
  const folder = existingLayer(host, layer, "layer", signal);
  await native.setupBaseOSLayer(host, folder, vhd ?? 0n, os);
}

/** Options of {@linkcode hcsSetupBaseOSVolume}. */
export interface HcsSetupBaseOSVolumeOptions extends HostOptions {
  /** What the layer is for. Default: containers. */
  os?: OsLayerOptions | undefined;
}

const BASE_OS_VOLUME_BUILD = 19645;

/**
 * Sets up an operating system layer on a volume. From build 19645.
 *
 * @param layer Absolute path of the layer's folder.
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @throws {InvalidInputError} if there is no such folder, or `volume` is no volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19645.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsSetupBaseOSVolume(
  layer: string,
  volume: string,
  options: HcsSetupBaseOSVolumeOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal, os = { Type: "Container" } } = options;
  const root = volumeRoot(volume, "volume");
  const folder = namedFolder(layer, "layer");
  signal?.throwIfAborted();
  const build = buildOf(host);
  if (build < BASE_OS_VOLUME_BUILD) {
    throw new UnsupportedBuildError("HcsSetupBaseOSVolume", `${build}`, `build ${BASE_OS_VOLUME_BUILD} or later`);
  }
  requireKind(host, folder, "layer", "folder");
  await native.setupBaseOSVolume(host, folder, root, os);
}

/** Options of {@linkcode hcsInitializeWritableLayer}. */
export type HcsInitializeWritableLayerOptions = HostOptions;

/**
 * Makes a scratch layer of a folder, at which the volume of a formatted disk is mounted, or of that volume.
 *
 * @param layer Absolute path of the folder, or `\\?\Volume{guid}\`.
 * @param data The parents of the layer.
 * @throws {InvalidInputError} if there is no such folder.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsInitializeWritableLayer(
  layer: string,
  data: LayerData,
  options: HcsInitializeWritableLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const path = layerPath(layer);
  signal?.throwIfAborted();
  requireKind(host, path, "layer", "folder");
  await native.initializeWritableLayer(host, path, data);
}

/** Options of {@linkcode hcsAttachLayerStorageFilter}. */
export type HcsAttachLayerStorageFilterOptions = HostOptions;

/**
 * Puts the filter on the volume of a scratch layer that shows its parents through it.
 *
 * @param layer Where the volume is: `\\?\Volume{guid}\`, or the absolute path of a folder at which it is mounted.
 * @param data The parents of the layer.
 * @throws {InvalidInputError} if there is no such volume or folder.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsAttachLayerStorageFilter(
  layer: string,
  data: LayerData,
  options: HcsAttachLayerStorageFilterOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const path = layerPath(layer);
  signal?.throwIfAborted();
  requireKind(host, path, "layer", "folder");
  await native.attachLayerStorageFilter(host, path, data);
}

/** Options of {@linkcode hcsDetachLayerStorageFilter}. */
export type HcsDetachLayerStorageFilterOptions = HostOptions;

/**
 * Takes the filter off the volume of a scratch layer. What Windows answers where there is none is not known.
 *
 * @param layer Where the volume is: `\\?\Volume{guid}\`, or the absolute path of a folder at which it is mounted.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsDetachLayerStorageFilter(
  layer: string,
  options: HcsDetachLayerStorageFilterOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const path = layerPath(layer);
  signal?.throwIfAborted();
  await native.detachLayerStorageFilter(host, path);
}

/** Options of {@linkcode hcsAttachOverlayFilter}. */
export type HcsAttachOverlayFilterOptions = HostOptions;

/**
 * Puts the overlay filter on the volume of a scratch. From build 20348.
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @param data What it shows: the folder `Files` of an image's volume, and the type of the filter.
 * @throws {InvalidInputError} if `volume` is no volume.
 * @throws {MissingExportError} if this Windows has no overlay filter.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsAttachOverlayFilter(
  volume: string,
  data: LayerData,
  options: HcsAttachOverlayFilterOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const root = volumeRoot(volume, "volume");
  signal?.throwIfAborted();
  await native.attachOverlayFilter(host, root, data);
}

/** Options of {@linkcode hcsDetachOverlayFilter}. */
export type HcsDetachOverlayFilterOptions = HostOptions;

/**
 * Takes the overlay filter off the volume of a scratch. From build 20348.
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @param data The type of the filter; all else plays no part.
 * @throws {InvalidInputError} if `volume` is no volume.
 * @throws {MissingExportError} if this Windows has no overlay filter.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsDetachOverlayFilter(
  volume: string,
  data: LayerData,
  options: HcsDetachOverlayFilterOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const root = volumeRoot(volume, "volume");
  signal?.throwIfAborted();
  await native.detachOverlayFilter(host, root, data);
}

/** Options of {@linkcode hcsFormatWritableLayerVhd}. */
export type HcsFormatWritableLayerVhdOptions = HostOptions;

/**
 * Formats a disk as that of a scratch layer. `formatWritableLayerDisk` takes a path, and opens what the build wants.
 *
 * @param vhd From build 18362 on the HANDLE of a virtual disk (`Disk.handle`); on build 17763 the HANDLE of the device of
 * an attached one (`Disk.physicalPath`).
 * @throws {InvalidInputError} if it is no HANDLE.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsFormatWritableLayerVhd(
  vhd: bigint,
  options: HcsFormatWritableLayerVhdOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const handle = openHandle(vhd);
  signal?.throwIfAborted();
  await native.formatWritableLayerVhd(host, handle);
}

/** Options of {@linkcode hcsGetLayerVhdMountPath}. */
export type HcsGetLayerVhdMountPathOptions = HostOptions;

/**
 * The volume on an attached disk, `\\?\Volume{guid}\`.
 *
 * @param vhd HANDLE of the disk (`Disk.handle`).
 * @throws {InvalidInputError} if it is no HANDLE, or Windows' answer is no volume.
 * @throws {NativeError} if Windows refuses.
 */
export async function hcsGetLayerVhdMountPath(
  vhd: bigint,
  options: HcsGetLayerVhdMountPathOptions = {},
): Promise<string> {
  const { host = defaultHost(), signal } = options;
  const handle = openHandle(vhd);
  signal?.throwIfAborted();
  return volumeRoot(await native.layerVhdMountPath(host, handle), "HcsGetLayerVhdMountPath's answer");
}

function layerPath(path: string): string {
  return /^\\\\\?\\Volume\{/i.test(path) ? volumeRoot(path, "layer") : namedFolder(path, "layer");
}

function openHandle(handle: unknown): bigint {
  if (typeof handle !== "bigint" || handle <= 0n || handle >= INVALID_HANDLE) {
    throw new InvalidInputError("vhd", "is not an open HANDLE", handle);
  }
  return handle;
}
