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

/** A {@linkcode Mounted} over a list of holds. */
export function mounted<T>(holds: HoldList, properties: T): T & Mounted {
  const release = async (options?: ReleaseOptions) => void await holds.release(options);
  return {
    ...properties,
    get holds() {
      return holds.holds;
    },
    release,
    [Symbol.asyncDispose]: () => release(),
  };
}
