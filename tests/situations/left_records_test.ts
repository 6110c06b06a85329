// Records that outlive what they are about, or that can't be read: what they name is released if it is theirs, and told if not.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  InvalidInputError,
  listMounts,
  mountSandboxVolume,
  mountWCOWLayers,
  NativeError,
  recover,
  releaseCimFSHostLayers,
  releaseMount,
  removeSandboxMountPoint,
  unmountWCOWLayers,
} from "../../mod.ts";
import type { NativeCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { createScratch, deactivateLayer, hcsDetachOverlayFilter, layerData } from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { dieAt, hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const OTHER = "C:\\scratch\\c2";
const TOP = "C:\\layers\\top";
const IMAGE_STACK = [TOP, SCRATCH];

function imageHost(): SimulatedHost {
  return hostWith({ layers: LAYERS, cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
}

function records(host: SimulatedHost): string[] {
  return host.readDir(MOUNTS).map(({ name }) => `${MOUNTS}\\${name}`);
}

function recordless(host: SimulatedHost): SimulatedHost {
  return hostInFront(host.otherProcess(), { records: false });
}

/** Mounts an image in a process that ends, and has another tool take the filter and the disk away, and delete the scratch. */
async function withoutScratch(host: SimulatedHost): Promise<string> {
  const [dead, tool] = [host.otherProcess(), recordless(host)];
  const mount = await mountWCOWLayers("web", IMAGE_STACK, { host: dead, volumeMountPath: MOUNT });
  const saved = JSON.stringify(mount);
  dead.endProcess();
  await hcsDetachOverlayFilter(mount.path, layerData({ filterType: "UnionFS" }), { host: tool });
  await deactivateLayer(SCRATCH, { host: tool });
  host.remove(DISK);
  host.remove(SCRATCH);
  return saved;
}

for (const isNew of [false, true]) {
  const what = isNew ? "was made anew" : "is gone";
  const ways: Record<string, (host: SimulatedHost, saved: string) => Promise<unknown>> = {
    recover: (host) => recover({ host }),
    unmount: (host) => unmountWCOWLayers(SCRATCH, { host }),
    release: (host, saved) => releaseMount(JSON.parse(saved), { host }),
    ...isNew && {
      mount: async (host) => await (await mountWCOWLayers("c2", STACK, { host })).release(),
    },
  };
  for (const [way, release] of Object.entries(ways)) {
    Deno.test(`the folder of a scratch ${what}: ${way} releases the image and the mount point of its record`, async () => {
      const host = imageHost();
      const saved = await withoutScratch(host);
      if (isNew) host.addScratch(SCRATCH);
      assertEquals((await listMounts({ host })).map(({ state }) => state), ["gone"]);
      assertEquals(held(host).map((one) => one.split(" ")[0]), ["cimVolume", "folder", "folder", "mountPoint"]);
      const [planned] = await recover({ host, dryRun: true });
      assertEquals(planned?.planned.map(({ kind }) => kind), ["mountPoint", "folder", "cimVolume"]);
      await release(host, saved);
      assertEquals([held(host), records(host), host.exists(DISK)], [[], [], isNew]);
    });
  }
}

Deno.test("a record of another machine about a folder that isn't here is left, and what it names as well", async () => {
  const host = imageHost();
  await withoutScratch(host);
  const [file] = records(host);
  host.writeTextFile(file!, host.readTextFile(file!).replace(/"boot":"\d+"/, '"boot":"1"'));
  const before = held(host);
  for (const dryRun of [true, false]) {
    assertEquals((await recover({ host, dryRun })).map(({ outcome }) => outcome), ["left"]);
  }
  assertEquals([held(host), records(host).length], [before, 1]);
});

Deno.test("a scratch was made anew and is mounted by a tool: recover() of the former one leaves that, and it isn't told as ours", async () => {
  const host = imageHost();
  await withoutScratch(host);
  host.addScratch(SCRATCH);
  await mountWCOWLayers("theirs", STACK, { host: recordless(host) });
  const before = held(host);
  const listed = (await listMounts({ host })).map(({ owner, state }) => `${owner.tool} ${state}`);
  assertEquals(listed, ["hcs-layers gone", "unknown mounted"]);
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left"]);
  assertEquals([held(host), records(host).length], [before, 1]);
});

/** Has a record of an ended process about an image that is dismounted, of which a container on another scratch has the volume. */
async function withFormerImage(host: SimulatedHost): Promise<void> {
  const dead = host.otherProcess();
  await mountWCOWLayers("web", IMAGE_STACK, { host: dead });
  dead.endProcess();
  await unmountWCOWLayers(SCRATCH, { host: recordless(host), containerId: "web" });
}

Deno.test("recover() leaves the image of a container that is being mounted on another scratch, before its disk is attached", async () => {
  const host = imageHost();
  await withFormerImage(host);
  const [living, observer] = [host.otherProcess(), host.otherProcess()];
  const images = { kind: "images", layers: [{ folder: TOP, image: `C:\\layers\\cim-layers\\top.cim` }] } as const;
  let seen: string[] = [];
  living.before("ActivateLayer", async () => {
    await recover({ host: observer });
    seen = held(host).map((one) => one.split(" ")[0]!);
  }, { nth: 1 });
  await using _mount = await mountWCOWLayers("web", { ...images, scratch: OTHER }, { host: living });
  assertEquals(seen, ["cimVolume"]);
});

Deno.test("a release leaves the image that a container on another scratch has by now", async () => {
  const host = imageHost();
  const mount = await mountWCOWLayers("web", IMAGE_STACK, { host: host.otherProcess() });
  await unmountWCOWLayers(SCRATCH, { host: recordless(host), containerId: "web" });
  await mountWCOWLayers("web", [TOP, OTHER], { host: host.otherProcess() });
  const before = held(host);
  await mount.release();
  assertEquals([held(host), mount.holds, records(host).length], [before, [], 1]);
});

Deno.test("the id of a container on another scratch is refused, in its process or another, and its image stays", async () => {
  for (const records of [undefined, false] as const) {
    const host = hostInFront(imageHost(), { ...records === false && { records } });
    await mountWCOWLayers("web", [TOP, OTHER], { host });
    await mountWCOWLayers("c1", STACK, { host });
    const before = held(host);
    for (const from of records === false ? [host] : [host, host.otherProcess()]) {
      for (const release of [releaseCimFSHostLayers, byId]) {
        const error = await assertRejects(() => release(SCRATCH, "web", { host: from }), InvalidInputError);
        assertEquals([error.argument, error.value, held(host)], ["containerId", "web", before]);
      }
    }
    await releaseCimFSHostLayers(OTHER, "web", { host });
    await releaseCimFSHostLayers(SCRATCH, "web", { host });
    assertEquals(held(host), []);
  }
});

function byId(scratch: string, containerId: string, options: { host: SimulatedHost }) {
  return unmountWCOWLayers(scratch, { ...options, containerId });
}

Deno.test("somebody deletes the records of a program that runs: it mounts on", async () => {
  const host = stackHost();
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  host.remove(MOUNTS);
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  host.remove(MOUNTS);
  await (await mountSandboxVolume(MOUNT, volume, { host })).release();
  assertEquals([held(host), records(host)], [[], []]);
});

Deno.test("a record that can't be read may be of the image's next owner: the image isn't dismounted, and that is told", async () => {
  const host = imageHost();
  await withFormerImage(host);
  const [former] = records(host);
  await mountWCOWLayers("web", [TOP, OTHER], { host: host.otherProcess() });
  const before = held(host);
  {
    using _scanner = host.openFile(records(host).find((file) => file !== former)!, { share: [] });
    const [{ outcome, error } = {}] = await recover({ host });
    assertEquals([outcome, (error as Error).name], ["failed", "NativeError"]);
    await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }));
    assertEquals([held(host), records(host).length], [before, 2]);
  }
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released", "left"]);
  assertEquals([held(host), records(host).length], [before, 1]);
});

Deno.test("recover() waits for a record that a scanner has open", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  const scanner = host.openFile(records(host)[0]!, { share: [] });
  const sleep = (ms: number) => {
    scanner[Symbol.dispose]();
    return host.sleep(ms);
  };
  const recovered = await recover({ host: hostInFront(host, { sleep }) });
  assertEquals(recovered.map(({ outcome }) => outcome), ["released"]);
  assertEquals([held(host), records(host)], [[], []]);
});

