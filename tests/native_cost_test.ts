// What operations cost in native calls, threads and memory that is passed to Windows. Where a number has grown, all users pay for
// it: that is for a reason, or a mistake.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  findMounts,
  listMounts,
  mountLCOWLayers,
  mountSandboxVolume,
  mountWCOWLayers,
} from "../mod.ts";
import type { SimulatedHost, SimulatedHostOptions } from "../src/simulated/mod.ts";
import { type Contents, hostWith, withWrapped } from "./support/host.ts";

/**
 * What native calls cost: how many there are, how many of them go to a thread of the pool, how many wait until what they have
 * written is on the disk, how many pieces of memory are made for their arguments and answers, and the bytes of these.
 */
type Cost = readonly [calls: number, onPool: number, flushes: number, buffers: number, bytes: number];

const FLUSHES = ["FlushFileBuffers", "MoveFileExW"];

/** A host, and what its calls have cost since it was asked last. */
function counting(contents: Contents, options?: SimulatedHostOptions): { host: SimulatedHost; cost: () => Cost } {
  let [calls, onPool, flushes, bytes] = [0, 0, 0, 0];
  let buffers = new Set<unknown>();
  const host = withWrapped(hostWith(contents, options), (name, call, { nonblocking }) => (...args) => {
    calls++;
    if (nonblocking === true) onPool++;
    if (FLUSHES.includes(name)) flushes++;
    for (const arg of args) {
      if (!(arg instanceof Uint8Array) || buffers.has(arg)) continue;
      buffers.add(arg);
      bytes += arg.byteLength;
    }
    return call(...args);
  });
  const cost = () => {
    const cost: Cost = [calls, onPool, flushes, buffers.size, bytes];
    [calls, onPool, flushes, bytes] = [0, 0, 0, 0];
    buffers = new Set();
    return cost;
  };
  return { host, cost };
}

const layers = (count: number) => Array.from({ length: count }, (_, i) => `C:\\layers\\${10 + count - i}`);
const SCRATCH = "C:\\pods\\1";

async function costsOfMount(count: number, options?: SimulatedHostOptions): Promise<Cost[]> {
  const { host, cost } = counting({ layers: layers(count), scratches: [SCRATCH] }, options);
  const mount = () => mountWCOWLayers("c1", [...layers(count), SCRATCH], { host });
  // The first mount of a process learns what never changes.
  await (await mount()).release();
  cost();
  const mounted = await mount();
  const ofMount = cost();
  await mounted.release();
  return [ofMount, cost()];
}

Deno.test("what a mount of layers and its release cost", async () => {
  const costs = [];
  for (const count of [1, 5, 20]) costs.push(await costsOfMount(count));
  assertEquals(costs, [
    [[55, 4, 2, 45, 4353], [22, 2, 0, 19, 18396]],
    [[71, 4, 2, 57, 8957], [22, 2, 0, 19, 18396]],
    [[131, 4, 2, 102, 26222], [22, 2, 0, 19, 18396]],
  ]);
});

Deno.test("what a mount of layers and its release cost without records", async () => {
  const costs = [];
  for (const count of [1, 5, 20]) costs.push(await costsOfMount(count, { records: false }));
  assertEquals(costs, [
    [[20, 4, 0, 17, 2528], [7, 2, 0, 6, 1172]],
    [[36, 4, 0, 29, 7064], [7, 2, 0, 6, 1172]],
    [[96, 4, 0, 74, 24074], [7, 2, 0, 6, 1172]],
  ]);
});

Deno.test("what a mount of a volume at a folder, listing the mounts, and finding one cost", async () => {
  const { host, cost } = counting({ layers: layers(5), scratches: [SCRATCH], folders: ["C:\\mnt"] });
  await using mounted = await mountWCOWLayers("c1", [...layers(5), SCRATCH], { host });
  await (await mountSandboxVolume("C:\\mnt\\0", mounted.path, { host })).release();
  cost();
  const volume = await mountSandboxVolume("C:\\mnt\\1", mounted.path, { host });
  const ofMount = cost();
  await listMounts({ host });
  const ofList = cost();
  await findMounts(SCRATCH, { host });
  const ofFind = cost();
  await volume.release();
  assertEquals({ ofMount, ofList, ofFind, ofRelease: cost() }, {
    ofMount: [37, 0, 1, 31, 2149],
    ofList: [103, 5, 0, 86, 317944],
    ofFind: [103, 5, 0, 86, 317944],
    ofRelease: [33, 0, 0, 28, 19692],
  });
});

Deno.test("what a mount of layers in a VM and its release cost", async () => {
  const contents = { files: { "C:\\scratch.vhdx": 2 ** 20 }, linuxBoot: { "C:\\boot": "initrd.img" } } as const;
  const { host, cost } = counting(contents);
  const disks = layers(5).map((layer) => `${layer}.vhd`);
  disks.forEach((disk) => host.addLinuxLayer(disk, 2 ** 20));
  await using vm = await createUtilityVM({ os: "linux", bootFolder: "C:\\boot" }, { host });
  await vm.start();
  const stack = { layers: disks.map((vhdPath) => ({ vhdPath })), scratchVhdPath: "C:\\scratch.vhdx" };
  const mount = () => mountLCOWLayers("c1", stack, { vm, guestRoot: "/run/gcs/c/c1" });
  await (await mount()).release();
  cost();
  const mounted = await mount();
  const ofMount = cost();
  await mounted.release();
  assertEquals({ ofMount, ofRelease: cost() }, {
    ofMount: [241, 28, 1, 111, 644427],
    ofRelease: [221, 31, 0, 86, 708253],
  });
});
