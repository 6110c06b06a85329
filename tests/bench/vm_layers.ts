/**
 * Layers in a VM: what adding them side by side saves, and what a disk costs in a VM that has many.
 *
 * @module
 */

import { type LCOWLayers, type MountedLCOWLayers, mountLCOWLayers } from "../../src/layers/lcow.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { hostFile } from "../../src/checks/host_file.ts";
import type { RunningVM } from "../../src/uvm/running_vm.ts";
import { SCSIDisks } from "../../src/uvm/devices/scsi.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { type Figure, figure, inTurns } from "./figures.ts";

const LAYERS = 20;
const REQUEST_MS = 5;

interface Stack {
  /** Mounts them, and returns the milliseconds that it took. */
  mount(): Promise<number>;
  /** Releases them, and returns the milliseconds that it took. */
  release(): Promise<number>;
  close(): Promise<void>;
}

/** 20 layers and a Linux VM whose requests take 5 ms each, one after another if wanted. */
async function stack(
  requests: "side by side" | "one by one",
  fullyPhysicallyBacked: boolean,
  clock: "real" | "simulated",
): Promise<Stack> {
  const answer = (): Promise<unknown> =>
    clock === "simulated" ? host.sleep(REQUEST_MS) : new Promise((resolve) => setTimeout(resolve, REQUEST_MS));
  let last: Promise<unknown> = Promise.resolve();
  const latency: SimulatedHostOptions["latency"] = ({ function: fn }) => {
    if (fn !== "HcsModifyComputeSystem" && fn !== "guest:ModifySettings") return undefined;
    return requests === "side by side" ? answer() : last = last.then(answer);
  };
  const host = new SimulatedHost({
    latency,
    ...(clock === "simulated" && { clock: "automatic", completion: "synchronous" }),
  });
  const now = () => clock === "simulated" ? host.clock.now : performance.now();
  const milliseconds = async (body: () => Promise<void>) => {
    const start = now();
    await body();
    return now() - start;
  };
  host.addLinuxBootFolder("C:\\boot");
  const vhds = Array.from({ length: LAYERS }, (_, i) => `C:\\layers\\${i}.vhd`);
  vhds.forEach((vhd) => host.addLinuxLayer(vhd, 2 ** 20));
  host.addFile("C:\\scratch.vhdx", 2 ** 20);
  const layers: LCOWLayers = { layers: vhds.map((vhdPath) => ({ vhdPath })), scratchVhdPath: "C:\\scratch.vhdx" };
  const vm = await createUtilityVM(
    { os: "linux", bootFolder: "C:\\boot", fullyPhysicallyBacked, concurrentChanges: true },
    { host },
  );
  await vm.start();
  let mounted: MountedLCOWLayers | undefined;
  return {
    mount: () =>
      milliseconds(async () => {
        mounted = await mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/gcs/c/c1" });
      }),
    release: () => milliseconds(() => mounted!.release()),
    close: () => vm.close(),
  };
}

const GOALS = { "vPMem": { mount: 0.14, release: 0.2 }, "SCSI disks": { mount: 0.09, release: 0.12 } } as const;

/**
 * Figures for layers in a VM that was created with `concurrentChanges`: side by side, against one request after another.
 * In simulated time nothing but requests takes any, so that it is the same on each machine.
 */
export async function vmLayerFigures(rounds: number): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const clock of ["simulated", "real"] as const) {
    for (const kind of ["vPMem", "SCSI disks"] as const) {
      const together = await stack("side by side", kind !== "vPMem", clock);
      const single = await stack("one by one", kind !== "vPMem", clock);
      const samples = await inTurns(clock === "simulated" ? 1 : rounds, {
        "mount": together.mount,
        "mount, one by one": single.mount,
        "release": together.release,
        "release, one by one": single.release,
      });
      await together.close();
      await single.close();
      for (const what of ["mount", "release"] as const) {
        figures.push(figure({
          name: `${what} of ${LAYERS} layers as ${kind}, ${REQUEST_MS} ms a request, ${clock} time`,
          unit: "ms",
          ours: samples[what],
          against: { name: "one by one", samples: samples[`${what}, one by one`] },
          goal: GOALS[kind][what],
        }));
      }
    }
  }
  return figures;
}

/** Microseconds to attach and detach one more disk, where `count` are attached, in a VM that answers at once, on average. */
async function attachTime(count: number): Promise<number> {
  const host = new SimulatedHost();
  const vm: RunningVM = { id: "vm", host, os: "linux", state: "running", modify: () => Promise.resolve() };
  const disks = new SCSIDisks(vm, { controllers: 4, own: [] });
  const files = Array.from({ length: count + 1 }, (_, i) => {
    host.addFile(`C:\\disks\\${i}.vhd`, 2 ** 20);
    return hostFile(host, `C:\\disks\\${i}.vhd`);
  });
  const one = files.pop()!;
  for (const file of files) await disks.reserveAttachment(file, { readOnly: true })!.attach();
  const cycle = async () => {
    const use = disks.reserveAttachment(one, { readOnly: true })!;
    await use.attach();
    await use.release();
  };
  await cycle();
  const start = performance.now();
  for (let i = 0; i < 300; i++) await cycle();
  return 1000 * (performance.now() - start) / 300;
}

/** Figures for one more disk in a VM that has few or many. */
export async function diskFigures(rounds: number): Promise<Figure[]> {
  const samples = await inTurns(rounds, { many: () => attachTime(200), few: () => attachTime(3) });
  return [figure({
    name: "one more disk in a VM with 200",
    unit: "µs",
    ours: samples.many,
    against: { name: "with 3", samples: samples.few },
    goal: 1.2,
  })];
}
