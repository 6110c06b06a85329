/**
 * `deno task bench`: times the mount and release cycle. Under Wine it is compared with a C loop that makes the same
 * native calls, in the same run, which is the floor; where there is no Wine, it runs on the simulated host.
 *
 * @module
 */

import { assertEquals, assertNotEquals } from "jsr:@std/assert@^1.0.0";
import { prepareWine, SYSTEM32, type WineRoot } from "../wine/prepare.ts";
import { parseTrace } from "../wine/inside/trace.ts";
import { COUNTS } from "./cycles.ts";
import { benchTarLint } from "./tar_lint.ts";
import { benchImages } from "./images.ts";
import { benchVMLayers } from "./vm_layers.ts";

const KERNEL32 = {
  "hcsquick.dll": "with files that answer at once",
  "kernel32.dll": "with Wine's own files, for which it takes long",
};
type Kernel32 = keyof typeof KERNEL32;

const HEADING = `\
Microseconds that a mount and its release take, in the fastest of many batches.
C loop: the native calls, made by a C program. calls: the same ones, made by src/ffi, and nothing else. thread, pool: the
whole of it, with slow functions called on the calling thread or on the pool.`;
const COLUMNS = "layers  C loop     calls             thread               pool";
const WIDTHS = [8, 10, 10, 9, 10, 9];

// Enough for a batch of about 2 ms.
const C_CYCLES = { "hcsquick.dll": 1000, "kernel32.dll": 10 };

const GRANTS = [
  "--no-prompt",
  "--allow-env=SystemRoot",
  `--allow-ffi=${["hcsquick", "kernel32", "ntdll", "vmcompute"].map((dll) => `${SYSTEM32}\\${dll}.dll`)}`,
];

/** What `deno bench --json` prints, as far as it is used. Times are in nanoseconds. */
interface BenchReport {
  benches: { name: string; results: { ok?: { min: number } }[] }[];
}

async function inWine(wine: WineRoot): Promise<void> {
  for (const count of COUNTS) await compareCalls(wine, count);
  // Before and after, as other programs take their share of the machine.
  const before = await floors(wine);
  const report: BenchReport = JSON.parse(
    await succeed(wine.run(["bench", "--no-check", "--json", ...GRANTS, "tests/bench/cycle_bench.ts"])),
  );
  const after = await floors(wine);

  console.log(HEADING);
  for (const kernel32 of Object.keys(KERNEL32) as Kernel32[]) {
    console.log(`\nOn DLLs that answer at once, ${KERNEL32[kernel32]}:\n\n${COLUMNS}`);
    for (const count of COUNTS) {
      const floor = Math.min(before[kernel32][count]!, after[kernel32][count]!);
      const [calls, thread, pool] = ["calls", "thread", "pool"].map((mode) =>
        fastest(report, `${count} layers, ${mode}, ${kernel32}`)
      );
      const cells = [
        micro(floor),
        micro(calls!),
        ratio(calls!, floor),
        micro(thread!),
        ratio(thread!, floor),
        micro(pool!),
      ];
      console.log(`${count}`.padStart(6) + cells.map((text, i) => text.padStart(WIDTHS[i]!)).join(""));
    }
  }
}

/** Nanoseconds of one cycle in the fastest batch. */
function fastest(report: BenchReport, name: string): number {
  const bench = report.benches.find((bench) => bench.name.endsWith(` × ${name}`));
  const result = bench?.results[0]?.ok;
  if (bench === undefined || result === undefined) throw new Error(`no result for ${name}`);
  return result.min / Number.parseInt(bench.name);
}

/** Holds the C loop to the calls that the library makes, with all their arguments. */
async function compareCalls(wine: WineRoot, count: number): Promise<void> {
  const trace = async (file: string, program: (env: Record<string, string>) => Promise<unknown>) => {
    await program({ HCS_RECORD_FILE: `C:\\exchange\\${file}` });
    const calls = parseTrace(await Deno.readTextFile(`${wine.exchange}/${file}`));
    return calls.map(({ fn, args }) => ({ fn, args }));
  };
  const theirs = await trace(`c${count}`, (env) => succeed(cycle(wine, [0, count, "hcsquick.dll"], env)));
  for (const way of ["mount", "bare"]) {
    const args = ["run", "--no-check", ...GRANTS, "tests/bench/calls.ts", `${count}`, way];
    const ours = await trace(`${way}${count}`, (env) => succeed(wine.run(args, { env })));
    assertNotEquals(ours, []);
    assertEquals(theirs, ours, "cycle.exe doesn't make the calls that the library makes");
  }
}

/** The C loop, in nanoseconds a cycle, by the DLL and the number of layers. */
async function floors(wine: WineRoot): Promise<Record<Kernel32, Record<number, number>>> {
  const measure = async (kernel32: Kernel32) => {
    const times: Record<number, number> = {};
    for (const count of COUNTS) {
      times[count] = Number(await succeed(cycle(wine, [C_CYCLES[kernel32], count, kernel32])));
    }
    return times;
  };
  return { "hcsquick.dll": await measure("hcsquick.dll"), "kernel32.dll": await measure("kernel32.dll") };
}

function cycle(wine: WineRoot, args: unknown[], env: Record<string, string> = {}) {
  return wine.runProgram(`${SYSTEM32}\\cycle.exe`, args.map(String), { env });
}

async function succeed(run: ReturnType<WineRoot["run"]>): Promise<string> {
  const { code, stdout, stderr } = await run;
  if (code !== 0) throw new Error(stdout + stderr);
  return stdout;
}

function ratio(time: number, floor: number): string {
  return `(${(time / floor).toFixed(1)} ×)`;
}

function micro(nanoseconds: number): string {
  return (nanoseconds / 1000).toFixed(1);
}

const HELP = `\
Times the mount and release cycle: under Wine, against a C loop with the same native calls; without Wine, on the simulated
host.

Usage: deno task bench [-h | --help]`;

const [option] = Deno.args;
if (option !== undefined) {
  const helps = option === "-h" || option === "--help";
  console[helps ? "log" : "error"](helps ? HELP : `bench takes no ${option}. --help tells the usage`);
  Deno.exit(helps ? 0 : 2);
}

const wine = await prepareWine();
if ("skipped" in wine) {
  console.log(`On the simulated host, since there is no Wine: ${wine.skipped}`);
  const bench = new Deno.Command(Deno.execPath(), { args: ["bench", "-A", `${import.meta.dirname}/cycle_bench.ts`] });
  Deno.exitCode = (await bench.spawn().status).code;
} else {
  await using root = wine;
  await inWine(root);
}

console.log("\nLayers in a VM, at 5 ms a request, on the simulated host:\n");
await benchVMLayers();

console.log("\nA layer's tar that is checked:\n");
await benchTarLint();
console.log("\nCIM images, each in a process of its own:\n");
await benchImages();

console.log("\nRequests to a guest over the bridge:\n");
const bridge = ["run", "-A", "--v8-flags=--expose-gc", `${import.meta.dirname}/bridge.ts`];
await new Deno.Command(Deno.execPath(), { args: bridge }).spawn().status;
