/**
 * Layers of containers, one function of vmcompute.dll each. A layer is named by the absolute path of its folder.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { fileAttributes } from "../ffi/kernel32.ts";
import { diskSizes } from "../ffi/virtdisk.ts";
import * as native from "../ffi/vmcompute.ts";
import { activateScratch, activation, isActivated, requireFreeDisk, SCRATCH_DISK } from "../host_holds/activation.ts";
import { diskSize, parentFolders, requireAbsent, requireKind, requireParents } from "../checks/existing.ts";
import { withDisk } from "./virtual_disk.ts";
import { filter, isShown } from "../host_holds/wcifs_filter.ts";
import { layerId as idOf, parentLayers } from "../host_holds/layer_id.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { namedFolder, pathKey, volumeRoot, windowsPath } from "../checks/windows_path.ts";

/** Options of {@linkcode activateLayer}. */
export type ActivateLayerOptions = HostOptions;

/**
 * Activates a layer: the disk of a scratch layer, `sandbox.vhdx`, is attached to the host, and stays so until
 * {@linkcode deactivateLayer}, also when the process ends.
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder, the scratch is mounted by this process, or its disk is in use.
 * @throws {NativeError} if Windows refuses.
 */
export async function activateLayer(layer: string, options: ActivateLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const folder = existingLayer(host, layer, "layer", signal);
  if (fileAttributes(host, join(folder, SCRATCH_DISK)) === undefined) {
    await native.activateLayer(host, folder);
  } else {
    await activateScratch(host, folder, "layer");
  }
}

/** Options of {@linkcode deactivateLayer}. */
export type DeactivateLayerOptions = HostOptions;

/**
 * Deactivates a layer, whoever activated it. Succeeds where it isn't activated. Take its filter off first
 * ({@linkcode unprepareLayer}).
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 */
export async function deactivateLayer(layer: string, options: DeactivateLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const scratch = namedFolder(layer, "layer");
  signal?.throwIfAborted();
  await activation.give(host, { kind: "activation", scratch });
}

/** Options of {@linkcode prepareLayer}. */
export type PrepareLayerOptions = HostOptions;

/**
 * Puts the filter on an activated layer that shows its parents through it. One call at a time in this process, as Windows
 * runs into time-outs otherwise; an abort of the signal ends the wait for the turn.
 *
 * @param layer Absolute path of the layer's folder.
 * @param parents Absolute paths of the parents' folders, the topmost first; none for a base layer.
 * @throws {InvalidInputError} if a folder doesn't exist, or two parents have the same name.
 * @throws {NativeError} if Windows refuses.
 */
export async function prepareLayer(
  layer: string,
  parents: readonly string[],
  options: PrepareLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const layers = parentFolders(parents, "parents");
  const scratch = existingLayer(host, layer, "layer", signal);
  requireParents(host, layers, "parents");
  await filter.take(host, { kind: "filter", scratch, layers }, signal);
}

/** Options of {@linkcode unprepareLayer}. */
export type UnprepareLayerOptions = HostOptions;

/**
 * Takes the filter off a layer, whoever put it on.
 *
 * @param layer Absolute path of the layer's folder.
 * @returns False where there was none.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 */
export async function unprepareLayer(layer: string, options: UnprepareLayerOptions = {}): Promise<boolean> {
  const { host = defaultHost(), signal } = options;
  const scratch = namedFolder(layer, "layer");
  signal?.throwIfAborted();
  return await filter.give(host, { kind: "filter", scratch, layers: [] });
}

/** Options of {@linkcode layerMountPath}. */
export type LayerMountPathOptions = HostOptions;

/**
 * Where the files of an activated layer are: the volume of a scratch, `\\?\Volume{guid}\`, or the folder of a read-only
 * layer. What Windows answers for a scratch that isn't activated is not known.
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder, or Windows' answer is no path.
 * @throws {NativeError} if Windows refuses.
 */
export async function layerMountPath(layer: string, options: LayerMountPathOptions = {}): Promise<string> {
  const { host = defaultHost(), signal } = options;
  const folder = existingLayer(host, layer, "layer", signal);
  const path = await native.getLayerMountPath(host, folder);
  const answer = "GetLayerMountPath's answer";
  return path.startsWith("\\\\?\\Volume{") ? volumeRoot(path, answer) : windowsPath(path, answer);
}

/** Options of {@linkcode layerExists}. */
export type LayerExistsOptions = HostOptions;

/**
 * Whether there is a layer in a folder.
 *
 * @param layer Absolute path of the folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 */
export async function layerExists(layer: string, options: LayerExistsOptions = {}): Promise<boolean> {
  const { host = defaultHost(), signal } = options;
  const folder = namedFolder(layer, "layer");
  signal?.throwIfAborted();
  return await native.layerExists(host, folder);
}

