/**
 * The form in which Windows hands out the files of a layer, and takes them in (hcsshim, internal/wclayer/legacy.go).
 *
 * @module
 */

import { restore, transportFile } from "./backup.ts";
import { bytesOf, copyFolder, copyOf, fileWith, nodesAt } from "./contents.ts";
import { foldName, lastName, parentOf } from "./names.ts";
import { metadataOf } from "./nt_files.ts";
import { unknown } from "./simulation_error.ts";
import { type FileMetadata, keyOf, type Node, type Windows } from "./windows.ts";

const TOMBSTONES = "tombstones.txt";
const TOMBSTONES_BEGIN = "\ufeffVersion 1.0\n";
const FOLDER = ".$wcidirs$";

/**
 * Exports a layer: its own files, of a scratch what was written to it, with a list of what it removes of the layers below.
 */
export function exportFiles(windows: Windows, layer: string, folder: string, parents: readonly string[]): void {
  const disk = `${layer}\\sandbox.vhdx`;
  const isScratch = windows.node(disk) !== undefined;
  const root = isScratch ? windows.diskVolume(disk).slice(0, -1) : windows.place(`${layer}\\Files`).path;
  const own = nodesAt(windows, root).filter(({ isPlaceholder }) => isPlaceholder === undefined);
  put(windows, { path: root, type: "folder" }, `${folder}\\Files`);
  for (const node of own.sort((one, other) => one.path < other.path ? -1 : 1)) {
    const at = `${folder}\\Files${node.path.slice(root.length)}`;
    if (node.path.length > root.length) put(windows, node, at);
  }
  const removed = [
    ...windows.state.nodes[keyOf(root)]?.removed ?? [],
    ...isScratch ? [] : missingIn(windows, layer, parents),
  ];
  const lines = removed.map((path) => `${path}\n`).join("");
  windows.add(fileWith(`${folder}\\${TOMBSTONES}`, TOMBSTONES_BEGIN + lines));
  put(windows, { path: "Hives", type: "folder" }, `${folder}\\Hives`);
  for (const node of windows.node(`${layer}\\Hives`) === undefined ? [] : windows.children(`${layer}\\Hives`)) {
    windows.add({ ...copyOf(node), path: `${folder}\\Hives\\${lastName(node.path)}` });
  }
}

// A folder is one, and a file beside it tells of it.
function put(windows: Windows, node: Node, at: string): void {
  const parent = parentOf(at);
  if (windows.node(parent) === undefined) put(windows, { path: parent, type: "folder" }, parent);
  if (node.type === "folder") {
    if (windows.node(at) === undefined) windows.add({ path: at, type: "folder" });
    windows.add({ ...fileWith(at + FOLDER, transportFile(node)), metadata: timesOf(node) });
  } else {
    windows.add({ ...fileWith(at, transportFile(node)), metadata: timesOf(node) });
  }
}

function timesOf(node: Node): FileMetadata {
  const { creationTime, lastWriteTime, changeTime, lastAccessTime } = metadataOf(node);
  return { attributes: 0x80, creationTime, lastWriteTime, changeTime, lastAccessTime };
}

