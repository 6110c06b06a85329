// Which mount is meant: what an owner, an unmount, a recovery and a new mount believe of records, and leave alone.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  listMounts,
  mountWCOWLayers,
  RecordError,
  recover,
  ReleaseError,
  unmountWCOWLayers,
  UntrustedFolderError,
} from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import {
  createScratch,
  deactivateLayer,
  hcsDetachOverlayFilter,
  layerData,
  unprepareLayer,
} from "../../src/storage/mod.ts";
import { held, sequence } from "../support/calls.ts";
import { startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";
import { dieAt, hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";
const OTHER = "C:\\scratch\\c2";
const TOP = "C:\\layers\\top";
const RELEASES = ["CimDismountImage", "UnprepareLayer", "DeactivateLayer", "DeleteVolumeMountPointW", "DeleteFileW"];

function recordFile(host: SimulatedHost): string {
  const [entry, ...more] = host.readDir(MOUNTS);
  assertEquals(more, []);
  return `${MOUNTS}\\${entry!.name}`;
}

function changeRecord(host: SimulatedHost, change: (text: string) => string): void {
  const text = host.readTextFile(recordFile(host));
  assert(change(text) !== text);
  host.writeTextFile(recordFile(host), change(text));
}

/** The calls that release something, from a call on. */
function releases(host: SimulatedHost, from: number): string[] {
  return sequence(host, from).filter((name) => RELEASES.includes(name));
}

Deno.test("release() leaves alone what another process has mounted anew, and has nothing left then", async () => {
  const host = stackHost();
  const [first, second] = [host.otherProcess(), host.otherProcess()];
  const mounted = await mountWCOWLayers("c1", STACK, { host: first, volumeMountPath: MOUNT });
  await unmountWCOWLayers(SCRATCH, { host: second });
  await mountWCOWLayers("c2", STACK, { host: second, volumeMountPath: MOUNT });
  const before = held(host);
  const from = first.calls.length;
  await mounted.release();
  assertEquals([held(host), releases(first, from), mounted.holds], [before, [], []]);
  // Its process has forgotten the mount, too.
  await unmountWCOWLayers(SCRATCH, { host: second });
  await using _again = await mountWCOWLayers("c1", STACK, { host: first });
});

Deno.test("release() has nothing left where another process has unmounted, and a VM of this one has the scratch", async () => {
  const host = vmHost();
  host.addLayer("C:\\layers\\base");
  host.addScratch(SCRATCH);
  const mounted = await mountWCOWLayers("c1", ["C:\\layers\\base", SCRATCH], { host });
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  await using vm = await startedVM(host, WINDOWS);
  const inVM = await mountWCOWLayers("c2", ["C:\\layers\\base", SCRATCH], { vm });
  const from = host.calls.length;
  await mounted.release();
  assertEquals(releases(host, from), []);
  await inVM.release();
});

for (const kind of ["layers", "cimLayers"] as const) {
  Deno.test(`release() leaves alone what a tool has mounted of a scratch that it has made anew, ${kind}`, async () => {
    const host = hostWith({ layers: LAYERS, scratches: [SCRATCH] });
    if (kind === "layers") host.addLayer(TOP);
    else host.addCimLayer(TOP);
    const owner = host.otherProcess();
    const tool = hostInFront(host.otherProcess(), { records: false });
    const mounted = await mountWCOWLayers("c1", [TOP, SCRATCH], { host: owner, volumeMountPath: MOUNT });
    if (kind === "layers") await unprepareLayer(SCRATCH, { host: tool });
    else await hcsDetachOverlayFilter(mounted.path, layerData({ filterType: "UnionFS" }), { host: tool });
    await deactivateLayer(SCRATCH, { host: tool });
    host.remove(`${SCRATCH}\\sandbox.vhdx`);
    host.remove(SCRATCH);
    host.addScratch(SCRATCH);
    await mountWCOWLayers("theirs", [...LAYERS, SCRATCH], { host: tool });
    await mounted.release();
    assertEquals([held(host), host.exists(MOUNT)], [[`activation ${SCRATCH}`, `filter ${SCRATCH}`], false]);
    await unmountWCOWLayers(SCRATCH, { host: tool });
    await (await mountWCOWLayers("c1", [TOP, SCRATCH], { host: owner })).release();
  });
}

Deno.test("release() doesn't take a mount for released if only its record is lost, and its disk is in use", async () => {
  const host = stackHost();
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const before = held(host);
  host.remove(recordFile(host));
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assert(error.errors[0] instanceof InUseError);
  assertEquals([held(host), mounted.holds.length], [before, 2]);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("an unmount that failed is tried again, and leaves alone what was mounted since", async () => {
  const host = stackHost();
  const other = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host });
  host.fail({ function: "DeactivateLayer", code: "ERROR_ACCESS_DENIED", nth: 1 });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), ReleaseError);
  await unmountWCOWLayers(SCRATCH, { host: other });
  await mountWCOWLayers("c2", STACK, { host: other });
  const before = held(host);
  await error.release();
  assertEquals(held(host), before);
});

