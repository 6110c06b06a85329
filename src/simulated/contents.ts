/**
 * Contents of files: how they are kept, and how they are copied with folders and disks.
 *
 * @module
 */

import { printable } from "../errors/printable.ts";
import { requireOptions } from "./known_names.ts";
import { foldName, lastName, parentOf, parsePath } from "./names.ts";
import { Failure, SimulationError } from "./simulation_error.ts";
import { indexOf } from "./state_index.ts";
import { isDisk, keyOf, type Node, type Windows } from "./windows.ts";

/**
 * What is in a file: text, bytes, or only its size in bytes, if nobody reads it.
 *
 * @category Simulation
 */
export type FileContent = string | Uint8Array | number;

/**
 * What a read-only layer has.
 *
 * @category Simulation
 */
export interface LayerContents {
  /** Its files, by their paths as the container sees them, such as `Windows\\win.ini`. */
  readonly files?: Readonly<Record<string, FileContent>>;
  /** Files and folders of the layers below that it removes, by such paths. */
  readonly removed?: readonly string[];
}

// deno-lint-ignore no-control-regex
const BINARY = /[\x00-\x08\x0e-\x1f]/;

/** Returns a file node with a content: text as it is, so that a state file stays small, and other bytes in base64. */
export function fileWith(path: string, content: FileContent): Node {
  if (typeof content === "number") {
    if (!(Number.isSafeInteger(content) && content >= 0)) {
      throw new SimulationError(`the size of ${path} is no number of bytes: ${content}`);
    }
    return { path, type: "file", size: content };
  }
  if (typeof content !== "string" && !(content instanceof Uint8Array)) {
    throw new SimulationError(`the content of ${path} is no text, no bytes and no size: ${printable(content)}`);
  }
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const text = textOf(bytes);
  return {
    path,
    type: "file",
    size: bytes.byteLength,
    ...text === undefined ? { base64: bytes.toBase64() } : { text },
  };
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return BINARY.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Returns what is in a file. */
export function bytesOf({ path, size = 0, text, base64 }: Node): Uint8Array<ArrayBuffer> {
  if (base64 !== undefined) return Uint8Array.fromBase64(base64);
  if (text === undefined && size > 0) {
    throw new SimulationError(`${path} was added with a size and no content, so nobody knows what is in it`);
  }
  return new TextEncoder().encode(text);
}

// No text has a NUL.
const BINARY_STREAM = "\0";

/** Returns the content of an alternate data stream in the form in which it is kept: text as it is, other bytes in base64. */
export function streamText(bytes: Uint8Array): string {
  return textOf(bytes) ?? BINARY_STREAM + bytes.toBase64();
}

/** Returns the bytes of {@linkcode streamText}. */
export function streamBytes(content: string): Uint8Array<ArrayBuffer> {
  return content.startsWith(BINARY_STREAM)
    ? Uint8Array.fromBase64(content.slice(BINARY_STREAM.length))
    : new TextEncoder().encode(content);
}

const CONTENTS = { files: true, removed: true } as const;

/** Adds the files of a layer to its folder `Files`. */
export function addLayerContents(windows: Windows, folder: string, contents: LayerContents): void {
  requireOptions(contents, CONTENTS, "addLayer()");
  const { files = {}, removed = [] } = contents;
  const root = `${folder}\\Files`;
  const added = Object.entries(files).map(([name, content]) => fileWith(root + pathInLayer(name), content));
  const hidden = removed.map(pathInLayer);
  windows.addFolders(root);
  for (const node of added) {
    windows.addFolders(parentOf(node.path));
    windows.add(node);
  }
  if (hidden.length > 0) windows.existing(root).removed = hidden;
}

/** Returns what is in the image of a layer, by the keys of the paths in it. */
export function imageOf(contents: LayerContents): Record<string, Node> {
  requireOptions(contents, CONTENTS, "addCimLayer()");
  const { files = {}, removed = [] } = contents;
  const image: Record<string, Node> = {};
  const add = (node: Node) => image[`\\${foldName(node.path)}`] = node;
  add({ path: "Files", type: "folder", ...removed.length > 0 && { removed: removed.map(pathInLayer) } });
  for (const [name, content] of Object.entries(files)) {
    const names = pathInLayer(name).split("\\");
    for (let i = 2; i < names.length; i++) add({ path: `Files${names.slice(0, i).join("\\")}`, type: "folder" });
    add(fileWith(`Files${names.join("\\")}`, content));
  }
  return image;
}

// The path of a file below `Files`, with a leading separator.
function pathInLayer(name: string): string {
  if (/^[\\/]|^[A-Za-z]:/.test(name)) {
    throw new SimulationError(`${JSON.stringify(name)} is no path in a layer: it has to be relative, Windows\\win.ini`);
  }
  try {
    const { names } = parsePath(`C:\\${name}`);
    if (names.length > 0) return ["", ...names].join("\\");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
  throw new SimulationError(`${JSON.stringify(name)} is no path in a layer: NTFS refuses it`);
}

/** Copies what is in a folder into another one, which is made if it is missing. */
export function copyFolder(windows: Windows, from: string, to: string): void {
  const { removed, isWhole, metadata } = windows.existing(from);
  windows.addFolders(to);
  Object.assign(windows.existing(to), {
    ...removed !== undefined && { removed },
    ...isWhole && { isWhole },
    ...metadata !== undefined && { metadata },
  });
  for (const node of windows.children(from)) {
    const path = `${to}\\${lastName(node.path)}`;
    if (node.type === "folder" && node.link === undefined) {
      copyFolder(windows, node.path, path);
    } else {
      copyFile(windows, node, path);
    }
  }
}

/** Copies a file: its content, and the disk or image that it is. */
export function copyFile(windows: Windows, source: Node, path: string, by: Pick<Node, "createdBy"> = {}): void {
  windows.add({ ...copyOf(source), path, ...by });
  if (isDisk(source)) copyVolume(windows, source.path, path);
}

/** Copies what is on the disk in a file to the disk in another one. */
export function copyVolume(windows: Windows, from: string, to: string): void {
  const [source, target] = [from, to].map((path) => windows.diskVolume(path).slice(0, -1)) as [string, string];
  windows.remove(target);
  for (const node of nodesAt(windows, source)) {
    const path = target + node.path.slice(source.length);
    windows.state.nodes[keyOf(path)] = { ...copyOf(node), path };
  }
}

/** Returns what is at and below a path. */
export function nodesAt({ state }: Windows, root: string): Node[] {
  return indexOf(state).treeAt(keyOf(root)).map((key) => state.nodes[key]!);
}

/** Returns a copy of a file or folder without what others have of it. */
export function copyOf(node: Node): Node {
  const { createdBy: _createdBy, mountedBy: _mountedBy, volume: _volume, vms: _vms, id: _id, ...copied } = node;
  return JSON.parse(JSON.stringify(copied));
}
