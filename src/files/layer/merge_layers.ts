/**
 * A stack of layers as one: what a container sees of it, and which layer that comes from.
 *
 * @module
 */

import { abortSignal, optionsOf } from "../../options.ts";
import { layerSources, text } from "../option_checks.ts";
import type { LayerEntry } from "./entry.ts";
import { caseless, parentOf } from "./layer_path.ts";
import type { LayerSource } from "./layer_source.ts";

/** An entry of a stack of layers. */
export interface MergedEntry {
  /** The entry. Never a whiteout. */
  readonly entry: LayerEntry;
  /** Index of the layer that it comes from: 0 is the topmost. */
  readonly layer: number;
}

/**
 * What a container sees of a stack of layers, topmost first: the entries of the first layer, then those of the next that no
 * layer above replaces or removes, and so on. A folder has the metadata of the topmost layer that has it. What is in `Hives`
 * belongs to a layer, and not to what containers see. Each layer is read once.
 *
 * @throws {FormatError} if a layer is damaged, or has an entry that can't be one.
 */
export async function* mergeLayers(
  layers: readonly LayerSource[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<MergedEntry, void, undefined> {
  const { signal } = optionsOf(options, SIGNAL);
  const above = new Above();
  for (const [layer, source] of layerSources(layers).entries()) {
    const own = new Own();
    let shown: string | undefined;
    for await (const entry of source.entries({ signal })) {
      const key = caseless(entry.path);
      if (key === "HIVES" || key.startsWith("HIVES/")) continue;
      if (entry.type === "whiteout") own.remove(key, entry.isOpaque === true);
      else if (entry.type === "stream" ? key.slice(0, key.lastIndexOf(":")) === shown : above.shows(key)) {
        if (entry.type !== "stream") shown = key;
        yield { entry, layer };
      }
      // Also what isn't seen hides what is below it.
      if (entry.type === "folder") own.folders.add(key);
      else if (entry.type !== "stream" && entry.type !== "whiteout") own.others.add(key);
    }
    above.put(own);
  }
}

/** What a layer has to say about a path: what it has there, that it removes it, or nothing. */
export interface LayerTrace {
  /** Index of the layer: 0 is the topmost. */
  readonly layer: number;
  /** What it has there. Undefined if it removes it. */
  readonly entry?: LayerEntry | undefined;
  /** Whether a container sees this: the first that isn't below something else. */
  readonly isSeen: boolean;
}

/**
 * Which layers of a stack, topmost first, have something at a path, or remove it, and which of them a container sees.
 *
 * @param path Such as `Files/Windows/notepad.exe`, in any case.
 * @throws {FormatError} if a layer is damaged, or has an entry that can't be one.
 */
export async function traceLayers(
  layers: readonly LayerSource[],
  path: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<LayerTrace[]> {
  const { signal } = optionsOf(options, SIGNAL);
  const key = caseless(text(path, "path"));
  // A stream is seen if its file is.
  const owner = /^[^:]*/.exec(key)![0];
  const isIn = (folder: string) => owner.startsWith(`${folder}/`);
  const traces: LayerTrace[] = [];
  let isDecided = false;
  for (const [layer, source] of layerSources(layers).entries()) {
    let found: LayerEntry | undefined;
    let isRemoved = false;
    let isHidden = false;
    for await (const entry of source.entries({ signal })) {
      const other = caseless(entry.path);
      if (entry.type === "whiteout") isRemoved ||= isIn(other) || (!entry.isOpaque && other === owner);
      else if (other === key) found = entry;
      else if (entry.type !== "stream") isHidden ||= other === owner || (entry.type !== "folder" && isIn(other));
    }
    if (found !== undefined) traces.push({ layer, entry: found, isSeen: !isDecided });
    else if (isRemoved) traces.push({ layer, isSeen: !isDecided });
    isDecided ||= isRemoved || isHidden || found !== undefined;
  }
  return traces;
}

// Names of names of a file.
const MOST_LINKS = 16;

/**
 * Opens the contents of a file or stream that a container sees in a stack of layers, topmost first. A further name of a file
 * gives the contents of the file. Undefined if there is no such file.
 *
 * @param path Such as `Files/Windows/notepad.exe`, in any case.
 * @throws {FormatError} if a layer is damaged, or has an entry that can't be one.
 */
export async function openLayerFile(
  layers: readonly LayerSource[],
  path: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ReadableStream<Uint8Array> | undefined> {
  const { signal } = optionsOf(options, SIGNAL);
  let rest = layerSources(layers);
  // All names of a file have its streams.
  let [file] = /^[^:]*/.exec(text(path, "path")) as unknown as [string];
  const stream = path.slice(file.length);
  for (let links = 0; links < MOST_LINKS; links++) {
    let seen = await seenIn(rest, file, signal);
    // What a layer removes, its own links lead to all the same.
    if (links > 0 && seen?.layer === 0 && seen.entry === undefined) {
      rest = rest.slice(1);
      seen = await seenIn(rest, file, signal);
    }
    if (seen?.entry === undefined) return undefined;
    rest = rest.slice(seen.layer);
    if (seen.entry.type !== "link") return await openIn(rest[0]!, file + stream, signal);
    file = seen.entry.target!;
  }
  return undefined;
}

async function seenIn(
  layers: readonly LayerSource[],
  path: string,
  signal: AbortSignal | undefined,
): Promise<LayerTrace | undefined> {
  return (await traceLayers(layers, path, { signal })).find(({ isSeen }) => isSeen);
}

// The contents of a tar can be read only while its entries are.
async function openIn(
  layer: LayerSource,
  path: string,
  signal: AbortSignal | undefined,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const key = caseless(path);
  const entries = layer.entries({ signal })[Symbol.asyncIterator]();
  for (let next = await entries.next(); !next.done; next = await entries.next()) {
    const { type, path } = next.value;
    if (caseless(path) !== key || (type !== "file" && type !== "stream")) continue;
    const end = () => entries.return?.();
    const contents = next.value.contents();
    return ReadableStream.from(async function* () {
      try {
        yield* contents;
      } finally {
        await end();
      }
    }());
  }
  return undefined;
}

const SIGNAL = { signal: abortSignal };

/** What a layer adds and removes. */
class Own {
  readonly folders = new Set<string>();
  readonly others = new Set<string>();
  readonly removed = new Set<string>();
  readonly emptied = new Set<string>();

  remove(key: string, isOpaque: boolean): void {
    (isOpaque ? this.emptied : this.removed).add(key);
  }
}

/** What all layers above the one that is read have. */
class Above {
  readonly #folders = new Set<string>();
  // What nothing below shows through, neither at the path nor below it.
  readonly #closed = new Set<string>();
  readonly #emptied = new Set<string>();

  shows(key: string): boolean {
    if (this.#folders.has(key) || this.#closed.has(key)) return false;
    for (let folder = parentOf(key); folder !== ""; folder = parentOf(folder)) {
      if (this.#closed.has(folder) || this.#emptied.has(folder)) return false;
    }
    return true;
  }

  put({ folders, others, removed, emptied }: Own): void {
    for (const key of folders) this.#folders.add(key);
    for (const set of [others, removed]) for (const key of set) this.#closed.add(key);
    for (const key of emptied) this.#emptied.add(key);
  }
}
