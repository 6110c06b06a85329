// Scratches that are mounted and have no record: which of them recover() takes, if it is asked to.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, recover, type RecoverOptions } from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { activateLayer, attachDisk, grantVmAccess } from "../../src/storage/mod.ts";
import { startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";
import { held } from "../support/calls.ts";
import { hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const DOCKER = "C:\\ProgramData\\docker\\windowsfilter\\web";
const OF_WINDOWS = "C:\\ProgramData\\Microsoft\\Windows\\Containers\\Sandboxes\\1";
const OF_WINC = "C:\\winc\\1";
const OPEN_TO_VM = "C:\\scratch\\vm";

function recordless(host: SimulatedHost): SimulatedHost {
  return hostInFront(host.otherProcess(), { records: false });
}

async function adopted(host: Host, options: RecoverOptions): Promise<(string | undefined)[][]> {
  const recovered = await recover({ host, ...options });
  return recovered.map(({ mount, outcome, planned, released }) => [
    mount.scratch,
    outcome,
    ...[...planned, ...released.map(({ hold }) => hold)].map(({ kind }) => kind),
  ]);
}

for (const adopt of [true, SCRATCH, SCRATCH.toUpperCase()]) {
  Deno.test(`recover() with adopt (${adopt}) unmounts a scratch that has no record, and with dryRun only tells so`, async () => {
    const host = stackHost();
    await mountWCOWLayers("c1", STACK, { host: recordless(host), volumeMountPath: MOUNT });
    const before = held(host);
    const scratch = typeof adopt === "string" ? adopt : SCRATCH;
    const steps = ["mountPoint", "folder", "filter", "activation"];
    assertEquals(await adopted(host, { adopt, dryRun: true }), [[scratch, "released", ...steps]]);
    assertEquals([await adopted(host, {}), held(host)], [[], before]);
    assertEquals(await adopted(host, { adopt }), [[scratch, "released", ...steps]]);
    assertEquals([held(host), host.exists(MOUNT)], [[], false]);
  });
}

Deno.test("recover() with adopt takes none that has a record, or that may be another tool's or a VM's", async () => {
  const others = [DOCKER, OF_WINDOWS, OF_WINC, OPEN_TO_VM];
  const contents = { layers: LAYERS, scratches: [SCRATCH, "C:\\scratch\\c2", "C:\\scratch\\data", ...others] };
  const host = hostWith({ ...contents, disks: { "C:\\disks\\data.vhdx": 2 ** 30 } });
  host.addFile(`${OF_WINC}\\layerchain.json`, "[]");
  await grantVmAccess(`${OPEN_TO_VM}\\sandbox.vhdx`, "vm1", { host });
  for (const scratch of others) await activateLayer(scratch, { host: recordless(host) });
  await attachDisk("C:\\disks\\data.vhdx", { host, permanent: true });
  await mountWCOWLayers("c1", STACK, { host: host.otherProcess() });
  // Of this process, without a record.
  await activateLayer("C:\\scratch\\c2", { host });
  const before = held(host);
  assertEquals(await adopted(host, { adopt: true }), [[SCRATCH, "left"]]);
  assertEquals(held(host), before);
  assertEquals(await adopted(host, { adopt: SCRATCH }), [[SCRATCH, "left"]]);
  assertEquals((await adopted(host, { adopt: DOCKER })).at(-1), [DOCKER, "released", "filter", "activation"]);
  assertEquals(held(host).length, before.length - 1);
});

Deno.test("recover() with adopt takes no scratch of a running VM, even if it is named", async () => {
  const host = vmHost();
  host.addLayer("C:\\layers\\app");
  host.addScratch(SCRATCH);
  const process = hostInFront(host.otherProcess(), { records: false });
  const vm = await startedVM(process, WINDOWS);
  await using _layers = await mountWCOWLayers("c1", ["C:\\layers\\app", SCRATCH], { vm });
  const before = held(host);
  assertEquals(await adopted(host, { adopt: true }), []);
  for (const by of [host, process]) assertEquals(await adopted(by, { adopt: SCRATCH }), [[SCRATCH, "failed"]]);
  assertEquals(held(host), before);
});

Deno.test("recover() with adopt leaves a scratch that somebody mounts with a record meanwhile", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host: recordless(host) });
  const other = host.otherProcess();
  host.before("GetLayerMountPath", async () => {
    await recover({ host: other, adopt: SCRATCH });
    await mountWCOWLayers("c2", STACK, { host: other });
  }, { nth: 1 });
  assertEquals(await adopted(host, { adopt: SCRATCH }), [[SCRATCH, "left"]]);
  assertEquals(held(host).length, 2);
});
