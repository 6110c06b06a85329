/**
 * CIM images: looking into them on any system.
 *
 * @module
 */

import { FormatError, UnreadableFileError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { abortSignal, type Check, optional, optionsOf, propertyOf, requireObject } from "../../options.ts";
import { text } from "../option_checks.ts";
import { type Report, throwErrors } from "./cim_fault.ts";
import { type CimEntry, ImageEntry, REACHED_TWICE } from "./cim_entry.ts";
import { type CimFolder, diskFolder, openPart, splitPath } from "./cim_folder.ts";
import { type CimVersion, type ImageHeader, READABLE, readImageHeader } from "./headers.ts";
import { FileTables, readFilesystem, ROOT, upcaseExtent } from "./file_tables.ts";
import { Regions } from "./regions.ts";
import { readUpcase, type Upcase } from "./upcase.ts";

/** Where an image is: the path of its file on this system, or a folder and the name of the file in it. */
export type CimSource = string | { readonly folder: CimFolder; readonly name: string };

/** How much of an image is looked at. */
export interface CimLimits {
  /** How many entries there may be, 10 million if not given: an image can claim to have any number. */
  readonly mostEntries?: number;
  /** Ends reading once it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@linkcode CimImage.walk}. */
export interface CimWalkOptions extends CimLimits {
  /** The folder to begin in; the root if not given. It isn't among the entries. */
  readonly from?: CimEntry;
}

/** How many entries are gone through, if nothing else is said. */
export const MOST_ENTRIES = 10_000_000;
/** Each takes memory, so that it is known when it is reached twice. */
export const MOST_FOLDERS = 1_000_000;

/** A CIM image that is open. `await using` closes its files. */
export interface CimImage extends AsyncDisposable {
  /** What errors call it: its path, or the name that it was given. */
  readonly name: string;
  /** The version of its format. */
  readonly version: CimVersion;
  /** The folder that all others are in. */
  readonly root: CimEntry;
  /**
   * Finds a file or folder, by a path with `\` or `/`. Whether letters are large is as unimportant as the image says.
   * Undefined if there is none.
   */
  entry(path: string): Promise<CimEntry | undefined>;
  /**
   * All that is in it, or in a folder: each folder before what is in it.
   *
   * @throws {FormatError} at what can't be, such as a folder in itself.
   */
  walk(options?: CimWalkOptions): AsyncGenerator<CimEntry>;
}

/**
 * Opens a CIM image of format 2. Nothing is believed that it says: no number in it makes this read or allocate more than the
 * files have.
 *
 * @throws {FormatError} if it isn't one, a file of it is missing, or (`unsupported`) if it is of another version or a block
 * image.
 * @throws {UnreadableFileError} if a file can't be opened or read.
 *
 * @example List the files of an image
 * ```ts
 * import { openCim } from "@hcs-layers/hcs-layers/files";
 *
 * async function list(path: string): Promise<void> {
 *   await using image = await openCim(path);
 *   for await (const { path, size } of image.walk()) console.log(path, size);
 * }
 * ```
 */
export async function openCim(source: CimSource): Promise<CimImage> {
  const place = placeOf(source);
  const header = await readHeader(place, throwErrors);
  const regions = await Regions.open(place.folder, header, throwErrors);
  try {
    const [tables, root] = await regions.get((reader) => {
      const tables = new FileTables(readFilesystem(reader, header.chunk));
      const { chunk, root } = tables.filesystem;
      // Names are looked up with it later.
      upcaseExtent(reader, tables.filesystem);
      const record = tables.record(reader, root, (problem) => chunk.fault(ROOT, problem), "\\");
      if (!record.isFolder) throw chunk.fault(ROOT, "its root is no folder");
      return [tables, record];
    });
    return new OpenedImage(
      place.path,
      header.version,
      new ImageEntry({ regions, tables }, "\\", root),
      regions,
      tables,
    );
  } catch (error) {
    await regions[Symbol.asyncDispose]();
    throw error;
  }
}

/** A folder, the name of an image in it, and what to call that if it isn't there. */
export interface CimPlace {
  readonly folder: CimFolder;
  readonly name: string;
  readonly path: string;
}

const cimFolder: Check<CimFolder> = (value, argument) => {
  requireObject(value, argument);
  if (typeof propertyOf(value, "open", argument) !== "function") {
    throw new InvalidInputError(argument, "is no folder: it has no open()", value);
  }
  return value as unknown as CimFolder;
};

/** Where an image is. */
export function placeOf(source: CimSource): CimPlace {
  if (typeof source !== "string") {
    requireObject(source, "source");
    const name = text(propertyOf(source, "name", "source"), "source.name");
    return { folder: cimFolder(propertyOf(source, "folder", "source"), "source.folder"), name, path: name };
  }
  const [folder, name] = splitPath(source);
  return { folder: diskFolder(folder), name, path: source };
}

/**
 * Reads the header of an image whose contents can be read.
 *
 * @throws {FormatError} if it is none.
 */
export async function readHeader(place: CimPlace, report: Report): Promise<ImageHeader> {
  const header = await readListableHeader(place, report);
  const { major, minor } = header.version;
  if (major !== READABLE) {
    throw header.chunk.fault(
      16,
      `it has the format ${major}.${minor}, of which only the list of its files is published, not how they are laid out`,
      "unsupported",
    );
  }
  return header;
}

/** {@linkcode readHeader}, also of a version of which only the list of files is known. */
export async function readListableHeader({ folder, name, path }: CimPlace, report: Report): Promise<ImageHeader> {
  using source = await openPart(folder, name);
  if (source === undefined) throw new UnreadableFileError(path, "there is no such file");
  return await readImageHeader(source, report);
}

/** The checks of {@linkcode CimLimits}. */
export const LIMITS = {
  signal: abortSignal,
  mostEntries: optional((value, argument) => {
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
    throw new InvalidInputError(argument, "is not a whole number from 1 on", value);
  }),
};

const entry: Check<ImageEntry> = (value, argument) => {
  if (value instanceof ImageEntry) return value;
  throw new InvalidInputError(argument, "is no entry of an image", value);
};

class OpenedImage implements CimImage {
  readonly name: string;
  readonly version: CimVersion;
  readonly root: ImageEntry;
  readonly #regions: Regions;
  readonly #tables: FileTables;
  #upcase: Upcase | undefined;

  constructor(name: string, version: CimVersion, root: ImageEntry, regions: Regions, tables: FileTables) {
    this.name = name;
    this.version = version;
    this.root = root;
    this.#regions = regions;
    this.#tables = tables;
  }

  async entry(path: string): Promise<CimEntry | undefined> {
    const upcase = this.#upcase ??= await this.#readUpcase();
    let found: CimEntry | undefined = this.root;
    for (const name of text(path, "path").split(/[\\/]+/).filter((name) => name !== "")) {
      found = await named(found, upcase, name);
      if (found === undefined) return undefined;
    }
    return found;
  }

  async *walk(options: CimWalkOptions = {}): AsyncGenerator<CimEntry> {
    const { mostEntries = MOST_ENTRIES, from = this.root, signal } = optionsOf(options, {
      ...LIMITS,
      from: optional(entry),
    });
    const visited = new Set([from.id]);
    const stack = [from.cursor()];
    for (let count = 0; stack.length > 0;) {
      signal?.throwIfAborted();
      const folder = stack.at(-1)!;
      const next = folder.next();
      const entry = next instanceof Promise ? await next : next;
      if (entry === undefined) {
        stack.pop();
        continue;
      }
      if (++count > mostEntries) throw this.#limit(`more than ${mostEntries} entries`, entry);
      if (!entry.isFolder) {
        yield entry;
        continue;
      }
      if (visited.has(entry.id)) throw folder.fault(REACHED_TWICE, entry);
      if (visited.size === MOST_FOLDERS) throw this.#limit(`more than ${MOST_FOLDERS} folders`, entry);
      visited.add(entry.id);
      yield entry;
      stack.push(entry.cursor());
    }
  }

  async #readUpcase(): Promise<Upcase> {
    return await this.#regions.get((reader) => readUpcase(reader, this.#tables.filesystem));
  }

  #limit(what: string, { path: entry }: CimEntry): FormatError {
    return new FormatError(this.#tables.filesystem.chunk.file, `the image has ${what}`, { reason: "limit", entry });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#regions[Symbol.asyncDispose]();
  }
}

async function named(folder: CimEntry, upcase: Upcase, name: string): Promise<CimEntry | undefined> {
  const large = upcase(name);
  for await (const entry of folder.list()) {
    if (upcase(entry.path.slice(entry.path.lastIndexOf("\\") + 1)) === large) return entry;
  }
  return undefined;
}
