// Mounts of which only a part is there: what of it is told, and that recover() gives it back.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { findMounts, listMounts, type MountInfo, mountWCOWLayers, recover } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { attachDisk, deactivateLayer, hcsDetachOverlayFilter, layerData } from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { hostWith, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const DISK = `${SCRATCH}\\sandbox.vhdx`;
const IMAGE_STACK = ["C:\\layers\\top", SCRATCH];

const told = async (host: SimulatedHost) =>
  (await listMounts({ host })).map(({ owner, state, mountPoints, volume, image }: MountInfo) => (
    { tool: owner.tool, state, mountPoints, hasVolume: volume !== undefined, hasImage: image !== undefined }
  ));

const GONE = { tool: "hcs-layers", state: "gone", hasVolume: false, hasImage: false } as const;

Deno.test("a mount point that links to a volume that is gone is told with the mount that it was of, and leads to it", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.restart();
  assertEquals(await told(host), [{ ...GONE, mountPoints: [`${MOUNT}\\`] }]);
  assertEquals((await findMounts(MOUNT, { host })).map(({ containerId }) => containerId), ["c1"]);
  await recover({ host });
  assertEquals([held(host), host.paths(), await told(host)], [[], before, []]);
});

Deno.test("a folder at which somebody else has mounted since, and one that is none any more, aren't told as this mount's", async () => {
  for (const mountAgain of [true, false]) {
    const host = hostWith({ layers: STACK.slice(0, -1), scratches: [SCRATCH, "C:\\scratch\\c2"] });
    await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    host.restart();
    host.remove(MOUNT);
    if (mountAgain) {
      host.addFolder(MOUNT);
      await mountWCOWLayers("c2", [...STACK.slice(0, -1), "C:\\scratch\\c2"], { host, volumeMountPath: MOUNT });
    }
    const [gone, ...others] = await told(host);
    assertEquals(gone, { ...GONE, mountPoints: [] });
    assertEquals(others.map(({ mountPoints }) => mountPoints), mountAgain ? [[`${MOUNT}\\`]] : []);
    const found = await findMounts(MOUNT, { host });
    assertEquals(found.map(({ containerId }) => containerId), mountAgain ? ["c2"] : []);
  }
});

Deno.test("a mount point that Windows doesn't list is told, as the record names it", async () => {
  const host = stackHost();
  const dead = host.otherProcess();
  dead.fail({ function: "SetVolumeMountPointW", code: "ERROR_ACCESS_DENIED", effect: "partial" });
  dead.before("DeleteVolumeMountPointW", () => dead.endProcess());
  await mountWCOWLayers("c1", STACK, { host: dead, volumeMountPath: MOUNT }).catch(() => {});
  assertEquals(await told(host), [{
    tool: "hcs-layers",
    state: "partial",
    mountPoints: [`${MOUNT}\\`],
    hasVolume: true,
    hasImage: false,
  }]);
  // The record doesn't have the volume.
  host.restart();
  assertEquals(await told(host), [{ ...GONE, mountPoints: [`${MOUNT}\\`] }]);
  await recover({ host });
  assertEquals([held(host), await told(host)], [[], []]);
});

Deno.test("an image that is left mounted without its scratch is told once, with its mount, and leads to it", async () => {
  const host = hostWith({ cimLayers: ["C:\\layers\\top"], layers: ["C:\\layers\\base"], scratches: [SCRATCH] });
  const owner = host.otherProcess();
  const { path } = await mountWCOWLayers("c1", IMAGE_STACK, { host: owner });
  owner.endProcess();
  await hcsDetachOverlayFilter(path, layerData({ filterType: "UnionFS" }), { host });
  await deactivateLayer(SCRATCH, { host });
  assertEquals(held(host).map((line) => line.split(" ")[0]), ["cimVolume"]);
  assertEquals(await told(host), [{ ...GONE, mountPoints: [], hasImage: true }]);
  const [mount] = await listMounts({ host }) as [MountInfo];
  assertEquals(await findMounts(mount.image!.volume, { host }), [mount]);
  await recover({ host });
  assertEquals([held(host), await told(host)], [[], []]);
});

Deno.test("a disk that is attached without a volume is told as partial", async () => {
  const host = stackHost({ offlineDisks: true });
  await attachDisk(DISK, { host, permanent: true });
  assertEquals(await told(host), [{
    tool: "unknown",
    state: "partial",
    mountPoints: [],
    hasVolume: false,
    hasImage: false,
  }]);
  assertEquals((await findMounts(DISK, { host })).map(({ scratch }) => scratch), [SCRATCH]);
});

Deno.test("a disk of ours that something else has detached and attached again after a restart is told as its, and ours as gone", async () => {
  const host = stackHost();
  const owner = host.otherProcess();
  const { path } = await mountWCOWLayers("c1", STACK, { host: owner });
  owner.endProcess();
  host.restart();
  await attachDisk(DISK, { host, permanent: true });
  assertEquals(
    (await listMounts({ host })).map(({ owner, state, volume, diskNumber }) => [owner.tool, state, volume, diskNumber]),
    [["hcs-layers", "gone", undefined, undefined], ["unknown", "mounted", path, 1]],
  );
});
