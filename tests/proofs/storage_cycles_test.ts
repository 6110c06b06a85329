// What is taken ten thousand times is given back ten thousand times.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { hostWith } from "../support/host.ts";
import * as storage from "../../src/storage/mod.ts";

const CYCLES = 10_000;
const BASE = "C:\\layers\\base";
const SCRATCH = "C:\\scratch";
const DISK = `${SCRATCH}\\sandbox.vhdx`;

const cycleHost = () => hostWith({ layers: [BASE], cimLayers: ["C:\\layers\\cim"], scratches: [SCRATCH] });

const CYCLED: Record<string, (host: SimulatedHost) => Promise<void>> = {
  async "a mount of plain layers"(host) {
    await (await mountWCOWLayers("c1", [BASE, SCRATCH], { host, volumeMountPath: "C:\\mnt" })).release();
  },
  async "a mount of a CIM image"(host) {
    await (await mountWCOWLayers("c1", ["C:\\layers\\cim", SCRATCH], { host })).release();
  },
  async "a disk that is opened, attached and detached"(host) {
    using disk = await storage.openDisk(DISK, { host });
    await disk.attach();
    await disk.detach();
  },
  async "a disk that is attached, and detached by the end of its block"(host) {
    await using _ = await storage.attachDisk(DISK, { host });
  },
  async "the disk of a scratch layer that is mounted"(host) {
    await using _ = await storage.mountWritableLayerDisk(DISK, { host });
  },
  async "the disk of a scratch layer that is expanded, as far as it goes"(host) {
    await storage.expandScratch(SCRATCH, 20 * 2 ** 30, { host });
  },
  async "a grant to the virtual machines"(host) {
    await storage.grantVmGroupAccess(DISK, { host });
  },
  async "a privilege that is enabled"(host) {
    using _ = await Promise.resolve(storage.enablePrivileges(["SeBackupPrivilege"], { host }));
  },
};

for (const [what, cycle] of Object.entries(CYCLED)) {
  Deno.test(`${CYCLES} times ${what}: nothing is held, and memory stays level`, async () => {
    const host = cycleHost();
    await cycle(host);
    const { allocations } = host;
    const paths = host.paths();
    for (let i = 1; i < CYCLES; i++) await cycle(host);
    assertEquals([host.held(), host.allocations, host.paths()], [[], allocations, paths]);
  });
}