for (const at of ["CreateSandboxLayer", "ActivateLayer", "PrepareLayer"]) {
  const halfMade = async () => {
    const host = hostWith({ layers: LAYERS });
    if (at === "CreateSandboxLayer") {
      const process = host.otherProcess();
      process.fail({ function: at, code: "ERROR_DISK_FULL", effect: "partial" });
      process.before("DeleteFileW", () => process.endProcess());
      await assertRejects(() => mountWCOWLayers("c1", STACK, { host: process, createScratch: true }));
    } else {
      await dieAt(host, at, (on) => mountWCOWLayers("c1", STACK, { host: on, createScratch: true }));
    }
    assert(host.exists(DISK));
    return host;
  };

  Deno.test(`a scratch whose process died at ${at} isn't mounted, but removed by an unmount`, async () => {
    const host = await halfMade();
    const before = held(host);
    await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), InUseError, "process 2, which has ended");
    assertEquals(held(host), before);
    await unmountWCOWLayers(SCRATCH, { host });
    assertEquals([held(host), host.exists(SCRATCH), records(host)], [[], false, []]);
  });

  Deno.test(`a scratch whose process died at ${at} is created anew if that is asked for`, async () => {
    const host = await halfMade();
    // With its disk attached, it is a mount that was left behind.
    const isAttached = held(host).some((one) => one.startsWith("activation"));
    const mount = await mountWCOWLayers("c1", STACK, { host, createScratch: true, recover: isAttached });
    await mount.release();
    assertEquals([host.exists(DISK), records(host)], [true, []]);
    const made = host.calls.filter((call) => call.function === "CreateSandboxLayer");
    assertEquals(made.length, 1);
    await using _again = await mountWCOWLayers("c1", STACK, { host });
  });
}

