/**
 * The mount and release cycle: on recording DLLs that answer at once where there are some, else on the simulated host.
 *
 * @module
 */

import { type Host, mountWCOWLayers, windowsHost } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { BATCH, COUNTS, stack } from "./stacks.ts";

function bench(name: string, host: Host, folders: readonly string[], cycles: number): void {
  Deno.bench(name, { group: `${folders.length - 1} layers` }, async () => {
    for (let i = 0; i < cycles; i++) {
      const mounted = await mountWCOWLayers("c1", folders, { host });
      await mounted.release();
    }
  });
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
      const cycles = BATCH[calls];
      const name = `${cycles} × ${count} layers, ${calls}`;
      bench(`${name}, hcsquick.dll`, withStandIns(windowsHost({ calls }), quickStandIns), folders, cycles);
      bench(`${name}, kernel32.dll`, windowsHost({ calls }), folders, cycles);
    }
  } else {
    bench(`10 × ${count} layers, simulated`, simulated(folders), folders, 10);
  }
}
