// What a mount or a call of this process needs, or a mount of another one shows, is neither destroyed nor taken from under it.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  type MountedLayers,
  mountWCOWLayers,
  ReleaseError,
  unmountWCOWLayers,
  UnwindError,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import {
  activateLayer,
  attachDisk,
  copyLayer,
  createLayer,
  createScratch,
  createScratchLayer,
  deactivateLayer,
  destroyLayer,
  detachDisk,
  dismountCimImage,
  expandScratch,
  exportLayer,
  hcsDestroyLayer,
  hcsDetachOverlayFilter,
  hcsImportLayer,
  importLayer,
  layerData,
  prepareLayer,
  unprepareLayer,
} from "../../src/storage/mod.ts";
import { CallBarrier, held, heldKinds } from "../support/calls.ts";
import { GIB, hostWith } from "../support/host.ts";

const APP = "C:\\l\\app";
const BASE = "C:\\l\\base";
const TOP = "C:\\l\\top";
const SCRATCH = "C:\\s\\web";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const NEW = "C:\\s\\new";

const mountFolders = (host: SimulatedHost) => mountWCOWLayers("web", [APP, BASE, SCRATCH], { host });
const mountImage = (host: SimulatedHost) => mountWCOWLayers("web", [TOP, SCRATCH], { host });

function machine(latency?: CallBarrier["latency"]): SimulatedHost {
  const contents = { layers: [APP, BASE], cimLayers: [TOP], scratches: [SCRATCH], folders: ["C:\\from", "C:\\to"] };
  return hostWith(contents, { build: 26100, ...latency && { latency } });
}

/** What needs a layer, and the slow call in the middle of it. */
const NEEDING: readonly (readonly [layer: string, call: string, use: (host: SimulatedHost) => Promise<unknown>])[] = [
  [APP, "ActivateLayer", mountFolders],
  [BASE, "PrepareLayer", mountFolders],
  [TOP, "CimMountImage", mountImage],
  ["C:\\l\\cim-layers", "ActivateLayer", mountImage],
  [APP, "CreateSandboxLayer", (host) => createScratch(NEW, [APP, BASE], { host })],
  [APP, "CreateSandboxLayer", (host) => createScratchLayer(NEW, [APP, BASE], { host })],
  [BASE, "CreateLayer", (host) => createLayer("C:\\l\\new", { parent: BASE, host })],
  [APP, "CopyLayer", (host) => copyLayer(APP, "C:\\l\\new", { parents: [BASE], host })],
  [BASE, "CopyLayer", (host) => copyLayer(APP, "C:\\l\\new", { parents: [BASE], host })],
  [APP, "ExportLayer", (host) => exportLayer(APP, "C:\\to", { parents: [BASE], host })],
  [BASE, "ImportLayer", (host) => importLayer("C:\\l\\new", "C:\\from", { parents: [BASE], host })],
];

for (const [layer, call, use] of NEEDING) {
  Deno.test(`${layer} isn't destroyed while ${call} needs it`, async () => {
    const slow = new CallBarrier((each) => each.function === call);
    const host = machine(slow.latency);
    const using = use(host);
    await slow.arrival();
    for (const destroy of [destroyLayer, hcsDestroyLayer]) {
      const error = await assertRejects(() => destroy(layer, { host }), InUseError);
      assertEquals([error.path, error.by, host.exists(layer)], [layer, "this process", true]);
    }
    slow.release();
    await using;
  });
}

for (const [fn, destroy] of [["DestroyLayer", destroyLayer], ["HcsDestroyLayer", hcsDestroyLayer]] as const) {
  Deno.test(`what ${fn} is destroying isn't mounted, read or destroyed again`, async () => {
    const slow = new CallBarrier((call) => call.function === fn);
    const host = machine(slow.latency);
    for (
      const [folder, uses] of [
        [BASE, [mountFolders, (host: SimulatedHost) => copyLayer(APP, "C:\\l\\new", { parents: [BASE], host })]],
        [SCRATCH, [mountFolders, mountImage]],
      ] as const
    ) {
      const destroying = destroy(folder, { host });
      await slow.arrival();
      for (const use of [...uses, (host: SimulatedHost) => destroyLayer(folder, { host })]) {
        const error = await assertRejects(() => use(host), InUseError, "is being destroyed");
        assertEquals(error.path, folder);
      }
      slow.release();
      await destroying;
      if (folder === BASE) host.addLayer(BASE);
    }
    assertEquals(host.calls.filter((call) => call.function === fn).length, 2);
  });
}

