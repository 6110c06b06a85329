/**
 * What a program does on simulated hosts with seeds, as text.
 *
 * @module
 */

import { createUtilityVM, mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { hostWith } from "../support/host.ts";

const LAYERS = ["C:\\layers\\app", "C:\\layers\\base"];
const SCRATCHES = ["C:\\scratch\\one", "C:\\scratch\\two", "C:\\scratch\\three"];

/** Two mounts, one of which is not ready at first, a third one that is aborted, and all of them released side by side. */
async function mounts(seed: number): Promise<SimulatedHost> {
  const host = hostWith({ layers: LAYERS, scratches: SCRATCHES }, {
    seed,
    poolThreads: 4,
    latency: { PrepareLayer: 20 },
  });
  host.fail({ function: "PrepareLayer", code: "ERROR_NOT_READY", nth: 1 });
  const abort = new AbortController();
  host.clock.after(20, () => abort.abort(new Error("enough")));
  const mounted = await Promise.allSettled(
    SCRATCHES.map((scratch, i) =>
      mountWCOWLayers(`c${i}`, [...LAYERS, scratch], { host, ...(i === 2 && { signal: abort.signal }) })
    ),
  );
  await Promise.all(mounted.map((outcome) => outcome.status === "fulfilled" ? outcome.value.release() : undefined));
  return host;
}

/** A Linux VM whose operations take their time, with the layers of two containers that share one. */
async function vmLayers(seed: number): Promise<SimulatedHost> {
  const host = hostWith({ linuxBoot: { "C:\\boot": "initrd.img" }, scratches: SCRATCHES }, { seed, completion: 5 });
  LAYERS.forEach((folder) => host.addLinuxLayer(`${folder}.vhd`, 1 << 20));
  {
    await using vm = await createUtilityVM({ os: "linux", id: "vm1", bootFolder: "C:\\boot" }, { host });
    await vm.start();
    await Promise.all(
      SCRATCHES.slice(0, 2).map(async (scratch, i) => {
        const layers = LAYERS.slice(i).map((folder) => ({ vhdPath: `${folder}.vhd` }));
        await using _ = await mountLCOWLayers(`c${i}`, { layers, scratchVhdPath: `${scratch}\\sandbox.vhdx` }, {
          vm,
          guestRoot: `/run/gcs/c/c${i}`,
        });
      }),
    );
  }
  return host;
}

// A VM takes ten times as long as a mount.
const SEEDS_PER_VM = 10;

// The record of a VM is named by its id, which is drawn anew each time.
const VM_RECORD = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\.jsonl)/;

/** Returns all calls of the programs with a seed, with their arguments and results, and what is left. */
export async function traceOf(seed: number): Promise<string> {
  const lines: string[] = [];
  for (const program of seed % SEEDS_PER_VM === 0 ? [mounts, vmLayers] : [mounts]) {
    const host = await program(seed);
    lines.push(
      ...host.calls.map((call) => JSON.stringify(call).replace(VM_RECORD, "record")),
      JSON.stringify([host.held(), host.clock.now]),
    );
  }
  return lines.join("\n");
}

/** The traces with the seeds from 1 to a number. */
export interface Traces {
  /** Their SHA-256. */
  readonly hash: string;
  /** How many of them differ. */
  readonly different: number;
}

/** Returns the traces with the seeds from 1 to `count`. */
export async function traces(count: number): Promise<Traces> {
  const all: string[] = [];
  for (let seed = 1; seed <= count; seed++) all.push(await traceOf(seed));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(all.join("\n\n")));
  return { hash: new Uint8Array(digest).toHex(), different: new Set(all).size };
}

// As a program, it prints them, so that two machines can be compared.
if (import.meta.main) console.log(JSON.stringify(await traces(Number(Deno.args[0]))));
