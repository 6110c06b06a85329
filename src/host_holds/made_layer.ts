/**
 * Layers that one call of Windows makes.
 *
 * @module
 */

import { diskOf } from "../checks/windows_path.ts";
import { kindOf } from "../checks/existing.ts";
import type { Host } from "../ffi/host.ts";
import { createSandboxLayer, destroyLayer } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { withHolds } from "../holds/hold_list.ts";
import { createHeld, requireMade } from "../session/creations.ts";
import { parentLayers } from "../session/session.ts";
import { onceFree, requireGone } from "../session/waiting.ts";
import { acquireNewFile } from "./new_file.ts";

/** A call of Windows that makes a layer. */
export interface Making {
  /** The function. */
  readonly by: string;
  /** Calls it. */
  make(): Promise<void>;
  /** The function that deletes the layer. Default: DestroyLayer. */
  readonly deletion?: Deletion;
}

/** A function of Windows that deletes a layer. */
export interface Deletion {
  /** The function. */
  readonly by: string;
  /** Calls it. */
  destroy(host: Host, layer: string): Promise<void>;
}

/** That of vmcompute.dll. */
export const DESTROY_LAYER: Deletion = { by: "DestroyLayer", destroy: destroyLayer };

/** Deletes a layer with its folder, and waits until it is gone. */
export async function deleteLayer(
  host: Host,
  layer: string,
  { by, destroy }: Deletion,
  signal?: AbortSignal,
): Promise<void> {
  await onceFree(host, layer, () => destroy(host, layer), signal);
  await requireGone(host, layer, by, signal);
}

/**
 * Has Windows make a layer. If the call fails or is cancelled, what it has made is removed. What may be another process's stays,
 * and the error tells it.
 *
 * @param layer Its folder, where nothing exists yet.
 */
export async function makeLayer(
  host: Host,
  layer: string,
  { by, make, deletion = DESTROY_LAYER }: Making,
  signal: AbortSignal | undefined,
): Promise<void> {
  await withHolds((holds) =>
    holds.acquire(async (expect) => {
      const held = madeLayer(host, layer, deletion);
      await createHeld(host, { held, paths: [layer], by }, make, expect);
      return held;
    }, signal)
  );
}

/** {@linkcode makeLayer} for a scratch layer, whose folder may exist. Its disk must not. */
export async function makeScratchLayer(
  host: Host,
  scratch: string,
  layers: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const by = "CreateSandboxLayer";
  const disk = diskOf(scratch);
  const make = () => createSandboxLayer(host, scratch, parentLayers(host, layers));
  if (kindOf(host, scratch) === undefined) {
    const makeWhole = async () => {
      await make();
      requireMade(host, [disk], by);
    };
    return await makeLayer(host, scratch, { by, make: makeWhole }, signal);
  }
  await withHolds((holds) => holds.acquire((expect) => acquireNewFile(host, disk, { by, make }, { expect }), signal));
}

function madeLayer(host: Host, layer: string, deletion: Deletion): Held<HoldOf<"newLayer">> {
  return {
    hold: { kind: "newLayer", layer },
    restsOn: [],
    async release() {
      if (kindOf(host, layer) === undefined) return false;
      await deleteLayer(host, layer, deletion);
      return true;
    },
  };
}
