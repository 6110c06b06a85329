/**
 * What a mount costs while others are held, and how many go on at once, on the simulated host.
 *
 * @module
 */

import { mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";
import { type Figure, figure, inTurns, type Samples } from "./figures.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\base"];

function hostWith(
  scratches: number,
  { slowMs, records = false }: { readonly slowMs?: number; readonly records?: boolean } = {},
): SimulatedHost {
  const latency = slowMs === undefined ? {} : { clock: "automatic" as const, latency: { PrepareLayer: slowMs } };
  const host = new SimulatedHost({ ...!records && { records }, ...latency });
  LAYERS.forEach((layer) => host.addLayer(layer));
  for (let i = 0; i < scratches; i++) host.addScratch(`C:\\scratch\\${i}`);
  return host;
}

const mount = (host: SimulatedHost, i: number) => mountWCOWLayers(`c${i}`, [...LAYERS, `C:\\scratch\\${i}`], { host });

/** What is timed where so many mounts are held. The first is what the curve shows. */
const OPERATIONS = {
  "mount and release": async (host: SimulatedHost, free: string) => {
    await (await mountWCOWLayers("c", [...LAYERS, free], { host })).release();
  },
  "mount at a folder and release": async (host: SimulatedHost, free: string) => {
    await (await mountWCOWLayers("c", [...LAYERS, free], { host, volumeMountPath: "C:\\mnt\\c" })).release();
  },
  "destroyLayer() of a layer in use": async (host: SimulatedHost) => {
    await destroyLayer(LAYERS[0]!, { host }).then(() => Promise.reject(new Error("destroyed")), () => {});
  },
} as const;
type Operation = keyof typeof OPERATIONS;

/** Microseconds of an operation where so many mounts are held. */
export async function heldSamples(
  held: readonly number[],
  rounds: number,
  operation: Operation = "mount and release",
): Promise<Record<number, Samples>> {
  const things: Record<number, () => Promise<number>> = {};
  for (const count of held) {
    const host = hostWith(count + 1);
    for (let i = 0; i < count; i++) await mount(host, i);
    things[count] = async () => {
      const start = performance.now();
      for (let i = 0; i < 20; i++) await OPERATIONS[operation](host, `C:\\scratch\\${count}`);
      return 1000 * (performance.now() - start) / 20;
    };
    await things[count]();
  }
  return await inTurns(rounds, things);
}

/** Simulated milliseconds of 256 mounts and releases with 5 ms for the slow call that Windows makes one at a time. */
export async function loadMilliseconds(atOnce: number): Promise<number> {
  const host = hostWith(256, { slowMs: 5 });
  let next = 0;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < 256) await (await mount(host, next++)).release();
  }));
  return host.clock.now;
}

/** Figures for many mounts: held, and at once. */
export async function manyFigures(rounds: number): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const operation of Object.keys(OPERATIONS) as Operation[]) {
    const held = await heldSamples([10, 2000], rounds, operation);
    figures.push(figure({
      name: `${operation} with 2,000 mounts held`,
      unit: "µs",
      ours: held[2000]!,
      against: { name: "with 10", samples: held[10]! },
      goal: 1.2,
    }));
  }
  for (const atOnce of [16, 64]) {
    figures.push(figure({
      name: `256 mounts with a slow call of 5 ms, ${atOnce} at once, simulated time`,
      unit: "ms",
      ours: [await loadMilliseconds(atOnce)],
      against: { name: "the slow calls alone", samples: [256 * 5] },
      goal: 1.05,
    }));
  }
  figures.push(await recordFigure(rounds));
  return figures;
}

async function recordFigure(rounds: number): Promise<Figure> {
  const cycles = (records: boolean) => {
    const host = hostWith(1, { records });
    return async () => {
      const start = performance.now();
      for (let i = 0; i < 20; i++) await (await mount(host, 0)).release();
      return 1000 * (performance.now() - start) / 20;
    };
  };
  const { kept, none } = await inTurns(rounds, { kept: cycles(true), none: cycles(false) });
  const against = { name: "without", samples: none };
  return figure({ name: "mount and release with a record", unit: "µs", ours: kept, against });
}