/** Options of {@linkcode createLayer}. */
export interface CreateLayerOptions extends HostOptions {
  /** Absolute path of the parent's folder. Default: none, for a base layer. */
  parent?: string | undefined;
}

/**
 * Creates an empty read-only layer.
 *
 * @param layer Absolute path of its folder, which must not exist.
 * @throws {InvalidInputError} if the folder exists, or the parent doesn't.
 * @throws {NativeError} if Windows refuses.
 */
export async function createLayer(layer: string, options: CreateLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const folder = namedFolder(layer, "layer");
  const parent = options.parent === undefined ? undefined : namedFolder(options.parent, "parent");
  signal?.throwIfAborted();
  requireAbsent(host, folder, "layer");
  if (parent !== undefined) requireKind(host, parent, "parent", "folder");
  await native.createLayer(host, folder, parent ?? "");
}

/** Options of {@linkcode createScratchLayer}. */
export type CreateScratchLayerOptions = HostOptions;

/**
 * Creates a scratch layer: its folder, with the disk `sandbox.vhdx` of 20 GB, formatted. What a failing call leaves is
 * left; `createScratch` undoes what it did.
 *
 * @param layer Absolute path of its folder, which must not hold a disk.
 * @param parents Absolute paths of the parents' folders, the topmost first.
 * @throws {InvalidInputError} if there are no parents, one doesn't exist, or the disk exists.
 * @throws {NativeError} if Windows refuses.
 */
export async function createScratchLayer(
  layer: string,
  parents: readonly string[],
  options: CreateScratchLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const folder = namedFolder(layer, "layer");
  const layers = scratchParents(parents, "parents");
  signal?.throwIfAborted();
  requireParents(host, layers, "parents");
  requireAbsent(host, join(folder, SCRATCH_DISK), "layer");
  await native.createSandboxLayer(host, folder, parentLayers(host, layers));
}

/** The parents of a scratch, of which there is at least one: without, Windows creates no disk. */
export function scratchParents(folders: unknown, argument: string): string[] {
  const layers = parentFolders(folders, argument);
  if (layers.length === 0) {
    throw new InvalidInputError(argument, "names no folder", folders);
  }
  return layers;
}

/** Options of {@linkcode expandScratchLayer}. */
export type ExpandScratchLayerOptions = HostOptions;

/**
 * Makes the disk of a scratch layer larger. The volume on it stays as it is: `expandScratch` grows both.
 *
 * @param layer Absolute path of the layer's folder.
 * @param size Size in bytes: a multiple of 512, not less than the disk has, at most 64 TiB.
 * @throws {InvalidInputError} if an argument is refused, the disk is in use, or would have to shrink.
 * @throws {NativeError} if Windows refuses.
 */
export async function expandScratchLayer(
  layer: string,
  size: number | bigint,
  options: ExpandScratchLayerOptions = {},
): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const bytes = diskSize(size, "size");
  await expandDisk(host, existingLayer(host, layer, "layer", signal), bytes, signal);
}

/** Makes the disk of a scratch as large as `bytes`. */
export async function expandDisk(
  host: Host,
  folder: string,
  bytes: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = join(folder, SCRATCH_DISK);
  requireKind(host, file, "layer", "file");
  requireFreeDisk(host, folder, "layer");
  const { size } = await withDisk(host, file, signal, (disk) => diskSizes(host, disk.handle, file));
  if (bytes < size) {
    throw new InvalidInputError("size", `is less than the ${size} bytes that the disk has`, `${bytes}`);
  }
  // Windows is not asked for what it has done already: its answer isn't known.
  if (bytes === size) return;
  signal?.throwIfAborted();
  await native.expandSandboxSize(host, folder, bytes);
}

/** Options of {@linkcode destroyLayer}. */
export type DestroyLayerOptions = HostOptions;

/**
 * Deletes a layer with its folder.
 *
 * It refuses as far as it can be known that the layer is in use: when this process has it activated or mounted, or shows
 * it as a parent of a scratch (Windows would end the process), and when the disk of a scratch is attached.
 *
 * @param layer Absolute path of the layer's folder.
 * @throws {InvalidInputError} if there is no such folder, or it is in use.
 * @throws {NativeError} if Windows refuses; part of the layer may be deleted then.
 */
export async function destroyLayer(layer: string, options: DestroyLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const folder = existingLayer(host, layer, "layer", signal);
  requireUnused(host, folder, "layer");
  await native.destroyLayer(host, folder);
}

/** Refuses a layer that is known to be in use. */
export function requireUnused(host: Host, folder: string, argument: string): void {
  if (isActivated(host, folder)) {
    throw new InvalidInputError(argument, "is activated by this process, or has a folder in it that is", folder);
  }
  if (isShown(host, folder)) {
    throw new InvalidInputError(argument, "is a layer of a scratch that this process has mounted", folder);
  }
  if (fileAttributes(host, join(folder, SCRATCH_DISK)) !== undefined) {
    requireFreeDisk(host, folder, argument);
  }
}

