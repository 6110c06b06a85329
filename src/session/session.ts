/**
 * What this process remembers of a machine. The one owner of it: nothing else is kept between two calls, but for what the
 * caller holds.
 *
 * @module
 */

import { isWithin, nameOf, pathKey } from "../checks/windows_path.ts";
import type { PrivilegeState } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import { buildNumber } from "../ffi/ntdll.ts";
import { nameToGuid, type ParentLayer } from "../ffi/vmcompute.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { Mutex } from "./mutex.ts";

/** What this process knows of a scratch. */
export interface ScratchUse {
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Whether this process attached its disk. */
  readonly activated: boolean;
  /** Folders of the read-only layers that this process shows through it, topmost first. */
  readonly layers: readonly string[];
  /** The mount that it belongs to; undefined while it is being mounted, and outside of mounts. */
  readonly mount: HoldList | undefined;
}

/** The scratches that this process has activated or put a filter on, by folder. */
export class MountTable {
  readonly #uses = new Map<string, ScratchUse>();

  /** All of them. */
  list(): ScratchUse[] {
    return [...this.#uses.values()];
  }

  /** Notes that a scratch is being activated. Returns false if this process has it activated already. */
  claim(scratch: string): boolean {
    if (this.#find(scratch)?.activated) return false;
    this.#change(scratch, { activated: true });
    return true;
  }

  /** Forgets that a scratch is activated, and the mount that it belonged to. */
  unclaim(scratch: string): void {
    this.#change(scratch, { activated: false, mount: undefined });
  }

  /** Notes the mount that a scratch belongs to, until it is unclaimed. */
  setMount(scratch: string, mount: HoldList): void {
    this.#change(scratch, { mount });
  }

  /** The mount that a scratch belongs to. */
  mountOf(scratch: string): HoldList | undefined {
    return this.#find(scratch)?.mount;
  }

  /** Notes the layers that are shown through a scratch; none once its filter is gone. */
  setLayers(scratch: string, layers: readonly string[]): void {
    this.#change(scratch, { layers });
  }

  /** Whether the folder is, or holds, a scratch that is activated. */
  isActivated(folder: string): boolean {
    return this.list().some(({ activated, scratch }) => activated && isWithin(scratch, folder));
  }

  /** Whether the folder is, or holds, a layer that is shown through a scratch. */
  isShown(folder: string): boolean {
    return this.list().some(({ layers }) => layers.some((layer) => isWithin(layer, folder)));
  }

  #find(scratch: string): ScratchUse | undefined {
    return this.#uses.get(pathKey(scratch));
  }

  #change(scratch: string, change: Partial<ScratchUse>): void {
    const before = this.#find(scratch) ?? { scratch, activated: false, layers: [], mount: undefined };
    const use = { ...before, ...change };
    if (use.activated || use.layers.length > 0) {
      this.#uses.set(pathKey(scratch), use);
    } else {
      this.#uses.delete(pathKey(scratch));
    }
  }
}

/** A privilege that this process has enabled. */
export interface EnabledPrivilege {
  /** How often it was enabled and not restored. */
  count: number;
  /** Its state before, undefined if it was enabled already. */
  readonly before: PrivilegeState | undefined;
}

// Ids are a pure function of names, so that one call a name is enough. Bounded, as a long-lived process sees ever new ones.
const MOST_IDS = 4096;

/** What this process remembers of one machine. */
export class Session {
  /** Which scratches and layers it uses. */
  readonly mounts: MountTable = new MountTable();
  /** Held around `PrepareLayer`, which runs into time-outs of Windows when calls overlap. */
  readonly prepareLayer: Mutex = new Mutex();
  /** The privileges that it has enabled, by name. */
  readonly privileges: Map<string, EnabledPrivilege> = new Map();
  readonly #ids = new Map<string, string>();
  #build: number | undefined;

  /** The build of Windows, such as 20348. */
  build(host: Host): number {
    return this.#build ??= buildNumber(host);
  }

  /** The id by which Windows knows a layer, made from the name of its folder alone. */
  layerId(host: Host, name: string): string {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = nameToGuid(host, name);
      if (this.#ids.size >= MOST_IDS) this.#ids.delete(this.#ids.keys().next().value!);
      this.#ids.set(name, id);
    }
    return id;
  }

  /** All that is remembered, as plain data. */
  toJSON(): {
    readonly build: number | undefined;
    readonly layerIds: number;
    readonly mounts: readonly Omit<ScratchUse, "mount">[];
    readonly privileges: readonly string[];
  } {
    return {
      build: this.#build,
      layerIds: this.#ids.size,
      mounts: this.mounts.list().map(({ scratch, activated, layers }) => ({ scratch, activated, layers })),
      privileges: [...this.privileges.keys()],
    };
  }
}

const sessions = new WeakMap<object, Session>();

/** The session of the machine that a host stands for. */
export function sessionOf(host: Host): Session {
  let session = sessions.get(host.machine);
  if (session === undefined) sessions.set(host.machine, session = new Session());
  return session;
}

/** The id by which Windows knows the layer in `folder`, made from the folder's name alone. */
export function layerId(host: Host, folder: string): string {
  return sessionOf(host).layerId(host, nameOf(folder));
}

/** Read-only layers in the form in which vmcompute.dll takes them. */
export function parentLayers(host: Host, folders: readonly string[]): ParentLayer[] {
  return folders.map((path) => ({ id: layerId(host, path), path }));
}
