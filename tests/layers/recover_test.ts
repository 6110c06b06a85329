// What is mounted on a host, by whom, and what is released of those that have ended.
import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { findMounts, InUseError, listMounts, mountWCOWLayers, recover, unmountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { changeScratch } from "../../src/session/scratch_changes.ts";
import { held } from "../support/calls.ts";
import { dieAt, hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";
const CIM = ["C:\\layers\\top", SCRATCH];

function recordFiles(host: SimulatedHost): number {
  return host.readDir(MOUNTS).length;
}

async function outcomes(host: SimulatedHost): Promise<string[]> {
  return (await recover({ host })).map(({ mount, outcome }) => `${mount.containerId} ${outcome}`);
}

Deno.test("listMounts() tells what is mounted, where, since when, and by whom", async () => {
  const host = stackHost();
  assertEquals(await listMounts({ host }), []);
  const other = host.otherProcess();
  const layers = await mountWCOWLayers("c1", STACK, { host: other, volumeMountPath: MOUNT });
  const [mount, ...rest] = await listMounts({ host });
  assertEquals(rest, []);
  assert(mount !== undefined);
  const { id, owner, since, space, ...told } = mount;
  assertEquals(told, {
    containerId: "c1",
    state: "mounted",
    scratch: SCRATCH,
    layers: LAYERS,
    image: undefined,
    volume: layers.path,
    mountPoints: [`${MOUNT}\\`],
    permanent: false,
  });
  assertEquals([owner.pid, owner.state, since], [2, "alive", "2022-06-18T04:26:40.000Z"]);
  assert(space !== undefined && space.free <= space.size && space.size > 0n);
  assertEquals((await listMounts({ host: other }))[0]?.owner.state, "this process");
  other.endProcess();
  assertEquals((await listMounts({ host }))[0]?.owner.state, "ended");
  for (
    const handle of [
      id!,
      "c1",
      SCRATCH,
      "c:/SCRATCH/c1",
      LAYERS[2]!,
      layers.path,
      layers.path.slice(0, -1),
      MOUNT,
      `${MOUNT}\\`,
    ]
  ) {
    assertEquals((await findMounts(handle, { host })).map((found) => found.id), [id], handle);
  }
  assertEquals(await findMounts("C:\\elsewhere", { host }), []);
});

Deno.test("recover() releases what a process left, and leaves what living ones have", async () => {
  const host = hostWith({
    layers: LAYERS,
    cimLayers: [CIM[0]!],
    scratches: [SCRATCH, "C:\\scratch\\c2", "C:\\scratch\\c3"],
  });
  const [dead, living] = [host.otherProcess(), host.otherProcess()];
  await mountWCOWLayers("c1", CIM, { host: dead, volumeMountPath: MOUNT });
  await mountWCOWLayers("c2", [...LAYERS, "C:\\scratch\\c2"], { host: living });
  await mountWCOWLayers("c3", [...LAYERS, "C:\\scratch\\c3"], { host: dead, permanent: true });
  const alive = held(host).filter((one) => /c2|c3/.test(one));
  dead.endProcess();
  const before = held(host);
  const told = await recover({ host, dryRun: true });
  assertEquals(told.map(({ outcome }) => outcome), ["released", "left", "left"]);
  assertEquals(told.map(({ planned }) => planned.map(({ kind }) => kind)), [
    ["mountPoint", "folder", "overlay", "filter", "cimVolume", "activation"],
    [],
    [],
  ]);
  assertEquals(held(host), before);
  assertEquals(await outcomes(host), ["c1 released", "c2 left", "c3 left"]);
  assertEquals(held(host), alive);
  assertEquals(await outcomes(host), ["c2 left", "c3 left"]);
});

const STEPS = ["ActivateLayer", "PrepareLayer", "GetLayerMountPath", "SetVolumeMountPointW", "UnlockFileEx"];
for (const step of STEPS) {
  Deno.test(`recover() releases what a process left that died before ${step}`, async () => {
    const host = stackHost();
    const before = host.paths();
    await dieAt(host, step, (on) => mountWCOWLayers("c1", STACK, { host: on, volumeMountPath: MOUNT }));
    await recover({ host });
    assertEquals([held(host), host.paths(), recordFiles(host)], [[], before, 0]);
    await using _again = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  });
}

for (const step of ["CreateSandboxLayer", "ActivateLayer", "SetVolumeMountPointW"]) {
  Deno.test(`recover() removes the new scratch of a process that died before ${step}`, async () => {
    const host = hostWith({ layers: LAYERS });
    const before = host.paths();
    const mount = (on: SimulatedHost) =>
      mountWCOWLayers("c1", STACK, { host: on, createScratch: true, volumeMountPath: MOUNT });
    await dieAt(host, step, mount);
    await recover({ host });
    assertEquals([held(host), host.paths(), recordFiles(host)], [[], before, 0]);
  });
}

Deno.test("recover() removes the parents of a new scratch whose folder was never created", async () => {
  const host = hostWith({ layers: LAYERS });
  const before = host.paths();
  const process = host.otherProcess();
  process.before("CreateDirectoryW", ({ args }) => {
    // Its parent is there by now.
    if (args.path !== SCRATCH || !host.exists("C:\\scratch")) return;
    process.endProcess();
    throw new Error("killed");
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: process, createScratch: true }));
  assertEquals(host.exists("C:\\scratch"), true);
  await recover({ host });
  assertEquals([held(host), host.paths(), recordFiles(host)], [[], before, 0]);
});

Deno.test("recover() after a restart removes the mount point and the folders that are left", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, permanent: true, volumeMountPath: MOUNT });
  host.restart();
  assertEquals((await listMounts({ host }))[0]?.state, "gone");
  assertEquals(await outcomes(host), ["c1 released"]);
  assertEquals([held(host), host.paths(), recordFiles(host)], [[], before, 0]);
});

