/**
 * What the snapshotters of containerd have written down of their folders, each in its file `metadata.db`.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { kindOf } from "../checks/existing.ts";
import { nameOf } from "../checks/windows_path.ts";
import { DatabaseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { directoryEntries, environmentVariable, programData, readBytes, readText } from "../ffi/kernel32.ts";
import { type Bucket, lastTransaction, openDatabase, type Value } from "./bbolt.ts";
import { dockerRoot } from "./docker.ts";
import { ifReadable, type LayerStore, localFolder, type ScratchFacts } from "./store.ts";

/** A snapshot: a folder below `snapshots`, be it there or not. */
export interface Snapshot {
  /** What no other snapshot of this snapshotter has ever been called. */
  readonly name: string;
  /** Name of its folder: a decimal number. */
  readonly folder: string;
  /** What its namespace knows it by: of a layer its chain id, of a scratch mostly the id of its container. */
  readonly key: string;
  /** `active` can be written to, `committed` is a layer, `view` is read alone. */
  readonly kind: "view" | "active" | "committed";
  /** Folders of the layers that it rests on, the nearest first. */
  readonly parents: readonly string[];
}

const SNAPSHOTTER = "io.containerd.snapshotter.v1.";
const SNAPSHOTS = "snapshots";
const READS = 5;

// Where RKE2 has its own.
const RKE2 = "C:\\var\\lib\\rancher\\rke2\\agent\\containerd";

/** Returns the stores of containerd on a host, one for each snapshotter: of its service, and of those that docker and RKE2 start. */
export function containerdStores(host: Host): LayerStore[] {
  return [() => rootOf(host), () => `${dockerRoot(host)}\\containerd\\daemon`, () => RKE2]
    .flatMap((root) => ifReadable("a folder", () => storesIn(host, root())) ?? []);
}

function storesIn(host: Host, root: string): LayerStore[] {
  if (kindOf(host, root) !== "folder") return [];
  return [...directoryEntries(host, root)].map(({ name }) => `${root}\\${name}`)
    .filter((path) => path.startsWith(`${root}\\${SNAPSHOTTER}`) && kindOf(host, `${path}\\${SNAPSHOTS}`) === "folder")
    .map((path) => storeOf(host, path));
}

// Where the service's command line names another root, this isn't it.
function rootOf(host: Host): string {
  const usual = `${programData(host)}\\containerd\\root`;
  const programs = environmentVariable(host, "ProgramFiles") ?? "C:\\Program Files";
  const file = `${programs}\\containerd\\config.toml`;
  if (kindOf(host, file) !== "file") return usual;
  // Its key is before the first table.
  const [keys = ""] = readText(host, file).split(/^\s*\[/m);
  const [, plain, escaped] = /^\s*root\s*=\s*(?:'([^']*)'|"([^"]*)")/m.exec(keys) ?? [];
  const root = plain ?? escaped?.replaceAll("\\\\", "\\");
  return root === undefined ? usual : localFolder(root, file);
}

/** Returns the store whose folder this is, by its name: its root can be one that no file tells. */
export function containerdStoreAt(host: Host, folder: string): LayerStore | undefined {
  const path = dirname(folder);
  const isStore = nameOf(folder).toLowerCase() === SNAPSHOTS && nameOf(path).toLowerCase().startsWith(SNAPSHOTTER);
  return isStore ? storeOf(host, path) : undefined;
}

function storeOf(host: Host, path: string): LayerStore {
  const folder = `${path}\\${SNAPSHOTS}`;
  const database = `${path}\\metadata.db`;
  const snapshotter = nameOf(path).slice(SNAPSHOTTER.length);
  const containerDatabase = `${dirname(path)}\\io.containerd.metadata.v1.bolt\\meta.db`;
  let snapshots: ReadonlyMap<string, Snapshot> | undefined;
  let containers: ((snapshot: Snapshot) => Container | undefined) | undefined;
  const all = () =>
    snapshots ??= new Map(
      ifReadable(database, () => snapshotsIn(readDatabase(host, database)))?.map((one) => [one.folder, one]),
    );
  const factsOf = (snapshot: Snapshot): ScratchFacts => {
    containers ??= containersOf(host, containerDatabase, snapshotter);
    const { id: container, namespace } = containers(snapshot) ?? {};
    const layers = snapshot.parents.map((parent) => `${folder}\\${parent}`);
    return { container, namespace, layers, image: imageOf(snapshotter, folder, snapshot.parents) };
  };
  return {
    tool: "containerd",
    folder,
    facts(name) {
      // A folder that is being removed has another name.
      const snapshot = all().get(name.replace(/^rm-/, ""));
      return snapshot === undefined ? { container: undefined, layers: undefined } : factsOf(snapshot);
    },
    withImages() {
      if (!hasImages(snapshotter)) return [];
      return [...all().values()].map((snapshot) => ({ ...factsOf(snapshot), folder: `${folder}\\${snapshot.folder}` }))
        .filter(({ container }) => container !== undefined);
    },
  };
}

