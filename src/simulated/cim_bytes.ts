/**
 * An image as the files that it is made of, in the format 2.0 of CIM, as its structures are published. Windows shares what images have
 * in common; here, each is whole.
 *
 * @module
 */

import { bytesOf, streamBytes } from "./contents.ts";
import { foldName, lastName, parentOf } from "./names.ts";
import type { Node } from "./windows.ts";

const TABLE = 1024;
const RECORD = 96;
const PAGE = 4096;
const LINKS = 1n << 48n;
const REGIONS = { metadata: 0, pages: 1, small: 2 } as const;
const NULL_DESCRIPTOR = Uint8Array.of(1, 0, 4, 0x80, ...new Uint8Array(16));
// The bits of a record, and the FILE_ATTRIBUTE bits that they stand for.
const FLAGS = [[1, 0x1], [2, 0x2], [4, 0x4], [8, 0x20], [16, 0x200]] as const;
// Windows leaves these as they are.
const SMALL_AS_LARGE = [0xb5, 0x131, 0x17f, 0x1c5, 0x1c8, 0x1cb, 0x1f2];

let upcase: Uint16Array | undefined;

function upcaseTable(): Uint16Array {
  return upcase ??= Uint16Array.from({ length: 65536 }, (_, unit) => {
    const large = String.fromCharCode(unit).toUpperCase();
    return SMALL_AS_LARGE.includes(unit) || large.length !== 1 ? unit : large.charCodeAt(0);
  });
}

/** Returns the files of an image, by their names. */
export function imageFiles(image: Readonly<Record<string, Node>>, name: string): Map<string, Uint8Array> {
  const guid = guidOf(name);
  const writer = new Writer(image);
  const { filesystem, regions } = writer.write();
  const set = join(guidBytes(guid), numbers([2, regions.length], [2, 0], [4, 0]));
  const header = join(common(0, 72), set, numbers([8, filesystem], [4, 0], [2, 0], [2, 0]));
  const files = new Map([[name, header]]);
  regions.forEach((region, i) => {
    files.set(`region_${guid}_${i}`, region.bytes);
    files.set(`objectid_${guid}_${i}`, join(common(2, 48), numbers([2, i], [1, i], [1, 0], [4, 0], [4, 48], [4, 0])));
  });
  return files;
}

class Writer {
  readonly #image: Readonly<Record<string, Node>>;
  readonly #children: ReadonlyMap<string, readonly Node[]>;
  readonly #regions = [new Region(0), new Region(1), new Region(2)] as const;
  readonly #records: Uint8Array[] = [];
  /** The records of files that have several names. */
  readonly #ids = new Map<number, number>();
  readonly #securities = new Map<string, bigint>();

  constructor(image: Readonly<Record<string, Node>>) {
    this.#image = image;
    const nodes = Object.values(image).filter(({ path }) => path !== "");
    this.#children = Map.groupBy(nodes, ({ path }) => foldName(parentOf(path)));
  }

  write(): { readonly filesystem: bigint; readonly regions: readonly Region[] } {
    const metadata = this.#regions[REGIONS.metadata];
    const upcase = metadata.put(new Uint8Array(upcaseTable().buffer));
    const root = this.#add(this.#image["\\"] ?? { path: "", type: "folder" }, 0);
    const directory: Uint8Array[] = [];
    for (let first = 0; first < this.#records.length; first += TABLE) {
      const records = this.#records.slice(first, first + TABLE);
      const at = metadata.put(join(...records));
      directory.push(numbers([8, at], [2, records.length], [2, RECORD], [4, 0]));
    }
    const directoryAt = metadata.put(join(...directory));
    const filesystem = metadata.put(numbers([8, upcase], [8, directoryAt], [4, directory.length], [4, root]));
    return { filesystem, regions: this.#regions };
  }

  #add(node: Node, parent: number): number {
    const known = node.sameFile === undefined ? undefined : this.#ids.get(node.sameFile);
    if (known !== undefined) return known;
    const id = this.#records.push(new Uint8Array());
    if (node.sameFile !== undefined) this.#ids.set(node.sameFile, id);
    this.#records[id - 1] = this.#record(node, parent, id);
    return id;
  }

