// Several processes on one machine: who waits for whom, and what each leaves alone.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { HungCallError, InUseError, listMounts, mountWCOWLayers, recover, unmountWCOWLayers } from "../../mod.ts";
import type { NativeCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { changeScratch } from "../../src/session/scratch_changes.ts";
import {
  activateLayer,
  createScratch,
  deactivateLayer,
  destroyLayer,
  mountCimImage,
  NativeError,
  prepareLayer,
} from "../../src/storage/mod.ts";
import { held, sequence } from "../support/calls.ts";
import { hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { SCRATCH as VM_SCRATCH, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

const OTHER = "C:\\scratch\\c2";
const twoScratches = (options = {}) => hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] }, options);

Deno.test("PrepareLayer runs in one process at a time, and other calls of other scratches go on", async () => {
  let running = 0;
  let most = 0;
  const host = twoScratches({ clock: "automatic", latency: { PrepareLayer: 40, ActivateLayer: 1 } });
  const others = [host, host.otherProcess()];
  for (const process of others) {
    process.before("PrepareLayer", () => void (most = Math.max(most, ++running)));
    process.before("GetLayerMountPath", () => void running--);
  }
  await Promise.all(
    others.map((process, i) => mountWCOWLayers(`c${i}`, [...LAYERS, i === 0 ? SCRATCH : OTHER], { host: process })),
  );
  assertEquals([most, held(host).length], [1, 4]);
});

Deno.test("CimMountImage runs in one process at a time", async () => {
  const image = "C:\\layers\\top";
  const contents = { cimLayers: [image], scratches: [SCRATCH, OTHER] };
  const host = hostWith(contents, { clock: "automatic", latency: { CimMountImage: 40, ActivateLayer: 1 } });
  let running = 0;
  let most = 0;
  const mounting = [SCRATCH, OTHER].map((scratch, i) => {
    const process = host.otherProcess();
    process.before("CimMountImage", () => void (most = Math.max(most, ++running)));
    process.before("HcsAttachOverlayFilter", () => void running--);
    return mountWCOWLayers(`c${i}`, [image, scratch], { host: process });
  });
  await Promise.all(mounting);
  assertEquals([most, held(host).length], [1, 6]);
});

Deno.test("mountCimImage() waits for CimMountImage of another process", async () => {
  let running = 0;
  let most = 0;
  const latency = async (call: NativeCall) => {
    if (call.function !== "CimMountImage") return;
    most = Math.max(most, ++running);
    await host.sleep(40);
    running--;
  };
  const host = hostWith({ cimLayers: ["C:\\layers\\top"] }, { clock: "automatic", latency });
  await Promise.all([host.otherProcess(), host.otherProcess()].map((process, i) => {
    const volume = `\\\\?\\Volume{${i}1111111-2222-3333-4444-555555555555}\\`;
    return mountCimImage("C:\\layers\\cim-layers\\top.cim", volume, { host: process });
  }));
  assertEquals([most, held(host).length], [1, 2]);
});

Deno.test("another process changes a scratch without an end: who waits for it can give up, and is told after a minute", async () => {
  const host = stackHost({ clock: "automatic" });
  const hanging = host.otherProcess();
  hanging.before("ActivateLayer", () => new Promise(() => {}));
  mountWCOWLayers("c2", STACK, { host: hanging }).catch(() => {});
  await host.sleep(10);
  const before = host.held();
  const controller = new AbortController();
  const waiting = unmountWCOWLayers(SCRATCH, { host, signal: controller.signal });
  host.clock.after(500, () => controller.abort(new Error("enough")));
  await assertRejects(() => waiting, Error, "enough");
  const from = host.clock.now;
  await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), InUseError, "another process for 60 s");
  assert(host.clock.now - from < 90_000);
  assertEquals(host.held(), before);
});

Deno.test("PrepareLayer hangs in another process: who waits for it is told after a minute, and holds nothing", async () => {
  const host = twoScratches({ clock: "automatic" });
  const hanging = host.otherProcess();
  hanging.before("PrepareLayer", () => new Promise(() => {}));
  mountWCOWLayers("c2", [...LAYERS, OTHER], { host: hanging }).catch(() => {});
  await host.sleep(10);
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), HungCallError);
  assertEquals([error.operation, error.path, held(host)], ["PrepareLayer", SCRATCH, [`activation ${OTHER}`]]);
});

