import { assertEquals } from "jsr:@std/assert@^1.0.0";
import {
  mountSandboxVolume,
  mountWCOWLayers,
  removeSandboxMountPoint,
  toHostHcsSchemaLayers,
  unmountWCOWLayers,
} from "../../mod.ts";
import { dllsOf, type Operation } from "../../src/checks/grants.ts";
import type { Host } from "../../src/ffi/host.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";

const LAYER = "C:\\layers\\base";
const CIM_LAYER = "C:\\layers\\cim";
const SCRATCH = "C:\\scratch";
const VOLUME = "11111111-2222-3333-4444-555555555555";

/** A machine on which all can be done, that notes the DLLs which are called. */
function watchedMachine(options: SimulatedHostOptions, dlls: Set<string>): Host {
  const simulated = new SimulatedHost(options);
  simulated.addLayer(LAYER);
  simulated.addCimLayer(CIM_LAYER);
  simulated.addScratch(SCRATCH);
  simulated.addFolder("C:\\empty");
  simulated.addVolume(VOLUME);
  return {
    machine: simulated.machine,
    symbols: (dll) => (dlls.add(dll.file), simulated.symbols(dll)),
    sleep: (ms, signal) => simulated.sleep(ms, signal),
    callback: (listener) => simulated.callback(listener),
  };
}

async function mountAndUnmount(layer: string, host: Host): Promise<void> {
  await mountWCOWLayers("c1", [layer, SCRATCH], { host });
  await unmountWCOWLayers(SCRATCH, { host });
}

const SIZE = 30 * 2 ** 30;
const DISKS = { base: "C:\\empty\\base.vhdx", differencing: "C:\\empty\\diff.vhdx", size: SIZE };

const OPERATIONS: [operation: Operation, run: (host: Host) => unknown, options?: SimulatedHostOptions][] = [
  ["mount", (host) => mountAndUnmount(LAYER, host)],
  ["unmount", (host) => mountAndUnmount(LAYER, host)],
  ["image", (host) => mountAndUnmount(CIM_LAYER, host), { build: 26100 }],
  ["imageByRevision", (host) => mountAndUnmount(CIM_LAYER, host), { build: 20348, revision: 2031 }],
  ["layer", (host) => toHostHcsSchemaLayers("c1", [LAYER], { host })],
  ["files", (host) => storage.isDiskInUse(`${SCRATCH}\\sandbox.vhdx`, { host })],
  ["mountPoint", async (host) => {
    await mountSandboxVolume("C:\\mnt", `\\\\?\\Volume{${VOLUME}}\\`, { host });
    await removeSandboxMountPoint("C:\\mnt", { host });
  }],
  ["disk", async (host) => {
    await storage.createVhdx("C:\\empty\\a.vhdx", { size: SIZE, host });
    await storage.createDifferencingDisk("C:\\empty\\b.vhdx", "C:\\empty\\a.vhdx", { host });
    await (await storage.openDisk("C:\\empty\\b.vhdx", { host }))[Symbol.asyncDispose]();
    await storage.attachDisk("C:\\empty\\b.vhdx", { permanent: true, host });
    await storage.detachDisk("C:\\empty\\b.vhdx", { host });
  }],
  ["layer", (host) => storage.createScratch("C:\\new", [LAYER], { host })],
  ["scratchDisk", (host) => storage.createScratch("C:\\new", [LAYER], { size: SIZE, host })],
  ["scratchDisk", (host) => storage.expandScratch(SCRATCH, SIZE, { host })],
  ["scratchDisk", (host) => storage.expandScratchLayer(SCRATCH, SIZE, { host })],
  ["layer", async (host) => {
    await storage.activateLayer(SCRATCH, { host });
    await storage.prepareLayer(SCRATCH, [LAYER], { host });
    await storage.layerMountPath(SCRATCH, { host });
  }],
  ["layer", (host) => storage.destroyLayer(LAYER, { host })],
  ["hcsLayer", (host) => storage.hcsDestroyLayer(LAYER, { host })],
  ["baseLayer", (host) => storage.setupContainerBaseLayer("C:\\empty", DISKS, { host })],
];

OPERATIONS.forEach(([operation, run, options], i) => {
  Deno.test(`operation ${i} (${operation}) calls the DLLs whose grants it asks for, and no others`, async () => {
    const called = new Set<string>();
    await run(watchedMachine(options ?? {}, called));
    assertEquals([...called].sort(), dllsOf[operation].map(({ file }) => file).sort());
  });
});
