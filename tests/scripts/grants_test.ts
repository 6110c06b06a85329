// The grants of the tasks against what the commands call.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import config from "../../deno.json" with { type: "json" };
import { createUtilityVM, listMounts, mountWCOWLayers, recover, unmountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import * as storage from "../../src/storage/mod.ts";
import { hostWith, inAnotherProcess } from "../support/host.ts";

const SCRATCH = "C:\\s";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const NEW = "C:\\d\\new.vhdx";
const SIZE = 30 * 2 ** 30;

/** Each way that a command can go, on a host that this process knows nothing of yet. */
const WAYS: Readonly<
  Record<"mount" | "unmount" | "list" | "recover" | "vhd", readonly ((host: SimulatedHost) => Promise<unknown>)[]>
> = {
  mount: ["C:\\l\\plain", "C:\\l\\image"].flatMap((layer) => [
    (host: SimulatedHost) => mountWCOWLayers("c", [layer, SCRATCH], { host, volumeMountPath: "C:\\m" }),
    (host: SimulatedHost) => mountWCOWLayers("c", ["C:\\l\\plain", "C:\\new"], { host, createScratch: true }),
  ]),
  unmount: ["C:\\l\\plain", "C:\\l\\image"].map((layer) => async (host: SimulatedHost) => {
    await mountWCOWLayers("c", [layer, SCRATCH], { host: inAnotherProcess(host), volumeMountPath: "C:\\m" });
    const from = host.calls.length;
    await unmountWCOWLayers(SCRATCH, { host });
    return from;
  }),
  list: [(host) => onMounts(host, (host) => listMounts({ host }))],
  recover: [
    (host) => onMounts(host, (host) => recover({ host })),
    (host) => onMounts(host, (host) => recover({ host, adopt: true })),
    async (host) => {
      const other = host.otherProcess();
      await createUtilityVM({ os: "windows", id: "vm", layerFolders: ["C:\\image", SCRATCH] }, { host: other });
      await ComputeSystem.open(host, "vm");
      other.endProcess();
      const from = host.calls.length;
      await recover({ host });
      return from;
    },
  ],
  vhd: [
    (host) => storage.createVhdx(NEW, { size: SIZE, host }),
    (host) => storage.createDifferencingDisk(NEW, DISK, { host }),
    (host) => storage.attachDisk(DISK, { permanent: true, host }).then((disk) => disk.physicalPath()),
    async (host) => {
      await storage.attachDisk(DISK, { permanent: true, host });
      await storage.detachDisk(DISK, { host });
    },
    (host) => storage.expandScratch(SCRATCH, SIZE, { host }),
    (host) => storage.openDisk(DISK, { host }).then((disk) => [disk.info(), storage.isDiskInUse(DISK, { host })]),
  ],
};

/** Runs `work` on a host on which a process has mounted layers and ended. Returns the number of calls before. */
async function onMounts(host: SimulatedHost, work: (host: SimulatedHost) => Promise<unknown>): Promise<number> {
  const other = host.otherProcess();
  await mountWCOWLayers("c", ["C:\\l\\image", SCRATCH], { host: other, volumeMountPath: "C:\\m" });
  other.endProcess();
  const from = host.calls.length;
  await work(host);
  return from;
}

for (const [task, ways] of Object.entries(WAYS)) {
  Deno.test(`the task ${task} grants each DLL that its command calls, and no other`, async () => {
    const { command } = config.tasks[task as keyof typeof WAYS];
    const granted = [...command.matchAll(/System32\/(\w+)\.dll/g)].map(([, dll]) => dll!);
    const called = new Set<string>();
    for (const way of ways) {
      const host = hostWith({
        layers: ["C:\\l\\plain"],
        cimLayers: ["C:\\l\\image"],
        scratches: [SCRATCH],
        folders: ["C:\\d"],
        windowsBoot: ["C:\\image"],
      });
      const from = await way(host);
      for (const { dll } of host.calls.slice(typeof from === "number" ? from : 0)) called.add(dll);
    }
    assertEquals([...called].toSorted(), granted.toSorted());
  });
}
