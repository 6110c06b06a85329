/**
 * Writes CIM images of format 2.0, as their structures are published. What Windows writes otherwise isn't known: no image of it
 * was seen. Bytes in, files out: nothing else is needed.
 *
 * @module
 */

/** A file or folder. One that is in several folders, or under several names, is a hard link. */
export interface CimNode {
  /** Contents of a file; a folder has none. */
  readonly contents?: Uint8Array;
  /** How many zeros a file has that aren't stored. */
  readonly zeros?: number;
  /** An executable as it lies in memory, and which parts of the file are where. */
  readonly executable?: CimExecutable;
  /** What a folder has. */
  readonly children?: ReadonlyMap<string, CimNode>;
  /** 1 read-only, 2 hidden, 4 system, 8 archive, 16 sparse. */
  readonly flags?: number;
  /** Creation, write, change, access. */
  readonly times?: readonly [bigint, bigint, bigint, bigint];
  readonly securityDescriptor?: Uint8Array;
  /** FILE_FULL_EA_INFORMATION. */
  readonly extendedAttributes?: Uint8Array;
  /** REPARSE_DATA_BUFFER. */
  readonly reparse?: Uint8Array;
  readonly streams?: ReadonlyMap<string, Uint8Array>;
}

/** An executable as it lies in memory. */
export interface CimExecutable {
  readonly image: Uint8Array;
  /** Length of the file. */
  readonly length: number;
  /** From which offset of the file on how far a byte lies behind its offset. */
  readonly mappings: readonly (readonly [offset: number, delta: number])[];
}

/** How an image is written. */
export interface CimWriterOptions {
  /** That of its regions. */
  readonly guid: string;
  readonly name?: string;
  /** The image that it is made from: what it has stays as it is, what is new is added. */
  readonly parent?: WrittenCim;
  /** Length of a record. */
  readonly recordSize?: number;
  /** Whether the length of a table of streams is before it. */
  readonly countStreams?: boolean;
}

/** An image that was written. */
export interface WrittenCim {
  /** All its files, and those of its parents, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly sets: readonly RegionSet[];
  readonly ids: ReadonlyMap<CimNode, number>;
  readonly tables: readonly Table[];
  /** Where the table of upper case is. */
  readonly upcase: bigint;
}

interface RegionSet {
  readonly guid: string;
  readonly count: number;
}

interface Table {
  readonly at: bigint;
  readonly count: number;
  readonly recordSize: number;
}

const TABLE = 1024;
const RECORD = 96;
const LINKS = 1n << 48n;
const EXECUTABLE = 2n << 48n;
const SPARSE = 1n << 56n;
const PAGE = 4096;
const REGIONS = 3;
// Windows leaves these as they are.
const SMALL_AS_LARGE = [0xb5, 0x131, 0x17f, 0x1c5, 0x1c8, 0x1cb, 0x1f2];

/** Each UTF-16 unit as a large letter. */
export const UPCASE: Uint16Array = Uint16Array.from({ length: 65536 }, (_, unit) => {
  const large = String.fromCharCode(unit).toUpperCase();
  return SMALL_AS_LARGE.includes(unit) || large.length !== 1 ? unit : large.charCodeAt(0);
});

/** Bytes to which more are added. */
export class Bytes {
  #bytes = new Uint8Array(256);
  length = 0;

