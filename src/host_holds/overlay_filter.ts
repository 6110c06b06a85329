/**
 * The hold on the UnionFS overlay filter: on a scratch volume, showing a mounted image through it.
 *
 * @module
 */

import { attachOverlayFilter, detachOverlayFilter } from "../ffi/computestorage.ts";
import { isUnasked } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { fileAttributes } from "../ffi/kernel32.ts";
import { layerData } from "../hcsschema/storage.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { scratchVolume } from "./activation.ts";
import { layerId } from "./layer_id.ts";

/** A filter attached by `HcsAttachOverlayFilter`. */
export interface OverlayHold extends Hold {
  /** What is held. */
  readonly kind: "overlay";
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Volume of the scratch, where it is known. */
  readonly volume?: string;
}

/** A filter to be attached. */
export interface NewOverlayHold extends OverlayHold {
  /** Volume of the scratch. */
  readonly volume: string;
  /** Folder of the topmost read-only layer, whose image is shown. */
  readonly layer: string;
  /** Volume of the image. */
  readonly image: string;
}

/** Attaches the filter, and detaches it. */
export const overlay: HoldKind<OverlayHold, NewOverlayHold> = {
  kind: "overlay",

  async take(host, hold) {
    const layer = { Id: layerId(host, hold.layer), Path: `${hold.image}Files` };
    await attachOverlayFilter(host, hold.volume, layerData({ layers: [layer], filterType: "UnionFS" }));
    return hold;
  },

  async give(host, hold) {
    const volume = await volumeOf(host, hold);
    if (volume === undefined) return false;
    try {
      await detachOverlayFilter(host, volume, layerData({ filterType: "UnionFS" }));
      return true;
    } catch (error) {
      // A filter goes with its volume.
      if (!isUnasked(error) && isGone(host, volume)) return false;
      throw error;
    }
  },
};

function isGone(host: Host, volume: string): boolean {
  try {
    return fileAttributes(host, volume) === undefined;
  } catch {
    return false;
  }
}

// Windows knows best; where it doesn't, the scratch may be detached already.
async function volumeOf(host: Host, hold: OverlayHold): Promise<string | undefined> {
  try {
    return await scratchVolume(host, hold.scratch);
  } catch {
    return hold.volume;
  }
}