Deno.test("the layer and the image that a container shows aren't destroyed until it is released", async () => {
  const host = machine();
  for (const release of [(mount: MountedLayers) => mount.release(), () => unmountWCOWLayers(SCRATCH, { host })]) {
    const mount = await mountImage(host);
    for (const folder of [TOP, "C:\\l\\cim-layers"]) {
      await assertRejects(() => destroyLayer(folder, { host }), InUseError, "is a layer of a mounted scratch");
    }
    await release(mount);
  }
  assertEquals(held(host), []);
  await destroyLayer(TOP, { host });
});

Deno.test("a layer that a mount of another process shows isn't destroyed, until that is unmounted", async () => {
  for (const [layer, mount] of [[BASE, mountFolders], ["C:\\l\\cim-layers", mountImage]] as const) {
    const host = machine();
    const owner = host.otherProcess();
    await mount(owner);
    const error = await assertRejects(() => destroyLayer(layer, { host }), InUseError, SCRATCH);
    assertEquals([error.path, host.exists(layer)], [layer, true]);
    // Windows would end the process all the same.
    owner.endProcess();
    await assertRejects(() => hcsDestroyLayer(layer, { host }), InUseError, SCRATCH);
    await unmountWCOWLayers(SCRATCH, { host });
    await destroyLayer(layer, { host });
  }
});

Deno.test("nothing is imported into a layer that a mount of any process shows", async () => {
  const owner = machine();
  await mountFolders(owner);
  for (const host of [owner, owner.otherProcess()]) {
    for (const imported of [importLayer, hcsImportLayer]) {
      await assertRejects(() => imported(APP, "C:\\from", { host }), InUseError, "mounted scratch");
    }
    assertEquals(host.calls.filter((call) => /ImportLayer/.test(call.function)), []);
  }
});

Deno.test("a layer is destroyed although nobody can read the records", async () => {
  const host = machine();
  await mountFolders(host.otherProcess());
  const isOfRecords = ({ args }: { args: Readonly<Record<string, unknown>> }) =>
    `${args["pattern"]}`.includes("hcs-layers");
  host.fail({ function: "FindFirstFileW", code: "ERROR_ACCESS_DENIED", when: isOfRecords });
  await destroyLayer(TOP, { host });
});

Deno.test("prepareLayer() twice at once: the filter of the first stays", async () => {
  const slow = new CallBarrier((call) => call.function === "PrepareLayer");
  const host = machine(slow.latency);
  await activateLayer(SCRATCH, { host });
  const first = prepareLayer(SCRATCH, [BASE], { host });
  await slow.arrival();
  await assertRejects(() => prepareLayer(SCRATCH, [APP, BASE], { host }), InUseError, "being mounted");
  slow.release();
  await first;
  assertEquals(heldKinds(host), ["activation", "filter"]);
});

Deno.test("no function takes a disk or filter from under a call that mounts", async () => {
  for (const start of [mountFolders, (host: SimulatedHost) => prepareLayer(SCRATCH, [BASE], { host })]) {
    const slow = new CallBarrier((call) => call.function === "PrepareLayer");
    const host = machine(slow.latency);
    if (start !== mountFolders) await activateLayer(SCRATCH, { host });
    const mounting = start(host);
    await slow.arrival();
    host.clearCalls();
    await assertRejects(() => unprepareLayer(SCRATCH, { host }), InUseError, "is being mounted");
    await assertRejects(() => deactivateLayer(SCRATCH, { host }), InUseError, "is being mounted");
    await assertRejects(() => detachDisk(DISK, { host }), InUseError, "a mounted scratch");
    const calls = host.calls.map((call) => call.function).filter((name) => /Layer|VirtualDisk/.test(name));
    slow.release();
    await mounting;
    assertEquals([calls, heldKinds(host)], [[], ["activation", "filter"]]);
  }
});

