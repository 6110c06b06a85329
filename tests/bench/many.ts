/**
 * Many mounts on one simulated machine: what one costs with few and with many of them.
 *
 * @module
 */

import { mountWCOWLayers } from "../../mod.ts";
import type { Mounted } from "../../mod.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\base"];

/** What a mount and its release cost on average, in microseconds. */
export interface Cost {
  readonly mount: number;
  readonly release: number;
}

/**
 * Mounts as many scratches, each at a folder too, and then releases them. What comes first is on a machine of its own, so
 * that all code is compiled by then.
 */
export async function costOfMany(count: number, options?: SimulatedHostOptions): Promise<Cost> {
  const host = new SimulatedHost(options);
  LAYERS.forEach((layer) => host.addLayer(layer));
  for (let i = 0; i < count; i++) host.addScratch(`C:\\scratch\\${i}`);
  const mounted: Mounted[] = [];
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    const folders = [...LAYERS, `C:\\scratch\\${i}`];
    mounted.push(await mountWCOWLayers(`c${i}`, folders, { host, volumeMountPath: `C:\\mnt\\${i}` }));
  }
  const middle = performance.now();
  for (const mount of mounted) await mount.release();
  const end = performance.now();
  return { mount: 1000 * (middle - begin) / count, release: 1000 * (end - middle) / count };
}

const WARMING = 2000;

if (import.meta.main) {
  const [where, ...counts] = Deno.args;
  await costOfMany(WARMING);
  for (const count of counts.map(Number)) {
    // As often as it takes to make about as many mounts each time.
    const runs = Math.max(1, Math.floor(WARMING / count));
    const cost = { mount: 0, release: 0 };
    for (let run = 0; run < runs; run++) {
      const file = where === "file" ? await Deno.makeTempFile() : undefined;
      const { mount, release } = await costOfMany(count, file === undefined ? {} : { file });
      cost.mount += mount / runs;
      cost.release += release / runs;
      if (file !== undefined) await Deno.remove(file);
    }
    console.log(`${count} mounts: ${Math.round(cost.mount)} µs each, ${Math.round(cost.release)} µs each to release`);
  }
}
