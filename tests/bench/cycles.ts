/**
 * What the benchmark does: `cycle.exe` does the same.
 *
 * @module
 */

import { type Host, mountWCOWLayers } from "../../mod.ts";
import { access, fileAttributes, openFile, share } from "../../src/ffi/kernel32.ts";
import * as vmcompute from "../../src/ffi/vmcompute.ts";
import { cimPath } from "../../src/host_holds/layer_image.ts";
import { parentLayers } from "../../src/session/session.ts";

/** How many read-only layers the stacks have. */
export const COUNTS = [1, 5, 20] as const;

/** The folders of a stack of so many read-only layers, the scratch last. */
export function stack(count: number): string[] {
  const layers = Array.from({ length: count }, (_, i) => `ro${String(count - i).padStart(2, "0")}`);
  return [...layers, "scratch"].map((name) => `C:\\layers\\${name}`);
}

/** A mount and its release. */
export async function mountAndRelease(host: Host, folders: readonly string[]): Promise<void> {
  const mounted = await mountWCOWLayers("c1", folders, { host });
  await mounted.release();
}

/** The same native calls, one after the other, for nothing: with no checks of what they answer, and no holds. */
export function bareCalls(host: Host, folders: readonly string[]): () => Promise<void> {
  const scratch = folders.at(-1)!;
  const disk = `${scratch}\\sandbox.vhdx`;
  const image = cimPath(folders[0]!);
  const parents = parentLayers(host, folders.slice(0, -1));
  return async () => {
    fileAttributes(host, image);
    for (const folder of folders) fileAttributes(host, folder);
    fileAttributes(host, disk);
    openFile(host, disk, { access: access.GENERIC_WRITE, share: share.READ })[Symbol.dispose]();
    await vmcompute.activateLayer(host, scratch);
    await vmcompute.prepareLayer(host, scratch, parents);
    await vmcompute.getLayerMountPath(host, scratch);
    await vmcompute.unprepareLayer(host, scratch);
    await vmcompute.deactivateLayer(host, scratch);
  };
}
