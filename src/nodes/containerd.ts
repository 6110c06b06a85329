/**
 * What a snapshotter of containerd has written down of its folders, in its file `metadata.db`.
 *
 * @module
 */

import { DatabaseError } from "../errors/state_errors.ts";
import { type Bucket, openDatabase, type Value } from "./bbolt.ts";

/** A snapshot: a folder below `snapshots`, be it there or not. */
export interface Snapshot {
  /** Name of its folder: a decimal number. */
  readonly folder: string;
  /** What its namespace knows it by: of a layer its chain id, of a scratch mostly the id of its container. */
  readonly key: string;
  /** `active` can be written to, `committed` is a layer, `view` is read alone. */
  readonly kind: "view" | "active" | "committed";
  /** Folders of the layers that it rests on, the nearest first. */
  readonly parents: readonly string[];
}

const KINDS = ["view", "active", "committed"] as const;

/**
 * Returns the snapshots in the bytes of a `metadata.db`, those of all namespaces.
 *
 * @throws {DatabaseError} if the database is damaged, or something in it isn't what containerd writes.
 */
export function snapshotsIn(bytes: Uint8Array): Snapshot[] {
  const version = bucketIn(openDatabase(bytes), "v1");
  const bucket = version && bucketIn(version, "snapshots");
  if (bucket === undefined) return [];
  const records = new Map([...bucket.entries()].map(([key, value]) => [text(key), recordOf(value)]));
  return [...records].map(([name, { id, kind }]) => {
    const key = /^[^/]*\/\d+\/([^]*)$/.exec(name)?.[1];
    if (key === undefined) throw new DatabaseError("a snapshot has a name of another form");
    return { folder: id, key, kind, parents: parentsOf(records, name) };
  });
}

interface Record {
  readonly id: string;
  readonly kind: Snapshot["kind"];
  readonly parent: string | undefined;
}

function recordOf(value: Value): Record {
  if (value instanceof Uint8Array) throw new DatabaseError("a snapshot is no bucket");
  const fields = new Map([...value.entries()].map(([key, field]) => [text(key), field]));
  const [id, kind, parent] = ["id", "kind", "parent"].map((name) => fields.get(name));
  const known = kind instanceof Uint8Array && kind.byteLength === 1 ? KINDS[kind[0]! - 1] : undefined;
  if (!(id instanceof Uint8Array) || known === undefined || !(parent === undefined || parent instanceof Uint8Array)) {
    throw new DatabaseError("a snapshot has no id or is of no known kind");
  }
  return { id: `${varint(id)}`, kind: known, parent: parent && text(parent) };
}

function parentsOf(records: ReadonlyMap<string, Record>, name: string): string[] {
  const parents: string[] = [];
  for (let parent = records.get(name)!.parent; parent !== undefined;) {
    const record = records.get(parent);
    if (record === undefined) throw new DatabaseError("the parent of a snapshot is missing");
    if (parents.length >= records.size) throw new DatabaseError("a snapshot is its own parent");
    parents.push(record.id);
    parent = record.parent;
  }
  return parents;
}

function bucketIn(bucket: Bucket, name: string): Bucket | undefined {
  for (const [key, value] of bucket.entries()) {
    if (text(key) === name && !(value instanceof Uint8Array)) return value;
  }
  return undefined;
}

// Seven bits in each byte, the lowest first.
function varint(bytes: Uint8Array): bigint {
  if (bytes.byteLength > 10) throw new DatabaseError("a number is too long");
  return bytes.reduceRight((sum, byte) => sum << 7n | BigInt(byte & 0x7f), 0n);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
