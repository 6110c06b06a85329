/**
 * `deno task bench`: figures for what users wait for, each against what it is compared with, measured in turns in the same
 * run. The cycle of a mount and its release is timed under Wine, where a C loop makes the same native calls.
 *
 * @module
 */

import { prepareWine } from "../wine/prepare.ts";
import { cycleFigures } from "./cycle_figures.ts";
import { COUNTS } from "./cycles.ts";
import { type Figure, table } from "./figures.ts";
import { heldSamples, loadMilliseconds, manyFigures } from "./held.ts";
import { benchImages } from "./images.ts";
import type { Curve } from "./plot.ts";
import { startFigures, wineStartFigures } from "./start.ts";
import { benchTarLint } from "./tar_lint.ts";
import { diskFigures, vmLayerFigures } from "./vm_layers.ts";

const HELP = `\
Times what users wait for. Each figure is a ratio to what stands beside it, measured in turns in the same run: of the tenths
of the batches that took least, which nobody has interrupted, and of the medians. "busy" is said of a figure for which other
programs have disturbed too many batches; whether a goal is missed can't be told then.

Usage: deno task bench [--json] [--go=FILE] [-h | --help]

  --json               print the figures and curves as JSON, for deno task bench:plot, and nothing else
  --go=FILE            what Go takes on this machine, in the form of tests/bench/go.json; default: that file`;

const ROUNDS = { start: 10, vm: 10, disks: 8, held: 8, cycle: 3, wine: 8 };

const json = Deno.args.includes("--json");
let go: string | URL = new URL("go.json", import.meta.url);
for (const arg of Deno.args) {
  const helps = arg === "-h" || arg === "--help";
  if (arg === "--json") continue;
  if (arg.startsWith("--go=")) {
    go = arg.slice("--go=".length);
    continue;
  }
  console[helps ? "log" : "error"](helps ? HELP : `bench takes no ${arg}. --help tells the usage`);
  Deno.exit(helps ? 0 : 2);
}

const parts: Readonly<Record<string, () => Promise<Figure[]>>> = {
  "Start of a program": () => Deno.build.os === "linux" ? startFigures(ROUNDS.start) : Promise.resolve([]),
  "Layers in a VM with the option concurrentChanges": () => vmLayerFigures(ROUNDS.vm),
  "Disks in a VM": () => diskFigures(ROUNDS.disks),
  "Many mounts on the simulated host": () => manyFigures(ROUNDS.held),
  "Under Wine": underWine,
};

async function underWine(): Promise<Figure[]> {
  const wine = await prepareWine();
  if ("skipped" in wine) {
    console.error(`without Wine: ${wine.skipped}`);
    return [];
  }
  await using root = wine;
  return [...await wineStartFigures(root, ROUNDS.wine), ...await cycleFigures(root, ROUNDS.cycle, go)];
}

const figures: Figure[] = [];
for (const [title, measure] of Object.entries(parts)) {
  const measured = await measure();
  figures.push(...measured);
  if (!json && measured.length > 0) console.log(`${title}\n\n${table(measured)}\n`);
}

if (json) {
  console.log(JSON.stringify({ deno: Deno.version.deno, figures, curves: await curves() }, null, 2));
} else {
  console.log("A layer's tar that is checked:\n");
  await benchTarLint();
  console.log("\nCIM images, each in a process of its own:\n");
  await benchImages();
  console.log("\nRequests to a guest over the bridge:\n");
  const bridge = ["run", "-A", "--v8-flags=--expose-gc", `${import.meta.dirname}/bridge.ts`];
  await new Deno.Command(Deno.execPath(), { args: bridge }).spawn().status;
}

async function curves(): Promise<Curve[]> {
  const held = await heldSamples([10, 30, 100, 300, 1000, 3000], ROUNDS.held);
  const atOnce = [1, 4, 16, 64];
  const load: [number, number][] = [];
  for (const count of atOnce) load.push([count, await loadMilliseconds(count) / 256]);
  const quick = (name: string) =>
    COUNTS.flatMap((count): [number, number][] => {
      const found = figures.find((figure) => figure.name === `mount and release, ${count} layers, ${name}`);
      return found === undefined ? [] : [[count, found.ours.p10]];
    });
  const against = (name: string) =>
    COUNTS.flatMap((count): [number, number][] => {
      const found = figures.find((figure) =>
        figure.name.startsWith(`mount and release, ${count} layers, thread, files that`) &&
        figure.against?.name === name
      );
      return found === undefined ? [] : [[count, found.against!.p10]];
    });
  return [
    {
      title: "Mount and release, by layers (Wine, files that answer at once)",
      x: "layers",
      y: "µs",
      series: [
        { name: "pool", points: quick("pool, files that answer at once") },
        { name: "thread", points: quick("thread, files that answer at once") },
        { name: "Go", points: against("Go") },
        { name: "C loop", points: against("C loop") },
      ].filter(({ points }) => points.length > 0),
    },
    {
      title: "Mount and release, by mounts held (simulated host)",
      x: "mounts held",
      y: "µs",
      series: [{
        name: "one more",
        points: Object.entries(held).map(([count, times]) => [Number(count), times.toSorted((a, b) => a - b)[0]!]),
      }],
    },
    {
      title: "256 mounts with a slow call of 5 ms that runs one at a time (simulated time)",
      x: "at once",
      y: "ms a mount",
      series: [{ name: "each", points: load }],
    },
  ];
}