Deno.test("a scratch that somebody has made where a process was creating one is mounted, and stays", async () => {
  const host = hostWith({ layers: LAYERS });
  await dieAt(host, "CreateSandboxLayer", (on) => mountWCOWLayers("c1", STACK, { host: on, createScratch: true }));
  host.remove(SCRATCH);
  host.addScratch(SCRATCH);
  await recover({ host });
  assertEquals([host.exists(DISK), records(host)], [true, []]);
  await using _mount = await mountWCOWLayers("c1", STACK, { host });
});

Deno.test("a scratch that is created in the folder that a process left which had begun to create one is mounted, and stays", async () => {
  const host = hostWith({ layers: LAYERS });
  await dieAt(host, "CreateSandboxLayer", (on) => mountWCOWLayers("c1", STACK, { host: on, createScratch: true }));
  assertEquals([host.exists(SCRATCH), host.exists(DISK)], [true, false]);
  await createScratch(SCRATCH, LAYERS, { host });
  await (await mountWCOWLayers("c1", STACK, { host })).release();
  await recover({ host });
  assertEquals([host.exists(DISK), records(host)], [true, []]);
});

Deno.test("a scratch that a living process couldn't create as a whole is neither mounted nor created anew", async () => {
  const host = hostWith({ layers: LAYERS });
  const other = host.otherProcess();
  other.fail({ function: "CreateSandboxLayer", code: "ERROR_DISK_FULL", effect: "partial" });
  const failing = other.fail({ function: "DeleteFileW", code: "ERROR_ACCESS_DENIED" });
  const error = await mountWCOWLayers("c1", STACK, { host: other, createScratch: true }).catch((error) => error);
  failing.undo();
  for (const createScratch of [false, true]) {
    const again = () => mountWCOWLayers("c1", STACK, { host, createScratch, recover: true });
    await assertRejects(again, InUseError, "by process 2");
  }
  await error.release();
  assertEquals([held(host), host.exists(SCRATCH), records(host)], [[], false, []]);
});

