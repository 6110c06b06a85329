/**
 * A list of holds as the caller gets it.
 *
 * @module
 */

import type { Hold } from "./hold.ts";
import type { HoldList, ReleaseOptions } from "./hold_list.ts";

/** Something mounted. `await using` gives it back at the end of the block. */
export interface Mounted extends AsyncDisposable {
  /** What it holds of Windows, in the order in which it was taken. */
  readonly holds: readonly Hold[];

  /**
   * Gives everything back, last first, each step tried even when an earlier one fails. Once all is given back, calling it
   * again does nothing; after a failure it goes on with what is left; calls side by side are one.
   *
   * @throws {ReleaseError} with all errors if something is held still.
   */
  release(options?: ReleaseOptions): Promise<void>;
}

// A class, as an object made of parts takes longer to make than all native calls of a mount together.
class MountedHolds implements Mounted {
  readonly #holds: HoldList;

  constructor(holds: HoldList) {
    this.#holds = holds;
  }

  get holds(): readonly Hold[] {
    return this.#holds.holds;
  }

  async release(options?: ReleaseOptions): Promise<void> {
    await this.#holds.release(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** A {@linkcode Mounted} over a list of holds, with further properties. */
export function mounted<T extends object>(holds: HoldList, properties: T): T & Mounted {
  return Object.assign(new MountedHolds(holds), properties);
}
