/**
 * The hold on the WCIFS filter, which makes the read-only layers visible in a scratch volume.
 *
 * @module
 */

import { hresult, win32 } from "../errors/codes.ts";
import { HungCallError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { prepareLayer, unprepareLayer } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { log } from "../log.ts";
import type { Records } from "../records/records.ts";
import { HUNG_SECONDS, onlyCall, watchCall } from "../session/hung_call.ts";
import { parentLayers, sessionOf } from "../session/session.ts";
import { type Acquisition, unlessGone } from "./activation.ts";

/** The scratch that a filter is attached to, and the layers that it shows. */
export interface FilterInit {
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Folders of the read-only layers, topmost first. Not needed to remove the filter. */
  readonly layers?: readonly string[];
}

/** Returns the hold on the filter of a scratch, no matter which process attached it. */
export function filterOf(
  host: Host,
  { scratch, layers = [] }: FilterInit,
  restsOn: readonly Held[] = [],
): Held<HoldOf<"filter">> {
  return {
    hold: { kind: "filter", scratch, layers },
    restsOn,
    async release() {
      const wasHeld = await unlessGone(host, scratch, () => unprepare(host, scratch));
      sessionOf(host).mounts.setLayers(scratch, []);
      return wasHeld;
    },
  };
}

/**
 * Attaches the filter to an activated scratch. Calls of this process run one at a time, and with `records` those of all processes;
 * `signal` also ends that wait.
 *
 * @throws {HungCallError} if the call that is waited for doesn't return.
 */
export async function acquireFilter(
  host: Host,
  init: FilterInit & { readonly layers: readonly string[] },
  { restsOn = [], signal, expect, records }: Acquisition & { readonly records?: Records | undefined },
): Promise<Held<HoldOf<"filter">>> {
  const { prepareLayer: lock, mounts } = sessionOf(host);
  const parents = parentLayers(host, init.layers);
  const held = filterOf(host, init, restsOn);
  await lock.run(async () => {
    using _lock = records && await onlyCall(host, records, "PrepareLayer", init.scratch, signal);
    expect(held);
    using _watch = watchCall(host, () => {
      const hung = () => new HungCallError("PrepareLayer", init.scratch, HUNG_SECONDS);
      log("warn", () => hung().message);
      lock.refuse(hung);
    });
    await prepareLayer(host, init.scratch, parents);
  }, signal);
  mounts.setLayers(init.scratch, init.layers);
  return held;
}

async function unprepare(host: Host, scratch: string): Promise<boolean> {
  try {
    await unprepareLayer(host, scratch);
    return true;
  } catch (error) {
    if (isNoFilter(error)) return false;
    throw error;
  }
}

/** Whether there is no filter: the scratch isn't activated, or the filter isn't attached to it. */
export function isNoFilter(error: unknown): boolean {
  return error instanceof NativeError && (error.win32 === win32.ERROR_DEV_NOT_EXIST || NO_FILTER.includes(error.code));
}

const NO_FILTER: readonly number[] = [hresult.ERROR_FLT_FILTER_NOT_FOUND, hresult.ERROR_FLT_INSTANCE_NOT_FOUND];
