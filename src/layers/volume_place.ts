/**
 * Where a mount is: its volume, and the folders and drive letters of that.
 *
 * @module
 */

import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { mountPointsOfVolume, type VolumeSpace, volumeSpace } from "../ffi/kernel32.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { log } from "../log.ts";

/** Where a mount is. */
export interface Place {
  /** The volume, `\\?\Volume{guid}\`. Undefined if Windows doesn't tell. */
  readonly volume: string | undefined;
  /** The folders and drive letters at which it is mounted, with a closing `\`. */
  readonly mountPoints: readonly string[];
  /** Its size and free space. Undefined if Windows doesn't tell. */
  readonly space: VolumeSpace | undefined;
}

/** Where nobody knows of a volume. */
export const NOWHERE: Place = { volume: undefined, mountPoints: [], space: undefined };

/** Returns where an activated scratch is mounted. */
export async function placeOf(host: Host, scratch: string): Promise<Place> {
  const volume = await scratchVolume(host, scratch).catch(toUndefined);
  return volume === undefined ? NOWHERE : placeOfVolume(host, volume);
}

/** Returns where a volume is mounted. */
export function placeOfVolume(host: Host, volume: string): Place {
  return {
    volume,
    mountPoints: orUndefined(() => mountPointsOfVolume(host, volume)) ?? [],
    space: orUndefined(() => volumeSpace(host, volume)),
  };
}

/** Returns what Windows tells, or undefined if it doesn't, which is logged. */
export function orUndefined<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    return toUndefined(error);
  }
}

/** Returns undefined for what Windows doesn't tell, and logs why. */
export function toUndefined(error: unknown): undefined {
  if (!(error instanceof LayerError)) throw error;
  log("debug", () => messageOf(error));
}
