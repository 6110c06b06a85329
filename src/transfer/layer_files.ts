/**
 * Files below an open folder: what is in it, links, removals.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import {
  attributesOfOpen,
  deleteOpen,
  findRelative,
  type FolderEntry,
  linkRelative,
  listOpen,
  openRelative,
  type OpenRoot,
  restoreAccess,
} from "../ffi/nt_files.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE } from "../files/layer/entry.ts";

const { LIST, READ_ATTRIBUTES, DELETE, WRITE_ATTRIBUTES } = restoreAccess;

/** Returns what is in a folder, by the order of the bytes of the names in UTF-8. */
export function entriesIn(host: Host, root: OpenRoot, path: string): FolderEntry[] {
  const access = LIST | READ_ATTRIBUTES;
  using folder = path === "" ? undefined : openRelative(host, root, path, { access, kind: "folder" });
  const entries = [...listOpen(host, folder ?? root.handle, `${root.path}\\${path}`)];
  return entries.sort((one, other) => compareUtf8(one.name, other.name));
}

/** Compares texts by the bytes of their UTF-8, which is the order of their characters. */
export function compareUtf8(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const [a, b] = [one.charCodeAt(i), other.charCodeAt(i)];
    if (a !== b) return placeOf(a) - placeOf(b);
  }
  return one.length - other.length;
}

// Halves of characters from U+10000 on come behind all others.
function placeOf(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Whether something is a folder, and no link to one. */
export function isPlainFolder({ attributes }: Pick<FolderEntry, "attributes">): boolean {
  return (attributes & (ATTRIBUTE_FOLDER | ATTRIBUTE_REPARSE)) === ATTRIBUTE_FOLDER;
}

/** Removes a file, or a folder with all that is in it. Of a link, only itself. Does nothing if there is none. */
export function removeRelative(host: Host, root: OpenRoot, path: string): void {
  const opened = findRelative(host, root, path, { access: DELETE | LIST | READ_ATTRIBUTES });
  if (opened === undefined) return;
  using file = opened;
  const full = `${root.path}\\${path}`;
  if (isPlainFolder({ attributes: attributesOfOpen(host, file, full) })) {
    for (const { name } of [...listOpen(host, file, full)]) removeRelative(host, root, `${path}\\${name}`);
  }
  deleteOpen(host, file, full);
}

/** Returns what is at a path: `other` is a file or a reparse point. */
export function kindAt(host: Host, root: OpenRoot, path: string): "folder" | "other" | undefined {
  const opened = findRelative(host, root, path, { access: READ_ATTRIBUTES });
  if (opened === undefined) return undefined;
  using file = opened;
  return isPlainFolder({ attributes: attributesOfOpen(host, file, `${root.path}\\${path}`) }) ? "folder" : "other";
}

/** Gives a file below one open folder a name below another one, in place of what has that name. */
export function linkInto(
  host: Host,
  from: { readonly root: OpenRoot; readonly path: string },
  to: { readonly root: OpenRoot; readonly path: string },
): void {
  using file = openRelative(host, from.root, from.path, { access: WRITE_ATTRIBUTES, kind: "file" });
  const slash = to.path.lastIndexOf("\\");
  const parent = to.path.slice(0, slash);
  const access = LIST | READ_ATTRIBUTES;
  using folder = openRelative(host, to.root, parent, { access, kind: "folder" });
  linkRelative(host, file, { handle: folder, path: `${to.root.path}\\${parent}` }, to.path.slice(slash + 1));
}
