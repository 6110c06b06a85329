/**
 * A layer as a tar: its entries, with the names and the metadata that Windows wants.
 *
 * @module
 */

import { FormatError, type FormatProblem } from "../../errors/file_errors.ts";
import { type LayerEntry, MOUNT_POINT_TAG, SYMLINK_TAG } from "../layer/entry.ts";
import { parentOf, pathProblem } from "../layer/layer_path.ts";
import { readTar, type TarEntry } from "./read_tar.ts";
import type { ReadTarOptions } from "./tar_limits.ts";
import { nameOf, type TarSource } from "./tar_source.ts";
import { headerOf, type Metadata, metadataOf } from "./windows_metadata.ts";
import { type NewTarEntry, writeTar } from "./write_tar.ts";

/** What an entry of a tar is about. */
export type EntryRule = "type" | "path" | "stream" | "whiteout" | "link" | "metadata";

/** Told of what is wrong with an entry. */
export type Report = (rule: EntryRule, problem: string, reason?: FormatProblem) => void;

/**
 * Reads the entries of a layer's tar, packed with gzip or not. The first that Windows wouldn't take, or that would get out of
 * the layer, is refused; {@linkcode readTar} shows all. Their order and what they have to do with each other are not checked:
 * `checkedEntries()` does that.
 *
 * @throws {FormatError} if the tar is cut or damaged, passes a limit, or has an entry that isn't one of a layer.
 */
export async function* readLayerTar(
  source: TarSource,
  options: ReadTarOptions = {},
): AsyncGenerator<LayerEntry, void, undefined> {
  const name = options?.name ?? nameOf(source);
  for await (const entry of readTar(source, options)) {
    const layerEntry = layerEntryOf(entry, (_, problem, reason = "damaged") => {
      throw new FormatError(name, problem, { entry: entry.name, offset: entry.offset, reason });
    });
    if (layerEntry !== undefined) yield layerEntry;
  }
}

/**
 * Writes entries of a layer as a tar that Windows takes. Contents are read one after the other; equal entries make equal
 * bytes.
 *
 * @throws {FormatError} in the stream if an entry can't be in a tar, such as a reparse point of another tag, or if its
 * contents are shorter or longer than it says.
 */
export function writeLayerTar(entries: AsyncIterable<LayerEntry> | Iterable<LayerEntry>): ReadableStream<Uint8Array> {
  return writeTar(tarEntries(entries));
}

async function* tarEntries(entries: AsyncIterable<LayerEntry> | Iterable<LayerEntry>): AsyncGenerator<NewTarEntry> {
  for await (const entry of entries) yield tarEntryOf(entry);
}

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/** The entry of a tar that an entry of a layer makes. */
export function tarEntryOf(entry: LayerEntry): NewTarEntry {
  const refuse = (problem: string): never => {
    throw new FormatError("tar", problem, { entry: entry.path, reason: "unsupported" });
  };
  if (entry.type === "whiteout") {
    const slash = entry.path.lastIndexOf("/") + 1;
    const name = entry.isOpaque
      ? `${entry.path}/${OPAQUE}`
      : `${entry.path.slice(0, slash)}${WHITEOUT}${entry.path.slice(slash)}`;
    return { name, type: "0" };
  }
  const { reparse } = entry;
  if (entry.type === "reparse" && (reparse?.target === undefined || !isLink(reparse.tag))) {
    refuse(`a reparse point with the tag 0x${(reparse?.tag ?? 0).toString(16)} can't be in a tar`);
  }
  return {
    ...headerOf(entry),
    name: entry.path,
    linkName: entry.target ?? reparse?.target ?? "",
    contents: () => entry.contents(),
  };
}

function isLink(tag: number): boolean {
  return tag === SYMLINK_TAG || tag === MOUNT_POINT_TAG;
}

/**
 * The entry of a layer that an entry of a tar is. What is wrong with it is reported; undefined if it is none, or if so much is
 * wrong that it can't be one.
 */
export function layerEntryOf(entry: TarEntry, report: Report): LayerEntry | undefined {
  const { type, offset, size } = entry;
  // Of git and others: nothing that a file of Windows has.
  if (type === "g") return undefined;
  if (!/^[0125]$/.test(type)) {
    report("type", `${TYPE_NAMES[type] ?? `an entry of type ${type}`} can't be in a layer`, "unsupported");
    return undefined;
  }
  const path = entry.name.endsWith("/") && type === "5" ? entry.name.slice(0, -1) : entry.name;
  const slash = path.lastIndexOf("/") + 1;
  const common = { size, offset, contents: () => entry.contents() };
  if (path.startsWith(WHITEOUT, slash)) return whiteoutOf(path, slash, common, report);
  const colon = path.indexOf(":", slash);
  if (colon > slash + 1 || (colon >= 0 && slash > 0)) return streamOf(entry, path, colon, common, report);
  if (!checkPath(path, report)) return undefined;
  const metadata = metadataOf(entry, (problem) => report("metadata", problem));
  if (type === "1") return linkOf(path, entry, metadata, common, report);
  return { path, type: type === "0" ? "file" : type === "5" ? "folder" : "reparse", ...common, ...metadata };
}

const TYPE_NAMES: Readonly<Record<string, string>> = { 3: "a device", 4: "a device", 6: "a named pipe" };

type Common = Pick<LayerEntry, "size" | "offset" | "contents">;

function checkPath(path: string, report: Report): boolean {
  const problem = pathProblem(path);
  if (problem !== undefined) report("path", `its path ${problem}`);
  return problem === undefined;
}

function whiteoutOf(path: string, slash: number, common: Common, report: Report): LayerEntry | undefined {
  const name = path.slice(slash);
  const isOpaque = name === OPAQUE;
  const removed = name.slice(WHITEOUT.length);
  if (!isOpaque && removed.startsWith(WHITEOUT)) {
    report("whiteout", "a whiteout of this name is known to no format", "unsupported");
    return undefined;
  }
  const target = isOpaque ? parentOf(path) : path.slice(0, slash) + removed;
  if (!checkPath(target, report)) return undefined;
  if (common.size > 0) report("whiteout", `a whiteout has a size of ${common.size}`);
  return { ...common, path: target, type: "whiteout", ...isOpaque && { isOpaque } };
}

function streamOf(
  entry: TarEntry,
  path: string,
  colon: number,
  common: Common,
  report: Report,
): LayerEntry | undefined {
  const name = path.slice(colon + 1).replace(/:\$DATA$/i, "");
  if (!checkPath(path.slice(0, colon), report)) return undefined;
  if (entry.type !== "0") report("stream", "a stream is no file");
  else if (name === "" || name.includes(":")) {
    report("stream", "its path has a stream without name, or of another type");
  } else if (name.length > 255 || /[\\\0]/.test(name)) {
    report("stream", "its path has a stream of a name that Windows doesn't allow");
  } else {
    const { times } = metadataOf(entry, (problem) => report("metadata", problem));
    return { ...common, path: `${path.slice(0, colon)}:${name}`, type: "stream", times };
  }
  return undefined;
}

function linkOf(
  path: string,
  { linkName }: TarEntry,
  { attributes, times }: Metadata,
  common: Common,
  report: Report,
): LayerEntry | undefined {
  const problem = pathProblem(linkName);
  if (problem !== undefined) {
    report("link", `the path that it links to ${problem}`);
    return undefined;
  }
  return { ...common, path, type: "link", target: linkName, ...attributes !== undefined && { attributes }, times };
}
