/**
 * `cycle_forever.ts LAYER... SCRATCH`: says `begins`, then mounts and releases over and over, until it is killed.
 *
 * @module
 */

import { mountWCOWLayers } from "../../../mod.ts";

console.log("begins");
for (;;) {
  const mounted = await mountWCOWLayers("c1", Deno.args);
  await mounted.release();
}