for (const keepsRecords of [true, false]) {
  Deno.test(`releaseMount() leaves a volume that somebody has mounted at its folder since, ${keepsRecords ? "with" : "without"} records`, async () => {
    const host = hostWith({ layers: LAYERS, scratches: [SCRATCH] });
    const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
    const [one, other] = [host, host].map((on) => keepsRecords ? on.otherProcess() : recordless(on));
    const saved = JSON.stringify(await mountWCOWLayers("c1", STACK, { host: one!, volumeMountPath: MOUNT }));
    await removeSandboxMountPoint(MOUNT, { host: other! });
    await mountSandboxVolume(MOUNT, volume, { host: other! });
    const releasing = keepsRecords ? host : recordless(host);
    const released = await releaseMount(JSON.parse(saved), { host: releasing });
    assertEquals(released.filter(({ wasHeld }) => wasHeld).map(({ hold }) => hold.kind), ["filter", "activation"]);
    assertEquals(held(host), ["folder C:\\mnt", `folder ${MOUNT}`, `mountPoint ${MOUNT}`]);
  });
}

Deno.test("an unmount that names another folder removes the mount point of the record as well", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host: host.otherProcess(), volumeMountPath: MOUNT });
  host.restart();
  await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: "C:\\mnt\\other" });
  assertEquals([held(host), records(host)], [[], []]);
});

Deno.test("an unmount of a folder at which somebody has mounted a volume leaves that", async () => {
  const host = stackHost();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  await mountSandboxVolume("C:\\data", volume, { host: host.otherProcess() });
  const before = held(host);
  await unmountWCOWLayers("C:\\data", { host });
  assertEquals(held(host), before);
});

Deno.test("recover() refuses to adopt what is no scratch, before anything is changed", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER], folders: ["C:\\data"] });
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  const before = held(host);
  for (const adopt of ["C:\\typo", "C:\\data", LAYERS[0]!]) {
    for (const dryRun of [true, false]) {
      await assertRejects(() => recover({ host, adopt, dryRun }), InvalidInputError, "adopt");
    }
  }
  assertEquals(held(host), before);
  // One that isn't mounted is no failure, so that it can be called twice.
  assertEquals((await recover({ host, adopt: OTHER })).map(({ mount }) => mount.scratch), [SCRATCH]);
  assertEquals(held(host), []);
});

Deno.test("a record stays as long as Windows doesn't tell whether the volume at its mount folder is there", async () => {
  const host = stackHost();
  const PLACE = `mountPoint ${MOUNT}`;
  const dead = host.otherProcess();
  // The mount point is there, and the record doesn't have its volume yet.
  dead.before("WriteFile", () => {
    dead.endProcess();
    throw new Error("killed");
  }, { nth: 2 });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT }));
  host.restart();
  const isVolume = ({ args }: NativeCall) => String(args["path"]).startsWith("\\\\?\\Volume{");
  const failure = host.fail({ function: "GetFileAttributesW", code: "ERROR_ACCESS_DENIED", when: isVolume });
  await assertRejects(() => mountWCOWLayers("c2", STACK, { host }), NativeError);
  const [{ outcome } = {}] = await recover({ host });
  assertEquals([outcome, records(host).length, held(host).includes(PLACE)], ["failed", 1, true]);
  failure.undo();
  let asked = 0;
  host.fail({
    function: "GetFileAttributesW",
    code: "ERROR_ACCESS_DENIED",
    when: (call) => isVolume(call) && ++asked === 1,
  });
  await mountWCOWLayers("c2", STACK, { host });
  assertEquals(held(host).includes(PLACE), false);
});
