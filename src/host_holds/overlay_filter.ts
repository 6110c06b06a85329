/**
 * The hold on the UnionFS filter: on a scratch volume, showing a mounted image through it.
 *
 * @module
 */

import { hasVolume } from "../checks/existing.ts";
import { pathKey } from "../checks/windows_path.ts";
import { isRefused, isUnclear } from "../errors/outcomes.ts";
import { NativeError, neverReachedWindows } from "../errors/windows_errors.ts";
import { attachOverlayFilter, detachOverlayFilter } from "../ffi/computestorage.ts";
import type { Host } from "../ffi/host.ts";
import { layerData } from "../hcsschema/storage.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { sessionOf } from "../session/session.ts";
import { type Acquisition, scratchVolume } from "./activation.ts";
import { isNoFilter } from "./wcifs_filter.ts";

/** Returns the hold on the overlay filter of a scratch, no matter which process attached it. */
export function overlayOf(
  host: Host,
  init: Omit<HoldOf<"overlay">, "kind">,
  restsOn: readonly Held[] = [],
): Held<HoldOf<"overlay">> {
  return {
    hold: { kind: "overlay", ...init },
    restsOn,
    async release() {
      const wasHeld = await detach(host, init);
      sessionOf(host).mounts.setLayers(init.scratch, []);
      return wasHeld;
    },
  };
}

async function detach(host: Host, init: Omit<HoldOf<"overlay">, "kind">): Promise<boolean> {
  const volume = await volumeOf(host, init);
  if (volume === undefined) return false;
  try {
    await detachOverlayFilter(host, volume, layerData({ filterType: "UnionFS" }));
    return true;
  } catch (error) {
    // A filter is removed with its volume.
    if (isNoFilter(error) || !neverReachedWindows(error) && hasVolume(host, volume) === false) return false;
    throw error;
  }
}

/**
 * Attaches the overlay filter to an activated scratch.
 *
 * @param id The id by which Windows knows what the image shows: that of the topmost layer, or the GUID of the image's volume.
 */
export async function acquireOverlay(
  host: Host,
  init: Required<Omit<HoldOf<"overlay">, "kind">>,
  id: string,
  { restsOn = [], expect }: Acquisition,
): Promise<Held<HoldOf<"overlay">>> {
  const layer = { Id: id, Path: `${init.image}Files` };
  const held = overlayOf(host, init, restsOn);
  try {
    await attachOverlayFilter(host, init.volume, layerData({ layers: [layer], filterType: "UnionFS" }));
  } catch (error) {
    // Nobody knows how Windows says that there is no filter to detach, so that it is tried only if there may be one.
    const isUnheardOf = error instanceof NativeError && error.win32 === undefined;
    if (isUnclear(error) || isUnheardOf) expect(held, { mayBeGone });
    throw error;
  }
  return held;
}

/** Whether there may be no overlay filter if detaching it failed with this error. Nobody knows which says so. */
export function mayBeGone(error: unknown): boolean {
  return !neverReachedWindows(error) && !isRefused(error);
}

// Prefers what Windows returns, unless that is another volume while the known one is there: an answer can be wrong once. It
// returns none if the scratch is already detached.
async function volumeOf(
  host: Host,
  { scratch, volume }: { readonly scratch: string; readonly volume?: string },
): Promise<string | undefined> {
  const told = await scratchVolume(host, scratch).catch(() => undefined);
  if (told === undefined || volume === undefined || pathKey(told) === pathKey(volume)) return told ?? volume;
  return hasVolume(host, volume) === false ? told : volume;
}
