/**
 * What an image knows about a file besides its record: security descriptor, extended attributes, reparse data, streams.
 *
 * @module
 */

import type { Chunk } from "./chunk.ts";
import { field, type FileRecord, STREAM } from "./file_tables.ts";
import { LinkTable } from "./link_table.ts";
import type { Extent, Reader } from "./regions.ts";

/** Reads the security descriptor of a file, if it has one. */
export function readSecurity(reader: Reader, { chunk }: FileRecord): Chunk | undefined {
  return readCounted(reader, chunk, field.SECURITY, "its security descriptor");
}

/** Reads the whole reparse data of a file, from the tag on, if it has some. */
export function readReparse(reader: Reader, { chunk }: FileRecord): Chunk | undefined {
  return readCounted(reader, chunk, field.REPARSE, "its reparse data");
}

/** Reads the extended attributes of a file, if it has some. */
export function readExtendedAttributes(reader: Reader, { chunk }: FileRecord): Chunk | undefined {
  const length = chunk.u16(field.EA_LENGTH);
  if (length === 0 || chunk.place(field.EA) === undefined) return undefined;
  return reader.read(reader.extent(chunk, field.EA, length, "the list of its extended attributes"));
}

function readCounted(reader: Reader, from: Chunk, at: number, what: string): Chunk | undefined {
  if (from.place(at) === undefined) return undefined;
  const count = reader.read(reader.extent(from, at, 2, what)).u16(0);
  return reader.read(reader.extent(from, at, count, what, 2));
}

/** How a table of streams is laid out: its length before it, or not. Which one Windows writes isn't known. */
export type StreamTableForm = "counted" | "alone";

/** The table of the further streams of a file. */
export interface StreamTable {
  readonly table: LinkTable;
  readonly form: StreamTableForm;
}

/** Opens the table of the further streams of a file, if it has one. */
export function openStreamTable(reader: Reader, { chunk }: FileRecord): StreamTable | undefined {
  if (chunk.place(field.STREAMS) === undefined) return undefined;
  const extent = (length: number, skip = 0) =>
    reader.extent(chunk, field.STREAMS, length, "the table of its streams", skip);
  const start = extent(HEADER);
  const form = isCounted(reader, start) ? "counted" : "alone";
  const length = reader.read(start, 0, 4).u32(0);
  const whole = extent(Math.max(length, HEADER), form === "counted" ? 4 : 0);
  return { table: new LinkTable(reader, whole, STREAM), form };
}

// The length and the number of names of a table.
const HEADER = 8;

// The first three numbers are the count, the length and the number of names; or the length, the number, and half a place.
function isCounted(reader: Reader, { region, at, entry }: Extent): boolean {
  const rest = region.size! - at;
  if (rest < 12) return false;
  const head = reader.read({ region, at, length: 12, entry });
  const [count, length, links] = [head.u32(0), head.u32(4), head.u32(8)];
  const names = HEADER + links * (STREAM + 4);
  if (length < HEADER || length > count || links === 0 || names > length || count + 4 > rest) return false;
  const first = reader.read({ region, at: at + 4 + HEADER + links * STREAM, length: 4, entry }).u32(0);
  if (first < names || first + 2 > length) return false;
  const units = reader.read({ region, at: at + 4 + first, length: 2, entry }).u16(0);
  return first + 2 + 2 * units <= length;
}
