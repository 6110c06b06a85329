/**
 * The folders of a layer stack.
 *
 * @module
 */

import { InvalidInputError } from "../ffi/errors.ts";
import { namedFolder, nameOf, pathKey } from "../storage/paths.ts";

/** The folders of a Windows container's layers. */
export interface LayerStack {
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** Folder of the scratch. */
  readonly scratch: string;
}

/**
 * The stack in a list of folders, the scratch last.
 *
 * @throws {InvalidInputError} if there are less than two, one is no absolute path, or two read-only ones have one name.
 */
export function layerStack(layerFolders: readonly string[]): LayerStack {
  if (!Array.isArray(layerFolders) || layerFolders.length < 2) {
    throw new InvalidInputError(
      "layerFolders",
      "needs at least two folders, a base layer and the scratch",
      layerFolders,
    );
  }
  const folders = layerFolders.map((folder, i) => namedFolder(folder, `layerFolders[${i}]`));
  const scratch = folders.pop()!;
  checkNames(folders);
  const twin = folders.findIndex((folder) => pathKey(folder) === pathKey(scratch));
  if (twin >= 0) {
    throw new InvalidInputError(`layerFolders[${twin}]`, "is the scratch as well", scratch);
  }
  return { layers: folders, scratch };
}

/**
 * Refuses read-only layers of which two have one name.
 *
 * @throws {InvalidInputError} naming the second of them.
 */
export function checkNames(folders: readonly string[]): void {
  const names = new Map<string, number>();
  folders.forEach((folder, i) => {
    const name = nameOf(folder).toLowerCase();
    const twin = names.get(name);
    if (twin !== undefined) {
      throw new InvalidInputError(
        `layerFolders[${i}]`,
        `has the same folder name as layerFolders[${twin}], by which Windows would take them for one layer`,
        folder,
      );
    }
    names.set(name, i);
  });
}