/** Options of {@linkcode copyLayer}. */
export interface CopyLayerOptions extends HostOptions {
  /** Absolute paths of the parents' folders, the topmost first. Default: none. */
  parents?: readonly string[] | undefined;
}

/**
 * Copies a layer.
 *
 * @param source Absolute path of its folder.
 * @param destination Absolute path of the copy's folder, which must not exist.
 * @throws {InvalidInputError} if the source doesn't exist, or the destination does.
 * @throws {NativeError} if Windows refuses; part of the copy may be there then.
 */
export async function copyLayer(source: string, destination: string, options: CopyLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const parents = parentFolders(options.parents ?? [], "parents");
  const to = namedFolder(destination, "destination");
  const from = existingLayer(host, source, "source", signal);
  requireParents(host, parents, "parents");
  requireAbsent(host, to, "destination");
  await native.copyLayer(host, from, to, parentLayers(host, parents));
}

/** Options of {@linkcode importLayer}. */
export interface ImportLayerOptions extends HostOptions {
  /** Absolute paths of the parents' folders, the topmost first. Default: none. */
  parents?: readonly string[] | undefined;
}

/**
 * Makes a layer out of the transport format. Needs the privileges `SeBackupPrivilege` and `SeRestorePrivilege`, which
 * `enablePrivileges` enables.
 *
 * @param layer Absolute path of the layer's folder.
 * @param folder Absolute path of the folder with the transport format.
 * @throws {InvalidInputError} if the folder doesn't exist, or is the layer.
 * @throws {NativeError} if Windows refuses; part of the layer may be there then.
 */
export async function importLayer(layer: string, folder: string, options: ImportLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const parents = parentFolders(options.parents ?? [], "parents");
  const to = namedFolder(layer, "layer");
  const from = existingLayer(host, folder, "folder", signal);
  requireOther(from, to, "folder");
  requireParents(host, parents, "parents");
  await native.importLayer(host, to, from, parentLayers(host, parents));
}

/** Options of {@linkcode exportLayer}. */
export interface ExportLayerOptions extends HostOptions {
  /** Absolute paths of the parents' folders, the topmost first. Default: none. */
  parents?: readonly string[] | undefined;
}

/**
 * Writes a layer in the transport format. Needs the privilege `SeBackupPrivilege`, which `enablePrivileges` enables.
 *
 * @param layer Absolute path of the layer's folder.
 * @param folder Absolute path of the folder to write to, which must exist.
 * @throws {InvalidInputError} if a folder doesn't exist, or both are one.
 * @throws {NativeError} if Windows refuses; part of the export may be there then.
 */
export async function exportLayer(layer: string, folder: string, options: ExportLayerOptions = {}): Promise<void> {
  const { host = defaultHost(), signal } = options;
  const parents = parentFolders(options.parents ?? [], "parents");
  const to = namedFolder(folder, "folder");
  const from = existingLayer(host, layer, "layer", signal);
  requireOther(to, from, "folder");
  requireKind(host, to, "folder", "folder");
  requireParents(host, parents, "parents");
  await native.exportLayer(host, from, to, parentLayers(host, parents));
}

/** Refuses a folder that is the layer which is read from it, or written to it. */
export function requireOther(folder: string, layer: string, argument: string): void {
  if (pathKey(folder) === pathKey(layer)) {
    throw new InvalidInputError(argument, "is the folder of the layer itself", folder);
  }
}

/** A base image that Windows keeps for all. Windows may tell more of it. */
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

/** Options of {@linkcode baseImages}. */
export type BaseImagesOptions = HostOptions;

/**
 * The base images in the image store of Windows.
 *
 * @throws {NativeError} if Windows refuses.
 */
export async function baseImages(options: BaseImagesOptions = {}): Promise<BaseImage[]> {
  const { host = defaultHost(), signal } = options;
  signal?.throwIfAborted();
  const text = await native.getBaseImages(host);
  return (text === "" ? undefined : JSON.parse(text).Images) ?? [];
}

/** Options of {@linkcode layerId}. */
export type LayerIdOptions = Omit<HostOptions, "signal">;

/**
 * The id by which Windows knows the layer in a folder. It is made from the folder's name alone.
 *
 * @param layer Absolute path of the folder, which need not exist.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {NativeError} if Windows refuses.
 */
export function layerId(layer: string, options: LayerIdOptions = {}): string {
  const { host = defaultHost() } = options;
  return idOf(host, namedFolder(layer, "layer"));
}

/** The path of a layer's folder, which exists. */
export function existingLayer(
  host: Host,
  layer: string,
  argument: string,
  signal: AbortSignal | undefined,
): string {
  const folder = namedFolder(layer, argument);
  signal?.throwIfAborted();
  requireKind(host, folder, argument, "folder");
  return folder;
}
