/**
 * The regions of an image, which have all that is in it: read at any place that lies in them.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { ClosedError } from "../../errors/state_errors.ts";
import { type OpenBytes, type RandomAccess, readFully } from "../bytes/random_access.ts";
import { Chunk, type Place, textIn } from "./chunk.ts";
import type { Report } from "./cim_fault.ts";
import { type CimFolder, openPart } from "./cim_folder.ts";
import {
  checkRegionHeader,
  type CimVersion,
  type ImageHeader,
  REGION_HEADER,
  regionName,
  type RegionSet,
} from "./headers.ts";

/** A region. */
export interface Region {
  /** Name of its file. */
  readonly name: string;
  readonly set: RegionSet;
  /** Its number in its set, which the name has. */
  readonly index: number;
  /** Its number in the image, over all sets. */
  readonly number: number;
  /** Length of its file in bytes. Undefined if it can't be read. */
  readonly size: number | undefined;
  /** 0 for what is known about files, 1 and 2 for their contents. */
  readonly type: number | undefined;
}

/** A part of a region that is known to lie in it. */
export interface Extent {
  readonly region: Region;
  readonly at: number;
  readonly length: number;
  /** Path of the entry of the image that it belongs to. */
  readonly entry: string | undefined;
}

// Of what is known about files, 4 MiB are kept, however large the image.
const BLOCK = 64 * 1024;
const MOST_BLOCKS = 64;
// An image may have 65536 regions.
const MOST_OPEN = 32;

// What has to be read before a function can go on.
class Lack extends Error {
  readonly region: Region;
  readonly number: number;

  constructor(region: Region, number: number) {
    super("not in memory");
    this.region = region;
    this.number = number;
  }
}

// Regions are shorter than 2^48 bytes.
function keyOf(region: Region, block: number): number {
  return region.number * 2 ** 32 + block;
}

/** Reads what is in memory. */
export class Reader {
  readonly #regions: readonly Region[];
  readonly #block: (region: Region, number: number) => DataView<ArrayBuffer>;

  constructor(regions: readonly Region[], block: (region: Region, number: number) => DataView<ArrayBuffer>) {
    this.#regions = regions;
    this.#block = block;
  }

