/**
 * What a volume shows of the layers below it: through a filter, or because it is that of an image.
 *
 * @module
 */

import { foldName, lastName, plainPath } from "./names.ts";
import { indexOf } from "./state_index.ts";
import type { Node, WindowsState } from "./windows.ts";

/** Files and folders at and below `root`, a prefix of the keys of `nodes`. */
interface Tree {
  readonly nodes: Readonly<Record<string, Node>>;
  readonly root: string;
}

const VOLUME = /^(\\\\\?\\volume\{[^}\\]*\})(\\.*)?$/;

/** Returns the file or folder with a name that the layers below show in a folder of a volume, by the folder's full path. */
export function shownBelow(state: WindowsState, folder: string, name: string): Node | undefined {
  const view = viewOf(state, folder);
  if (view === undefined) return undefined;
  const { upper, below, at } = view;
  const key = `${at}\\${foldName(name)}`;
  for (const [i, tree] of below.entries()) {
    const node = tree.nodes[tree.root + key];
    if (node === undefined && tree.nodes[tree.root]?.isWhole) return undefined;
    if (node === undefined) continue;
    return [upper, ...below.slice(0, i)].some((above) => hides(above, key)) ? undefined : asShown(node, folder);
  }
  return undefined;
}

/** Returns the files and folders that the layers below show in a folder of a volume, by the folder's full path. */
export function allShownBelow(state: WindowsState, folder: string): Node[] {
  const view = viewOf(state, folder);
  if (view === undefined) return [];
  const { upper, below, at } = view;
  const names = new Set<string>();
  for (const { nodes, root } of below) {
    const prefix = `${root}${at}\\`;
    const keys = nodes === state.nodes ? indexOf(state).childrenOf(root + at) : Object.keys(nodes);
    for (const key of keys) {
      const name = key.startsWith(prefix) ? key.slice(prefix.length) : "";
      if (name !== "" && !name.includes("\\") && upper.nodes[`${upper.root}${at}\\${name}`] === undefined) {
        names.add(name);
      }
    }
  }
  return [...names].flatMap((name) => shownBelow(state, folder, name) ?? []);
}

/** Keeps the layers below from showing what they have at a path of a volume. */
export function hideBelow(state: WindowsState, path: string): void {
  const [, root, rest] = VOLUME.exec(foldName(path)) ?? [];
  if (root === undefined || rest === undefined) return;
  if (shownBelow(state, path.slice(0, path.lastIndexOf("\\")), lastName(path)) === undefined) return;
  const node = state.nodes[root] ??= { path: root.replace("volume", "Volume"), type: "folder" };
  node.removed = [...node.removed ?? [], path.slice(root.length)];
}

// The scratch, the trees below it, topmost first, and the key of a folder in each of them.
function viewOf(state: WindowsState, folder: string): { upper: Tree; below: Tree[]; at: string } | undefined {
  const [, root, at = ""] = VOLUME.exec(foldName(folder)) ?? [];
  if (root === undefined) return undefined;
  const volume = `${root}\\`;
  const upper = { nodes: state.nodes, root };
  if (state.images[volume] !== undefined) return { upper, below: [treeAt(state, root)], at };
  const layers = state.overlays[volume]?.layers ?? [
    ...(state.storageFilters[volume]?.layers ?? []),
    ...(state.active[indexOf(state).activeOn(volume) ?? ""]?.parents ?? []),
  ].map((layer) => `${layer}\\Files`);
  return { upper, below: layers.map((layer) => treeAt(state, layer)), at };
}

function treeAt(state: WindowsState, path: string): Tree {
  const key = foldName(plainPath(path));
  const [, root, rest = ""] = VOLUME.exec(key) ?? [];
  const image = state.images[`${root}\\`]?.image;
  return image === undefined
    ? { nodes: state.nodes, root: key }
    : { nodes: state.nodes[foldName(plainPath(image))]?.image ?? {}, root: rest };
}

// Whether a tree has something else at a key, or removed what is below it there.
function hides({ nodes, root }: Tree, key: string): boolean {
  const removed = (nodes[root]?.removed ?? []).map(foldName);
  for (let end = key.length; end > 0; end = key.lastIndexOf("\\", end - 1)) {
    const part = key.slice(0, end);
    if (removed.includes(part) || nodes[root + part]?.type === "file") return true;
  }
  return false;
}

function asShown(
  { createdBy: _createdBy, mountedBy: _mountedBy, vms: _vms, path, ...node }: Node,
  folder: string,
): Node {
  return { ...node, path: `${folder}\\${lastName(path)}` };
}
