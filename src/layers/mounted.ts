/**
 * What a mount answers: where it is, and how it is given back.
 *
 * @module
 */

import type { Hold } from "../holds/hold.ts";
import type { HoldList, ReleaseOptions } from "../holds/hold_list.ts";

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

/** Layers mounted by {@linkcode mountWCOWLayers}. */
export interface MountedLayers extends Mounted {
  /** Root of the container's file system: `\\?\Volume{guid}\` on the host. */
  readonly path: string;
  /** The folder at which that volume is mounted as well, if one was asked for. */
  readonly volumeMountPath: string | undefined;
}

/** A volume mounted by {@linkcode mountSandboxVolume}. */
export interface MountedVolume extends Mounted {
  /** The folder at which the volume is found. */
  readonly path: string;
  /** The volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
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
