/**
 * The mount and release cycle: on recording DLLs that answer at once where there are some, else on the simulated host.
 *
 * @module
 */

import { type Host, windowsHost } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { bareCalls, COUNTS, mountAndRelease, stack } from "./cycles.ts";

function bench(name: string, times: number, cycle: () => Promise<void>): void {
  Deno.bench(`${times} × ${name}`, async () => {
    for (let i = 0; i < times; i++) await cycle();
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
    for (const kernel32 of ["hcsquick.dll", "kernel32.dll"]) {
      const hosts = (["thread", "pool"] as const).map((calls) => {
        const host = windowsHost({ calls });
        return kernel32 === "hcsquick.dll" ? withStandIns(host, quickStandIns) : host;
      });
      bench(`${count} layers, calls, ${kernel32}`, 100, bareCalls(hosts[0]!, folders));
      bench(`${count} layers, thread, ${kernel32}`, 100, () => mountAndRelease(hosts[0]!, folders));
      bench(`${count} layers, pool, ${kernel32}`, 10, () => mountAndRelease(hosts[1]!, folders));
    }
  } else {
    const host = simulated(folders);
    bench(`${count} layers, simulated`, 10, () => mountAndRelease(host, folders));
  }
}
