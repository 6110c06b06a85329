// Volumes and images that are mounted by themselves: what is listed of them, and what is released once their process has ended.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { findMounts, listMounts, mountSandboxVolume, recover, removeSandboxMountPoint } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { dismountCimImage, mountCimImage } from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { dieAt, hostInFront, hostWith, MOUNT } from "../support/host.ts";

const MOUNTS = "C:\\ProgramData\\hcs-layers\\mounts";
const IMAGE = "C:\\layers\\cim-layers\\top.cim";
const IMAGE_VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";

function machine(): { host: SimulatedHost; volume: string; before: string[] } {
  const host = hostWith({ cimLayers: ["C:\\layers\\top"] }, { build: 26100 });
  const volume = host.addVolume("aaaaaaaa-2222-3333-4444-555555555555");
  return { host, volume, before: host.paths() };
}

function records(host: SimulatedHost): number {
  return host.readDir(MOUNTS).length;
}

async function outcomes(host: SimulatedHost): Promise<string[]> {
  return (await recover({ host })).map(({ mount: { kind }, outcome }) => `${kind} ${outcome}`).sort();
}

Deno.test("listMounts() tells of volumes and images that are mounted by themselves, by whom and where", async () => {
  const { host, volume } = machine();
  const other = host.otherProcess();
  await mountSandboxVolume(MOUNT, volume, { host: other });
  await mountCimImage(IMAGE, IMAGE_VOLUME, { host: other, permanent: true });
  const told = (await listMounts({ host })).map(({ kind, state, image, volume, mountPoints, owner, permanent }) => [
    kind,
    state,
    image?.path,
    volume,
    mountPoints,
    owner.state,
    permanent,
  ]);
  assertEquals(told.sort(), [
    ["image", "mounted", IMAGE, IMAGE_VOLUME, [], "alive", true],
    ["volume", "mounted", undefined, volume, [`${MOUNT}\\`], "alive", false],
  ]);
  assertEquals((await findMounts(MOUNT, { host })).map(({ kind }) => kind), ["volume"]);
  assertEquals((await findMounts(IMAGE, { host })).map(({ kind }) => kind), ["image"]);
  await removeSandboxMountPoint(MOUNT, { host });
  await dismountCimImage(IMAGE_VOLUME, { host });
  assertEquals([await listMounts({ host }), records(host)], [[], 0]);
});

Deno.test("recover() releases volumes and images that an ended process left, unless they are permanent", async () => {
  const { host, volume, before } = machine();
  const dead = host.otherProcess();
  await mountSandboxVolume(MOUNT, volume, { host: dead });
  await mountCimImage(IMAGE, IMAGE_VOLUME, { host: dead, permanent: true });
  assertEquals(await outcomes(host), ["image left", "volume left"]);
  dead.endProcess();
  const mounted = held(host);
  const told = await recover({ host, dryRun: true });
  assertEquals(told.map(({ outcome, planned }) => [outcome, ...planned.map(({ kind }) => kind)]).sort(), [
    ["left"],
    ["released", "mountPoint", "folder"],
  ]);
  assertEquals(held(host), mounted);
  assertEquals(await outcomes(host), ["image left", "volume released"]);
  assertEquals(held(host).length, 1);
  assertEquals(host.exists(MOUNT), false);
  await dismountCimImage(IMAGE_VOLUME, { host });
  assertEquals([held(host), host.paths(), records(host)], [[], before, 0]);
});

for (const step of ["CreateDirectoryW", "SetVolumeMountPointW", "UnlockFileEx"]) {
  Deno.test(`recover() releases what a process left of a volume that died before ${step}`, async () => {
    const { host, volume, before } = machine();
    await dieAt(host, step, (on) => mountSandboxVolume(MOUNT, volume, { host: on }));
    await recover({ host });
    assertEquals([held(host), host.paths()], [[], before]);
  });
}

Deno.test("recover() after a restart leaves an image that has the same volume by then, and closes the record", async () => {
  const { host } = machine();
  await mountCimImage(IMAGE, IMAGE_VOLUME, { host: host.otherProcess(), permanent: true });
  host.restart();
  await mountCimImage(IMAGE, IMAGE_VOLUME, { host: hostInFront(host.otherProcess(), { records: false }) });
  const mounted = held(host);
  assertEquals([await outcomes(host), records(host)], [["image released"], 0]);
  assertEquals(held(host), mounted);
});

Deno.test("recover() leaves a mount point alone at which another volume is mounted by then", async () => {
  const { host, volume } = machine();
  const other = host.addVolume("bbbbbbbb-2222-3333-4444-555555555555");
  const dead = host.otherProcess();
  await mountSandboxVolume(MOUNT, volume, { host: dead });
  dead.endProcess();
  const recordless = hostInFront(host.otherProcess(), { records: false });
  await removeSandboxMountPoint(MOUNT, { host: recordless });
  await mountSandboxVolume(MOUNT, other, { host: recordless });
  const mounted = held(host);
  assertEquals((await listMounts({ host })).map(({ state }) => state), ["gone"]);
  await recover({ host });
  assertEquals([held(host).filter((one) => one.startsWith("mountPoint")), records(host)], [
    mounted.filter((one) => one.startsWith("mountPoint")),
    0,
  ]);
});

Deno.test("the owner of a volume releases nothing that another process has mounted there since", async () => {
  const { host, volume } = machine();
  const [first, second] = [host.otherProcess(), host.otherProcess()];
  const mine = await mountSandboxVolume(MOUNT, volume, { host: first });
  await removeSandboxMountPoint(MOUNT, { host: second });
  await mountSandboxVolume(MOUNT, volume, { host: second });
  const mounted = held(host);
  await mine.release();
  assertEquals([held(host), mine.holds, records(host)], [mounted, [], 1]);
});

Deno.test("a record of a volume that can't be written down is an error, and nothing is mounted", async () => {
  const { host, volume } = machine();
  host.fail({ function: "WriteFile", code: "ERROR_DISK_FULL", nth: 1 });
  await assertRejects(() => mountSandboxVolume(MOUNT, volume, { host }));
  assertEquals([held(host), host.exists(MOUNT), records(host)], [[], false, 0]);
});
