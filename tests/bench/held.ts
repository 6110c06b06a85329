/**
 * What a mount costs while others are held, and how many go on at once, on the simulated host.
 *
 * @module
 */

import { mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { type Figure, figure, inTurns, type Samples } from "./figures.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\base"];

function hostWith(scratches: number, slowMs?: number): SimulatedHost {
  const latency = slowMs === undefined ? {} : { clock: "automatic" as const, latency: { PrepareLayer: slowMs } };
  const host = new SimulatedHost({ records: false, ...latency });
  LAYERS.forEach((layer) => host.addLayer(layer));
  for (let i = 0; i < scratches; i++) host.addScratch(`C:\\scratch\\${i}`);
  return host;
}

const mount = (host: SimulatedHost, i: number) => mountWCOWLayers(`c${i}`, [...LAYERS, `C:\\scratch\\${i}`], { host });

/** Microseconds of a mount and its release where so many others are held. */
export async function heldSamples(held: readonly number[], rounds: number): Promise<Record<number, Samples>> {
  const things: Record<number, () => Promise<number>> = {};
  for (const count of held) {
    const host = hostWith(count + 1);
    for (let i = 0; i < count; i++) await mount(host, i);
    things[count] = async () => {
      const start = performance.now();
      for (let i = 0; i < 20; i++) await (await mount(host, count)).release();
      return 1000 * (performance.now() - start) / 20;
    };
    await things[count]();
  }
  return await inTurns(rounds, things);
}

/** Simulated milliseconds of 256 mounts and releases with 5 ms for the slow call that Windows makes one at a time. */
export async function loadMilliseconds(atOnce: number): Promise<number> {
  const host = hostWith(256, 5);
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < 256) await (await mount(host, next++)).release();
  }));
  return host.clock.now;
}

/** Figures for many mounts: held, and at once. */
export async function manyFigures(rounds: number): Promise<Figure[]> {
  const held = await heldSamples([10, 2000], rounds);
  const figures = [figure({
    name: "mount and release with 2,000 mounts held",
    unit: "µs",
    ours: held[2000]!,
    against: { name: "with 10", samples: held[10]! },
    goal: 1.2,
  })];
  for (const atOnce of [16, 64]) {
    figures.push(figure({
      name: `256 mounts with a slow call of 5 ms, ${atOnce} at once, simulated time`,
      unit: "ms",
      ours: [await loadMilliseconds(atOnce)],
      against: { name: "the slow calls alone", samples: [256 * 5] },
      goal: 1.05,
    }));
  }
  return figures;
}