Deno.test("a scratch that another process has unmounted is mounted again", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  const again = await mountWCOWLayers("c1", STACK, { host });
  await again.release();
  assertEquals(held(host), []);
});

Deno.test("a record in the place of another scratch's, or with volumes that are none, isn't believed", async () => {
  const changes: Record<string, (text: string) => string> = {
    scratch: (text) => text.replace(/"scratch":"[^"]+"/, '"scratch":"C:\\\\scratch\\\\c2"'),
    volume: (text) => text.replace(/"mounted":true,"volume":"[^"]+"/, '"mounted":true,"volume":"C:\\\\"'),
    image: (text) => text.replace('"layers":', '"cim":{"image":"C:\\\\x.cim","volume":"C:\\\\"},"layers":'),
  };
  for (const [what, change] of Object.entries(changes)) {
    const host = stackHost();
    const dead = host.otherProcess();
    await mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT });
    dead.endProcess();
    changeRecord(host, change);
    // Without a record, the mount point is not known once the disk is gone.
    host.restart();
    await unmountWCOWLayers(SCRATCH, { host });
    assertEquals(host.paths().includes(MOUNT), true, what);
  }
});

Deno.test("a whole record of another scratch in the place of a scratch's own isn't believed", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  const own = recordFile(host);
  await mountWCOWLayers("c2", [...LAYERS, OTHER], { host: dead, volumeMountPath: MOUNT });
  const other = host.readDir(MOUNTS).map(({ name }) => `${MOUNTS}\\${name}`).find((path) => path !== own)!;
  dead.endProcess();
  host.writeTextFile(own, host.readTextFile(other));
  host.restart();
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(host.paths().includes(MOUNT), true);
});

Deno.test("records in a folder that others can write to are listed and recovered by nobody", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  const text = host.readTextFile(recordFile(host));
  const planted = stackHost();
  planted.addFolder(MOUNTS);
  planted.addFile(`${MOUNTS}\\x.jsonl`);
  planted.writeTextFile(`${MOUNTS}\\x.jsonl`, text);
  await assertRejects(() => listMounts({ host: planted }), UntrustedFolderError);
  await assertRejects(() => recover({ host: planted }), UntrustedFolderError);
});

Deno.test("an image that another container's scratch has by now stays when the first one's is released", async () => {
  for (const how of ["unmount", "mount again"]) {
    const host = hostWith({ cimLayers: [TOP], layers: LAYERS, scratches: [SCRATCH, OTHER] });
    const dead = host.otherProcess();
    await mountWCOWLayers("web", [TOP, SCRATCH], { host: dead, permanent: true });
    host.restart();
    // The same container on another scratch has the same volume of the image.
    await mountWCOWLayers("web", [TOP, OTHER], { host });
    const before = held(host);
    if (how === "unmount") {
      await unmountWCOWLayers(SCRATCH, { host });
    } else {
      await using _mounted = await mountWCOWLayers("c1", STACK, { host });
    }
    assertEquals(held(host), before, how);
  }
});

