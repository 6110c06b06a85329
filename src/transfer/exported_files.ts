/**
 * Files below an open folder as entries of a layer.
 *
 * @module
 */

import { FormatError } from "../errors/file_errors.ts";
import { BackupReading } from "../ffi/backup.ts";
import { readOpen } from "../ffi/file_contents.ts";
import type { Host } from "../ffi/host.ts";
import { type BasicInfo, type FolderEntry, openRelative, type OpenRoot, restoreAccess } from "../ffi/nt_files.ts";
import { entriesOfFile, type FileFacts, type OpenedStreams } from "../files/backup/read_backup.ts";
import { ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type FileTimes, type LayerEntry } from "../files/layer/entry.ts";
import { compareUtf8, entriesIn, isPlainFolder, kindAt } from "./layer_files.ts";
import { FOLDER_FILE } from "./restored_files.ts";

const RECYCLE_BIN = "FILES\\$RECYCLE.BIN";
const TOMBSTONES = "tombstones.txt";

/** The entries of a base layer: its files, and those of its utility VM. */
export async function* baseEntries(host: Host, root: OpenRoot): AsyncGenerator<LayerEntry, void> {
  const links = new Map<bigint, string>();
  for (const entry of entriesIn(host, root, "")) {
    const name = entry.name.toUpperCase();
    if (name === "FILES") yield* treeOf(host, root, "Files", entry, links);
    if (name !== "UTILITYVM" || kindAt(host, root, "UtilityVM\\Files") !== "folder") continue;
    yield* fileEntries(host, root, "UtilityVM", entry);
    const files = entriesIn(host, root, "UtilityVM").find((below) => below.name.toUpperCase() === "FILES")!;
    yield* treeOf(host, root, "UtilityVM\\Files", files, links);
  }
}

async function* treeOf(
  host: Host,
  root: OpenRoot,
  path: string,
  entry: FolderEntry,
  links: Map<bigint, string>,
): AsyncGenerator<LayerEntry, void> {
  if (path.toUpperCase() === RECYCLE_BIN) return;
  const first = links.get(entry.fileId);
  if (first !== undefined) {
    yield linkEntry(path, first, entry);
    return;
  }
  // Of a folder there is one name.
  if ((entry.attributes & (ATTRIBUTE_FOLDER | ATTRIBUTE_REPARSE)) === 0) links.set(entry.fileId, slashed(path));
  yield* fileEntries(host, root, path, entry);
  if (!isPlainFolder(entry)) return;
  for (const child of entriesIn(host, root, path)) yield* treeOf(host, root, `${path}\\${child.name}`, child, links);
}

function linkEntry(path: string, target: string, { attributes, ...info }: FolderEntry): LayerEntry {
  const contents = () => ReadableStream.from([]);
  return { path: slashed(path), type: "link", size: 0, target, attributes, times: timesOf(info), contents };
}

async function* fileEntries(
  host: Host,
  root: OpenRoot,
  path: string,
  entry: FolderEntry,
): AsyncGenerator<LayerEntry, void> {
  const isFolder = (entry.attributes & ATTRIBUTE_FOLDER) !== 0;
  const facts: FileFacts = {
    path: slashed(path),
    attributes: entry.attributes,
    times: timesOf(entry),
    isFolder,
    ...(entry.attributes & (ATTRIBUTE_FOLDER | ATTRIBUTE_REPARSE)) === 0 && { size: entry.size },
  };
  const open = (): OpenedStreams => {
    const kind = isFolder ? "folder" : "file";
    const handle = openRelative(host, root, path, { access: restoreAccess.READ, kind });
    const source = new BackupReading(host, handle, `${root.path}\\${path}`);
    return {
      source,
      async [Symbol.asyncDispose]() {
        await source.cancel();
        handle[Symbol.dispose]();
      },
    };
  };
  yield* entriesOfFile(facts, open);
}

