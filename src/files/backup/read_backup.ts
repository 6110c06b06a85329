/**
 * Files as Windows takes them apart, as entries of a layer.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { ByteReader, type ByteSource } from "../tar/byte_reader.ts";
import { ATTRIBUTE_REPARSE, type LayerEntry } from "../layer/entry.ts";
import { type BackupHeader, backupId, HEADER_BYTES, parseHeader, SPARSE_STREAM } from "./backup_header.ts";
import { MOST_EA_BYTES, parseAttributes } from "./extended_attributes.ts";
import { MOST_REPARSE_BYTES, parseReparse } from "./reparse_buffer.ts";

// Longer than any name of a stream, with `:` and `:$DATA`.
const MOST_NAME_BYTES = 1024;
const MOST_SECURITY_BYTES = 65536 * 2;
const OFFSET_BYTES = 8;
const ZEROS = new Uint8Array(65536);

/** A backup stream while it is read. */
interface BackupStream extends BackupHeader {
  /** Bytes of it that follow: the next ones of the reader. */
  left: number;
}

/** Backup streams, one after the other. */
export class BackupReader {
  readonly #reader: ByteReader;
  readonly #name: string;
  #current: BackupStream | undefined;

  /** Reads from a source that errors call `name`. */
  constructor(source: ByteSource, name: string) {
    this.#reader = new ByteReader(source);
    this.#name = name;
  }

