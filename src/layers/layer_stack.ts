/**
 * The folders of a layer stack.
 *
 * @module
 */

import { kindOf, requireKind } from "../checks/existing.ts";
import { realFolder, realLayers } from "../checks/real_path.ts";
import { diskOf, namedFolder, parentFolders, pathKey, scratchFolder } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { itemsOf } from "../options.ts";
import type { LayerPlacement } from "./mounted_layers.ts";

/** The folders of a Windows container's layers. */
export interface LayerStack {
  /** The folders as the caller named them, the scratch last. */
  readonly named: readonly string[];
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** Folder of the scratch. */
  readonly scratch: string;
  /** The argument that names the scratch. */
  readonly scratchArgument: string;
}

/** What a mount of a stack has acquired. */
export interface AcquiredLayers {
  /** Root of the container's file system. */
  readonly path: string;
  /** Where the files of each layer are. */
  readonly placements: readonly LayerPlacement[];
}

/**
 * Checks a list of folders with the scratch last, and returns them as a stack.
 *
 * @throws {InvalidInputError} if there are fewer than two, one is no absolute path, or two read-only ones have one name.
 */
export function layerStack(layerFolders: readonly string[]): LayerStack {
  const folders = itemsOf(layerFolders, "layerFolders", namedFolder, {
    least: 2,
    problem: "needs at least two folders, a base layer and the scratch",
  });
  const scratchArgument = `layerFolders[${folders.length - 1}]`;
  const layers = parentFolders(folders.slice(0, -1), "layerFolders");
  const scratch = scratchFolder(folders.at(-1), scratchArgument);
  requireOtherScratch(layers, scratch);
  return { named: folders, layers, scratch, scratchArgument };
}

function requireOtherScratch(layers: readonly string[], scratch: string): void {
  const twin = layers.findIndex((folder) => pathKey(folder) === pathKey(scratch));
  if (twin >= 0) {
    throw new InvalidInputError(`layerFolders[${twin}]`, "is the scratch as well", scratch);
  }
}

/**
 * Returns a stack with the real paths of its folders.
 *
 * @throws {InvalidInputError} if two folders are one, or two layers have one name.
 */
export function realStack(host: Host, stack: LayerStack): LayerStack {
  const layers = realLayers(host, stack.layers, "layerFolders");
  const scratch = realFolder(host, stack.scratch, stack.scratchArgument);
  requireOtherScratch(layers, scratch);
  return { ...stack, layers, scratch };
}

/** Throws if the scratch folder doesn't exist, or has no disk. */
export function requireScratch(host: Host, { scratch, scratchArgument }: LayerStack): void {
  requireKind(host, scratch, scratchArgument, "folder");
  requireKind(host, diskOf(scratch), scratchArgument, "file");
}

/** Returns whether a scratch has its disk. */
export function hasScratchDisk(host: Host, { scratch }: LayerStack): boolean {
  return kindOf(host, diskOf(scratch)) !== undefined;
}
