/**
 * What a mount answers: where it is, and how it is given back.
 *
 * @module
 */

import type { Mounted } from "../holds/mounted.ts";

export { type Mounted, mounted } from "../holds/mounted.ts";

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
