/**
 * The tables with a record for each file of an image, and what a record says.
 *
 * @module
 */

import type { FormatError } from "../../errors/file_errors.ts";
import type { FileTimes } from "../layer/entry.ts";
import { Chunk } from "./chunk.ts";
import { FILESYSTEM_OFFSET } from "./headers.ts";
import type { Extent, Reader } from "./regions.ts";

/** How many records a table has. */
export const TABLE = 1024;
/** Length of a record as it is known. */
export const RECORD = 96;
/** That of the format before, which lacks the last fields. */
export const SHORT_RECORD = 88;
/** Length of an entry of the directory of tables. */
export const DIRECTORY_ENTRY = 16;
const FILESYSTEM = 24;
/** Place of the root's id in the filesystem object. */
export const ROOT = 20;
const UPCASE = 2 * 65536;
// Of 100 bytes each.
const MOST_TABLES = 4096;

/** Offsets in a record. */
export const field = {
  FLAGS: 0,
  EA_LENGTH: 2,
  REPARSE_TAG: 4,
  TIMES: 8,
  STREAM: 40,
  SECURITY: 56,
  EA: 64,
  REPARSE: 72,
  STREAMS: 80,
  PARENT: 88,
  BASE_REGION: 92,
  RESERVED: 94,
} as const;

/** A table of records. */
export interface FileTable {
  /** Where its records are. */
  readonly records: Extent;
  readonly count: number;
  readonly recordSize: number;
}

/** The filesystem object, which leads to all else. */
export interface Filesystem {
  readonly chunk: Chunk;
  readonly directory: Extent | undefined;
  /** How many tables there are. */
  readonly tables: number;
  readonly root: number;
}

/** Reads the filesystem object. */
export function readFilesystem(reader: Reader, header: Chunk): Filesystem {
  const chunk = reader.read(reader.extent(header, FILESYSTEM_OFFSET, FILESYSTEM, "the filesystem object"));
  const tables = chunk.u32(16);
  const directory = tables === 0
    ? undefined
    : reader.extent(chunk, 8, tables * DIRECTORY_ENTRY, "the directory of file tables");
  return { chunk, directory, tables, root: chunk.u32(ROOT) };
}

/** Where the table is that makes letters large. */
export function upcaseExtent(reader: Reader, { chunk }: Filesystem): Extent {
  return reader.extent(chunk, 0, UPCASE, "the table of upper case");
}

/** The tables. */
export class FileTables {
  readonly filesystem: Filesystem;
  readonly #tables = new Map<number, FileTable>();

  constructor(filesystem: Filesystem) {
    this.filesystem = filesystem;
  }

  /** The directory's entry of a table. */
  directoryEntry(reader: Reader, number: number): Chunk {
    return reader.read(this.filesystem.directory!, number * DIRECTORY_ENTRY, DIRECTORY_ENTRY);
  }

  /** Looks up a table, of those that there are. */
  table(reader: Reader, number: number): FileTable {
    const known = this.#tables.get(number);
    if (known !== undefined) return known;
    const chunk = this.directoryEntry(reader, number);
    const [count, recordSize] = [chunk.u16(8), chunk.u16(10)];
    if (count > TABLE) throw chunk.fault(8, `a file table has ${count} records, more than ${TABLE}`);
    if (recordSize < SHORT_RECORD) {
      throw chunk.fault(10, `records have ${recordSize} bytes, fewer than ${SHORT_RECORD}`);
    }
    const records = reader.extent(chunk, 0, count * recordSize, "a file table");
    if (this.#tables.size === MOST_TABLES) this.#tables.clear();
    const table = { records, count, recordSize };
    this.#tables.set(number, table);
    return table;
  }

  /**
   * Reads the record of a file.
   *
   * @param fault Makes the error, at the field that has the id, if there is no such file.
   * @param entry Path of the file.
   */
  record(reader: Reader, id: number, fault: (problem: string) => FormatError, entry: string): FileRecord {
    const number = Math.floor((id - 1) / TABLE);
    const isIn = id > 0 && number < this.filesystem.tables;
    const table = isIn ? this.table(reader, number) : undefined;
    const index = (id - 1) % TABLE;
    if (table === undefined || index >= table.count) throw fault(`it names file ${id}, and there is none`);
    const { records, recordSize } = table;
    const extent = { ...records, entry };
    if (recordSize >= RECORD) return new FileRecord(reader.read(extent, index * recordSize, RECORD), id, true);
    const { bytes, file, at } = reader.read(extent, index * recordSize, recordSize);
    const whole = new Uint8Array(RECORD);
    whole.set(bytes);
    return new FileRecord(new Chunk(new DataView(whole.buffer), file, at, entry), id, false);
  }
}

/** What the streams of an image can be. */
export const streamType = { DATA: 0, LINKS: 1, PE: 2 } as const;

/** A stream: where its contents are. */
export interface StreamPlace {
  /** What has it. */
  readonly chunk: Chunk;
  /** Where it is in that. */
  readonly at: number;
  readonly length: number;
  readonly type: number;
  /** Whether all its bytes are 0, and nowhere. */
  readonly isSparse: boolean;
}

/** Length of a stream's description. */
export const STREAM = 16;

/** A stream's description. */
export function streamAt(chunk: Chunk, at: number): StreamPlace {
  const type = chunk.u8(at + 14);
  return { chunk, at, length: chunk.u48(at + 8), type, isSparse: (chunk.u8(at + 15) & 1) !== 0 };
}

const ATTRIBUTES = [[1, 0x1], [2, 0x2], [4, 0x4], [8, 0x20], [16, 0x200]] as const;
const FOLDER = 0x10;
const REPARSE = 0x400;

/** All flags of a record that are known. */
export const KNOWN_FLAGS = ATTRIBUTES.reduce((all, [flag]) => all | flag, 0);

/** The record of a file or folder. */
export class FileRecord {
  readonly chunk: Chunk;
  readonly id: number;
  /** Whether it has the fields of format 2. */
  readonly isWhole: boolean;

  constructor(chunk: Chunk, id: number, isWhole: boolean) {
    this.chunk = chunk;
    this.id = id;
    this.isWhole = isWhole;
  }

  get stream(): StreamPlace {
    return streamAt(this.chunk, field.STREAM);
  }

  get isFolder(): boolean {
    return this.chunk.u8(field.STREAM + 14) === streamType.LINKS;
  }

  get attributes(): number {
    const flags = this.chunk.u16(field.FLAGS);
    let attributes = this.isFolder ? FOLDER : 0;
    for (const [flag, attribute] of ATTRIBUTES) if ((flags & flag) !== 0) attributes |= attribute;
    return this.chunk.place(field.REPARSE) === undefined ? attributes : attributes | REPARSE;
  }

  get times(): FileTimes {
    const time = (n: number) => this.chunk.u64(field.TIMES + 8 * n);
    return { creation: time(0), write: time(1), change: time(2), access: time(3) };
  }
}
