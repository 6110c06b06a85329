/**
 * Reading a tar, entry by entry.
 *
 * @module
 */

import { FormatError, type FormatProblem } from "../../errors/file_errors.ts";
import { ByteReader } from "./byte_reader.ts";
import { parsePax } from "./pax_records.ts";
import { BLOCK, isEmpty, parseBlock, type TarBlock, type TarHeader } from "./tar_header.ts";
import { type ReadTarOptions, readTarOptions } from "./tar_limits.ts";
import { nameOf, openTarSource, type TarSource } from "./tar_source.ts";

/** An entry of a tar. */
export interface TarEntry extends TarHeader {
  /** Where its first header is, in bytes from the beginning of the tar, unpacked. */
  readonly offset: number;
  /** Its contents. They can be read once, and only until the next entry is asked for. */
  contents(): ReadableStream<Uint8Array>;
}

// What may come after the end: programs fill up their last record.
const MOST_AFTER_END = 16 * 1024 * 1024;
// Headers that are no entries, one after the other.
const MOST_HEADERS = 8;
const HEADERS_OF_PATHS = 256;
const HEADER_ONLY = /^[1-6]$/;

/**
 * Reads a tar (ustar, PAX, GNU), packed with gzip or not. A stream is read to its end, so that a digest of it can be
 * computed; with bytes that can be read at any place, contents that nobody reads are left out. Memory stays the same whatever
 * the tar says.
 *
 * @throws {FormatError} if it is cut, damaged, or sparse, or passes a limit.
 */
export function readTar(
  source: TarSource,
  options: ReadTarOptions = {},
): AsyncGenerator<TarEntry, void, undefined> {
  return readWhole(source, options, () => {});
}

/** {@linkcode readTar}, which also tells the offset of what follows the end of the tar and isn't empty. */
export async function* readWhole(
  source: TarSource,
  options: ReadTarOptions,
  onRest: (offset: number) => void,
): AsyncGenerator<TarEntry, void, undefined> {
  const limits = readTarOptions(options);
  const name = limits.name ?? nameOf(source);
  const reader = new ByteReader(await openTarSource(source, name, limits.signal));
  const tar = new Tar(name, reader, limits);
  try {
    for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) yield entry;
    await tar.finish(onRest);
  } finally {
    tar.close();
    await reader.cancel();
  }
}

class Tar {
  readonly #name: string;
  readonly #reader: ByteReader;
  readonly #limits: ReturnType<typeof readTarOptions>;
  #entries = 0;
  #total = 0;
  #inPaths = 0;
  #body: Body | undefined;

  constructor(name: string, reader: ByteReader, limits: ReturnType<typeof readTarOptions>) {
    this.#name = name;
    this.#reader = reader;
    this.#limits = limits;
  }

  async next(): Promise<TarEntry | undefined> {
    await this.#body?.finish();
    this.#body = undefined;
    const { offset } = this.#reader;
    const extra: Extra = {};
    for (let headers = 0; headers <= MOST_HEADERS; headers++) {
      const block = await this.#header();
      if (block === undefined) {
        if (headers > 0) this.#refuse("it ends after an extended header");
        return undefined;
      }
      if (/^[xLK]$/.test(block.type)) await this.#extend(extra, block);
      else return this.#entry(offset, block, extra);
    }
    return this.#refuse(`an entry has more than ${MOST_HEADERS} extended headers`);
  }

