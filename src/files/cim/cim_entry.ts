/**
 * What an image has under a name.
 *
 * @module
 */

import type { FormatError } from "../../errors/file_errors.ts";
import { parseAttributes } from "../backup/extended_attributes.ts";
import type { RandomAccess } from "../bytes/random_access.ts";
import type { ExtendedAttribute, FileTimes } from "../layer/entry.ts";
import type { Chunk } from "./chunk.ts";
import { openStreamTable, readExtendedAttributes, readReparse, readSecurity } from "./file_metadata.ts";
import { field, type FileRecord, type FileTables, streamAt, type StreamPlace, streamType } from "./file_tables.ts";
import { LinkTable } from "./link_table.ts";
import type { Reader, Regions } from "./regions.ts";
import { contentsOf } from "./stream_contents.ts";

/** A further stream of a file or folder. */
export interface CimStream {
  /** Its name, without a colon. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
}

/** A file or folder of an image, under one of its names. All methods throw a `FormatError` at what can't be. */
export interface CimEntry {
  /** Its path in the image, with `\` before each name. That of the root is `\`. */
  readonly path: string;
  /** Number of the file: what has the same one is another name of it. */
  readonly id: number;
  /** Whether it is a folder. A junction is one too. */
  readonly isFolder: boolean;
  /** FILE_ATTRIBUTE bits. */
  readonly attributes: number;
  /** When it was created, written, read and changed. */
  readonly times: FileTimes;
  /** Length of its contents in bytes. 0 for a folder. */
  readonly size: number;
  /** Whether all its contents are zeros, which are kept nowhere. */
  readonly isSparse: boolean;
  /** Tag of a reparse point, 0 if it is none. */
  readonly reparseTag: number;
  /** Opens its contents, or those of a further stream, by its name as the image has it. */
  contents(stream?: string): Promise<RandomAccess>;
  /** Its further streams. */
  streams(): AsyncGenerator<CimStream>;
  /** Its self-relative security descriptor, undefined if it has none. */
  securityDescriptor(): Promise<Uint8Array | undefined>;
  /** The whole REPARSE_DATA_BUFFER of a reparse point, from the tag on, undefined if it is none. */
  reparseData(): Promise<Uint8Array | undefined>;
  /** Its extended attributes. */
  extendedAttributes(): Promise<ExtendedAttribute[]>;
  /** What is in it, in the order of the image. Nothing, if it is no folder. */
  list(): AsyncGenerator<CimEntry>;
}

/** What is open of an image. */
export interface OpenImage {
  readonly regions: Regions;
  readonly tables: FileTables;
}

/** What is wrong with a folder that a second name leads to. */
export const REACHED_TWICE = "a folder is in more than one folder, or in itself";
/** Length of the longest path that Windows takes. */
export const LONGEST_PATH = 32767;
const LINK = 4;
const SMALLEST_TABLE = 8;

/** {@linkcode CimEntry}, read as it is asked for. */
export class ImageEntry implements CimEntry {
  readonly path: string;
  readonly #image: OpenImage;
  readonly #record: FileRecord;

  constructor(image: OpenImage, path: string, record: FileRecord) {
    this.#image = image;
    this.path = path;
    this.#record = record;
  }

  get id(): number {
    return this.#record.id;
  }

  get isFolder(): boolean {
    return this.#record.isFolder;
  }

  get attributes(): number {
    return this.#record.attributes;
  }

  get times(): FileTimes {
    return this.#record.times;
  }

  get size(): number {
    return this.isFolder ? 0 : this.#record.stream.length;
  }

  get isSparse(): boolean {
    return this.#record.stream.isSparse;
  }

  get reparseTag(): number {
    return this.#record.chunk.place(field.REPARSE) === undefined ? 0 : this.#record.chunk.u32(field.REPARSE_TAG);
  }

