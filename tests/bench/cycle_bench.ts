/**
 * The mount and release cycle: on recording DLLs that answer at once where there are some, else on the simulated host.
 *
 * @module
 */

import { type Host, mountWCOWLayers, windowsHost } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { COUNTS, stack } from "./stacks.ts";

async function cycle(host: Host, folders: readonly string[]): Promise<void> {
  const mounted = await mountWCOWLayers("c1", folders, { host });
  await mounted.release();
}

function simulated(folders: readonly string[]): Host {
  const host = new SimulatedHost();
  folders.slice(0, -1).forEach((folder) => host.addLayer(folder));
  host.addScratch(folders.at(-1)!);
  return host;
}

const onWindows = Deno.build.os === "windows";
if (onWindows) new Recorder().quiet = true;

for (const count of COUNTS) {
  const folders = stack(count);
  if (onWindows) {
    for (const calls of ["thread", "pool"] as const) {
      const host = withStandIns(windowsHost({ calls }), quickStandIns);
      Deno.bench(`${count} layers, ${calls}`, { group: `${count}` }, async () => await cycle(host, folders));
    }
  } else {
    const host = simulated(folders);
    Deno.bench(`${count} layers, simulated`, { group: `${count}` }, async () => await cycle(host, folders));
  }
}
