/**
 * The hold on the WCIFS filter: on a scratch volume, showing the read-only layers through it.
 *
 * @module
 */

import { hresult, win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { prepareLayer, unprepareLayer } from "../ffi/vmcompute.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { Gate } from "../session/mutex.ts";
import { parentLayers } from "./layer_id.ts";
import { isWithin, pathKey } from "../checks/windows_path.ts";

/** A filter attached by `PrepareLayer`. */
export interface FilterHold extends Hold {
  /** What is held. */
  readonly kind: "filter";
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Folders of the read-only layers, topmost first. Not needed to give the filter back. */
  readonly layers: readonly string[];
}

// Side by side, `PrepareLayer` runs into time-outs of the platform.
const gates = new WeakMap<object, Gate>();

function gateOf(host: Host): Gate {
  let gate = gates.get(host.machine);
  if (gate === undefined) {
    gates.set(host.machine, gate = new Gate());
  }
  return gate;
}

// The layers that each scratch shows, by the scratch, as far as this process has put them on.
const shown = new WeakMap<object, Map<string, readonly string[]>>();

function shownOn(host: Host): Map<string, readonly string[]> {
  let layers = shown.get(host.machine);
  if (layers === undefined) {
    shown.set(host.machine, layers = new Map());
  }
  return layers;
}

/** Whether this process has mounted a scratch that shows the layer in the folder, or in one in it. */
export function isShown(host: Host, folder: string): boolean {
  return [...shownOn(host).values()].flat().some((layer) => isWithin(layer, folder));
}

/** Takes the filter, one at a time in this process, and gives it back. */
export const filter: HoldKind<FilterHold> = {
  kind: "filter",

  async take(host, hold, signal) {
    const parents = parentLayers(host, hold.layers);
    await gateOf(host).pass(() => prepareLayer(host, hold.scratch, parents), signal);
    shownOn(host).set(pathKey(hold.scratch), hold.layers);
    return hold;
  },

  async give(host, hold) {
    const wasHeld = await unprepare(host, hold.scratch);
    shownOn(host).delete(pathKey(hold.scratch));
    return wasHeld;
  },
};

async function unprepare(host: Host, scratch: string): Promise<boolean> {
  try {
    await unprepareLayer(host, scratch);
    return true;
  } catch (error) {
    if (isNoFilter(error)) return false;
    throw error;
  }
}

// What Windows answers for a scratch that isn't activated, and for one that is but has no filter.
function isNoFilter(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_DEV_NOT_EXIST || error.code === hresult.ERROR_FLT_INSTANCE_NOT_FOUND);
}