  add(...parts: readonly Uint8Array[]): this {
    for (const part of parts) {
      if (this.length + part.length > this.#bytes.length) {
        const larger = new Uint8Array(2 * (this.length + part.length));
        larger.set(this.#bytes.subarray(0, this.length));
        this.#bytes = larger;
      }
      this.#bytes.set(part, this.length);
      this.length += part.length;
    }
    return this;
  }

  align(to: number): void {
    this.add(new Uint8Array((to - this.length % to) % to));
  }

  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}

/** Little-endian numbers of so many bytes each. */
export function numbers(...list: readonly (readonly [size: 1 | 2 | 4 | 8, value: number | bigint])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(list.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of list) {
    if (size === 8) view.setBigUint64(at, BigInt(value), true);
    else if (size === 4) view.setUint32(at, Number(value), true);
    else if (size === 2) view.setUint16(at, Number(value), true);
    else view.setUint8(at, Number(value));
    at += size;
  }
  return new Uint8Array(view.buffer);
}

/** UTF-16 text with the number of its units before it. */
function countedText(text: string): Uint8Array {
  return numbers([2, text.length], ...[...Array(text.length).keys()].map((i) => [2, text.charCodeAt(i)] as const));
}

/** The order of names: by code points, each made large if it is one unit. */
export function compareNames(a: string, b: string): number {
  const key = (text: string) =>
    [...text].map((char) => char.length === 1 ? UPCASE[char.charCodeAt(0)]! : char.codePointAt(0)!);
  const [left, right] = [key(a), key(b)];
  const at = left.findIndex((point, i) => point !== right[i]);
  return at < 0 ? left.length - right.length : (left[at] ?? -1) - (right[at] ?? -1);
}

/** A table of names, which are sorted. */
export function linkTable(links: Iterable<readonly [name: string, value: Uint8Array]>): Uint8Array {
  const sorted = [...links].sort(([a], [b]) => compareNames(a, b));
  const [values, offsets, names] = [new Bytes(), new Bytes(), new Bytes()];
  for (const [, value] of sorted) values.add(value);
  for (const [name] of sorted) {
    offsets.add(numbers([4, 8 + values.length + 4 * sorted.length + names.length]));
    names.add(countedText(name));
  }
  const length = 8 + values.length + offsets.length + names.length;
  return new Bytes().add(numbers([4, length], [4, sorted.length]), values.bytes, offsets.bytes, names.bytes).bytes;
}

function guidBytes(guid: string): Uint8Array {
  const [a, b, c, d] = [guid.slice(0, 8), guid.slice(9, 13), guid.slice(14, 18), guid.slice(19).replace("-", "")];
  const rest = d.match(/../g)!.map((byte) => [1, parseInt(byte, 16)] as const);
  return numbers([4, parseInt(a, 16)], [2, parseInt(b, 16)], [2, parseInt(c, 16)], ...rest);
}

function commonHeader(type: number, length: number): Uint8Array {
  const magic = new TextEncoder().encode("cimfile0");
  return new Bytes().add(magic, numbers([4, length], [1, type], [1, 0], [2, 0], [4, 2], [4, 0], [8, 0])).bytes;
}

class Region {
  readonly #number: number;
  readonly #bytes = new Bytes();

  constructor(number: number, index: number) {
    this.#number = number;
    this.#bytes.add(commonHeader(1, 40), numbers([2, index], [1, index], [1, 0], [4, 0]));
  }

  /** Returns where it is. */
  put(bytes: Uint8Array, align = 8): bigint {
    this.#bytes.align(align);
    const at = BigInt(this.#number) << 48n | BigInt(this.#bytes.length);
    this.#bytes.add(bytes);
    return at;
  }

  get bytes(): Uint8Array {
    return this.#bytes.bytes;
  }
}

class Writer {
  readonly #options: CimWriterOptions;
  readonly #ids: Map<CimNode, number>;
  readonly #records: Uint8Array[] = [];
  readonly #securities = new Map<Uint8Array, bigint>();
  readonly #firstTable: number;
  readonly #regions: readonly Region[];

  constructor(options: CimWriterOptions) {
    this.#options = options;
    this.#ids = new Map(options.parent?.ids);
    this.#firstTable = options.parent?.tables.length ?? 0;
    const before = (options.parent?.sets ?? []).reduce((sum, { count }) => sum + count, 0);
    this.#regions = Array.from({ length: REGIONS }, (_, index) => new Region(before + index, index));
  }

  write(root: CimNode): WrittenCim {
    const { parent, guid, name = "image.cim", recordSize = RECORD } = this.#options;
    const [metadata] = this.#regions;
    const upcase = parent?.upcase ?? metadata!.put(new Uint8Array(UPCASE.buffer));
    const rootId = this.#add(root, 0);
    const tables = [...parent?.tables ?? []];
    for (let first = 0; first < this.#records.length; first += TABLE) {
      const records = this.#records.slice(first, first + TABLE);
      const bytes = new Bytes();
      for (const record of records) {
        bytes.add(record.subarray(0, recordSize), new Uint8Array(Math.max(recordSize - RECORD, 0)).fill(0xaa));
      }
      tables.push({ at: metadata!.put(bytes.bytes), count: records.length, recordSize });
    }
    const directory = tables.map(({ at, count, recordSize }) => numbers([8, at], [2, count], [2, recordSize], [4, 0]));
    const filesystem = metadata!.put(
      numbers([8, upcase], [8, metadata!.put(new Bytes().add(...directory).bytes)], [4, tables.length], [4, rootId]),
    );
    const parents = parent?.sets ?? [];
    const sets = [...parents, { guid, count: REGIONS }];
    const header = new Bytes().add(commonHeader(0, 72 + 24 * parents.length), setBytes(sets.at(-1)!));
    header.add(numbers([8, filesystem], [4, 0], [2, 0], [2, parents.length]), ...parents.map(setBytes));
    const files = new Map(parent?.files);
    files.set(name, header.bytes);
    this.#regions.forEach((region, index) => {
      files.set(`region_${guid}_${index}`, region.bytes);
      files.set(
        `objectid_${guid}_${index}`,
        new Bytes().add(commonHeader(2, 48), numbers([2, index], [1, index], [1, 0], [4, 0], [4, 48], [4, 0])).bytes,
      );
    });
    return { files, sets, ids: this.#ids, tables, upcase };
  }

