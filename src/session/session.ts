/**
 * What this process remembers of a machine. The one owner of it: nothing else is kept between two calls, but for what the
 * caller holds.
 *
 * @module
 */

import type { PrivilegeState } from "../ffi/advapi32.ts";
import type { Host } from "../ffi/host.ts";
import { buildNumber } from "../ffi/ntdll.ts";
import { nameToGuid } from "../ffi/vmcompute.ts";
import { MountTable, type ScratchUse } from "./mount_table.ts";
import { Mutex } from "./mutex.ts";

/** A privilege that this process asked for. */
export interface EnabledPrivilege {
  /** How often it was asked for and not given up. */
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
