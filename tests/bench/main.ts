/**
 * `deno task bench`: times the mount and release cycle. Under Wine it is compared with a C loop that makes the same
 * native calls, in the same run, which is the floor; where there is no Wine, it runs on the simulated host.
 *
 * @module
 */

import { assertEquals, assertNotEquals } from "jsr:@std/assert@^1.0.0";
import { prepareWine, SYSTEM32, type WineRoot } from "../wine/prepare.ts";
import { parseTrace } from "../wine/inside/trace.ts";
import { COUNTS } from "./stacks.ts";

const CYCLES = 100_000;
const GRANTS = [
  "--no-prompt",
  "--allow-env=SystemRoot",
  `--allow-ffi=${["hcsquick", "kernel32", "ntdll", "vmcompute"].map((dll) => `${SYSTEM32}\\${dll}.dll`)}`,
];

/** What `deno bench --json` prints, as far as it is used. Times are in nanoseconds. */
interface BenchReport {
  benches: { name: string; results: { ok?: { avg: number; min: number; p75: number } }[] }[];
}

async function inWine(wine: WineRoot): Promise<void> {
  for (const count of COUNTS) await compareCalls(wine, count);
  const before = await floors(wine);
  const report: BenchReport = JSON.parse(
    await succeed(wine.run(["bench", "--no-check", "--json", ...GRANTS, "tests/bench/cycle_bench.ts"])),
  );
  const after = await floors(wine);

  console.log("Microseconds a mount and release, on DLLs that answer at once:\n");
  console.log("layers   C loop   thread (ratio)      pool");
  COUNTS.forEach((count, i) => {
    const floor = Math.min(before[i]!, after[i]!);
    const time = (calls: string) => {
      const result = report.benches.find(({ name }) => name === `${count} layers, ${calls}`)?.results[0]?.ok;
      if (result === undefined) throw new Error(`no result for ${count} layers, ${calls}`);
      return result;
    };
    const thread = time("thread").p75;
    console.log([
      `${count}`.padStart(6),
      micro(floor).padStart(8),
      micro(thread).padStart(8),
      `(${(thread / floor).toFixed(1)})`.padStart(7),
      micro(time("pool").p75).padStart(9),
    ].join(" "));
  });
}

/** Holds the C loop to the calls that the library makes, with all their arguments. */
async function compareCalls(wine: WineRoot, count: number): Promise<void> {
  const trace = async (file: string, program: (env: Record<string, string>) => Promise<unknown>) => {
    await program({ HCS_RECORD_FILE: `C:\\exchange\\${file}` });
    const calls = parseTrace(await Deno.readTextFile(`${wine.exchange}/${file}`));
    return calls.map(({ fn, args }) => ({ fn, args }));
  };
  const ours = await trace(
    `ours${count}`,
    (env) => succeed(wine.run(["run", "--no-check", ...GRANTS, "tests/bench/calls.ts", `${count}`], { env })),
  );
  const theirs = await trace(`c${count}`, (env) => succeed(cycle(wine, 0, count, env)));
  assertNotEquals(ours, []);
  assertEquals(theirs, ours, "cycle.exe doesn't make the calls that the library makes");
}

/** The C loop, in nanoseconds a cycle, for each stack. */
async function floors(wine: WineRoot): Promise<number[]> {
  const times: number[] = [];
  for (const count of COUNTS) times.push(Number(await succeed(cycle(wine, CYCLES, count))));
  return times;
}

function cycle(wine: WineRoot, cycles: number, count: number, env: Record<string, string> = {}) {
  return wine.runProgram(`${SYSTEM32}\\cycle.exe`, [`${cycles}`, `${count}`, "hcsquick.dll"], { env });
}

async function succeed(run: ReturnType<WineRoot["run"]>): Promise<string> {
  const { code, stdout, stderr } = await run;
  if (code !== 0) throw new Error(stdout + stderr);
  return stdout;
}

function micro(nanoseconds: number): string {
  return (nanoseconds / 1000).toFixed(1);
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