  /** What follows the end. */
  async finish(onRest: (offset: number) => void): Promise<void> {
    const { offset } = this.#reader;
    let isEmpty = true;
    for (let chunk; (chunk = await this.#reader.some(BLOCK * BLOCK)) !== undefined;) {
      const at = isEmpty ? chunk.findIndex((byte) => byte !== 0) : -1;
      if (at >= 0) {
        isEmpty = false;
        onRest(this.#reader.offset - chunk.byteLength + at);
      }
      if (this.#reader.offset - offset > MOST_AFTER_END) {
        this.#refuse(`more than ${MOST_AFTER_END} bytes follow its end`, { reason: "limit" });
      }
    }
  }

  close(): void {
    this.#body?.close();
  }

  async #header(): Promise<TarBlock | undefined> {
    const block = await this.#reader.take(BLOCK);
    if (block.byteLength < BLOCK) {
      this.#refuse(block.byteLength === 0 ? "it has no end: it is cut" : "it is cut in a header");
    }
    if (!isEmpty(block)) return this.#parsed(() => parseBlock(block));
    const second = await this.#reader.take(BLOCK);
    // Some programs write one block only.
    if (second.byteLength === 0 || (second.byteLength === BLOCK && isEmpty(second))) return undefined;
    return this.#refuse("only one empty block is where two end a tar");
  }

  async #extend(extra: Extra, block: TarBlock): Promise<void> {
    if (block.size > this.#limits.maxHeaderSize) {
      this.#refuse(`an extended header has ${block.size} bytes`, { reason: "limit" });
    }
    const bytes = await this.#reader.take(block.size);
    const padding = paddingOf(block.size);
    if (bytes.byteLength < block.size) this.#refuse("it is cut in an extended header");
    if (block.type === "x") {
      if (extra.pax !== undefined) this.#refuse("an entry has two extended headers");
      extra.pax = this.#parsed(() => parsePax(bytes));
    } else {
      const text = this.#parsed(() => longName(bytes));
      if (block.type === "L") extra.name = text;
      else extra.linkName = text;
    }
    if (await this.#reader.skip(padding) < padding) this.#refuse("it is cut in an extended header");
  }

  #entry(offset: number, block: TarBlock, { pax = new Map(), ...long }: Extra): TarEntry {
    const text = (key: string) => {
      const value = pax.get(key);
      if (value instanceof Uint8Array) this.#refuse(`the record ${key} of an extended header isn't UTF-8`);
      if (value?.includes("\0")) this.#refuse(`the record ${key} of an extended header has a NUL in it`);
      return value === "" ? undefined : value;
    };
    const name = text("path") ?? long.name ?? block.name;
    const refuse = (problem: string, reason?: FormatProblem): never =>
      this.#refuse(problem, { entry: shortened(name), offset, ...reason && { reason } });
    if (++this.#entries > this.#limits.maxEntries) {
      refuse(`it has more than ${this.#limits.maxEntries} entries`, "limit");
    }
    const linkName = text("linkpath") ?? long.linkName ?? block.linkName;
    // Who compares entries keeps their paths in memory.
    const mostInPaths = HEADERS_OF_PATHS * this.#limits.maxHeaderSize;
    if ((this.#inPaths += name.length + linkName.length) > mostInPaths) {
      refuse(`its paths have more than ${mostInPaths} characters`, "limit");
    }
    if (depthOf(name) > this.#limits.maxDepth) refuse(`a path has more than ${this.#limits.maxDepth} names`, "limit");
    for (const key of pax.keys()) {
      if (key.startsWith("GNU.sparse.")) refuse("sparse files of GNU are not read", "unsupported");
    }
    if (block.type === "S") refuse("sparse files of GNU are not read", "unsupported");
    const size = sizeIn(text("size"), block.size) ?? refuse("its size is no number");
    if (size > this.#limits.maxEntrySize) refuse(`an entry has ${size} bytes`, "limit");
    if ((this.#total += size) > this.#limits.maxTotalSize) {
      refuse(`it has more than ${this.#limits.maxTotalSize} bytes`, "limit");
    }
    // Programs disagree on whether contents follow.
    if (size > 0 && HEADER_ONLY.test(block.type)) refuse(`an entry of type ${block.type} has a size of ${size}`);
    const body = new Body(this.#reader, size, (problem) => refuse(problem));
    this.#body = body;
    return {
      ...block,
      name,
      size,
      linkName,
      pax,
      offset,
      contents: () => body.stream(),
    };
  }

  #parsed<T>(parse: () => T): T {
    const offset = this.#reader.offset - BLOCK;
    try {
      return parse();
    } catch (error) {
      return this.#refuse((error as Error).message, { offset });
    }
  }

  #refuse(problem: string, place: ConstructorParameters<typeof FormatError>[2] = {}): never {
    throw new FormatError(this.#name, problem, { offset: this.#reader.offset, ...place });
  }
}

interface Extra {
  pax?: Map<string, string | Uint8Array>;
  name?: string;
  linkName?: string;
}

/** The contents of an entry, and what fills up their last block. */
class Body {
  readonly #reader: ByteReader;
  readonly #refuse: (problem: string) => never;
  readonly #size: number;
  #left: number;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isTaken = false;
  #isOver = false;
  // A read that is under way when the next entry is asked for.
  #reading: Promise<unknown> = Promise.resolve();

  constructor(reader: ByteReader, size: number, refuse: (problem: string) => never) {
    this.#reader = reader;
    this.#size = size;
    this.#left = size;
    this.#refuse = refuse;
  }

  stream(): ReadableStream<Uint8Array> {
    if (this.#isTaken) throw new TypeError("the contents of an entry of a tar can be read once only");
    if (this.#isOver) {
      throw new TypeError("the next entry of the tar was asked for, so these contents can't be read any more");
    }
    this.#isTaken = true;
    return new ReadableStream({
      start: (controller) => {
        this.#stream = controller;
      },
      pull: (controller) => {
        const read = this.#pull(controller);
        this.#reading = read.catch(() => {});
        return read;
      },
      cancel: () => {
        this.#stream = undefined;
      },
    }, { highWaterMark: 0 });
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#left > 0) {
      const chunk = await this.#reader.some(this.#left);
      if (chunk === undefined) this.#refuse("it is cut in the contents of an entry");
      this.#left -= chunk.byteLength;
      controller.enqueue(chunk.slice());
    }
    if (this.#left === 0) {
      this.#stream = undefined;
      controller.close();
    }
  }

  /** Leaves out what wasn't read. */
  async finish(): Promise<void> {
    await this.#reading;
    this.close();
    const rest = this.#left + paddingOf(this.#size);
    if (await this.#reader.skip(rest) < rest) this.#refuse("it is cut in the contents of an entry");
  }

  close(): void {
    this.#isOver = true;
    this.#stream?.error(
      new TypeError("the next entry of the tar was asked for, so these contents can't be read any more"),
    );
    this.#stream = undefined;
  }
}

function longName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(end < 0 ? bytes : bytes.subarray(0, end));
  } catch {
    throw new Error("a long name isn't UTF-8");
  }
}

function sizeIn(record: string | undefined, size: number): number | undefined {
  if (record === undefined) return size;
  const number = /^\d{1,16}$/.test(record) ? Number(record) : NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Bytes that fill up the last block. */
export function paddingOf(size: number): number {
  return (BLOCK - size % BLOCK) % BLOCK;
}

function depthOf(name: string): number {
  let depth = 1;
  for (let at = name.indexOf("/"); at >= 0 && at < name.length - 1; at = name.indexOf("/", at + 1)) depth++;
  return depth;
}

function shortened(name: string): string {
  return name.length <= 300 ? name : `${name.slice(0, 300)}…`;
}