Deno.test("what is left of an earlier mount at its mount point goes when the scratch is mounted again", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT, permanent: true });
  host.restart();
  assertEquals(host.paths().includes(MOUNT), true);
  const again = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(host.paths().includes(MOUNT), false);
  await again.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("recover() leaves alone what was mounted since it read the record", async () => {
  const host = stackHost();
  const [dead, second] = [host.otherProcess(), host.otherProcess()];
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  host.before("GetLayerMountPath", async () => {
    await unmountWCOWLayers(SCRATCH, { host: second });
    await mountWCOWLayers("c2", STACK, { host: second });
  }, { nth: 1 });
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left"]);
  assertEquals([held(host).length, (await listMounts({ host })).map(({ containerId }) => containerId)], [2, ["c2"]]);
});

Deno.test("recover() keeps the disk of a scratch that was mounted, was there before, or is in a folder of somebody else", async () => {
  const disk = `${SCRATCH}\\sandbox.vhdx`;
  const used = hostWith({ layers: LAYERS });
  const dead = used.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead, createScratch: true });
  dead.endProcess();
  const before = hostWith({ layers: LAYERS });
  await createScratch(SCRATCH, LAYERS, { host: before });
  await dieAt(before, "ActivateLayer", (host) => mountWCOWLayers("c1", STACK, { host, createScratch: true }));
  const foreign = hostWith({ layers: LAYERS, folders: [SCRATCH] });
  await dieAt(foreign, "ActivateLayer", (host) => mountWCOWLayers("c1", STACK, { host, createScratch: true }));
  for (const host of [used, before, foreign]) {
    assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
    assertEquals([held(host).includes(`activation ${SCRATCH}`), host.exists(disk)], [false, true]);
  }
});

Deno.test("listMounts() doesn't take a mount for gone, nor a half one for complete, nor its owner for this process", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  host.fail({
    function: "CreateFileW",
    code: "ERROR_ACCESS_DENIED",
    when: ({ args }) => String(args["path"]).endsWith("sandbox.vhdx"),
  });
  assertEquals((await listMounts({ host }))[0]?.state, "mounted");
  host.failNothing();
  changeRecord(host, (text) => text.replace(/"start":"\d+"/, '"start":"1"'));
  assertEquals((await listMounts({ host: dead }))[0]?.owner.state, "ended");
  const half = stackHost();
  await dieAt(half, "PrepareLayer", (on) => mountWCOWLayers("c1", STACK, { host: on }));
  assertEquals((await listMounts({ host: half }))[0]?.state, "partial");
});

Deno.test("the owner of a mount that Windows doesn't let us look at has not ended", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host: host.otherProcess() });
  host.fail({ function: "OpenProcess", code: "ERROR_ACCESS_DENIED" });
  assertEquals((await listMounts({ host }))[0]?.owner.state, "alive");
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left"]);
  assertEquals(held(host).length, 2);
});

Deno.test("a record with a path that no mount has, or a process that can't be, isn't believed", async () => {
  const changes: Record<string, (text: string) => string> = {
    "a relative scratch": (text) => text.replace('"scratch":"C:', '"scratch":"'),
    "40,000 folders": (text) => text.replace('"C:\\\\mnt\\\\c1"', JSON.stringify(`C:${"\\x".repeat(40_000)}`)),
    "a folder that leads up": (text) => text.replace('"C:\\\\mnt\\\\c1"', '"C:\\\\mnt\\\\..\\\\data"'),
    "the process 2^32": (text) => text.replace(/"pid":\d+/, `"pid":${2 ** 32}`),
    "a megabyte": (text) => text + " ".repeat(2 ** 20),
  };
  for (const [what, change] of Object.entries(changes)) {
    const host = stackHost();
    const dead = host.otherProcess();
    await mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT });
    dead.endProcess();
    changeRecord(host, change);
    const from = host.calls.length;
    const ours = (await listMounts({ host })).filter(({ owner }) => owner.tool === "hcs-layers");
    assertEquals([ours, await recover({ host })], [[], []], what);
    await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), RecordError, "", what);
    assertEquals([held(host).length > 0, releases(host, from), host.calls.length < from + 200], [true, [], true], what);
  }
});

