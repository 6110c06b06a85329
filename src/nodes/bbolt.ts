/**
 * Databases of bbolt, read from their bytes: only what is needed to look things up in them.
 *
 * @module
 */

import { DatabaseError } from "../errors/state_errors.ts";

/** What is stored under a key: bytes, or a bucket with keys of its own. */
export type Value = Uint8Array | Bucket;

/** Keys and what is stored under them, in the order of the keys. */
export interface Bucket {
  /** Reads the bucket. Throws a {@linkcode DatabaseError} where it is damaged. */
  entries(): Generator<[key: Uint8Array, value: Value]>;
}

const HEADER = 16;
const ELEMENT = 16;
const META = 64;
const MAGIC = 0xed0cdaed;
const VERSION = 2;
const BRANCH = 1;
const LEAF = 2;
const IS_BUCKET = 1;
// A tree that is deeper would have more pages than fit on a disk.
const MAX_DEPTH = 32;

interface Meta {
  readonly pageSize: number;
  readonly pages: bigint;
  readonly root: bigint;
  readonly transaction: bigint;
}

/**
 * Returns the root bucket of the last transaction that was committed.
 *
 * @throws {DatabaseError} if neither of the two pages that name one is whole.
 */
export function openDatabase(bytes: Uint8Array): Bucket {
  const meta = newestMeta(bytes);
  return bucketOf(bytes, meta, meta.root, new Set());
}

/**
 * Returns the number of the last transaction that was committed, from the beginning of a database.
 *
 * @throws {DatabaseError} as {@linkcode openDatabase}.
 */
export function lastTransaction(beginning: Uint8Array): bigint {
  return newestMeta(beginning).transaction;
}

function newestMeta(bytes: Uint8Array): Meta {
  const first = metaAt(bytes, 0);
  // Where the first is torn, nobody knows the page size, so that the second is looked for at each possible place.
  const places = first === undefined ? Array.from({ length: 8 }, (_, i) => 512 << i) : [first.pageSize];
  const second = places.map((place) => metaAt(bytes, place)).find((meta, i) => meta?.pageSize === places[i]);
  const newest = [first, second].filter((meta) => meta !== undefined)
    .reduce<Meta | undefined>((a, b) => a !== undefined && a.transaction > b.transaction ? a : b, undefined);
  if (newest === undefined) throw new DatabaseError("it has no valid beginning");
  return newest;
}

function metaAt(bytes: Uint8Array, place: number): Meta | undefined {
  if (place + HEADER + META > bytes.byteLength) return undefined;
  const view = viewOf(bytes.subarray(place + HEADER, place + HEADER + META));
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return undefined;
  if (view.getBigUint64(56, true) !== checksum(view)) return undefined;
  const pageSize = view.getUint32(8, true);
  if (pageSize < 512) return undefined;
  return {
    pageSize,
    root: view.getBigUint64(16, true),
    pages: view.getBigUint64(40, true),
    transaction: view.getBigUint64(48, true),
  };
}

// FNV-1a of what is before it.
function checksum(view: DataView): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < 56; i++) hash = BigInt.asUintN(64, (hash ^ BigInt(view.getUint8(i))) * 0x100000001b3n);
  return hash;
}

// `above` has the pages that led to the bucket: one that is among them would be read for ever.
function bucketOf(bytes: Uint8Array, meta: Meta, root: bigint, above: ReadonlySet<bigint>): Bucket {
  return {
    *entries() {
      if (above.has(root)) throw new DatabaseError("its tree has a page twice");
      yield* entriesOf(bytes, meta, pageAt(bytes, meta, root), new Set(above).add(root), 0);
    },
  };
}

function* entriesOf(
  bytes: Uint8Array,
  meta: Meta,
  page: Uint8Array,
  seen: Set<bigint>,
  depth: number,
): Generator<[Uint8Array, Value]> {
  const view = viewOf(page);
  const flags = view.getUint16(8, true);
  if (flags !== BRANCH && flags !== LEAF) throw new DatabaseError("a page of its tree is of another kind");
  if (depth > MAX_DEPTH) throw new DatabaseError("its tree is too deep");
  for (let i = 0; i < view.getUint16(10, true); i++) {
    const at = HEADER + i * ELEMENT;
    if (at + ELEMENT > page.byteLength) throw new DatabaseError("a page has more entries than fit");
    if (flags === BRANCH) {
      const child = view.getBigUint64(at + 8, true);
      if (seen.has(child)) throw new DatabaseError("its tree has a page twice");
      seen.add(child);
      yield* entriesOf(bytes, meta, pageAt(bytes, meta, child), seen, depth + 1);
      continue;
    }
    const start = at + view.getUint32(at + 4, true);
    const middle = start + view.getUint32(at + 8, true);
    const end = middle + view.getUint32(at + 12, true);
    if (end > page.byteLength) throw new DatabaseError("an entry is outside its page");
    const value = page.subarray(middle, end);
    const isBucket = (view.getUint32(at, true) & IS_BUCKET) !== 0;
    yield [page.subarray(start, middle), isBucket ? nestedBucket(bytes, meta, value, seen) : value];
  }
}

// A small bucket has no page of its own: it follows in the value.
function nestedBucket(bytes: Uint8Array, meta: Meta, value: Uint8Array, above: ReadonlySet<bigint>): Bucket {
  if (value.byteLength < 16) throw new DatabaseError("a bucket is cut off");
  const view = viewOf(value);
  const root = view.getBigUint64(0, true);
  if (root !== 0n) return bucketOf(bytes, meta, root, above);
  const page = value.subarray(16);
  if (page.byteLength < HEADER) throw new DatabaseError("a bucket is cut off");
  return { entries: () => entriesOf(bytes, meta, page, new Set(above), 0) };
}

// A page with the further pages that belong to it.
function pageAt(bytes: Uint8Array, { pageSize, pages }: Meta, id: bigint): Uint8Array {
  if (id < 2n || id >= pages) throw new DatabaseError("a page is outside it");
  const start = Number(id) * pageSize;
  if (start + HEADER > bytes.byteLength) throw new DatabaseError("it is cut off");
  const view = viewOf(bytes.subarray(start, start + HEADER));
  if (view.getBigUint64(0, true) !== id) throw new DatabaseError("a page has the number of another one");
  const end = start + (1 + view.getUint32(12, true)) * pageSize;
  if (end > bytes.byteLength) throw new DatabaseError("it is cut off");
  return bytes.subarray(start, end);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