  /** {@linkcode extentIn} the regions. */
  extent(from: Chunk, field: number, length: number, what: string, skip = 0): Extent {
    return extentIn(this.#regions, from, field, length, what, skip);
  }

  /** Reads a part of an extent. What is returned is a copy. */
  read({ region, at, entry, length: whole }: Extent, from = 0, length = whole - from): Chunk {
    const start = at + from;
    const within = start % BLOCK;
    const first = this.#block(region, Math.floor(start / BLOCK));
    const end = within + length;
    if (end <= first.byteLength) {
      return new Chunk(new DataView(first.buffer.slice(within, end)), region.name, start, entry);
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { buffer } = this.#block(region, Math.floor((start + done) / BLOCK));
      const part = new Uint8Array(buffer, (start + done) % BLOCK).subarray(0, length - done);
      bytes.set(part, done);
      done += part.byteLength;
    }
    return new Chunk(new DataView(bytes.buffer), region.name, start, entry);
  }

  /** A number in an extent. */
  u16(extent: Extent, from: number): number {
    const start = extent.at + from;
    const within = start % BLOCK;
    if (within + 2 > BLOCK) return this.read(extent, from, 2).u16(0);
    return this.#block(extent.region, Math.floor(start / BLOCK)).getUint16(within, true);
  }

  /** A number in an extent. */
  u32(extent: Extent, from: number): number {
    const start = extent.at + from;
    const within = start % BLOCK;
    if (within + 4 > BLOCK) return this.read(extent, from, 4).u32(0);
    return this.#block(extent.region, Math.floor(start / BLOCK)).getUint32(within, true);
  }

  /** UTF-16 text in an extent, lone surrogates included. */
  text(extent: Extent, from: number, units: number): string {
    const start = extent.at + from;
    const within = start % BLOCK;
    if (within + 2 * units > BLOCK) return this.read(extent, from, 2 * units).text(0, units);
    return textIn(this.#block(extent.region, Math.floor(start / BLOCK)), within, units);
  }
}

/**
 * The part of a region that a field of what was read names.
 *
 * @param skip How many bytes after the named place it begins.
 * @throws {FormatError} at the field, if that isn't in a region.
 */
export function extentIn(
  regions: readonly Region[],
  from: Chunk,
  field: number,
  length: number,
  what: string,
  skip = 0,
): Extent {
  const place = from.place(field);
  if (place === undefined) throw from.fault(field, `${what} is at no place`);
  return extentAt(regions, place, length, (problem) => from.fault(field, `${what} ${problem}`), from.entry, skip);
}

/** {@linkcode extentIn} of a place. */
export function extentAt(
  regions: readonly Region[],
  place: Place,
  length: number,
  fault: (problem: string) => FormatError,
  entry: string | undefined,
  skip = 0,
): Extent {
  const region = regions[place.region];
  if (region === undefined) throw fault(`is in region ${place.region}, and there are ${regions.length}`);
  if (region.size === undefined) throw fault(`is in ${region.name}, which can't be read`);
  const at = place.at + skip;
  if (place.at < REGION_HEADER || at + length > region.size) {
    throw fault(`is outside of ${region.name}: ${length} bytes at ${at} of ${region.size}`);
  }
  return { region, at, length, entry };
}

interface OpenRegion {
  readonly source: Promise<OpenBytes>;
  users: number;
}

/** All regions of an image. */
export class Regions implements AsyncDisposable {
  readonly all: readonly Region[];
  readonly #folder: CimFolder;
  readonly #open = new Map<Region, OpenRegion>();
  // The longest unused first.
  readonly #blocks = new Map<number, DataView<ArrayBuffer>>();
  #newest: { readonly key: number; readonly block: DataView<ArrayBuffer> } | undefined;
  #isClosed = false;

  private constructor(folder: CimFolder, all: readonly Region[]) {
    this.#folder = folder;
    this.all = all;
  }

  /** Looks at the file of each region. One that is missing or isn't a region is reported. */
  static async open(folder: CimFolder, header: ImageHeader, report: Report): Promise<Regions> {
    const all: Region[] = [];
    for (const set of [...header.parents, header.own]) {
      for (let index = 0; index < set.count; index++) {
        const expected = { index, total: all.length, version: header.version, isOwn: set === header.own };
        all.push(await lookAt(folder, set, expected, report));
      }
    }
    return new Regions(folder, all);
  }

  /**
   * Calls a function that reads. Where it needs what isn't in memory, that is read, and it is called again: it does nothing
   * but read and return, which it then does at once for most files.
   */
  get<T>(use: (reader: Reader) => T): T | Promise<T> {
    if (this.#isClosed) throw new ClosedError("The image");
    const lacked = new Map<number, DataView<ArrayBuffer>>();
    try {
      return use(new Reader(this.all, (region, number) => this.#kept(region, number, lacked)));
    } catch (error) {
      if (!(error instanceof Lack)) throw error;
      return this.#getAfter(error, use, lacked);
    }
  }

  // What was lacked stays in `lacked`, so that others who read don't push it out before all is there.
  async #getAfter<T>(lack: Lack, use: (reader: Reader) => T, lacked: Map<number, DataView<ArrayBuffer>>): Promise<T> {
    const reader = new Reader(this.all, (region, number) => this.#kept(region, number, lacked));
    for (let next = lack;;) {
      lacked.set(keyOf(next.region, next.number), await this.#load(next.region, next.number));
      try {
        return use(reader);
      } catch (error) {
        if (!(error instanceof Lack)) throw error;
        next = error;
      }
    }
  }

  /** Reads a part of an extent, past what is kept, into the whole of `into`. */
  async readInto({ region, at }: Extent, from: number, into: Uint8Array): Promise<void> {
    await this.#using(region, (source) => readFully(source, at + from, into));
  }

  #kept(region: Region, number: number, lacked: ReadonlyMap<number, DataView<ArrayBuffer>>): DataView<ArrayBuffer> {
    const key = keyOf(region, number);
    if (key === this.#newest?.key) return this.#newest.block;
    const block = this.#blocks.get(key) ?? lacked.get(key);
    if (block === undefined) throw new Lack(region, number);
    this.#keep(key, block);
    return block;
  }

  #keep(key: number, block: DataView<ArrayBuffer>): void {
    this.#newest = { key, block };
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    const [oldest] = this.#blocks.size > MOST_BLOCKS ? this.#blocks.keys() : [];
    if (oldest !== undefined) this.#blocks.delete(oldest);
  }

  async #load(region: Region, number: number): Promise<DataView<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.min(BLOCK, region.size! - number * BLOCK));
    await this.#using(region, (source) => readFully(source, number * BLOCK, bytes));
    const block = new DataView(bytes.buffer);
    this.#keep(keyOf(region, number), block);
    return block;
  }

  async #using<T>(region: Region, use: (source: RandomAccess) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ClosedError("The image");
    const open = this.#open.get(region) ?? { source: openRegion(this.#folder, region), users: 0 };
    this.#open.delete(region);
    this.#open.set(region, open);
    open.users++;
    try {
      return await use(await open.source);
    } finally {
      open.users--;
      // What couldn't be opened is tried again.
      await open.source.catch(() => this.#open.get(region) === open && this.#open.delete(region));
      await this.#close(this.#isClosed ? 0 : MOST_OPEN);
    }
  }

  // Closes those that nobody reads, the longest unused first, until no more than so many are open.
  async #close(most: number): Promise<void> {
    for (const [region, { source, users }] of this.#open) {
      if (this.#open.size <= most) return;
      if (users > 0) continue;
      this.#open.delete(region);
      await source.then((bytes) => bytes[Symbol.dispose](), () => {});
    }
  }

  /** Closes the files. Reads that are under way close theirs once they end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#close(0);
  }
}

async function lookAt(
  folder: CimFolder,
  set: RegionSet,
  expected: { readonly index: number; readonly total: number; readonly version: CimVersion; readonly isOwn: boolean },
  report: Report,
): Promise<Region> {
  const { index, total: number } = expected;
  const region = { name: regionName(set, index), set, index, number, size: undefined, type: undefined };
  try {
    using source = await openRegion(folder, region, expected.isOwn);
    const { type } = await checkRegionHeader(source, expected, report);
    return { ...region, size: source.size, type };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    report("error", error);
    return region;
  }
}

async function openRegion(
  folder: CimFolder,
  { name }: { readonly name: string },
  isOwn = true,
): Promise<OpenBytes> {
  const source = await openPart(folder, name);
  if (source !== undefined) return source;
  const whose = isOwn ? "" : ", which is of another image that it was made from";
  throw new FormatError(name, `this file of the image is missing${whose}`);
}