Deno.test("mountWCOWLayers() with recover releases first what an ended process left, and nothing of a living one", async () => {
  const host = stackHost();
  const [dead, living] = [host.otherProcess(), host.otherProcess()];
  await mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT });
  const again = (on: SimulatedHost, recover: boolean) =>
    mountWCOWLayers("c1", STACK, { host: on, recover, volumeMountPath: MOUNT });
  await assertRejects(() => again(living, true), InUseError, "is mounted by process 2, since");
  dead.endProcess();
  await assertRejects(() => again(living, false), InUseError, "is mounted by process 2, which has ended, since");
  const mounted = await again(living, true);
  assertEquals(host.held().every(({ by }) => by?.process === 3), true);
  await mounted.release();
  await again(living, false).then(() => living.endProcess());
  const permanent = await mountWCOWLayers("c1", STACK, { host, recover: true, permanent: true });
  host.endProcess();
  assertEquals(permanent.path.startsWith("\\\\?\\Volume"), true);
  const last = host.otherProcess();
  await assertRejects(() => again(last, true), InUseError, "which has ended");
});

Deno.test("recover() in two processes at once: each mount is released once", async () => {
  const host = stackHost();
  const [dead, other] = [host.otherProcess(), host.otherProcess()];
  await mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT });
  dead.endProcess();
  const both = await Promise.all([recover({ host }), recover({ host: other })]);
  assertEquals(both.flat().map(({ outcome }) => outcome).sort(), ["left", "released"]);
  assertEquals([held(host), recordFiles(host)], [[], 0]);
});

Deno.test("recover() goes on where a release fails, and ends it when it is called again", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, "C:\\scratch\\c2"] });
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  await mountWCOWLayers("c2", [...LAYERS, "C:\\scratch\\c2"], { host: dead });
  dead.endProcess();
  host.fail({ function: "DeactivateLayer", code: "ERROR_ACCESS_DENIED", nth: 1 });
  assertEquals((await outcomes(host)).sort(), ["c1 failed", "c2 released"].sort());
  assertEquals(await outcomes(host), ["c1 released"]);
  assertEquals(held(host), []);
});

