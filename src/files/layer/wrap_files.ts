/**
 * A tar of files made into the tar of a layer, on any system.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { type Check, optional, optionsOf } from "../../options.ts";
import { flag } from "../option_checks.ts";
import { layerEntryOf, writeLayerTar } from "../tar/layer_tar.ts";
import { readTar, type TarEntry } from "../tar/read_tar.ts";
import { READ_TAR, type ReadTarOptions } from "../tar/tar_limits.ts";
import { nameOf, type TarSource } from "../tar/tar_source.ts";
import { checkedEntries } from "./check_layer.ts";
import { ATTRIBUTE_ARCHIVE, ATTRIBUTE_FOLDER, ATTRIBUTE_REPARSE, type FileTimes, type LayerEntry } from "./entry.ts";
import { FILE_SECURITY, FOLDER_SECURITY } from "./default_security.ts";
import { caseless, parentOf } from "./layer_path.ts";

/** Options of {@linkcode wrapFiles}. */
export interface WrapFilesOptions extends ReadTarOptions {
  /**
   * Whether to make a base layer, which has no layers below: it gets the five hives that Windows wants, empty, unless the files
   * have them. Default: false.
   */
  readonly base?: boolean | undefined;
  /** The time of folders that are added. Default: 1980, so that equal files make equal bytes. */
  readonly date?: Date | undefined;
}

const date: Check<Date | undefined> = optional((value, argument) => {
  if (!(value instanceof Date) || !(value.getTime() >= -EPOCH_MS)) {
    throw new InvalidInputError(argument, "is no date from 1601 on", value);
  }
  return value;
});

// From 1601 to 1970.
const EPOCH_MS = 11_644_473_600_000;
const DEFAULT_DATE = new Date("1980-01-01T00:00:00Z");
const CONFIG = "Files/Windows/System32/config";
const HIVES = ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];

/**
 * Makes a tar of files (a root file system, `a.exe`, `etc/b.txt`) into the tar of a layer that Windows takes: all is put into
 * `Files`, with the attributes, times and access rights that Windows wants (administrators and the system may do all, users may
 * read), folders that are missing are added, and whiteouts (`.wh.`) are kept. Owners, modes and other attributes are left
 * out: Windows has no use for them. Without a tar, the layer has no files: with `base`, it is the smallest base layer.
 *
 * @throws {FormatError} in the stream if the tar is damaged, passes a limit, or has what can't be in a layer, such as devices,
 * paths that climb, or names that differ only by case.
 */
export function wrapFiles(source: TarSource | undefined, options: WrapFilesOptions = {}): ReadableStream<Uint8Array> {
  const { base = false, date: given = DEFAULT_DATE, ...tarOptions } = optionsOf(options, {
    ...READ_TAR,
    base: optional(flag),
    date,
  });
  const name = tarOptions.name ?? (source === undefined ? "layer" : nameOf(source));
  const time = BigInt(given.getTime() + EPOCH_MS) * 10_000n;
  const wrap = new Wrap(name, { creation: time, write: time, access: time, change: time });
  const files = source === undefined ? undefined : readTar(source, { ...tarOptions, name });
  return writeLayerTar(checkedEntries(wrap.entries(files, base), { name, isBase: base }));
}

class Wrap {
  readonly #name: string;
  readonly #times: FileTimes;
  readonly #folders = new Set<string>();
  readonly #files = new Set<string>();

  constructor(name: string, times: FileTimes) {
    this.#name = name;
    this.#times = times;
  }

  async *entries(
    files: AsyncIterable<TarEntry> | undefined,
    isBase: boolean,
  ): AsyncGenerator<LayerEntry, void, undefined> {
    if (!isBase) yield this.#folder("Hives");
    yield this.#folder("Files");
    for await (const file of files ?? []) yield* this.#wrapped(file);
    if (isBase) yield* this.#hives();
  }