function slashed(path: string): string {
  return path.replaceAll("\\", "/");
}

function timesOf({ creation, write, access, change }: Omit<BasicInfo, "attributes">): FileTimes {
  return { creation, write, access, change };
}

/** The entries of a layer in the folder to which Windows has exported it. */
export async function* transportedEntries(host: Host, root: OpenRoot, name: string): AsyncGenerator<LayerEntry, void> {
  const top = entriesIn(host, root, "");
  if (!top.some((entry) => entry.name.toLowerCase() === TOMBSTONES)) {
    throw new FormatError(name, `Windows has exported no ${TOMBSTONES}, so nobody knows what the layer removes`);
  }
  const tombstones = await tombstonesIn(host, root, name);
  const hives = top.find((entry) => entry.name.toUpperCase() === "HIVES");
  const delta = hives && entriesIn(host, root, "Hives").find((entry) => entry.name.toUpperCase() === "SYSTEM_DELTA");
  const beside = filesBeside(top);
  for (const entry of top) {
    if (entry.name.toUpperCase() === "FILES") {
      const files = { entry: delta === undefined ? entry : withTimes(entry, delta), beside: beside(entry) };
      yield* transportedTree(host, root, "Files", files, tombstones);
    }
    if (entry === hives) yield* hiveEntries(host, root, delta === undefined ? entry : withTimes(entry, delta));
  }
  // In folders that aren't exported.
  for (const removed of [...tombstones.values()].flat().sort(compareUtf8)) yield whiteout(removed);
}

// Those of the top folders are when they were made for the export. The delta of the system is of the layer.
function withTimes(entry: FolderEntry, { write }: FolderEntry): FolderEntry {
  return { ...entry, creation: write, access: write, write, change: write };
}

async function* hiveEntries(host: Host, root: OpenRoot, entry: FolderEntry): AsyncGenerator<LayerEntry, void> {
  yield plainEntry(host, root, "Hives", { ...entry, attributes: ATTRIBUTE_FOLDER });
  for (const hive of entriesIn(host, root, "Hives")) {
    if (!isPlainFolder(hive)) yield plainEntry(host, root, `Hives\\${hive.name}`, hive);
    await Promise.resolve();
  }
}

// Of no use elsewhere: who may read the file of a hive, and when that was made.
function plainEntry(host: Host, root: OpenRoot, path: string, entry: FolderEntry): LayerEntry {
  const { attributes, write, change } = entry;
  const isFolder = isPlainFolder(entry);
  return {
    path: slashed(path),
    type: isFolder ? "folder" : "file",
    size: isFolder ? 0 : entry.size,
    attributes,
    times: { creation: write, access: write, write, change },
    contents: () => ReadableStream.from(isFolder ? [] : plainContents(host, root, path)),
  };
}

async function* plainContents(host: Host, root: OpenRoot, path: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = openRelative(host, root, path, { access: restoreAccess.READ, kind: "file" });
  for (;;) {
    const piece = new Uint8Array(CHUNK);
    const count = readOpen(host, file, piece, `${root.path}\\${path}`);
    if (count === 0) return;
    yield await Promise.resolve(piece.subarray(0, count));
  }
}

const CHUNK = 65536;

interface Transported {
  readonly entry: FolderEntry;
  /** The file beside a folder that tells of it. */
  readonly beside: FolderEntry | undefined;
}

