/**
 * What this process remembers about a machine. Nothing else is kept between two calls, except what the caller holds.
 *
 * @module
 */

import { nameOf, pathKey } from "../checks/windows_path.ts";
import type { PrivilegeState } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import { buildNumber } from "../ffi/ntdll.ts";
import { nameToGuid, type ParentLayer } from "../ffi/vmcompute.ts";
import { Records, recordsFolder } from "../records/records.ts";
import { MountTable, type ScratchUse } from "./mount_table.ts";
import { Mutex } from "./mutex.ts";
import { SocketWaits } from "./socket_waits.ts";

/** A privilege that this process has enabled. */
export interface EnabledPrivilege {
  /** How many times it was enabled and not yet restored. */
  count: number;
  /** Its state before, or undefined if it was already enabled. */
  readonly before: PrivilegeState | undefined;
}

// Ids depend only on names, so they are cached. The limit is for long-lived processes, which see ever new names.
const MOST_IDS = 4096;

/** A file or folder that a VM uses. */
interface VMFile {
  /** Returns its key, see `host_file.ts`. */
  keyOf(): string;
  /** The VM. */
  readonly vm: { readonly id: string; readonly state: string; readonly end?: unknown };
}

/** What this process remembers about one machine. */
export class Session {
  /** Keys of the paths at which its calls are creating something. */
  readonly creating: Set<string> = new Set();
  /** The scratches and layers that it uses. */
  readonly mounts: MountTable = new MountTable(this.creating);
  /** The lock for `PrepareLayer`, because overlapping calls run into timeouts of Windows. */
  readonly prepareLayer: Mutex = new Mutex();
  /**
   * The lock for starting Linux VMs with whose guests the compute service talks: a start can keep its thread until the guest
   * has what it waits for from this process, which needs another thread to notice the guest.
   */
  readonly linuxStarts: Mutex = new Mutex();
  /** What waits for its sockets to guests. */
  readonly socketWaits: SocketWaits = new SocketWaits();
  /** What its VMs use, see `vm_files.ts`. */
  readonly vmFiles: Set<VMFile> = new Set();
  /** The privileges that it has enabled, by name. */
  readonly privileges: Map<string, EnabledPrivilege> = new Map();
  readonly #ids = new Map<string, string>();
  readonly #records = new Map<string, Records>();
  #usualRecords: Records | undefined;
  readonly #changing = new Map<string, { readonly turns: Mutex; users: number }>();
  #build: number | undefined;

  /** Returns the records of mounts that a host keeps, or undefined if it keeps none. */
  records(host: Host): Records | undefined {
    if (host.records === undefined && this.#usualRecords !== undefined) return this.#usualRecords;
    const folder = recordsFolder(host);
    if (folder === undefined) return undefined;
    const key = pathKey(folder);
    let records = this.#records.get(key);
    if (records === undefined) this.#records.set(key, records = new Records(folder));
    // Its path is in the environment, which costs a call at each mount and release.
    if (host.records === undefined) this.#usualRecords = records;
    return records;
  }

  /**
   * Runs `body` while no other call of this process changes a scratch. Calls have their turns in order.
   *
   * @throws the reason of `signal` if it is aborted before `body` runs.
   */
  async withScratch<T>(scratch: string, body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const key = pathKey(scratch);
    const change = this.#changing.get(key) ?? { turns: new Mutex(), users: 0 };
    this.#changing.set(key, change);
    change.users++;
    try {
      return await change.turns.run(body, signal);
    } finally {
      if (--change.users === 0) this.#changing.delete(key);
    }
  }

  /** Rejects all that wait for the change of a scratch that runs, and all that will, with what `error` returns. */
  refuseScratch(scratch: string, error: () => unknown): void {
    this.#changing.get(pathKey(scratch))?.turns.refuse(error);
  }

  /** Returns what is thrown to all that want to change a scratch, because a call that changes it hangs; undefined if none does. */
  refusalOf(scratch: string): unknown {
    return this.#changing.get(pathKey(scratch))?.turns.refusal;
  }

  /** Returns the build of Windows, such as 20348. */
  build(host: Host): number {
    return this.#build ??= buildNumber(host);
  }

  /** Returns the id by which Windows knows a layer. It depends only on the name of the layer's folder. */
  layerId(host: Host, name: string): string {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = nameToGuid(host, name);
      if (this.#ids.size >= MOST_IDS) this.#ids.delete(this.#ids.keys().next().value!);
      this.#ids.set(name, id);
    }
    return id;
  }

  /** Returns everything that is remembered, as plain data. */
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

/** Returns the session of a host's machine. */
export function sessionOf(host: Host): Session {
  let session = sessions.get(host.machine);
  if (session === undefined) sessions.set(host.machine, session = new Session());
  return session;
}

/** Returns the id by which Windows knows the layer in `folder`. It depends only on the folder's name. */
export function layerId(host: Host, folder: string): string {
  return sessionOf(host).layerId(host, nameOf(folder));
}

/** Returns read-only layers in the form that vmcompute.dll expects. */
export function parentLayers(host: Host, folders: readonly string[]): ParentLayer[] {
  return folders.map((path) => ({ id: layerId(host, path), path }));
}