  *#wrapped(file: TarEntry): Generator<LayerEntry> {
    const inside = insideOf(file.name);
    // The folder itself.
    if (inside === "" && file.type === "5") return;
    const entry = layerEntryOf({
      ...file,
      name: `Files/${inside}`,
      linkName: file.type === "1" ? `Files/${insideOf(file.linkName)}` : file.linkName,
      pax: new Map([...file.pax].filter(([key]) => KEPT.test(key))),
      contents: () => file.contents(),
    }, (_, problem, reason = "damaged") => {
      throw new FormatError(this.#name, problem, { entry: file.name, offset: file.offset, reason });
    });
    if (entry === undefined) return;
    const key = caseless(entry.path);
    // One that was missing when something in it came.
    if (entry.type === "folder" && this.#folders.has(key)) return;
    // A folder comes before the removal of all that is in it.
    yield* this.#parents(entry.isOpaque ? `${entry.path}/*` : entry.path);
    if (entry.type === "folder") this.#folders.add(key);
    else this.#files.add(key);
    yield this.#finished(entry);
  }

  #finished(entry: LayerEntry): LayerEntry {
    switch (entry.type) {
      case "folder":
        return {
          ...entry,
          attributes: entry.attributes ?? ATTRIBUTE_FOLDER,
          securityDescriptor: entry.securityDescriptor ?? FOLDER_SECURITY,
        };
      case "file":
        return {
          ...entry,
          attributes: entry.attributes ?? ATTRIBUTE_ARCHIVE,
          securityDescriptor: entry.securityDescriptor ?? FILE_SECURITY,
        };
      case "reparse": {
        // Windows has two kinds of links, by what they lead to.
        const isFolder = this.#folders.has(caseless(targetIn(entry)));
        const attributes = ATTRIBUTE_REPARSE | (isFolder ? ATTRIBUTE_FOLDER : ATTRIBUTE_ARCHIVE);
        return {
          ...entry,
          attributes: entry.attributes ?? attributes,
          securityDescriptor: entry.securityDescriptor ?? FILE_SECURITY,
        };
      }
      case "link":
        return { ...entry, attributes: entry.attributes ?? ATTRIBUTE_ARCHIVE };
      default:
        return entry;
    }
  }

  *#parents(path: string): Generator<LayerEntry> {
    const parent = parentOf(path);
    if (parent === "" || this.#folders.has(caseless(parent))) return;
    yield* this.#parents(parent);
    yield this.#folder(parent);
  }

  *#hives(): Generator<LayerEntry> {
    for (const hive of HIVES) {
      const path = `${CONFIG}/${hive}`;
      if (this.#files.has(caseless(path))) continue;
      yield* this.#parents(path);
      yield {
        path,
        type: "file",
        size: 0,
        attributes: ATTRIBUTE_ARCHIVE,
        times: this.#times,
        securityDescriptor: FILE_SECURITY,
        contents: empty,
      };
    }
  }

  #folder(path: string): LayerEntry {
    this.#folders.add(caseless(path));
    const security = path.includes("/") && { securityDescriptor: FOLDER_SECURITY };
    return {
      path,
      type: "folder",
      size: 0,
      attributes: ATTRIBUTE_FOLDER,
      times: this.#times,
      ...security,
      contents: empty,
    };
  }
}

// Times, and what somebody who knows Windows has said.
const KEPT = /^(mtime|atime|ctime|LIBARCHIVE\.creationtime|MSWINDOWS\..*)$/;

function empty(): ReadableStream<Uint8Array> {
  return ReadableStream.from([]);
}

// Many tars begin all names with "./".
function insideOf(name: string): string {
  return name.replace(/^(\.\/+)+/, "").replace(/^\.$/, "");
}

// Where a link leads, if that is in the layer: from its folder, or from the top.
function targetIn({ path, reparse }: LayerEntry): string {
  const target = reparse?.target?.replaceAll("\\", "/") ?? "";
  const parts = target.startsWith("/") ? ["Files"] : parentOf(path).split("/");
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
