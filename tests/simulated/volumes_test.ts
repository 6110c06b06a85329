// What drives, volumes and disk files can be like, as reports of real hosts have it.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, NativeError } from "../../mod.ts";
import { deleteVolumeMountPoint, mountPointsOfVolume } from "../../src/ffi/kernel32.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { held } from "../support/calls.ts";
import { GIB, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { TestVM } from "../support/vm.ts";

async function codeOf(promise: Promise<unknown>): Promise<number> {
  return (await assertRejects(() => promise, NativeError)).code;
}

Deno.test("PrepareLayer on a ReFS volume fails with ERROR_INVALID_FUNCTION, and is undone", async () => {
  const host = new SimulatedHost();
  host.addDrive("R:", "ReFS");
  host.addLayer("R:\\base");
  host.addScratch("R:\\scratch");
  assertEquals(await codeOf(mountWCOWLayers("c1", ["R:\\base", "R:\\scratch"], { host })), 0x80070001);
  assertEquals(held(host), []);
});

for (const attribute of ["compressed", "encrypted", "sparse"] as const) {
  Deno.test(`a disk file that is ${attribute} is attached nowhere`, async () => {
    const host = stackHost();
    const disk = `${SCRATCH}\\sandbox.vhdx`;
    host.addAttributes(disk, attribute);
    assertEquals(await codeOf(mountWCOWLayers("c1", STACK, { host })), 0xc03a001a);
    assertEquals(await codeOf(storage.attachDisk(disk, { host })), 0xc03a001a);
    assertEquals(held(host), []);
  });
}

Deno.test("with offlineDisks, an attached disk has no volume", async () => {
  const host = new SimulatedHost({ offlineDisks: true });
  host.addScratch(SCRATCH);
  using disk = await storage.attachDisk(`${SCRATCH}\\sandbox.vhdx`, { host });
  const error = await storage.hcsGetLayerVhdMountPath(disk.handle, { host }).catch((error) => error);
  assertEquals([error instanceof SimulationError, held(host).length], [true, 2]);
});

Deno.test("with automount, each volume gets a drive letter, which goes with it", async () => {
  const host = stackHost({ automount: true });
  host.addFolder("D:\\data");
  const before = host.paths();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  assertEquals(mountPointsOfVolume(host, mounted.path), ["E:\\", `${MOUNT}\\`]);
  await mounted.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("a VM opens the parents of a differencing disk, and needs to be granted them", async () => {
  await using t = await TestVM.open({ os: "linux" });
  t.host.addLinuxLayer("C:\\layers\\1\\layer.vhd", 2 ** 20);
  t.host.addDisk("C:\\disks\\parent.vhdx", GIB);
  await storage.createDifferencingDisk("C:\\disks\\child.vhdx", "C:\\disks\\parent.vhdx", { host: t.host });
  const { mountLCOWLayers } = await import("../../mod.ts");
  const layers = { layers: [{ vhdPath: "C:\\layers\\1\\layer.vhd" }], scratchVhdPath: "C:\\disks\\child.vhdx" };
  const mount = () => mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: "/run/c1" });
  assertEquals(await codeOf(mount()), 0x80070005);
  await storage.grantVmAccess("C:\\disks\\parent.vhdx", t.vm.id, { host: t.host });
  await (await mount()).release();
});

Deno.test("a scratch isn't taken for a read-only layer, and a processed layer isn't set up again", async () => {
  const host = new SimulatedHost();
  host.addLayer(LAYERS[0]!, { processed: true });
  host.addScratch("C:\\other");
  host.addScratch(SCRATCH);
  await assertRejects(() => mountWCOWLayers("c1", ["C:\\other", SCRATCH], { host }), SimulationError);
  const disks = { base: "C:\\base.vhdx", differencing: "C:\\diff.vhdx", size: GIB };
  await assertRejects(
    () => storage.setupContainerBaseLayer(LAYERS[0]!, disks, { host }),
    storage.InvalidInputError,
  );
});

Deno.test("removing a drive letter leaves what is on its volume, which another letter leads to; a disk of the machine keeps its letter", () => {
  const host = new SimulatedHost();
  const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
  host.addDriveLetter("E:", volume);
  host.addFile("E:\\data\\file", 1);
  deleteVolumeMountPoint(host, "E:\\");
  assertEquals([host.exists("E:\\"), host.exists("E:\\data"), mountPointsOfVolume(host, volume)], [false, false, []]);
  host.addDriveLetter("F:", volume);
  assertEquals(host.exists("F:\\data\\file"), true);
  assertThrows(() => deleteVolumeMountPoint(host, "E:\\"), NativeError, "0x80070002");
  assertThrows(() => deleteVolumeMountPoint(host, "C:\\"), SimulationError);
  host.addSubstDrive("S:", "C:\\");
  assertThrows(() => deleteVolumeMountPoint(host, "S:\\"), NativeError, "0x80070057");
});