  async contents(stream?: string): Promise<RandomAccess> {
    const { regions } = this.#image;
    if (stream === undefined) return await contentsOf(regions, this.#record.stream, this.path);
    for await (const [name, place] of this.#streams()) {
      if (name === stream) return await contentsOf(regions, place, `${this.path}:${name}`);
    }
    throw this.#record.chunk.fault(field.STREAMS, `it has no stream ${JSON.stringify(stream)}`);
  }

  async *streams(): AsyncGenerator<CimStream> {
    for await (const [name, { length: size }] of this.#streams()) yield { name, size };
  }

  async *#streams(): AsyncGenerator<[name: string, StreamPlace]> {
    const { regions } = this.#image;
    const table = (await regions.get((reader) => openStreamTable(reader, this.#record)))?.table;
    for (let n = 0; n < (table?.count ?? 0); n++) {
      yield await regions.get((reader) => {
        const value = table!.value(reader, n);
        const place = streamAt(value, 0);
        if (place.type !== streamType.DATA) {
          throw value.fault(14, `a further stream has the type ${place.type}, not that of data`);
        }
        return [table!.name(reader, n), place] as const;
      });
    }
  }

  async securityDescriptor(): Promise<Uint8Array | undefined> {
    return (await this.#image.regions.get((reader) => readSecurity(reader, this.#record)))?.bytes;
  }

  async reparseData(): Promise<Uint8Array | undefined> {
    return (await this.#image.regions.get((reader) => readReparse(reader, this.#record)))?.bytes;
  }

  async extendedAttributes(): Promise<ExtendedAttribute[]> {
    const chunk = await this.#image.regions.get((reader) => readExtendedAttributes(reader, this.#record));
    return chunk === undefined ? [] : attributesIn(chunk);
  }

  async *list(): AsyncGenerator<ImageEntry> {
    const cursor = new FolderCursor(this.#image, this.path, this.#record);
    for (let entry; (entry = await cursor.next()) !== undefined;) yield entry;
  }

  /** Goes through what is in it. */
  cursor(): FolderCursor {
    return new FolderCursor(this.#image, this.path, this.#record);
  }
}

/** Goes through what is in a folder. */
export class FolderCursor {
  readonly #image: OpenImage;
  readonly #path: string;
  readonly #record: FileRecord;
  #table: LinkTable | undefined;
  #next = 0;

  constructor(image: OpenImage, path: string, record: FileRecord) {
    this.#image = image;
    this.#path = path;
    this.#record = record;
  }

  /** The next entry, undefined after the last: at once, if what says so is in memory. */
  next(): ImageEntry | undefined | Promise<ImageEntry | undefined> {
    return this.#image.regions.get((reader) => {
      this.#table ??= openLinks(reader, this.#record);
      if (this.#next >= (this.#table?.count ?? 0)) return undefined;
      const [table, index] = [this.#table!, this.#next];
      const path = pathOf(this.#path, table.name(reader, index));
      const fault = (problem: string) => table.valueFault(index, problem, path);
      if (path.length > LONGEST_PATH) {
        throw fault(`its path has ${path.length} characters, and Windows takes ${LONGEST_PATH}`);
      }
      const record = this.#image.tables.record(reader, table.id(reader, index), fault, path);
      this.#next++;
      return new ImageEntry(this.#image, path, record);
    });
  }

  /** An error about the entry that was the last. */
  fault(problem: string, entry: CimEntry): FormatError {
    return this.#table!.valueFault(this.#next - 1, problem, entry.path);
  }
}

/** The path of what a folder has under a name. */
export function pathOf(folder: string, name: string): string {
  return `${folder === "\\" ? "" : folder}\\${name}`;
}

/** Opens the table of the names in a folder. Undefined if it is empty, or none. */
export function openLinks(reader: Reader, { stream, isFolder }: FileRecord): LinkTable | undefined {
  const { chunk, at, length } = stream;
  if (!isFolder || (length === 0 && chunk.place(at) === undefined)) return undefined;
  const extent = reader.extent(chunk, at, length, "its table of names");
  if (length < SMALLEST_TABLE) throw chunk.fault(at + 8, `its table of names has ${length} bytes`);
  return new LinkTable(reader, extent, LINK);
}

/** The extended attributes in a list. */
export function attributesIn(chunk: Chunk): ExtendedAttribute[] {
  try {
    return parseAttributes(chunk.bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw chunk.fault(0, error.message);
  }
}