function hasImages(snapshotter: string): boolean {
  return snapshotter === "cimfs" || snapshotter === "blockcim";
}

// The image of the nearest layer shows those below as well. Of block images, one that is merged from all of them.
function imageOf(snapshotter: string, folder: string, [nearest, ...below]: readonly string[]): string | undefined {
  if (nearest === undefined || !hasImages(snapshotter)) return undefined;
  if (snapshotter === "cimfs") return `${folder}\\cim-layers\\${nearest}.cim`;
  return `${folder}\\${nearest}\\${below.length > 0 ? "merged.vhd\\merged.cim" : "layer.vhd\\layer.cim"}`;
}

/** A container. */
export interface Container {
  /** Its id. */
  readonly id: string;
  /** The namespace in which it has this id. */
  readonly namespace: string | undefined;
}

// Without that database, the key of a scratch is all that is known: mostly it is the id of the container.
function containersOf(host: Host, path: string, snapshotter: string): (snapshot: Snapshot) => Container | undefined {
  return ifReadable(path, () => {
    if (kindOf(host, path) !== "file") {
      return ({ kind, key }: Snapshot) => kind === "active" ? { id: key, namespace: undefined } : undefined;
    }
    const containers = containersIn(readDatabase(host, path), snapshotter);
    return ({ name }: Snapshot) => containers.get(name);
  }) ?? (() => undefined);
}

// containerd may write meanwhile, but never to what the last transaction consists of. Its lock is never asked for: a containerd that
// starts would wait for it.
function readDatabase(host: Host, path: string): Uint8Array {
  let bytes = readBytes(host, path);
  for (let reads = 1; reads < READS; reads++) {
    const again = readBytes(host, path);
    if (lastTransaction(again) === lastTransaction(bytes)) return bytes;
    bytes = again;
  }
  throw new DatabaseError("it is being changed all the time");
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
    return { name, folder: id, key, kind, parents: parentsOf(records, name) };
  });
}

/**
 * Returns the containers in the bytes of a `meta.db`, those of all namespaces, by the names of their snapshots in a snapshotter.
 *
 * @throws {DatabaseError} if the database is damaged, or something in it isn't what containerd writes.
 */
export function containersIn(bytes: Uint8Array, snapshotter: string): Map<string, Container> {
  const found = new Map<string, Container>();
  const version = bucketIn(openDatabase(bytes), "v1");
  for (const [key, namespace] of version?.entries() ?? []) {
    const containers = namespace instanceof Uint8Array ? undefined : bucketIn(namespace, "containers");
    const snapshots = namespace instanceof Uint8Array ? undefined : bucketIn(namespace, "snapshots");
    const names = snapshots && bucketIn(snapshots, snapshotter);
    if (containers === undefined || names === undefined) continue;
    const nameOfKey = new Map([...names.entries()].map(([key, value]) => [text(key), fieldOf(value, "name")]));
    for (const [id, container] of containers.entries()) {
      if (fieldOf(container, "snapshotter") !== snapshotter) continue;
      const name = nameOfKey.get(fieldOf(container, "snapshotKey") ?? "");
      if (name !== undefined) found.set(name, { id: text(id), namespace: text(key) });
    }
  }
  return found;
}

function fieldOf(value: Value, name: string): string | undefined {
  if (value instanceof Uint8Array) throw new DatabaseError(`something with a ${name} is no bucket`);
  for (const [key, field] of value.entries()) {
    if (text(key) === name && field instanceof Uint8Array) return text(field);
  }
  return undefined;
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
