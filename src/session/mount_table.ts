/**
 * The scratches that this process uses. No question takes longer the more of them there are.
 *
 * @module
 */

import { pathKey } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { HoldList } from "../holds/hold_list.ts";

/** A mount of this process. */
export interface ScratchMount {
  /** What it holds. */
  readonly holds: HoldList;
  /** The volume of the scratch. */
  readonly volume: string;
  /** The id of its record, if there is one. */
  readonly id: string | undefined;
}

/** What this process knows about a scratch. */
export interface ScratchUse {
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Whether this process attached its disk. */
  readonly activated: boolean;
  /** Folders of the read-only layers that this process made visible in it, topmost first, and an image with its volume. */
  readonly layers: readonly string[];
  /** The mount that it belongs to. Undefined while it is being mounted, and if it isn't part of a mount. */
  readonly mount: ScratchMount | undefined;
}

/** The scratches that this process has activated or attached a filter to, by folder. */
export class MountTable {
  readonly #uses = new Map<string, ScratchUse>();
  readonly #activated = new FolderSet();
  readonly #layers = new FolderSet();
  readonly #needed = new FolderSet();
  readonly #destroying = new FolderSet();
  readonly #volumes = new Map<string, ScratchUse>();
  readonly #mounting = new FolderSet();
  readonly #creating: ReadonlySet<string>;

  /** `creating` has the keys of what calls of this process are creating. */
  constructor(creating: ReadonlySet<string> = new Set()) {
    this.#creating = creating;
  }

