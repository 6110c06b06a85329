/**
 * Lists all executables that a container sees in a stack of layers, with their versions, whatever the layers are kept in:
 *
 * ```sh
 * deno run --allow-read examples/executables.ts LAYER...
 * ```
 *
 * Each LAYER is a tar, packed or not, a folder of a layer, or a CIM image, the topmost first.
 *
 * @module
 */

import { type LayerSource, mergeLayers, openLayer, openLayerFile } from "../src/files/mod.ts";

/** An executable that a container sees. */
export interface Executable {
  readonly path: string;
  /** Such as `10.0.20348.1`. Undefined if it has none. */
  readonly version: string | undefined;
}

// Larger ones are read up to here: what tells the version is seldom at the end.
const MOST_BYTES = 128 * 2 ** 20;

/** All executables of a stack of layers, topmost first, in the order of their paths. */
export async function executablesOf(layers: readonly LayerSource[]): Promise<Executable[]> {
  const found = new Map<string, string | undefined>();
  // Further names of files, with the layer that they are in.
  const links: { readonly path: string; readonly key: string }[] = [];
  const inLayers = new Map<string, string | undefined>();
  for await (const { entry, layer } of mergeLayers(layers)) {
    const { path, type } = entry;
    if (type === "link") links.push({ path, key: `${layer}:${entry.target!.toLowerCase()}` });
    if (type !== "file") continue;
    const bytes = await executableIn(entry.contents());
    if (bytes === undefined) continue;
    found.set(path, versionOf(bytes));
    inLayers.set(`${layer}:${path.toLowerCase()}`, found.get(path));
  }
  for (const { path, key } of links) {
    if (inLayers.has(key)) {
      found.set(path, inLayers.get(key));
      continue;
    }
    // Of a file in a layer below, or of one that a container doesn't see by its first name.
    const contents = await openLayerFile(layers, path);
    const bytes = contents && await executableIn(contents);
    if (bytes !== undefined) found.set(path, versionOf(bytes));
  }
  return [...found].map(([path, version]) => ({ path, version })).sort((a, b) => a.path < b.path ? -1 : 1);
}

// Its bytes, if they begin as those of an executable: then the rest isn't read.
async function executableIn(contents: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  let isExecutable: boolean | undefined;
  for await (const chunk of contents as ReadableStream<Uint8Array<ArrayBuffer>>) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (isExecutable === undefined && length >= 2) isExecutable = startOf(chunks) === "MZ";
    if (isExecutable === false || length >= MOST_BYTES) break;
  }
  return isExecutable ? new Uint8Array(await new Blob(chunks).arrayBuffer()) : undefined;
}

function startOf(chunks: readonly Uint8Array[]): string {
  return String.fromCharCode(...chunks.flatMap((chunk) => [...chunk.subarray(0, 2)]).slice(0, 2));
}

const RESOURCES = 2;
const RT_VERSION = 16;
const FIXED_INFO = 0xfeef04bd;
const PE = 0x4550;
const IS_64 = 0x20b;

/** The version in the resources of a PE file. Undefined if it has none, or is damaged. */
export function versionOf(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const info = versionResource(view);
    if (info === undefined) return undefined;
    for (let at = info.at; at + 16 <= info.at + info.length; at += 4) {
      if (view.getUint32(at, true) !== FIXED_INFO) continue;
      const part = (offset: number) => view.getUint16(at + offset, true);
      return [part(10), part(8), part(14), part(12)].join(".");
    }
  } catch (error) {
    // What is named lies outside of the file.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

interface Part {
  readonly at: number;
  readonly length: number;
}

function versionResource(view: DataView): Part | undefined {
  const header = view.getUint32(0x3c, true);
  if (view.getUint32(header, true) !== PE) return undefined;
  const optional = header + 24;
  const directories = optional + (view.getUint16(optional, true) === IS_64 ? 112 : 96);
  const sections = Array.from({ length: view.getUint16(header + 6, true) }, (_, n) => {
    const at = optional + view.getUint16(header + 20, true) + 40 * n;
    return {
      rva: view.getUint32(at + 12, true),
      size: view.getUint32(at + 16, true),
      at: view.getUint32(at + 20, true),
    };
  });
  const placeOf = (rva: number) => {
    const section = sections.find(({ rva: first, size }) => rva >= first && rva < first + size);
    return section && rva - section.rva + section.at;
  };
  const root = placeOf(view.getUint32(directories + 8 * RESOURCES, true));
  if (root === undefined) return undefined;
  // Types, names, languages.
  const type = resourceIn(view, root, (id) => id === RT_VERSION);
  const name = type && resourceIn(view, root + type, () => true);
  const data = name && resourceIn(view, root + name, () => true);
  if (!data) return undefined;
  const at = placeOf(view.getUint32(root + data, true));
  return at === undefined ? undefined : { at, length: view.getUint32(root + data + 4, true) };
}

// Where the first that is wanted leads, from the beginning of the resources.
function resourceIn(view: DataView, at: number, isWanted: (id: number) => boolean): number | undefined {
  const count = view.getUint16(at + 12, true) + view.getUint16(at + 14, true);
  for (let n = 0; n < count; n++) {
    const entry = at + 16 + 8 * n;
    if (isWanted(view.getUint32(entry, true))) return view.getUint32(entry + 4, true) & 0x7fffffff;
  }
  return undefined;
}

if (import.meta.main) {
  if (Deno.args.length === 0) {
    console.error("Usage: executables.ts LAYER...   tars, folders or images of layers, the topmost first");
    Deno.exit(2);
  }
  await using open = new AsyncDisposableStack();
  const layers: LayerSource[] = [];
  for (const path of Deno.args) layers.push(open.use(await openLayer(path)));
  for (const { path, version } of await executablesOf(layers)) console.log(`${path}\t${version ?? "-"}`);
}