Deno.test("no function takes a disk or an image from under the filter of this process", async () => {
  const folders = machine();
  await mountFolders(folders);
  await assertRejects(() => deactivateLayer(SCRATCH, { host: folders }), InUseError, "has its filter");
  await assertRejects(() => detachDisk(DISK, { host: folders }), InUseError, "a mounted scratch");
  assertEquals(heldKinds(folders), ["activation", "filter"]);
  const host = machine();
  const { path, holds } = await mountImage(host);
  const image = holds.find(({ kind }) => kind === "cimVolume") as { volume: string };
  await assertRejects(() => deactivateLayer(SCRATCH, { host }), InUseError, "has its filter");
  await assertRejects(() => dismountCimImage(image.volume, { host }), InUseError, "shown in a mounted scratch");
  assertEquals(heldKinds(host), ["activation", "cimVolume", "overlay"]);
  // One after the other, they may be released by hand.
  await hcsDetachOverlayFilter(path, layerData({ filterType: "UnionFS" }), { host });
  assertEquals(await dismountCimImage(image.volume, { host }), true);
  await deactivateLayer(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("a disk that AttachVirtualDisk has attached for good, and then failed, is detached, or told", async () => {
  for (const [code, isOurs] of [["ERROR_TIMEOUT", true], ["ERROR_ACCESS_DENIED", false]] as const) {
    const host = machine();
    host.fail({ function: "AttachVirtualDisk", code, effect: "full", nth: 1 });
    const error = await assertRejects(() => attachDisk(DISK, { permanent: true, host }));
    assertEquals([error instanceof UnwindError, heldKinds(host)], [!isOurs, isOurs ? [] : ["attachedDisk"]]);
    if (!(error instanceof UnwindError)) continue;
    assertEquals(error.holds, [{ kind: "openDisk", path: DISK }]);
    await assertRejects(() => error.release(), ReleaseError, "Detach it if it isn't theirs");
    assertEquals(await detachDisk(DISK, { host }), true);
    await error.release();
    assertEquals([error.holds, held(host)], [[], []]);
  }
});

Deno.test("activateLayer() that fails leaves, and tells of, what another process has mounted at the same moment", async () => {
  let count = 0;
  const slow = new CallBarrier((call) => call.function === "ActivateLayer" && count++ === 0);
  const host = machine(slow.latency);
  host.fail({ function: "ActivateLayer", code: "ERROR_INVALID_PARAMETER", nth: 1 });
  const activating = activateLayer(SCRATCH, { host });
  await slow.arrival();
  const mount = await mountFolders(host.otherProcess());
  slow.release();
  const error = await assertRejects(() => activating, UnwindError, "or by another process");
  await assertRejects(() => error.release(), ReleaseError);
  assertEquals(heldKinds(host), ["activation", "filter"]);
  await mount.release();
  await error.release();
  assertEquals([error.holds, held(host)], [[], []]);
  await activateLayer(SCRATCH, { host });
});

Deno.test("expandScratch() twice at once: the second finds what the first has done; and it isn't destroyed meanwhile", async () => {
  const slow = new CallBarrier((call) => call.function === "ExpandSandboxSize");
  const host = machine(slow.latency);
  const both = [1, 2].map(() => expandScratch(SCRATCH, 40 * GIB, { host }));
  await slow.arrival();
  await assertRejects(() => destroyLayer(SCRATCH, { host }), InUseError);
  slow.release();
  await Promise.all(both);
  assertEquals(host.calls.filter((call) => call.function === "ExpandSandboxSize").length, 1);
});

Deno.test("the disk of a scratch that another process has mounted isn't detached, be it that the process has ended", async () => {
  const host = machine();
  const owner = host.otherProcess();
  await mountFolders(owner);
  for (const end of [() => owner.endProcess(), () => {}]) {
    await assertRejects(() => detachDisk(DISK, { host }), InUseError, "a mounted scratch");
    end();
  }
  assertEquals(heldKinds(host), ["activation", "filter"]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(await detachDisk(DISK, { host }), false);
});