Deno.test("a record that names the volume and the folder of another mount doesn't take that", async () => {
  for (const isAttached of [true, false]) {
    const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
    const dead = host.otherProcess();
    await mountWCOWLayers("c1", STACK, { host: dead });
    const file = recordFile(host);
    dead.endProcess();
    const place = "C:\\mnt\\theirs";
    const other = hostInFront(host.otherProcess(), { records: false });
    const { path } = await mountWCOWLayers("c2", [...LAYERS, OTHER], { host: other, volumeMountPath: place });
    const [plan] = host.readTextFile(file).split("\n");
    if (!isAttached) await unmountWCOWLayers(SCRATCH, { host: hostInFront(host.otherProcess(), { records: false }) });
    const lines = [{ ...JSON.parse(plan!), volumeMountPath: place }, { mounted: true, volume: path }];
    host.writeTextFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    await recover({ host });
    assertEquals(held(host).filter((what) => what.startsWith("mountPoint")), [`mountPoint ${place}`]);
    await unmountWCOWLayers(SCRATCH, { host });
    assertEquals(held(host).filter((what) => what.startsWith("mountPoint")), [`mountPoint ${place}`]);
  }
});

Deno.test("recover() doesn't act upon a changed copy of a record under another name", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead, permanent: true });
  dead.endProcess();
  const before = held(host);
  const text = host.readTextFile(recordFile(host));
  host.writeTextFile(`${MOUNTS}\\copy.jsonl`, text.replace('"isPermanent":true', '"isPermanent":false'));
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["left", "left"]);
  assertEquals(held(host), before);
});

Deno.test("a record of before a restart doesn't make recover() detach what somebody else has mounted since", async () => {
  const host = hostWith({ layers: LAYERS, cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
  const [before, foreign] = [host.otherProcess(), () => hostInFront(host.otherProcess(), { records: false })];
  await mountWCOWLayers("c1", STACK, { host: before, volumeMountPath: MOUNT });
  await mountWCOWLayers("c2", [TOP, OTHER], { host: before });
  host.restart();
  await mountWCOWLayers("c1", STACK, { host: foreign() });
  await mountWCOWLayers("c2", [TOP, OTHER], { host: foreign() });
  const mounted = held(host).filter((one) => !one.includes("C:\\mnt"));
  const listed = await listMounts({ host });
  assertEquals(listed.map(({ owner, state }) => `${owner.tool} ${state}`), [
    ...["hcs-layers gone", "hcs-layers gone"],
    ...["unknown mounted", "unknown mounted"],
  ]);
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released", "released"]);
  assertEquals([held(host), host.exists(MOUNT), host.readDir(MOUNTS)], [mounted, false, []]);
});

Deno.test("after a restart, another process that has the number of the owner and can't be looked at isn't the owner", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host: host.otherProcess(), volumeMountPath: MOUNT });
  host.restart();
  host.fail({ function: "OpenProcess", code: "ERROR_ACCESS_DENIED" });
  assertEquals((await listMounts({ host }))[0]?.owner.state, "ended");
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
  assertEquals([held(host), host.exists(MOUNT)], [[], false]);
});

Deno.test("a record of a version that didn't write down when Windows was started is recovered as before", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  changeRecord(host, (text) => text.replace(/"boot":"\d+",/, ""));
  assertEquals((await recover({ host })).map(({ outcome }) => outcome), ["released"]);
  assertEquals(held(host), []);
});
