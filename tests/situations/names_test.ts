// Names and paths that Windows refuses, or takes for something else.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, InvalidInputError, listMounts, mountLCOWLayers, mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import {
  attachDisk,
  createScratch,
  createScratchLayer,
  createVhdx,
  detachDisk,
  formatWritableLayerDisk,
  mountCimImage,
  mountWritableLayerDisk,
  openDisk,
} from "../../src/storage/mod.ts";
import { changes, held } from "../support/calls.ts";
import { GIB, hostWith, LAYERS, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { IMAGE, LINUX, startedVM, vmCalls, vmHost, WINDOWS } from "../support/vm_host.ts";

for (const name of ["D:", "web:1"]) {
  Deno.test(`a mount folder can't be named ${name}: the mount is refused before anything is changed`, async () => {
    const host = stackHost();
    const before = host.paths();
    const mount = () => mountWCOWLayers("c1", STACK, { host, volumeMountPath: `C:\\mnt\\${name}` });
    const error = await assertRejects(mount, InvalidInputError);
    assertEquals([error.argument, changes(host), host.paths()], ["volumeMountPath", [], before]);
  });
}

Deno.test("a layer with a path that is too long is refused before anything is changed", async () => {
  const deep = `C:\\layers\\${"a".repeat(120)}\\${"b".repeat(130)}\\base`;
  const host = hostWith({ layers: [deep], scratches: [SCRATCH] });
  const error = await assertRejects(() => mountWCOWLayers("c1", [deep, SCRATCH], { host }), InvalidInputError);
  assertEquals([error.argument, changes(host)], ["layerFolders[0]", []]);
});

Deno.test("a scratch whose disk has a path that is too long is refused with its length before anything is changed", async () => {
  const deep = `C:\\${"s".repeat(245)}\\c1`;
  const host = hostWith({ layers: [LAYERS[0]!], scratches: [deep] });
  const calls: [argument: string, call: () => Promise<unknown>][] = [
    ["layerFolders[1]", () => mountWCOWLayers("c1", [LAYERS[0]!, deep], { host })],
    ["folder", () => createScratch(deep, [LAYERS[0]!], { host })],
    ["layer", () => createScratchLayer(deep, [LAYERS[0]!], { host })],
  ];
  for (const [argument, call] of calls) {
    const error = await assertRejects(call, InvalidInputError);
    assertEquals([error.argument, error.message.includes("(264)"), changes(host)], [argument, true, []]);
  }
});

Deno.test("a mount folder or a scratch that leads to a path that is too long is refused with its length before anything is changed", async () => {
  const deep = `C:\\${"d".repeat(120)}\\${"e".repeat(125)}`;
  const host = hostWith({ layers: [LAYERS[0]!], scratches: [SCRATCH, `${deep}\\c1`] });
  host.addSubstDrive("S:", deep);
  const before = host.paths();
  const volumeMountPath = "S:\\of\\container";
  const calls: [argument: string, path: string, length: number, call: () => Promise<unknown>][] = [
    [
      "volumeMountPath",
      volumeMountPath,
      262,
      () => mountWCOWLayers("c1", [LAYERS[0]!, SCRATCH], { host, volumeMountPath }),
    ],
    ["layerFolders[1]", "S:\\c1", 265, () => mountWCOWLayers("c1", [LAYERS[0]!, "S:\\c1"], { host })],
    ["folder", "S:\\new", 266, () => createScratch("S:\\new", [LAYERS[0]!], { host })],
    ["layer", "S:\\new", 266, () => createScratchLayer("S:\\new", [LAYERS[0]!], { host })],
  ];
  for (const [argument, path, length, call] of calls) {
    const error = await assertRejects(call, InvalidInputError, `(${length})`);
    assertEquals([error.argument, error.value, changes(host), host.paths()], [argument, path, [], before]);
  }
});

Deno.test("a disk file with a path that is too long is refused with its length before anything is changed", async () => {
  const deep = `C:\\${"d".repeat(200)}\\${"e".repeat(60)}.vhdx`;
  const host = hostWith({ disks: { [deep]: GIB } });
  const calls: (() => Promise<unknown>)[] = [
    () => openDisk(deep, { host }),
    () => attachDisk(deep, { host }),
    () => detachDisk(deep, { host }),
    () => createVhdx(deep, { size: GIB, host }),
    () => formatWritableLayerDisk(deep, { host }),
    () => mountWritableLayerDisk(`\\\\?\\${deep}`, { host }),
  ];
  for (const call of calls) {
    const error = await assertRejects(call, InvalidInputError);
    assertEquals([error.argument, /\(\d+\)/.test(error.message), host.calls], ["path", true, []]);
  }
});

Deno.test("a disk to which a VM gets a right has a path that Windows takes, or is refused before it is touched", async () => {
  const deep = `C:\\${"d".repeat(200)}\\${"e".repeat(60)}.vhdx`;
  const folder = `C:\\${"s".repeat(245)}\\c1`;
  const host = vmHost();
  host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
  host.addFile(deep, 2 ** 24);
  host.addFolder(folder);
  await using vm = await startedVM(host, LINUX);
  const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: deep };
  const calls: [argument: string, call: () => Promise<unknown>][] = [
    ["layers.scratchVhdPath", () => mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/c" })],
    ["options.layerFolders[1]", () => createUtilityVM({ ...WINDOWS, layerFolders: [IMAGE, folder] }, { host })],
  ];
  for (const [argument, call] of calls) {
    const from = host.calls.length;
    const error = await assertRejects(call, InvalidInputError);
    assertEquals([error.argument, /\(\d+\)/.test(error.message), vmCalls(host, from)], [argument, true, []]);
  }
});

Deno.test("an image in the root of a drive is mounted from the root, not from the current folder of the drive", async () => {
  const host = new SimulatedHost();
  host.addFile("D:\\base.cim", 4096);
  const volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
  const mounted = await mountCimImage("D:\\base.cim", volume, { host });
  const call = host.calls.find((call) => call.function === "CimMountImage")!;
  assertEquals([call.args["imagePath"], call.args["fsName"]], ["D:\\", "base.cim"]);
  await mounted.release();
  assertEquals(host.held(), []);
});

Deno.test("two scratches whose names differ in halves of surrogate pairs are two, and so are their mounts", async () => {
  const scratches = ["C:\\s\\\ud800", "C:\\s\\\ud801"] as const;
  const host = hostWith({ layers: [LAYERS[0]!], scratches });
  const mount = (scratch: string) =>
    mountWCOWLayers(scratch.slice(-1), [LAYERS[0]!, scratch], { host: host.otherProcess() });
  const mounts = [await mount(scratches[0]), await mount(scratches[1])];
  assertEquals((await listMounts({ host })).map(({ scratch }) => scratch), [...scratches]);
  await mounts[0]!.release();
  assertEquals((await listMounts({ host })).map(({ scratch, state }) => [scratch, state]), [[scratches[1], "mounted"]]);
  await mounts[1]!.release();
  assertEquals(held(host), []);
});