  #add(node: CimNode, parent: number): number {
    const known = this.#ids.get(node);
    if (known !== undefined) return known;
    const index = this.#records.push(new Uint8Array()) - 1;
    const id = this.#firstTable * TABLE + index + 1;
    this.#ids.set(node, id);
    this.#records[index] = this.#record(node, parent, id);
    return id;
  }

  #record(node: CimNode, parent: number, id: number): Uint8Array {
    const { extendedAttributes: eas, reparse, securityDescriptor: security, times = [1n, 2n, 3n, 4n] } = node;
    const [metadata] = this.#regions;
    const counted = (bytes: Uint8Array) => metadata!.put(new Bytes().add(numbers([2, bytes.length]), bytes).bytes);
    const [dataAt, kind] = this.#stream(node, id);
    if (security !== undefined && !this.#securities.has(security)) this.#securities.set(security, counted(security));
    return numbers(
      [2, node.flags ?? 0],
      [2, eas?.length ?? 0],
      [4, reparse === undefined ? 0 : new DataView(reparse.buffer, reparse.byteOffset).getUint32(0, true)],
      ...times.map((time) => [8, time] as const),
      [8, dataAt],
      [8, kind],
      [8, security === undefined ? 0n : this.#securities.get(security)!],
      [8, eas === undefined ? 0n : metadata!.put(eas)],
      [8, reparse === undefined ? 0n : counted(reparse)],
      [8, this.#streams(node)],
      [4, parent],
      [4, 0],
    );
  }

  // Where the contents are, and their length and kind.
  #stream({ children, zeros, executable, contents = new Uint8Array() }: CimNode, id: number): [bigint, bigint] {
    const [metadata, pages] = this.#regions;
    if (children !== undefined) {
      const links = [...children].map(([name, child]) => [name, numbers([4, this.#add(child, id)])] as const);
      if (links.length === 0) return [0n, LINKS];
      const table = linkTable(links);
      return [metadata!.put(table), BigInt(table.length) | LINKS];
    }
    if (zeros !== undefined) return [0n, BigInt(zeros) | SPARSE];
    if (executable === undefined) return [this.#data(contents), BigInt(contents.length)];
    const { image, length, mappings } = executable;
    const descriptor = new Bytes().add(
      numbers([8, pages!.put(image, PAGE)], [8, length], [4, image.length], [2, mappings.length], [2, 1]),
      ...mappings.map(([offset, delta]) => numbers([4, offset], [4, delta])),
    );
    return [metadata!.put(descriptor.bytes), BigInt(length) | EXECUTABLE];
  }

  #data(bytes: Uint8Array): bigint {
    const [, pages, small] = this.#regions;
    if (bytes.length === 0) return 0n;
    return bytes.length < PAGE ? small!.put(bytes) : pages!.put(bytes, PAGE);
  }

  #streams({ streams }: CimNode): bigint {
    if (streams === undefined || streams.size === 0) return 0n;
    const table = linkTable(
      [...streams].map(([name, bytes]) => [name, numbers([8, this.#data(bytes)], [8, bytes.length])]),
    );
    const count = this.#options.countStreams ? [numbers([4, table.length])] : [];
    return this.#regions[0]!.put(new Bytes().add(...count, table).bytes);
  }
}

function setBytes({ guid, count }: RegionSet): Uint8Array {
  return new Bytes().add(guidBytes(guid), numbers([2, count], [2, 0], [4, 0])).bytes;
}

/** Writes an image. */
export function writeCim(root: CimNode, options: CimWriterOptions): WrittenCim {
  return new Writer(options).write(root);
}