  /** The next stream, once what is left of the one before is passed over; undefined at the end. */
  async next(): Promise<BackupHeader | undefined> {
    if (this.#current !== undefined) await this.#skip(this.#current.left);
    this.#current = undefined;
    const fixed = (await this.#reader.take(HEADER_BYTES)).slice();
    if (fixed.byteLength === 0) return undefined;
    if (fixed.byteLength < HEADER_BYTES) this.refuse("is cut in the header of a stream");
    const { nameBytes, ...header } = parseHeader(fixed);
    if (!Number.isSafeInteger(header.size)) this.refuse("has a stream of a size that can't be");
    if (nameBytes > MOST_NAME_BYTES || nameBytes % 2 !== 0) this.refuse("has a stream with a name that can't be");
    const bytes = await this.#reader.take(nameBytes);
    if (bytes.byteLength < nameBytes) this.refuse("is cut in the header of a stream");
    let name = "";
    for (let i = 0; i < nameBytes; i += 2) name += String.fromCharCode(bytes[i]! | bytes[i + 1]! << 8);
    this.#current = { ...header, name, left: header.size };
    return this.#current;
  }

  /** What is in the current stream, as a whole. */
  async bytes(most: number): Promise<Uint8Array<ArrayBuffer>> {
    const current = this.#current!;
    if (current.left > most) this.refuse("has more in a stream than Windows keeps of a file");
    const bytes = await this.#reader.take(current.left);
    if (bytes.byteLength < current.left) this.refuse("is cut in a stream");
    current.left = 0;
    return bytes.slice();
  }

  /** What is in the current stream, piece by piece. A piece is valid until the next one. */
  async *pieces(): AsyncGenerator<Uint8Array, void> {
    const current = this.#current!;
    while (current.left > 0) {
      const piece = await this.#reader.some(current.left);
      if (piece === undefined) this.refuse("is cut in a stream");
      current.left -= piece.byteLength;
      yield piece;
    }
  }

  async #skip(count: number): Promise<void> {
    if (await this.#reader.skip(count) < count) this.refuse("is cut in a stream");
  }

  /** Throws an error about what is read. */
  refuse(problem: string): never {
    throw new FormatError(this.#name, `it ${problem}`, { offset: this.#reader.offset });
  }
}

/** What is known of a file without its streams. */
export interface FileFacts extends Pick<LayerEntry, "path" | "attributes" | "times"> {
  readonly isFolder: boolean;
  /** Length of its contents, if something else than its streams tells it. */
  readonly size?: number | undefined;
}

/** A file that is opened to read its streams, from the first one on. */
export interface OpenedStreams extends AsyncDisposable {
  /** Its bytes. */
  readonly source: ByteSource;
}

/**
 * Returns the entries of a file or folder: itself, and its alternate data streams. It is opened twice, as Windows doesn't say in
 * which order it tells of contents and metadata; contents are those of the second time.
 *
 * @param open Opens it.
 * @throws {FormatError} if what Windows tells makes no sense, or its contents aren't as long as its size says.
 */
export async function* entriesOfFile(
  facts: FileFacts,
  open: () => Promise<OpenedStreams> | OpenedStreams,
): AsyncGenerator<LayerEntry, void, undefined> {
  const { isFolder: _isFolder, size: given, ...known } = facts;
  const { entry, streams, size: found } = await metadataOf(facts, open);
  const size = given ?? found;
  const hasData = entry.type === "file" && size > 0;
  if (!hasData && streams.every((stream) => stream.size === 0)) {
    yield { ...known, size: 0, ...entry, contents: empty };
    for (const { name } of streams) yield streamEntry(facts, name, 0, empty);
    return;
  }
  await using opened = new AsyncDisposableStack();
  const begin = async () => new BackupReader(opened.use(await open()).source, facts.path);
  let reader = await begin();
  const upTo = async (id: number, name: string): Promise<FoundContents> => {
    for (const again of [true, false]) {
      for (let header = await reader.next(); header !== undefined; header = await reader.next()) {
        if (header.id === id && header.name === name) return { reader, header };
      }
      // They don't come in the order of entries.
      if (again) reader = await begin();
    }
    return reader.refuse("has lost a stream since it was opened before");
  };
  if (hasData) {
    const contents = () => ReadableStream.from(dataOf(size, () => upTo(backupId.DATA, "")));
    yield { ...known, size, ...entry, contents };
  } else {
    yield { ...known, size: 0, ...entry, contents: empty };
  }
  for (const { name, size: bytes, fullName } of streams) {
    const contents = () => ReadableStream.from(dataOf(bytes, () => upTo(backupId.ALTERNATE_DATA, fullName)));
    yield streamEntry(facts, name, bytes, bytes === 0 ? empty : contents);
  }
}

function empty(): ReadableStream<Uint8Array> {
  return ReadableStream.from([]);
}

function streamEntry(
  { path, times }: FileFacts,
  name: string,
  size: number,
  contents: LayerEntry["contents"],
): LayerEntry {
  return { path: `${path}:${name}`, type: "stream", size, times, contents };
}

interface FoundStream {
  readonly name: string;
  /** With the colons, and mostly with its type. */
  readonly fullName: string;
  readonly size: number;
}

type Found = Pick<LayerEntry, "type" | "securityDescriptor" | "extendedAttributes" | "reparse">;

async function metadataOf(
  { path, attributes = 0, isFolder }: FileFacts,
  open: () => Promise<OpenedStreams> | OpenedStreams,
): Promise<{ readonly entry: Found; readonly streams: readonly FoundStream[]; readonly size: number }> {
  await using opened = await open();
  const reader = new BackupReader(opened.source, path);
  const streams: FoundStream[] = [];
  const isReparse = (attributes & ATTRIBUTE_REPARSE) !== 0;
  let entry: Found = { type: isReparse ? "reparse" : isFolder ? "folder" : "file" };
  // The alternate data stream whose sparse blocks follow.
  let sparse: "contents" | "stream" | undefined;
  let dataSize = 0;
  for (let header = await reader.next(); header !== undefined; header = await reader.next()) {
    const { id, size, name } = header;
    if (id !== backupId.SPARSE_BLOCK) sparse = undefined;
    switch (id) {
      case backupId.SECURITY:
        entry = { ...entry, securityDescriptor: await reader.bytes(MOST_SECURITY_BYTES) };
        break;
      case backupId.EXTENDED_ATTRIBUTES: {
        const bytes = await reader.bytes(MOST_EA_BYTES);
        entry = { ...entry, extendedAttributes: parsed(reader, () => parseAttributes(bytes)) };
        break;
      }
      case backupId.REPARSE: {
        const bytes = await reader.bytes(MOST_REPARSE_BYTES);
        entry = { ...entry, reparse: parsed(reader, () => parseReparse(bytes)) };
        break;
      }
      case backupId.ALTERNATE_DATA: {
        const plain = /^:([^:]+)(?::\$DATA)?$/i.exec(name)?.[1];
        if (plain === undefined) break;
        if ((header.attributes & SPARSE_STREAM) !== 0) sparse = "stream";
        streams.push({ name: plain, fullName: name, size });
        break;
      }
      case backupId.SPARSE_BLOCK: {
        if (sparse === undefined) break;
        const end = (await offsetIn(reader)) + size - OFFSET_BYTES;
        if (sparse === "contents") {
          dataSize = Math.max(end, dataSize);
          break;
        }
        const known = streams.pop()!;
        streams.push({ ...known, size: Math.max(end, known.size) });
        break;
      }
      case backupId.DATA:
        dataSize = size;
        if ((header.attributes & SPARSE_STREAM) !== 0) sparse = "contents";
        break;
      default:
        if (id < 1 || id > backupId.TRANSACTION) reader.refuse(`has a stream of an unknown kind: ${id}`);
    }
  }
  if (isReparse && entry.reparse === undefined) reader.refuse("has no data of its reparse point");
  return { entry, streams, size: dataSize };
}

function parsed<T>(reader: BackupReader, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return reader.refuse(`is damaged: ${(error as Error).message}`);
  }
}

async function offsetIn(reader: BackupReader): Promise<number> {
  const { value } = await reader.pieces().next();
  const bytes = value ?? new Uint8Array();
  if (bytes.byteLength < OFFSET_BYTES) reader.refuse("is cut in a sparse block");
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

interface FoundContents {
  readonly reader: BackupReader;
  readonly header: BackupHeader;
}

// Contents, with zeros where a sparse file has nothing.
async function* dataOf(size: number, find: () => Promise<FoundContents>): AsyncGenerator<Uint8Array, void> {
  const { reader, header } = await find();
  let done = 0;
  // What has all of its contents at its beginning has no blocks.
  if ((header.attributes & SPARSE_STREAM) === 0 || header.size > 0) {
    for await (const piece of reader.pieces()) {
      done += piece.byteLength;
      yield piece.slice();
    }
  } else {
    for await (const piece of sparsePieces(reader, size)) {
      done += piece.byteLength;
      yield piece;
    }
  }
  if (done !== size) reader.refuse(`has ${done} bytes of contents, and its size says ${size}`);
}

async function* sparsePieces(reader: BackupReader, size: number): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  function* zerosTo(end: number) {
    if (end < at || end > size) reader.refuse("has sparse blocks that don't follow each other");
    for (; at < end; at += Math.min(ZEROS.byteLength, end - at)) {
      yield ZEROS.slice(0, Math.min(ZEROS.byteLength, end - at));
    }
  }
  for (;;) {
    const header = await reader.next();
    if (header?.id !== backupId.SPARSE_BLOCK) reader.refuse("ends before its last sparse block");
    const bytes = reader.pieces();
    let head: Uint8Array = new Uint8Array();
    while (head.byteLength < OFFSET_BYTES) {
      const { value } = await bytes.next();
      if (value === undefined) reader.refuse("is cut in a sparse block");
      const joined = new Uint8Array(head.byteLength + value.byteLength);
      joined.set(head);
      joined.set(value, head.byteLength);
      head = joined;
    }
    yield* zerosTo(Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)));
    if (header.size === OFFSET_BYTES) return;
    const first = head.subarray(OFFSET_BYTES);
    if (first.byteLength > 0) yield first;
    at += first.byteLength;
    for await (const piece of bytes) {
      at += piece.byteLength;
      yield piece.slice();
    }
    if (at > size) reader.refuse("has more contents than its size says");
  }
}
