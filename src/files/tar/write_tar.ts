/**
 * Writing a tar, with all records of the extended headers that are given.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { formatPax, type PaxRecords } from "./pax_records.ts";
import { BLOCK, fitsNumber, fitsText, formatBlock, type TarBlock, type TarHeader } from "./tar_header.ts";
import { paddingOf } from "./read_tar.ts";

/** An entry to write: its name and type, and what differs from nothing. */
export interface NewTarEntry extends Partial<TarHeader> {
  /** The name, with a `/` at the end if it is to have one. */
  readonly name: string;
  /** `0` file, `1` hard link, `2` symbolic link, `5` folder, or another. */
  readonly type: string;
  /** Its contents, as long as `size` says. Not asked for if that is 0. */
  contents?(): ReadableStream<Uint8Array>;
}

/**
 * Writes a tar. The records in `pax` are written as they are, sorted by key, but for `path`, `linkpath` and `size`, which
 * are added where the header has no room for them. Equal entries make equal bytes.
 *
 * @throws {FormatError} in the stream if contents are shorter or longer than `size` says.
 */
export function writeTar(entries: AsyncIterable<NewTarEntry> | Iterable<NewTarEntry>): ReadableStream<Uint8Array> {
  return ReadableStream.from(bytesOf(entries));
}

async function* bytesOf(entries: AsyncIterable<NewTarEntry> | Iterable<NewTarEntry>): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const entry of entries) {
    const header = headerBytes(entry);
    yield header;
    offset += header.byteLength;
    const { size = 0 } = entry;
    if (size === 0) continue;
    let done = 0;
    for await (const chunk of entry.contents?.() ?? []) {
      done += chunk.byteLength;
      if (done > size) break;
      if (chunk.byteLength > 0) yield chunk;
    }
    if (done !== size) {
      throw new FormatError(
        "tar",
        `the contents have ${done > size ? "more" : "less"} than the ${size} bytes of the header`,
        {
          entry: entry.name,
          offset,
        },
      );
    }
    const padding = paddingOf(size);
    if (padding > 0) yield new Uint8Array(padding);
    offset += size + padding;
  }
  yield new Uint8Array(2 * BLOCK);
}

/** The header of an entry: the extended one, if it needs one, and the block. */
export function headerBytes(entry: NewTarEntry): Uint8Array {
  const { pax: given, contents: _, ...rest } = entry;
  for (const text of [entry.name, entry.linkName ?? ""]) {
    if (text.includes("\0") || !text.isWellFormed()) {
      refuse(entry, "a name with a NUL or half a character in it can't be in a tar");
    }
  }
  const block: TarBlock = { ...EMPTY, ...rest };
  const { type, size, mtime } = block;
  if (type.length !== 1 || type > "\xff") refuse(entry, "a type of an entry is one byte");
  if (!Number.isSafeInteger(size) || size < 0) refuse(entry, `a size can't be ${size}`);
  if (!Number.isFinite(mtime)) refuse(entry, `a time can't be ${mtime}`);
  for (const key of given?.keys() ?? []) {
    if (/^$|[=\0]/.test(key)) refuse(entry, `the key of a record can't be empty, or have a = or NUL in it: ${key}`);
  }
  const pax = recordsOf(block, given);
  const bytes = formatBlock(block);
  if (pax.size === 0) return bytes;
  const records = formatPax(pax);
  const header = formatBlock({ ...EMPTY, name: headerName(block.name), type: "x", size: records.byteLength });
  const all = new Uint8Array(2 * BLOCK + records.byteLength + paddingOf(records.byteLength));
  all.set(header);
  all.set(records, BLOCK);
  all.set(bytes, all.byteLength - BLOCK);
  return all;
}

function refuse({ name }: NewTarEntry, problem: string): never {
  throw new FormatError("tar", problem, { entry: name });
}

/** The header of a file with neither name nor contents. */
export const EMPTY: TarBlock = {
  name: "",
  type: "0",
  size: 0,
  linkName: "",
  mode: 0,
  uid: 0,
  gid: 0,
  userName: "",
  groupName: "",
  mtime: 0,
};

function recordsOf(block: TarBlock, given: PaxRecords = new Map()): PaxRecords {
  const records = new Map(given);
  records.delete("path");
  records.delete("linkpath");
  records.delete("size");
  if (!fitsText(block.name, "name")) records.set("path", block.name);
  if (!fitsText(block.linkName, "linkName")) records.set("linkpath", block.linkName);
  if (!fitsNumber(block.size, "size")) records.set("size", String(block.size));
  const add = (key: string, fits: boolean, value: string | number) => {
    if (!fits && !records.has(key)) records.set(key, String(value));
  };
  add("mtime", fitsNumber(block.mtime, "mtime"), block.mtime);
  add("uid", fitsNumber(block.uid, "uid"), block.uid);
  add("gid", fitsNumber(block.gid, "uid"), block.gid);
  add("uname", fitsText(block.userName, "userName"), block.userName);
  add("gname", fitsText(block.groupName, "userName"), block.groupName);
  return records;
}

// Beside the entry, as other programs have it. There is no record for what isn't ASCII.
function headerName(name: string): string {
  const path = name.replace(/\/+$/, "");
  const slash = path.lastIndexOf("/") + 1;
  // deno-lint-ignore no-control-regex
  return `${path.slice(0, slash)}PaxHeaders.0/${path.slice(slash)}`.replace(/[^\x01-\x7f]/g, "").replace(/\/+$/, "");
}
