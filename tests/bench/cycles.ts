/**
 * What the benchmark does: `cycle.exe` does the same.
 *
 * @module
 */

import { type Host, mountWCOWLayers } from "../../mod.ts";

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
