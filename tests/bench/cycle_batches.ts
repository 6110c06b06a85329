/**
 * Times the mount and release cycle on recording DLLs that answer at once, in batches of about 2.5 ms, and prints the
 * nanoseconds of a cycle in each: as JSON, by the DLL of the files, the mode and the number of layers.
 *
 * @module
 */

import { windowsHost } from "../../mod.ts";
import { layerExists } from "../../src/ffi/vmcompute.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { COUNTS, mountAndRelease, stack } from "./cycles.ts";

/** How many calls on the pool a mount and its release make. */
const POOL_CALLS = 6;
const BATCHES = 30;
const BATCH_MS = 2.5;

new Recorder().quiet = true;
const samples: Record<string, number[]> = {};
for (const kernel32 of ["hcsquick.dll", "kernel32.dll"]) {
  for (const calls of ["thread", "pool"] as const) {
    const plain = windowsHost({ calls, records: false });
    const host = kernel32 === "hcsquick.dll" ? withStandIns(plain, quickStandIns) : plain;
    for (const count of COUNTS) {
      const folders = stack(count);
      const batch = async (cycles: number) => {
        const start = performance.now();
        for (let i = 0; i < cycles; i++) await mountAndRelease(host, folders);
        return performance.now() - start;
      };
      const warming = kernel32 === "hcsquick.dll" && calls === "thread" ? 2000 : 50;
      const cycles = Math.max(1, Math.round(BATCH_MS / (await batch(warming) / warming)));
      const times = samples[`${kernel32} ${calls} ${count}`] = [] as number[];
      for (let i = 0; i < BATCHES; i++) times.push(1e6 * await batch(cycles) / cycles);
    }
  }
}

const pool = windowsHost();
const empty = samples["empty pool"] = [] as number[];
for (let i = 0; i < BATCHES; i++) {
  const start = performance.now();
  for (let call = 0; call < 10 * POOL_CALLS; call++) await layerExists(pool, "C:\\layers\\none");
  empty.push(1e6 * (performance.now() - start) / 10);
}
console.log(JSON.stringify(samples));
