/**
 * A list of holds in the form in which the caller gets it.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { perform } from "../ffi/operation.ts";
import { limitsOf } from "../options.ts";
import type { Hold } from "./hold.ts";
import type { HoldList, ReleaseOptions } from "./hold_list.ts";

/**
 * Something mounted. `await using` releases it at the end of the block.
 *
 * @category What a mount returns
 */
export interface Mounted extends AsyncDisposable {
  /** What it holds, in the order in which it was acquired. */
  readonly holds: readonly Hold[];

  /**
   * Releases everything, last first. It tries each step even if an earlier one fails. After a failure, another call
   * continues with what is left. Once everything is released, another call does nothing. Concurrent calls share one release.
   *
   * @throws {ReleaseError} with all errors if something is still held.
   * @throws {HungCallError} if it was cancelled, and a call of Windows doesn't return. The release goes on once it does.
   */
  release(options?: ReleaseOptions): Promise<void>;

  /** Returns all its properties as plain data, for `JSON.stringify`. */
  toJSON(): object;
}

// A class, because creating an object literal with methods is slower than all native calls of a mount together.
class MountedHolds implements Mounted {
  readonly #host: Host;
  readonly #holds: HoldList;

  constructor(host: Host, holds: HoldList) {
    this.#host = host;
    this.#holds = holds;
  }

  get holds(): readonly Hold[] {
    return this.#holds.holds;
  }

  async release(options: ReleaseOptions = {}): Promise<void> {
    const about = this.#holds.holds.flatMap((hold) => Object.values(hold));
    await perform(this.#host, limitsOf(options), about, (signal) => this.#holds.release({ signal }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  toJSON(): object {
    return { ...this, holds: this.holds };
  }

  [Symbol.for("Deno.customInspect")](inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
    return `Mounted ${inspect(this.toJSON(), options)}`;
  }
}

/** Creates a {@linkcode Mounted} from a list of holds, with additional properties. */
export function mounted<T extends object>(host: Host, holds: HoldList, properties: T): T & Mounted {
  return Object.assign(new MountedHolds(host, holds), properties);
}