/** Imports a layer from what {@linkcode exportFiles} makes. What the layers below show is there as well, as in a real layer. */
export function importFiles(windows: Windows, target: string, folder: string, parents: readonly string[]): void {
  const layer = windows.place(target).path;
  const from = windows.place(folder).path;
  const list = windows.node(`${from}\\${TOMBSTONES}`);
  const removed = list === undefined ? [] : linesOf(list, folder);
  if (windows.node(`${from}\\Files`) === undefined) return copyFolder(windows, from, layer);
  windows.addFolders(`${layer}\\Files`);
  for (const node of nodesAt(windows, `${from}\\Files`).sort((one, other) => one.path < other.path ? -1 : 1)) {
    take(windows, node, `${layer}\\Files${node.path.slice(`${from}\\Files`.length)}`);
  }
  const files = windows.node(`${from}\\Files${FOLDER}`);
  if (files !== undefined) take(windows, files, `${layer}\\Files${FOLDER}`);
  if (windows.node(`${from}\\Hives`) !== undefined) {
    windows.addFolders(`${layer}\\Hives`);
    for (const node of windows.children(`${from}\\Hives`)) {
      windows.add({ ...copyOf(node), path: `${layer}\\Hives\\${lastName(node.path)}` });
    }
  }
  const hidden = removed.map(foldName);
  const root = windows.own(`${layer}\\Files`);
  if (parents.length === 0) {
    if (removed.length > 0) root.removed = removed;
    return;
  }
  root.isWhole = true;
  for (const [key, node] of shownBy(windows, parents)) {
    const isHidden = hidden.some((path) => `${key}\\`.startsWith(`${path}\\`));
    const at = `${layer}\\Files${node.path}`;
    if (isHidden || windows.state.nodes[keyOf(at)] !== undefined) continue;
    if (windows.node(parentOf(at), "stay")?.type !== "folder") continue;
    windows.state.nodes[keyOf(at)] = { ...node, path: at, isPlaceholder: true };
  }
}

function take(windows: Windows, file: Node, at: string): void {
  if (file.type === "folder") {
    if (windows.node(at) === undefined) windows.add({ path: at, type: "folder" });
    return;
  }
  const bytes = bytesOf(file);
  if (bytes.byteLength < 4) unknown(`importing a file that has no attributes: ${file.path}`);
  const attributes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const isFolder = at.endsWith(FOLDER);
  const path = isFolder ? at.slice(0, -FOLDER.length) : at;
  if (isFolder && windows.node(path) === undefined) windows.add({ path, type: "folder" });
  if (!isFolder) windows.add(fileWith(path, ""));
  const node = windows.own(path, "stay");
  node.metadata = { ...metadataOf(node), ...file.metadata, attributes };
  restore(windows, node, [bytes.slice(4)]);
  node.metadata = { ...node.metadata, attributes };
}

function linesOf(list: Node, folder: string): string[] {
  const lines = list.text?.replace(/^\ufeff/, "").split(/\r?\n/).slice(1).filter((line) => line !== "");
  return lines ?? unknown(`importing a layer with an unreadable ${TOMBSTONES}: ${folder}`);
}

// What the layers below show together, by the keys of the paths below `Files`, each with such a path.
function shownBy(windows: Windows, parents: readonly string[]): Map<string, Node> {
  const shown = new Map<string, Node>();
  const removed: string[] = [];
  for (const parent of parents) {
    const root = windows.place(`${parent}\\Files`).path;
    const nodes = nodesAt(windows, root).sort((one, other) => one.path < other.path ? -1 : 1);
    const hiding = [...removed];
    for (const node of nodes) {
      const path = node.path.slice(root.length);
      const key = foldName(path);
      if (path === "" || shown.has(key)) continue;
      if (hiding.some((hidden) => `${key}\\`.startsWith(`${hidden}\\`))) continue;
      const above = shown.get(foldName(parentOf(`C:${path}`).slice(2)));
      if (above?.type === "file") continue;
      shown.set(key, { ...copyOf(node), path });
    }
    const files = windows.node(root);
    if (files?.isWhole) break;
    removed.push(...(files?.removed ?? []).map(foldName));
  }
  return shown;
}

function missingIn(windows: Windows, layer: string, parents: readonly string[]): string[] {
  const root = windows.place(`${layer}\\Files`).path;
  if (!windows.node(root)?.isWhole) return [];
  const missing: string[] = [];
  for (const { path } of shownBy(windows, parents).values()) {
    if (windows.state.nodes[keyOf(root + path)] !== undefined) continue;
    if (!missing.some((hidden) => foldName(path).startsWith(`${foldName(hidden)}\\`))) missing.push(path);
  }
  return missing;
}