  /** Returns all of them. */
  list(): ScratchUse[] {
    return [...this.#uses.values()];
  }

  /** Notes that a scratch is being activated. Returns false if this process has already activated it. */
  claim(scratch: string): boolean {
    if (this.#find(scratch)?.activated) return false;
    this.#change(scratch, { activated: true });
    return true;
  }

  /** Forgets that a scratch was activated, and the mount that it belonged to. */
  unclaim(scratch: string): void {
    this.#change(scratch, { activated: false, mount: undefined });
  }

  /** Forgets all about a scratch that another process has unmounted. */
  forget(scratch: string): void {
    this.#change(scratch, { activated: false, layers: [], mount: undefined });
  }

  /**
   * Notes that a scratch is being mounted on layers, until the result is disposed.
   *
   * @throws {InUseError} if one of them is being destroyed.
   */
  startMount(scratch: string, layers: readonly string[]): Disposable {
    this.#requireKept(scratch);
    const needed = this.need(layers);
    this.#mounting.add(scratch);
    return {
      [Symbol.dispose]: () => {
        needed[Symbol.dispose]();
        this.#mounting.remove(scratch);
      },
    };
  }

  /**
   * Notes that a call needs layers, until the result is disposed.
   *
   * @throws {InUseError} if one of them is being destroyed, or created, as it can be half then.
   */
  need(layers: readonly string[]): Disposable {
    layers.forEach((layer) => this.#requireKept(layer));
    for (const layer of layers) {
      if (!this.#creating.has(pathKey(layer))) continue;
      throw new InUseError(layer, "is being created by another call", "this process");
    }
    layers.forEach((layer) => this.#needed.add(layer));
    return { [Symbol.dispose]: () => layers.forEach((layer) => this.#needed.remove(layer)) };
  }

  /** Returns whether the folder is or contains a layer that a call needs. */
  isNeeded(folder: string): boolean {
    return this.#needed.hasIn(folder);
  }

  /**
   * Notes that the layer or scratch in a folder is being destroyed, until the result is disposed.
   *
   * @throws {InUseError} if another call does that.
   */
  startDestroying(folder: string): Disposable {
    this.#requireKept(folder);
    this.#destroying.add(folder);
    return { [Symbol.dispose]: () => this.#destroying.remove(folder) };
  }

  #requireKept(path: string): void {
    if (this.#destroying.around(path) === undefined) return;
    throw new InUseError(path, "is being destroyed by another call", "this process");
  }

  /** Returns whether a scratch is being mounted. */
  isMounting(scratch: string): boolean {
    return this.#mounting.has(scratch);
  }

  /** Notes the mount that a scratch belongs to, until it is unclaimed. */
  setMount(scratch: string, mount: ScratchMount): void {
    this.#change(scratch, { mount });
  }

  /** Returns the mount that a scratch belongs to. */
  mountOf(scratch: string): ScratchMount | undefined {
    return this.#find(scratch)?.mount;
  }

  /** Notes the layers that are visible in a scratch, none once its filter is removed. */
  setLayers(scratch: string, layers: readonly string[]): void {
    this.#change(scratch, { layers });
  }

  /** Returns whether layers are visible in a scratch. */
  hasLayers(scratch: string): boolean {
    return (this.#find(scratch)?.layers.length ?? 0) > 0;
  }

  /** Returns whether the folder is or contains an activated scratch. */
  isActivated(folder: string): boolean {
    return this.#activated.hasIn(folder);
  }

  /** Returns whether the folder is or contains a layer that is visible in a scratch. */
  isShown(folder: string): boolean {
    return this.#layers.hasIn(folder);
  }

  /** Returns the folder of the scratch that a path is or is in. */
  scratchAround(path: string): string | undefined {
    return first(path, (key) => this.#uses.get(key)?.scratch);
  }

  /** Returns the folder of the layer that a path is or is in. */
  layerAround(path: string): string | undefined {
    return this.#layers.around(path);
  }

  /** Returns the folder of the scratch in whose volume a path is. */
  scratchWithVolumeOf(path: string): string | undefined {
    return first(path, (key) => this.#volumes.get(key)?.scratch);
  }

  #find(scratch: string): ScratchUse | undefined {
    return this.#uses.get(pathKey(scratch));
  }

  #change(scratch: string, change: Partial<ScratchUse>): void {
    const key = pathKey(scratch);
    const before = this.#uses.get(key) ?? { scratch, activated: false, layers: [], mount: undefined };
    const use = { ...before, ...change };
    if (use.activated || use.layers.length > 0) this.#uses.set(key, use);
    else this.#uses.delete(key);

    if (use.activated && !before.activated) this.#activated.add(scratch);
    if (!use.activated && before.activated) this.#activated.remove(scratch);
    if (use.layers !== before.layers) {
      use.layers.forEach((layer) => this.#layers.add(layer));
      before.layers.forEach((layer) => this.#layers.remove(layer));
    }
    if (before.mount !== undefined) this.#volumes.delete(keyOf(before.mount.volume));
    if (use.mount !== undefined) this.#volumes.set(keyOf(use.mount.volume), use);
  }
}

/** Folders, each as often as it was added, and how many there are in each of those above them. */
class FolderSet {
  readonly #added = new Map<string, { readonly folder: string; times: number }>();
  readonly #in = new Map<string, number>();

  add(folder: string): void {
    const key = keyOf(folder);
    const entry = this.#added.get(key);
    if (entry !== undefined) {
      entry.times++;
      return;
    }
    this.#added.set(key, { folder, times: 1 });
    for (let at = key; at !== ""; at = above(at)) this.#in.set(at, (this.#in.get(at) ?? 0) + 1);
  }

  remove(folder: string): void {
    const key = keyOf(folder);
    if (--this.#added.get(key)!.times > 0) return;
    this.#added.delete(key);
    for (let at = key; at !== ""; at = above(at)) {
      const count = this.#in.get(at)! - 1;
      if (count > 0) this.#in.set(at, count);
      else this.#in.delete(at);
    }
  }

  has(folder: string): boolean {
    return this.#added.has(keyOf(folder));
  }

  /** Returns whether one of them is a folder or in it. */
  hasIn(folder: string): boolean {
    return this.#in.has(keyOf(folder));
  }

  /** Returns that which a path is or is in. */
  around(path: string): string | undefined {
    return first(path, (key) => this.#added.get(key)?.folder);
  }
}

/** Returns what `find` finds for a path, or for the nearest folder above it. */
function first<T>(path: string, find: (key: string) => T | undefined): T | undefined {
  for (let at = keyOf(path); at !== ""; at = above(at)) {
    const found = find(at);
    if (found !== undefined) return found;
  }
  return undefined;
}

// A root has its `\` only where it is written alone.
function keyOf(path: string): string {
  return pathKey(path).replace(/\\$/, "");
}

function above(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("\\")));
}