Deno.test("a record that is about another folder, or makes no sense, isn't acted upon", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  const [{ name }] = host.readDir(MOUNTS) as [Deno.DirEntry];
  const text = host.readTextFile(`${MOUNTS}\\${name}`);
  const mounted = held(host);
  for (
    const planted of [
      text.replace(/"scratchId":"[0-9a-f]+"/, '"scratchId":"00"'),
      text.replace(/"scratch":"[^"]+"/, '"scratch":"C:\\\\layers\\\\ro01"'),
      "{}\n",
      "no JSON\n",
      text.replace('"version":1', '"version":7'),
    ]
  ) {
    host.writeTextFile(`${MOUNTS}\\${name}`, planted);
    await recover({ host });
    assertEquals(held(host), mounted, planted);
  }
  host.writeTextFile(`${MOUNTS}\\${name}`, text);
  assertEquals(await outcomes(host), ["c1 released"]);
});

Deno.test("recover() removes records that could only be closed, and those that a killed process never wrote", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, "C:\\scratch\\c2"] });
  const process = host.otherProcess();
  const layers = await mountWCOWLayers("c1", STACK, { host: process });
  process.fail({ function: "DeleteFileW", code: "ERROR_ACCESS_DENIED" });
  await layers.release();
  await dieAt(host, "WriteFile", (on) => mountWCOWLayers("c2", [...LAYERS, "C:\\scratch\\c2"], { host: on }));
  assertEquals(recordFiles(host), 2);
  await recover({ host, dryRun: true });
  assertEquals(recordFiles(host), 2);
  assertEquals([await recover({ host }), recordFiles(host)], [[], 0]);
});

Deno.test("recover() removes a record that could neither be written nor deleted", async () => {
  const host = stackHost();
  const process = host.otherProcess();
  process.fail({ function: "WriteFile", code: "ERROR_DISK_FULL", nth: 1 });
  process.fail({ function: "DeleteFileW", code: "ERROR_ACCESS_DENIED" });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: process }));
  assertEquals(recordFiles(host), 1);
  await recover({ host });
  assertEquals(recordFiles(host), 0);
});

Deno.test("mounts of other processes are told of, and those of tools without records aren't taken for released", async () => {
  const host = stackHost();
  const foreign = hostInFront(host.otherProcess(), { records: false });
  await mountWCOWLayers("c1", STACK, { host: foreign });
  await assertRejects(() => mountWCOWLayers("c2", STACK, { host }), InUseError, "has been in use");
  assertEquals((await listMounts({ host })).map(({ owner }) => owner.tool), ["unknown"]);
  assertEquals(await recover({ host }), []);
  assertEquals(held(host).length, 2);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("what a mount and its release write is flushed twice, and nothing is left of it", async () => {
  const host = stackHost();
  const layers = await mountWCOWLayers("c1", STACK, { host });
  await layers.release();
  const count = (fn: string) => host.calls.filter((call) => call.function === fn).length;
  assertEquals([count("FlushFileBuffers"), count("DeleteFileW"), recordFiles(host)], [2, 1, 0]);
  const without = stackHost({ records: false });
  await (await mountWCOWLayers("c1", STACK, { host: without })).release();
  assertEquals(without.exists("C:\\ProgramData"), false);
});

Deno.test("recover() leaves the record that another process is about to write", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  dead.before("WriteFile", () => {
    dead.endProcess();
    throw new Error("killed");
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: dead }));
  assertEquals(recordFiles(host), 1);
  // As a mount of this scratch in that process has the lock when it begins to write.
  await changeScratch(host.otherProcess(), SCRATCH, undefined, async () => void await recover({ host }));
  assertEquals(recordFiles(host), 1);
  await recover({ host });
  assertEquals(recordFiles(host), 0);
});
