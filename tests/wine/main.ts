/**
 * `deno run -A tests/wine/main.ts`: the tests of tier 2. Those in `inside/` run in `deno.exe` under Wine; those of
 * `across*.ts` start several of them.
 *
 * @module
 */

import { across as acrossCommands } from "./across.ts";
import { acrossBundles } from "./across_bundle.ts";
import { acrossImages } from "./across_cimfs.ts";
import { acrossDocs } from "./across_docs.ts";
import { acrossObserve } from "./across_observe.ts";
import { acrossSeeds } from "./across_seeds.ts";
import { acrossDisks } from "./across_vhd.ts";
import { acrossVM } from "./across_vm.ts";
import { CHECKOUT, prepareWine, SYSTEM32, type WineRoot } from "./prepare.ts";

/** How many tests passed and failed. */
export interface Outcome {
  /** Those that passed. */
  passed: number;
  /** Those that failed. */
  failed: number;
}

const DLLS = [
  ...["advapi32", "cimfs", "computestorage", "kernel32", "ntdll", "offreg", "ole32", "virtdisk"],
  ...["vmcompute", "ws2_32"],
  ...["hcsmountpoints", "hvsockets", "missing", "probe"],
];

/** Prepares Wine and runs all tests there; says in one line why, where this machine can't. */
export async function testUnderWine(): Promise<Outcome> {
  const wine = await prepareWine();
  if ("skipped" in wine) {
    console.log(`tier 2 skipped: ${wine.skipped}`);
    return { passed: 0, failed: 0 };
  }
  await using _ = wine;
  const inside = await testInside(wine);
  const between = await testAcross(wine);
  return { passed: inside.passed + between.passed, failed: inside.failed + between.failed };
}

async function testInside(wine: WineRoot): Promise<Outcome> {
  const { code, stdout, stderr, timedOut } = await wine.run([
    "test",
    // `deno check` has looked at the types.
    ...["--no-check", "--no-prompt", "--v8-flags=--expose-gc", "--allow-read", "--allow-write"],
    ...["--allow-env=SystemRoot", "--allow-sys=osRelease"],
    // To be a guest, which is on the loopback here.
    "--allow-net=127.0.0.1",
    `--allow-ffi=${DLLS.map((dll) => `${SYSTEM32}\\${dll}.dll`)}`,
    `${CHECKOUT}\\tests\\wine\\inside`,
  ], { timeoutMs: 600_000 });
  for (const [, count, file] of stdout.matchAll(/^running (\d+) tests? from .*\/(.*)$/gm)) {
    console.log(`${file}: ${count} tests`);
  }
  const [, passed, failed] = stdout.match(/^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed/m) ?? [];
  const outcome = { passed: Number(passed ?? 0), failed: Number(failed ?? 0) };
  if (code === 0 && outcome.failed === 0 && outcome.passed > 0) return outcome;
  console.log(stdout + stderr);
  if (timedOut) console.log("deno.exe was killed, as it took too long");
  // It may have ended without having come to a test.
  return { ...outcome, failed: Math.max(outcome.failed, 1) };
}

const across = [
  ...acrossCommands,
  ...acrossDisks,
  ...acrossObserve,
  ...acrossBundles,
  ...acrossImages,
  ...acrossVM,
  ...acrossDocs,
  ...acrossSeeds,
];

async function testAcross(wine: WineRoot): Promise<Outcome> {
  const outcome = { passed: 0, failed: 0 };
  for (const { name, run } of across) {
    try {
      await run(wine);
      outcome.passed++;
    } catch (error) {
      outcome.failed++;
      console.log(`FAILED ${name}\n${Deno.inspect(error)}`);
    }
  }
  console.log(`across processes: ${across.length} tests`);
  return outcome;
}

if (import.meta.main) {
  const { passed, failed } = await testUnderWine();
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) Deno.exitCode = 1;
}