Deno.test("two processes mount one scratch at once: one has it, the other is told which process that is", async () => {
  const host = stackHost({ clock: "automatic", latency: { ActivateLayer: 5, PrepareLayer: 5 } });
  const other = host.otherProcess();
  const mounting = [host, other].map((process) => mountWCOWLayers("c1", STACK, { host: process }));
  const [first, second] = await Promise.allSettled(mounting);
  assertEquals([first!.status, second!.status], ["fulfilled", "rejected"]);
  const { reason } = second as PromiseRejectedResult;
  assertEquals([reason instanceof InUseError, reason.by], [true, "process 1"]);
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("an unmount waits for the mount of another process, and undoes it", async () => {
  const host = stackHost({ clock: "automatic", latency: { ActivateLayer: 50, PrepareLayer: 50 } });
  const other = host.otherProcess();
  const mounting = mountWCOWLayers("c1", STACK, { host: other, volumeMountPath: MOUNT });
  await host.sleep(20);
  await Promise.all([mounting, unmountWCOWLayers(SCRATCH, { host })]);
  assertEquals([held(host), await listMounts({ host })], [[], []]);
  await (await mounting).release();
});

Deno.test("disks are released late: an unmount doesn't take down what another process has mounted meanwhile", async () => {
  for (const diskReleaseDelay of [20, 200]) {
    const host = stackHost({ clock: "automatic", company: { diskReleaseDelay } });
    const other = host.otherProcess();
    const mounted = await mountWCOWLayers("c1", STACK, { host });
    const [, again] = await Promise.all([
      unmountWCOWLayers(SCRATCH, { host }),
      mountWCOWLayers("c2", STACK, { host: other }).catch(() => mountWCOWLayers("c2", STACK, { host: other })),
    ]);
    await mounted.release();
    assertEquals(host.held().map(({ kind, by }) => [kind, by?.process]), [["activation", 2], ["filter", 2]]);
    await again.release();
    assertEquals(held(host), []);
  }
});

Deno.test("release, unmount and a new mount of one process at once: the new mount stays whole", async () => {
  const host = stackHost({ clock: "automatic", company: { diskReleaseDelay: 20 } });
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const [, , again] = await Promise.all([
    mounted.release(),
    unmountWCOWLayers(SCRATCH, { host }),
    mountWCOWLayers("c2", STACK, { host }),
  ]);
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
  await mounted.release();
  assertEquals(held(host).length, 2);
  await again.release();
  assertEquals(held(host), []);
});

/** Mounts, unmounts, lists and recovers, beside others. */
async function work(process: SimulatedHost, number: number, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const mount = mountWCOWLayers(`c${number}`, STACK, { host: process, volumeMountPath: MOUNT });
    const mounted = await mount.catch((error) => {
      if (!(error instanceof InUseError)) throw error;
    });
    if (round % 3 === 0) await listMounts({ host: process });
    if (round % 3 === 1) await recover({ host: process });
    await mounted?.release();
  }
}

for (const seed of [1, 2, 3, 4, 5]) {
  Deno.test(`eight processes mount one scratch at one folder, one is killed: nothing is left (seed ${seed})`, async () => {
    const host = stackHost({ seed, latency: { ActivateLayer: 3, PrepareLayer: 7, DeactivateLayer: 2 } });
    const before = host.paths();
    const processes = Array.from({ length: 8 }, () => host.otherProcess());
    const working = processes.map((process, i) => work(process, i, 6));
    working[0]!.catch(() => {});
    host.clock.after(seed + 4, () => processes[0]!.endProcess());
    await Promise.all(working.slice(1));
    processes[0]!.endProcess();
    await recover({ host });
    assertEquals([held(host), host.paths(), await listMounts({ host })], [[], before, []]);
  });
}

Deno.test("a scratch that storage functions activated isn't mounted, and stays activated", async () => {
  const host = stackHost();
  await activateLayer(SCRATCH, { host });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), InUseError);
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: host.otherProcess() }), InUseError);
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  await deactivateLayer(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("a scratch that a VM of another process uses isn't unmounted, and the VM's devices stay", async () => {
  const host = vmHost();
  host.addLayer(LAYERS[0]!);
  host.addScratch(SCRATCH);
  const vm = await startedVM(host, WINDOWS);
  const mounted = await mountWCOWLayers("c1", [LAYERS[0]!, SCRATCH], { vm });
  const before = held(host);
  for (const scratch of [SCRATCH, VM_SCRATCH]) {
    const other = host.otherProcess();
    await assertRejects(
      () => unmountWCOWLayers(scratch, { host: other }),
      InUseError,
      "used by a VM of another process",
    );
    assertEquals([held(host), sequence(other).filter((fn) => /^(Deactivate|Unprepare)/.test(fn))], [before, []]);
  }
  await mounted.release();
  await vm.close();
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  assertEquals(held(host), []);
});

Deno.test("prepareLayer() of a scratch that is mounted leaves the owner's filter on, in the owner's process or another", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const before = held(host);
  const other = host.otherProcess();
  host.fail({ function: "PrepareLayer", code: "ERROR_ACCESS_DENIED" });
  other.fail({ function: "PrepareLayer", code: "ERROR_ACCESS_DENIED" });
  await assertRejects(() => prepareLayer(SCRATCH, LAYERS, { host }), InUseError);
  await assertRejects(() => prepareLayer(SCRATCH, LAYERS, { host: other }), NativeError);
  assertEquals([held(host), sequence(other).includes("UnprepareLayer")], [before, false]);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("a scratch that another process has unmounted can be mounted in a VM by the one that mounted it on the host", async () => {
  const host = vmHost();
  host.addScratch(SCRATCH);
  const stack = ["C:\\layers\\uvmbase", SCRATCH];
  await using vm = await startedVM(host, WINDOWS);
  const onHost = await mountWCOWLayers("c1", stack, { host });
  await assertRejects(() => mountWCOWLayers("c1", stack, { vm }), InUseError, "is mounted on the host");
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  const inVM = await mountWCOWLayers("c1", stack, { vm });
  assertEquals(held(host).filter((what) => what.startsWith("scsiAttachment")).length, 1);
  await inVM.release();
  await onHost.release();
});

Deno.test("layers that another process has unmounted can be destroyed by the one that mounted them", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  for (const layer of [SCRATCH, LAYERS[0]!]) await assertRejects(() => destroyLayer(layer, { host }), InUseError);
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  for (const layer of [SCRATCH, LAYERS[0]!]) await destroyLayer(layer, { host });
  assertEquals([host.exists(SCRATCH), host.exists(LAYERS[0]!)], [false, false]);
  await mounted.release();
});

Deno.test("Windows doesn't tell which folder a mounted scratch is: its record stays, and nothing is mounted or released", async () => {
  for (const does of [mountWCOWLayers.bind(undefined, "c2", STACK), unmountWCOWLayers.bind(undefined, SCRATCH)]) {
    const host = stackHost();
    await mountWCOWLayers("c1", STACK, { host: host.otherProcess() });
    const before = [held(host), (await listMounts({ host })).map(({ containerId }) => containerId)];
    host.fail({ function: "GetFileInformationByHandleEx", code: "ERROR_ACCESS_DENIED", nth: 1 });
    await assertRejects(() => does({ host }), NativeError, "GetFileInformationByHandleEx");
    assertEquals([held(host), (await listMounts({ host })).map(({ containerId }) => containerId)], before);
  }
});

Deno.test("a scratch that another process creates while a mount waits for its turn is mounted, and stays if that fails", async () => {
  for (const fails of [false, true]) {
    const host = hostWith({ layers: LAYERS });
    const other = host.otherProcess();
    if (fails) host.fail({ function: "PrepareLayer", code: "ERROR_ACCESS_DENIED" });
    const mounting = await changeScratch(other, SCRATCH, undefined, async () => {
      const mounting = mountWCOWLayers("c1", STACK, { host, createScratch: true }).catch((error) => error);
      await createScratch(SCRATCH, LAYERS, { host: other });
      return [mounting];
    });
    assertEquals(await mounting[0] instanceof NativeError, fails);
    const disk = `file ${SCRATCH}\\sandbox.vhdx`;
    assertEquals([sequence(host).includes("CreateSandboxLayer"), held(host).includes(disk)], [false, true]);
  }
});
