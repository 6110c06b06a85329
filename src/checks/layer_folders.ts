/**
 * The folders of read-only layers.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { requireKind } from "./existing.ts";
import { namedFolder, nameOf } from "./windows_path.ts";

/**
 * The folders of read-only layers, the topmost first.
 *
 * @throws {InvalidInputError} if one is no absolute path, or two have the same name, by which Windows knows a layer.
 */
export function parentFolders(folders: unknown, argument: string): string[] {
  if (!Array.isArray(folders)) {
    throw new InvalidInputError(argument, "is not a list of folders", folders);
  }
  const names = new Map<string, number>();
  return Array.from(folders, (folder, i) => {
    const path = namedFolder(folder, `${argument}[${i}]`);
    const name = nameOf(path).toLowerCase();
    const twin = names.get(name);
    if (twin !== undefined) {
      throw new InvalidInputError(
        `${argument}[${i}]`,
        `has the same folder name as ${argument}[${twin}], by which Windows would take them for one layer`,
        path,
      );
    }
    names.set(name, i);
    return path;
  });
}

/** The parents of a scratch, of which there is at least one: without, Windows creates no disk. */
export function scratchParents(folders: unknown, argument: string): string[] {
  const layers = parentFolders(folders, argument);
  if (layers.length === 0) {
    throw new InvalidInputError(argument, "names no folder", folders);
  }
  return layers;
}

/** Refuses folders of read-only layers that aren't there. */
export function requireParents(host: Host, folders: readonly string[], argument: string): void {
  folders.forEach((folder, i) => requireKind(host, folder, `${argument}[${i}]`, "folder"));
}