  #record(node: Node, parent: number, id: number): Uint8Array {
    const { metadata, streams = {} } = node;
    const { attributes = 0, creationTime, lastWriteTime, changeTime, lastAccessTime } = metadata ?? {};
    const [reparse, eas] = [metadata?.reparse, metadata?.extendedAttributes].map((base64) =>
      base64 === undefined ? undefined : Uint8Array.fromBase64(base64)
    );
    const [dataAt, kind] = node.type === "folder" ? this.#folder(node, id) : this.#data(bytesOf(node));
    return numbers(
      [2, FLAGS.reduce((sum, [flag, bit]) => sum + ((attributes & bit) === 0 ? 0 : flag), 0)],
      [2, eas?.byteLength ?? 0],
      [4, reparse === undefined ? 0 : new DataView(reparse.buffer, reparse.byteOffset).getUint32(0, true)],
      ...[creationTime, lastWriteTime, changeTime, lastAccessTime].map((time) => [8, BigInt(time ?? 0)] as const),
      [8, dataAt],
      [8, kind],
      [8, this.#security(metadata?.securityDescriptor ?? NULL_DESCRIPTOR.toBase64())],
      [8, eas === undefined ? 0n : this.#put(eas)],
      [8, reparse === undefined ? 0n : this.#put(counted(reparse))],
      [8, this.#streams(streams)],
      [4, parent],
      [4, 0],
    );
  }

  #put(bytes: Uint8Array): bigint {
    return this.#regions[REGIONS.metadata].put(bytes);
  }

  // Files share them.
  #security(base64: string): bigint {
    const at = this.#securities.get(base64) ?? this.#put(counted(Uint8Array.fromBase64(base64)));
    this.#securities.set(base64, at);
    return at;
  }

  #folder({ path }: Node, id: number): [at: bigint, kind: bigint] {
    const children = this.#children.get(foldName(path)) ?? [];
    if (children.length === 0) return [0n, LINKS];
    const table = linkTable(children.map((node) => [lastName(node.path), numbers([4, this.#add(node, id)])]));
    return [this.#put(table), BigInt(table.byteLength) | LINKS];
  }

  #data(bytes: Uint8Array): [at: bigint, kind: bigint] {
    const { byteLength: length } = bytes;
    if (length === 0) return [0n, 0n];
    const [region, unit] = length < PAGE ? [REGIONS.small, 8] : [REGIONS.pages, PAGE];
    return [this.#regions[region].put(bytes, unit), BigInt(length)];
  }

  #streams(streams: Readonly<Record<string, string>>): bigint {
    const links = Object.entries(streams).map(([name, content]) => {
      const [at, kind] = this.#data(streamBytes(content));
      return [name, numbers([8, at], [8, kind])] as const;
    });
    return links.length === 0 ? 0n : this.#put(linkTable(links));
  }
}

class Region {
  readonly #number: number;
  readonly #parts: Uint8Array[];
  #length: number;

  constructor(number: number) {
    this.#number = number;
    this.#parts = [join(common(1, 40), numbers([2, number], [1, number], [1, 0], [4, 0]))];
    this.#length = 40;
  }

  /** Returns where it is. */
  put(bytes: Uint8Array, unit = 8): bigint {
    const gap = (unit - this.#length % unit) % unit;
    const at = this.#length + gap;
    this.#parts.push(new Uint8Array(gap), bytes);
    this.#length = at + bytes.byteLength;
    return BigInt(this.#number) << 48n | BigInt(at);
  }

  get bytes(): Uint8Array {
    return join(...this.#parts);
  }
}

function linkTable(links: readonly (readonly [name: string, value: Uint8Array])[]): Uint8Array {
  const sorted = links.map(([name, value]) => ({ name: countedText(name), key: keyOf(name), value }))
    .sort((a, b) => compare(a.key, b.key));
  const values = join(...sorted.map(({ value }) => value));
  let at = 8 + values.byteLength + 4 * sorted.length;
  const offsets = sorted.map(({ name }) => {
    const offset = at;
    at += name.byteLength;
    return numbers([4, offset]);
  });
  return join(numbers([4, at], [4, sorted.length]), values, ...offsets, ...sorted.map(({ name }) => name));
}

// By code points, each of which is made large if it is one unit.
function keyOf(name: string): number[] {
  return [...name].map((char) => char.length === 1 ? upcaseTable()[char.charCodeAt(0)]! : char.codePointAt(0)!);
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((point, i) => point !== b[i]);
  return at < 0 ? a.length - b.length : a[at]! - (b[at] ?? -1);
}

function countedText(text: string): Uint8Array {
  return numbers([2, text.length], ...Array.from({ length: text.length }, (_, i) => [2, text.charCodeAt(i)] as const));
}

function counted(bytes: Uint8Array): Uint8Array {
  return join(numbers([2, bytes.byteLength]), bytes);
}

function common(type: number, length: number): Uint8Array {
  const magic = new TextEncoder().encode("cimfile0");
  return join(magic, numbers([4, length], [1, type], [1, 0], [2, 0], [4, 2], [4, 0], [8, 0]));
}

// The same for the same name, and unlikely to be that of another one.
function guidOf(name: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(name.toLowerCase())) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  const digits = hash.toString(16).padStart(16, "0");
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13)}-8000-${digits.slice(0, 12)}`;
}

function guidBytes(guid: string): Uint8Array {
  const [a, b, c] = guid.split("-").map((part) => parseInt(part, 16)) as [number, number, number];
  return join(numbers([4, a], [2, b], [2, c]), Uint8Array.fromHex(guid.slice(19).replace("-", "")));
}

/** Little-endian numbers of so many bytes each. */
function numbers(...list: readonly (readonly [size: 1 | 2 | 4 | 8, value: number | bigint])[]): Uint8Array {
  const bytes = new Uint8Array(list.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of list) {
    if (size === 8) view.setBigUint64(at, BigInt(value), true);
    else if (size === 4) view.setUint32(at, Number(value), true);
    else if (size === 2) view.setUint16(at, Number(value), true);
    else view.setUint8(at, Number(value));
    at += size;
  }
  return bytes;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
