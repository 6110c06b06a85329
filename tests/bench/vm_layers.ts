/**
 * Layers in a VM: what adding them side by side saves, and what a disk costs in a VM that has many.
 *
 * @module
 */

import { type LCOWLayers, mountLCOWLayers } from "../../src/layers/lcow.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { hostFile } from "../../src/checks/host_file.ts";
import type { RunningVM } from "../../src/uvm/running_vm.ts";
import { SCSIDisks } from "../../src/uvm/devices/scsi.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";

const LAYERS = 20;
const REQUEST_MS = 5;
const ROUNDS = 5;

/** Milliseconds to mount and to release 20 layers in a Linux VM whose requests take 5 ms each, the best of some rounds. */
async function times(
  requests: "side by side" | "one by one",
  fullyPhysicallyBacked: boolean,
): Promise<readonly [mount: number, release: number]> {
  const answer = () => new Promise((resolve) => setTimeout(resolve, REQUEST_MS));
  let last: Promise<unknown> = Promise.resolve();
  const latency: SimulatedHostOptions["latency"] = ({ function: fn }) => {
    if (fn !== "HcsModifyComputeSystem" && fn !== "guest:ModifySettings") return undefined;
    return requests === "side by side" ? answer() : last = last.then(answer);
  };
  const host = new SimulatedHost({ latency });
  host.addLinuxBootFolder("C:\\boot");
  const vhds = Array.from({ length: LAYERS }, (_, i) => `C:\\layers\\${i}.vhd`);
  vhds.forEach((vhd) => host.addLinuxLayer(vhd, 2 ** 20));
  host.addFile("C:\\scratch.vhdx", 2 ** 20);
  const layers: LCOWLayers = { layers: vhds.map((vhdPath) => ({ vhdPath })), scratchVhdPath: "C:\\scratch.vhdx" };
  await using vm = await createUtilityVM({
    os: "linux",
    bootFolder: "C:\\boot",
    fullyPhysicallyBacked,
    concurrentChanges: true,
  }, { host });
  await vm.start();
  let [mount, release] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const mounted = await mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/gcs/c/c1" });
    const middle = performance.now();
    await mounted.release();
    mount = Math.min(mount, middle - start);
    release = Math.min(release, performance.now() - middle);
  }
  return [mount, release];
}

/** Microseconds to attach and detach one more disk, where `count` are attached, in a VM that answers at once. */
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
  let best = Infinity;
  for (let round = 0; round < 20; round++) {
    const start = performance.now();
    for (let i = 0; i < 1000; i++) await cycle();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Prints the figures. */
export async function benchVMLayers(): Promise<void> {
  console.log(`Milliseconds to mount and release ${LAYERS} layers in a Linux VM, ${REQUEST_MS} ms a request.`);
  console.log("What waits for what, and why, is in docs/design/bridge.md.\n");
  console.log("layers as             one by one   side by side   (part)");
  for (const [name, scsi] of [["vPMem", false], ["SCSI disks", true]] as const) {
    const single = await times("one by one", scsi);
    const together = await times("side by side", scsi);
    for (const [i, what] of ["mount", "release"].entries()) {
      const part = `(${(together[i]! / single[i]!).toFixed(2)})`;
      const figures = [single[i]!.toFixed(1).padStart(11), together[i]!.toFixed(1).padStart(14), part.padStart(8)];
      console.log([`${name}, ${what}`.padEnd(20), ...figures].join(" "));
    }
  }
  console.log("\nMicroseconds to attach and detach one more disk:\n");
  console.log("attached already     time");
  for (const count of [3, 200]) {
    console.log(`${`${count}`.padStart(16)} ${(await attachTime(count)).toFixed(2).padStart(8)}`);
  }
}

if (import.meta.main) await benchVMLayers();
