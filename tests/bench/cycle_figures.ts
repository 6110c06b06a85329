/**
 * The mount and release cycle under Wine: the C loop and the library in turns, a process each, and what Go takes.
 *
 * @module
 */

import { assertEquals, assertNotEquals } from "jsr:@std/assert@^1.0.0";
import { parseTrace } from "../wine/inside/trace.ts";
import { SYSTEM32, type WineRoot } from "../wine/prepare.ts";
import { COUNTS } from "./cycles.ts";
import { type Figure, figure, type Spread } from "./figures.ts";

const FILES = {
  "hcsquick.dll": { words: "files that answer at once", cycles: 1000, go: { 1: 0.8, 5: 0.6, 20: 0.45 }, c: 6 },
  "kernel32.dll": { words: "Wine's own files", cycles: 10, go: { 1: 1.2, 5: 1.3, 20: 1.5 }, c: undefined },
} as const;
type Files = keyof typeof FILES;

/** Microseconds of another implementation, by the number of layers. */
type GoFigures = Readonly<Record<Files, Readonly<Record<string, Spread>>>>;

const GRANTS = [
  "--no-prompt",
  "--allow-env=SystemRoot",
  `--allow-ffi=${["hcsquick", "kernel32", "ntdll", "vmcompute"].map((dll) => `${SYSTEM32}\\${dll}.dll`)}`,
];

/** Figures of the cycle. `go` is a file like `go.json`. */
export async function cycleFigures(wine: WineRoot, rounds: number, go: string | URL): Promise<Figure[]> {
  for (const count of COUNTS) await compareCalls(wine, count);
  const samples: Record<string, number[]> = {};
  const add = (name: string, nanoseconds: readonly number[]) => {
    (samples[name] ??= []).push(...nanoseconds.map((time) => time / 1000));
  };
  for (let round = 0; round < rounds; round++) {
    for (const [files, { cycles }] of Object.entries(FILES)) {
      for (const count of COUNTS) {
        const lines = await succeed(cycle(wine, [cycles, count, files]));
        add(`${files} C ${count}`, lines.trim().split(/\s+/).map(Number));
      }
    }
    const batches: Record<string, number[]> = JSON.parse(
      await succeed(wine.run(["run", "--no-check", ...GRANTS, "tests/bench/cycle_batches.ts"])),
    );
    for (const [name, times] of Object.entries(batches)) add(name, times);
  }
  const theirs: GoFigures = JSON.parse(await Deno.readTextFile(go));
  const figures: Figure[] = [];
  for (const files of Object.keys(FILES) as Files[]) {
    const { words, go: goals, c } = FILES[files];
    for (const mode of ["thread", "pool"] as const) {
      for (const count of COUNTS) {
        const name = `mount and release, ${count} layers, ${mode}, ${words}`;
        const ours = samples[`${files} ${mode} ${count}`]!;
        const floor = samples[`${files} C ${count}`]!;
        figures.push(figure({
          name,
          unit: "µs",
          ours,
          against: { name: "C loop", samples: floor },
          goal: mode === "thread" ? c : undefined,
        }));
        if (mode === "thread") {
          figures.push(againstGo(figures.at(-1)!, theirs[files][count]!, goals[count]));
        } else if (c !== undefined) {
          const against = { name: "as many calls on the pool", samples: samples["empty pool"]! };
          figures.push(figure({ name, unit: "µs", ours, against, goal: 1.1 }));
        }
      }
    }
  }
  return [...figures, ...await heapFigures(wine)];
}

const HELD_MOUNTS = 2000;

async function heapFigures(wine: WineRoot): Promise<Figure[]> {
  const args = ["run", "--no-check", "--v8-flags=--expose-gc", ...GRANTS, "tests/bench/heap.ts", `${HELD_MOUNTS}`, "5"];
  const { held, released } = JSON.parse(await succeed(wine.run(args)));
  const bytes = (what: string, bytes: number, goal: number) =>
    figure({
      name: `heap for each of ${HELD_MOUNTS} mounts of 5 layers, ${what}`,
      unit: "KiB",
      ours: [bytes / 1024],
      goal,
    });
  return [bytes("held", held, 1.1), bytes("once they are released", released, 0.2)];
}

// Go's figures are of another run, and of another machine unless the reader has put their own into the file.
function againstGo({ isReached: _, ...ours }: Figure, go: Spread, goal: number): Figure {
  const ratio = { p10: ours.ours.p10 / go.p10, median: ours.ours.median / go.median };
  return {
    ...ours,
    name: `${ours.name}, × Go in another run`,
    against: { name: "Go", ...go },
    ratio,
    goal,
    ...((ratio.p10 <= goal || !ours.isBusy) && { isReached: ratio.p10 <= goal }),
  };
}

/** Holds the C loop to the calls that the library makes, with all their arguments. */
async function compareCalls(wine: WineRoot, count: number): Promise<void> {
  const trace = async (file: string, program: (env: Record<string, string>) => Promise<unknown>) => {
    await program({ HCS_RECORD_FILE: `C:\\exchange\\${file}` });
    const calls = parseTrace(await Deno.readTextFile(`${wine.exchange}/${file}`));
    return calls.map(({ fn, args }) => ({ fn, args }));
  };
  const theirs = await trace(`c${count}`, (env) => succeed(cycle(wine, [0, count, "hcsquick.dll"], env)));
  const args = ["run", "--no-check", ...GRANTS, "tests/bench/calls.ts", `${count}`];
  const ours = await trace(`mount${count}`, (env) => succeed(wine.run(args, { env })));
  assertNotEquals(ours, []);
  assertEquals(theirs, ours, "cycle.exe doesn't make the calls that the library makes");
}

function cycle(wine: WineRoot, args: unknown[], env: Record<string, string> = {}) {
  return wine.runProgram(`${SYSTEM32}\\cycle.exe`, args.map(String), { env });
}

async function succeed(run: ReturnType<WineRoot["run"]>): Promise<string> {
  const { code, stdout, stderr } = await run;
  if (code !== 0) throw new Error(stdout + stderr);
  return stdout;
}
