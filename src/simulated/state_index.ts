/**
 * Finds parts of a machine's state without looking at all of it, so that a call costs the same however large the machine is.
 *
 * @module
 */

import { type Changed, tracked } from "./tracked.ts";
import type { ActiveLayer, Node, OverlayFilter, WindowsState } from "./windows.ts";

const NONE: ReadonlySet<string> = new Set();

/** Keys by something that those with the same have in common. */
class Groups {
  readonly #keys = new Map<string, Set<string>>();
  readonly #groups = new Map<string, readonly string[]>();

  /** Puts a key into groups, and takes it out of all others. */
  put(key: string, groups: readonly string[]): void {
    for (const group of this.#groups.get(key) ?? []) {
      if (groups.includes(group)) continue;
      const keys = this.#keys.get(group)!;
      keys.delete(key);
      if (keys.size === 0) this.#keys.delete(group);
    }
    for (const group of groups) {
      const keys = this.#keys.get(group);
      if (keys === undefined) this.#keys.set(group, new Set([key]));
      else keys.add(key);
    }
    if (groups.length > 0) this.#groups.set(key, groups);
    else this.#groups.delete(key);
  }

  /** Returns the keys of a group, in the order in which they came into it. */
  in(group: string): ReadonlySet<string> {
    return this.#keys.get(group) ?? NONE;
  }
}

/** One part of the state, by what its members have in common. */
class TableIndex<T> {
  readonly #table: () => Readonly<Record<string, T>>;
  readonly #groupsOf: (member: T, key: string) => readonly string[];
  readonly #changed = new Set<string>();
  #groups: Groups | undefined;

  constructor(table: () => Readonly<Record<string, T>>, groupsOf: (member: T, key: string) => readonly string[]) {
    this.#table = table;
    this.#groupsOf = groupsOf;
  }

  /** Has a member looked at again; `undefined`: all of them. */
  change(key: string | undefined): void {
    if (key === undefined) this.#groups = undefined;
    else if (this.#groups !== undefined) this.#changed.add(key);
  }

  /** Returns the keys of the members of a group. It stays up to date until the next call. */
  in(group: string): ReadonlySet<string> {
    const table = this.#table();
    if (this.#groups === undefined) {
      this.#groups = new Groups();
      this.#changed.clear();
      Object.keys(table).forEach((key) => this.#changed.add(key));
    }
    for (const key of this.#changed) {
      const member = table[key];
      this.#groups.put(key, member === undefined ? [] : this.#groupsOf(member, key));
    }
    this.#changed.clear();
    return this.#groups.in(group);
  }
}

/** The index of a machine's state. */
export class StateIndex {
  readonly #nodes: () => Readonly<Record<string, Node>>;
  readonly #children: TableIndex<Node>;
  // A volume has files whose folders are shown from the layers below, so a tree isn't always that of its folders.
  readonly #below: TableIndex<Node>;
  readonly #mountPoints: TableIndex<Node>;
  readonly #overlays: TableIndex<OverlayFilter>;
  readonly #active: TableIndex<ActiveLayer>;

  /** An index of a state. */
  constructor(state: WindowsState) {
    this.#nodes = () => state.nodes;
    this.#children = new TableIndex(this.#nodes, (_, key) => [folderOf(key)]);
    this.#below = new TableIndex(this.#nodes, (_, key) => foldersOf(key));
    this.#mountPoints = new TableIndex(
      this.#nodes,
      ({ volume, isUnlisted }) => volume === undefined || isUnlisted ? [] : [rootKey(volume)],
    );
    this.#overlays = new TableIndex(() => state.overlays, ({ layers }) => layers.map(rootKey));
    this.#active = new TableIndex(() => state.active, ({ volume }) => volume === undefined ? [] : [rootKey(volume)]);
  }

  /** Takes note of a change of the state. */
  readonly change: Changed = (table, key) => {
    if (table === "nodes") {
      this.#children.change(key);
      this.#below.change(key);
      this.#mountPoints.change(key);
    } else if (table === "overlays") {
      this.#overlays.change(key);
    } else if (table === "active") {
      this.#active.change(key);
    }
  };

  /** Returns the keys of the files and folders in the folder with a key. */
  childrenOf(key: string): readonly string[] {
    return [...this.#children.in(key)];
  }

  /** Returns the same, without a list of them. It changes with the folder. */
  eachChildOf(key: string): Iterable<string> {
    return this.#children.in(key);
  }

  /** Returns the keys of a file or folder and of all that is in it. */
  treeAt(key: string): string[] {
    return [...this.#nodes()[key] === undefined ? [] : [key], ...this.#below.in(key)];
  }

  /** Returns the keys of the folders and drives at which a volume is mounted. */
  mountPointsOf(volume: string): readonly string[] {
    return [...this.#mountPoints.in(rootKey(volume))];
  }

  /** Returns the keys of the overlay filters that show a layer on a volume. */
  overlaysOn(volume: string): readonly string[] {
    return [...this.#overlays.in(rootKey(volume))];
  }

  /** Returns the key of the activated layer whose disk has a volume. */
  activeOn(volume: string): string | undefined {
    return [...this.#active.in(rootKey(volume))][0];
  }
}

const indexes = new WeakMap<WindowsState, StateIndex>();

/** Returns a state in the form in which it is to be changed: with an index, and telling each change to `changed`. */
export function indexed(state: WindowsState, changed?: Changed): WindowsState {
  const index = new StateIndex(state);
  const proxy = tracked(state, (table, key) => {
    index.change(table, key);
    changed?.(table, key);
  });
  indexes.set(proxy, index);
  return proxy;
}

/** Returns the index of a state. */
export function indexOf(state: WindowsState): StateIndex {
  return indexes.get(state)!;
}

function foldersOf(key: string): string[] {
  const folders: string[] = [];
  for (let folder = folderOf(key); folder !== ""; folder = folderOf(folder)) folders.push(folder);
  return folders;
}

function folderOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("\\")));
}

const VOLUME = /^\\\\\?\\volume\{[^}]*\}/;

// Returns the volume that a path begins with, without a closing separator.
function rootKey(path: string): string {
  const key = path.toLowerCase();
  return VOLUME.exec(key)?.[0] ?? key.replace(/\\+$/, "");
}