async function* transportedTree(
  host: Host,
  root: OpenRoot,
  path: string,
  { entry, beside: info }: Transported,
  tombstones: Map<string, string[]>,
): AsyncGenerator<LayerEntry, void> {
  if (path.toUpperCase() === RECYCLE_BIN) return;
  const isFolder = isPlainFolder(entry);
  const file = isFolder ? path + FOLDER_FILE : path;
  const opened = isFolder && info === undefined ? undefined : openTransported(host, root, file);
  const attributes = opened === undefined ? ATTRIBUTE_FOLDER : (await opened).attributes;
  await (await opened)?.[Symbol.asyncDispose]();
  const times = timesOf(path === "Files" ? entry : info ?? entry);
  if (opened === undefined) {
    yield { path: slashed(path), type: "folder", size: 0, attributes, times, contents: () => ReadableStream.from([]) };
  } else {
    yield* entriesOfFile({ path: slashed(path), attributes, times, isFolder }, () => openTransported(host, root, file));
  }
  if (!isFolder || (attributes & ATTRIBUTE_REPARSE) !== 0) return;
  const key = path.toUpperCase();
  for (const removed of (tombstones.get(key) ?? []).sort(compareUtf8)) yield whiteout(removed);
  tombstones.delete(key);
  const children = entriesIn(host, root, path);
  const beside = filesBeside(children);
  for (const child of children) {
    if (isFolderFile(child)) continue;
    yield* transportedTree(host, root, `${path}\\${child.name}`, { entry: child, beside: beside(child) }, tombstones);
  }
}

function isFolderFile({ name }: FolderEntry): boolean {
  return name.toLowerCase().endsWith(FOLDER_FILE);
}

// Looked up once for all, as a folder may have thousands.
function filesBeside(entries: readonly FolderEntry[]): (folder: FolderEntry) => FolderEntry | undefined {
  const files = new Map(entries.filter(isFolderFile).map((entry) => [entry.name.toUpperCase(), entry]));
  return (folder) => isPlainFolder(folder) ? files.get(`${folder.name}${FOLDER_FILE}`.toUpperCase()) : undefined;
}

type OpenTransported = OpenedStreams & { readonly attributes: number };

// A file that begins with the attributes of another one, and goes on with its streams.
function openTransported(host: Host, root: OpenRoot, path: string): OpenTransported {
  const handle = openRelative(host, root, path, { access: restoreAccess.READ, kind: "file" });
  const full = `${root.path}\\${path}`;
  try {
    const head = new Uint8Array(4);
    if (readOpen(host, handle, head, full) < head.byteLength) {
      throw new FormatError(full, "Windows has exported a file without attributes");
    }
    const next = () => {
      const bytes = new Uint8Array(CHUNK);
      const count = readOpen(host, handle, bytes, full);
      return Promise.resolve(count === 0 ? undefined : bytes.subarray(0, count));
    };
    return {
      attributes: new DataView(head.buffer).getUint32(0, true),
      source: { next, cancel: () => Promise.resolve() },
      [Symbol.asyncDispose]: () => Promise.resolve(handle[Symbol.dispose]()),
    };
  } catch (error) {
    handle[Symbol.dispose]();
    throw error;
  }
}

function whiteout(path: string): LayerEntry {
  return { path, type: "whiteout", size: 0, contents: () => ReadableStream.from([]) };
}

const MOST_TOMBSTONE_BYTES = 2 ** 28;

// By the folders that they are in.
async function tombstonesIn(host: Host, root: OpenRoot, name: string): Promise<Map<string, string[]>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of plainContents(host, root, TOMBSTONES)) {
    chunks.push(chunk);
    if ((length += chunk.byteLength) > MOST_TOMBSTONE_BYTES) throw new FormatError(name, `${TOMBSTONES} has no end`);
  }
  const [first, ...lines] = (await new Blob(chunks as BlobPart[]).text()).replace(/^\ufeff/, "").split(/\r?\n/);
  if (first !== "Version 1.0") throw new FormatError(name, `${TOMBSTONES} is of an unknown version`);
  const found = new Map<string, string[]>();
  for (const line of lines) {
    if (line === "") continue;
    const path = `Files\\${line.replace(/^\\/, "")}`;
    const key = path.slice(0, path.lastIndexOf("\\")).toUpperCase();
    const inFolder = found.get(key);
    if (inFolder === undefined) found.set(key, [slashed(path)]);
    else inFolder.push(slashed(path));
  }
  return found;
}
