// What is in files of a simulated host, and what a mount shows of it.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { createUtilityVM, mountWCOWLayers, unmountWCOWLayers } from "../../mod.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import { type LayerContents, SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import {
  attachDisk,
  copyLayer,
  createDifferencingDisk,
  createScratch,
  destroyLayer,
  enablePrivileges,
  exportLayer,
  hcsAttachLayerStorageFilter,
  hcsDetachLayerStorageFilter,
  hcsGetLayerVhdMountPath,
  importLayer,
  layerData,
  layerId,
  mountWritableLayerDisk,
} from "../../src/storage/mod.ts";
import { writeText } from "../support/files.ts";
import { held } from "../support/calls.ts";

const APP = "C:\\layers\\app";
const BASE = "C:\\layers\\base";
const SCRATCH = "C:\\containers\\web";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const STACK = [APP, BASE, SCRATCH];
const MOUNT = "C:\\mnt\\web";

const IN_BASE: LayerContents = {
  files: {
    "Windows\\win.ini": "base",
    "Windows\\System32\\x.dll": new Uint8Array([0, 255]),
    "Windows\\old.txt": "old",
    "both.txt": "base",
  },
};
const IN_APP: LayerContents = {
  files: { "app\\main.txt": "main", "both.txt": "app" },
  removed: ["Windows\\old.txt"],
};

const KINDS: [kind: string, host: (file?: string) => SimulatedHost][] = [
  ["plain layers", (file) => {
    const host = new SimulatedHost(file === undefined ? {} : { file });
    host.addLayer(BASE, IN_BASE);
    host.addLayer(APP, IN_APP);
    host.addScratch(SCRATCH);
    return host;
  }],
  ["an image", () => {
    const host = new SimulatedHost();
    host.addCimLayer(APP, { files: { ...IN_BASE.files, ...IN_APP.files, "Windows\\old.txt": 0 } });
    host.addLayer(BASE);
    host.addScratch(SCRATCH);
    return host;
  }],
];

const names = (host: SimulatedHost, path: string) => host.readDir(path).map(({ name }) => name);

for (const [kind, make] of KINDS) {
  Deno.test(`a mount of ${kind} shows the files of the layers, at its volume and its mount point`, async () => {
    const host = make();
    await using mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    for (const root of [mounted.path, `${MOUNT}\\`, MOUNT.toUpperCase() + "\\"]) {
      assertEquals(names(host, root), ["app", "both.txt", "Windows"]);
      assertEquals(host.readTextFile(`${root}both.txt`), "app");
      assertEquals(host.readTextFile(`${root}WINDOWS\\Win.ini`), "base");
      assertEquals(host.readFile(`${root}Windows\\System32\\x.dll`), new Uint8Array([0, 255]));
      assertThrows(() => host.readTextFile(`${root}no`), Deno.errors.NotFound, "readTextFile");
      assertThrows(() => host.readTextFile(`${root}Windows`), Deno.errors.PermissionDenied);
      assertThrows(() => host.readDir(`${root}both.txt`), Deno.errors.NotADirectory);
    }
    const [folder] = host.readDir(MOUNT);
    assertEquals(folder, { name: "app", isFile: false, isDirectory: true, isSymlink: false });
    assertEquals(host.readDir("C:\\mnt"), [{ name: "web", isFile: false, isDirectory: false, isSymlink: true }]);
  });

  Deno.test(`what is written to a mount of ${kind} is in the scratch: it is there again at the next mount`, async () => {
    const host = make();
    const before = host.paths();
    const layers = () => host.paths().filter((path) => /^C:\\layers/i.test(path));
    {
      await using mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
      host.writeTextFile(`${MOUNT}\\both.txt`, "written");
      host.mkdir(`${MOUNT}\\data\\deep`);
      host.writeFile(`${mounted.path}data\\deep\\bytes`, new Uint8Array([200, 0]));
      host.writeTextFile(`${MOUNT}\\Windows\\new.txt`, "new");
      host.remove(`${MOUNT}\\Windows\\win.ini`);
      host.remove(`${MOUNT}\\app`);
      assertEquals(names(host, `${MOUNT}\\Windows`).includes("win.ini"), false);
    }
    assertThrows(() => host.readDir(MOUNT), Deno.errors.NotFound);
    assertEquals(held(host), []);
    assertEquals(layers(), before.filter((path) => /^C:\\layers/i.test(path)));
    {
      await using mounted = await mountWCOWLayers("c1", STACK, { host });
      assertEquals(names(host, mounted.path), ["both.txt", "data", "Windows"]);
      assertEquals(host.readTextFile(`${mounted.path}both.txt`), "written");
      assertEquals(host.readFile(`${mounted.path}data\\deep\\bytes`), new Uint8Array([200, 0]));
      assertThrows(() => host.readTextFile(`${mounted.path}Windows\\win.ini`), Deno.errors.NotFound);
      assertThrows(() => host.readTextFile(`${mounted.path}app\\main.txt`), Deno.errors.NotFound);
      // A folder that was removed and made again has nothing of the one below.
      host.mkdir(`${mounted.path}app`);
      assertEquals(names(host, `${mounted.path}app`), []);
    }
    assertThrows(() => host.readTextFile(`${MOUNT}\\both.txt`), Deno.errors.NotFound);
    // Another scratch on the same layers has nothing of it.
    host.remove(SCRATCH);
    host.addScratch(SCRATCH);
    await using mounted = await mountWCOWLayers("c1", STACK, { host });
    assertEquals(host.readTextFile(`${mounted.path}both.txt`), "app");
    assertEquals(names(host, mounted.path), ["app", "both.txt", "Windows"]);
  });
}

Deno.test("a layer hides what it removed of the layers below it", async () => {
  const host = KINDS[0]![1]();
  await using mounted = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(names(host, `${mounted.path}Windows`), ["System32", "win.ini"]);
  assertThrows(() => host.readTextFile(`${mounted.path}Windows\\OLD.txt`), Deno.errors.NotFound);
  assertEquals(host.readTextFile(`${BASE}\\Files\\Windows\\old.txt`), "old");
});

Deno.test("contents survive in a state file, where a text is a text", async () => {
  const file = await Deno.makeTempFile();
  try {
    KINDS[0]![1](file);
    const host = new SimulatedHost({ file });
    {
      await using mounted = await mountWCOWLayers("c1", STACK, { host });
      host.writeTextFile(`${mounted.path}note`, "grüße\r\n");
      assertEquals(new SimulatedHost({ file }).readTextFile(`${mounted.path}note`), "grüße\r\n");
    }
    await using mounted = await mountWCOWLayers("c1", STACK, { host: new SimulatedHost({ file }) });
    assertEquals(host.readTextFile(`${mounted.path}note`), "grüße\r\n");
    assertEquals(host.readFile(`${mounted.path}Windows\\System32\\x.dll`), new Uint8Array([0, 255]));
    assertEquals((await Deno.readTextFile(file)).includes("grüße\\r\\n"), true);
    await copyLayer(BASE, "C:\\layers\\copy", { host });
    assertEquals(new SimulatedHost({ file }).readTextFile("C:\\layers\\copy\\Files\\both.txt"), "base");
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("each content comes back to the byte, and a size without one is told", () => {
  const host = new SimulatedHost();
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (const bytes of [all, all.subarray(0, 1), new Uint8Array(), new TextEncoder().encode("\ufeffä\t\r\n😀")]) {
    host.addFile("C:\\f", bytes);
    assertEquals(host.readFile("C:\\f"), bytes);
  }
  assertEquals(host.readTextFile("C:\\f"), "\ufeffä\t\r\n😀");
  host.addFile("C:\\size", 10);
  assertThrows(() => host.readFile("C:\\size"), SimulationError, "C:\\size was added with a size and no content");
  host.addFile("C:\\empty");
  assertEquals(host.readTextFile("C:\\empty"), "");
  host.writeTextFile("C:\\size", "now known");
  assertEquals(host.readTextFile("C:\\size"), "now known");
});

Deno.test("writing needs the folder, and no folder of the name", () => {
  const host = new SimulatedHost();
  assertThrows(() => host.writeTextFile("C:\\no\\f", ""), Deno.errors.NotFound);
  host.mkdir("C:\\a\\b");
  host.mkdir("C:\\a\\b");
  assertThrows(() => host.writeTextFile("C:\\a", ""), Deno.errors.PermissionDenied);
  host.writeTextFile("C:\\a\\b\\f", "");
  assertThrows(() => host.mkdir("C:\\a\\b\\f"), Deno.errors.AlreadyExists);
  assertThrows(() => host.mkdir("Q:\\a"), Deno.errors.NotFound);
  assertThrows(() => host.readFile("C:\\a|b"), SimulationError, "ERROR_INVALID_NAME");
});

Deno.test("names in a layer that are no relative paths are refused, and nothing is added", () => {
  const host = new SimulatedHost();
  for (const name of ["C:\\x", "\\x", "", "a|b"]) {
    assertThrows(() => host.addLayer(BASE, { files: { ok: "", [name]: "" } }), SimulationError, "no path in a layer");
    assertThrows(() => host.addCimLayer(BASE, { removed: [name] }), SimulationError, "no path in a layer");
  }
  assertEquals(host.paths(), ["C:"]);
  host.addLayer(BASE, { files: { "a/b.txt": "slash" } });
  assertEquals(host.readTextFile(`${BASE}\\Files\\a\\b.txt`), "slash");
});

Deno.test("a disk has its contents while it is attached", async () => {
  const host = new SimulatedHost();
  host.addFile("C:\\disks\\data.vhdx", 2 ** 30);
  const volumes: string[] = [];
  for (const content of [undefined, "first"]) {
    await using disk = await attachDisk("C:\\disks\\data.vhdx", { host });
    const volume = await hcsGetLayerVhdMountPath(disk.handle, { host });
    volumes.push(volume);
    if (content !== undefined) assertEquals(host.readTextFile(`${volume}f`), content);
    host.writeTextFile(`${volume}f`, "first");
  }
  assertThrows(() => host.readTextFile(`${volumes[0]}f`), Deno.errors.NotFound);
});

Deno.test("a filter that is attached by documents shows layers as well", async () => {
  const host = KINDS[0]![1]();
  await using disk = await mountWritableLayerDisk(DISK, { host });
  assertEquals(names(host, disk.volume), []);
  const layers = [APP, BASE].map((Path) => ({ Id: layerId(Path, { host }), Path }));
  await hcsAttachLayerStorageFilter(disk.volume, layerData({ layers }), { host });
  assertEquals(names(host, disk.volume), ["app", "both.txt", "Windows"]);
  assertThrows(() => host.remove(BASE), SimulationError, "nobody knows");
  await hcsDetachLayerStorageFilter(disk.volume, { host });
  assertEquals(names(host, disk.volume), []);
});

Deno.test("remove() refuses what a virtual machine has", async () => {
  const host = new SimulatedHost();
  host.addWindowsBootLayer("C:\\image");
  host.addScratch("C:\\vm");
  await using vm = await createUtilityVM({ os: "windows", layerFolders: ["C:\\image", "C:\\vm"] }, { host });
  await vm.start();
  assertThrows(() => host.remove("C:\\vm"), SimulationError, "a virtual machine has it");
  assertThrows(() => host.remove("C:\\image"), SimulationError, "nobody knows");
});

Deno.test("functions for layers carry contents along", async () => {
  const host = KINDS[0]![1]();
  {
    await using mounted = await mountWCOWLayers("c1", STACK, { host });
    host.writeTextFile(`${mounted.path}Windows\\new.txt`, "new");
    host.remove(`${mounted.path}both.txt`);
  }
  using _privileges = enablePrivileges(["SeBackupPrivilege", "SeRestorePrivilege"], { host });
  const parents = [APP, BASE];
  host.addFolder("C:\\export");
  await exportLayer(SCRATCH, "C:\\export", { parents, host });
  assertEquals(host.readTextFile("C:\\export\\tombstones.txt"), "\ufeffVersion 1.0\n\\both.txt\n");
  assertEquals(names(host, "C:\\export\\Files"), ["Windows", "Windows.$wcidirs$"]);
  await importLayer("C:\\layers\\new", "C:\\export", { parents, host });
  assertEquals(names(host, "C:\\layers\\new"), ["Files", "Hives"]);
  await copyLayer("C:\\layers\\new", "C:\\layers\\copy", { parents, host });
  const layers = ["C:\\layers\\copy", APP, BASE];
  await createScratch("C:\\containers\\next", layers, { host });
  {
    await using mounted = await mountWCOWLayers("c2", [...layers, "C:\\containers\\next"], { host });
    assertEquals(names(host, mounted.path), ["app", "Windows"]);
    assertEquals(names(host, `${mounted.path}Windows`), ["new.txt", "System32", "win.ini"]);
    host.writeTextFile(`${mounted.path}f`, "gone with the scratch");
  }
  await destroyLayer("C:\\containers\\next", { host });
  await destroyLayer("C:\\layers\\copy", { host });
  assertEquals(host.paths().filter((path) => /copy|next|Volume\{.*\\f$/.test(path)), []);
});

Deno.test("a copied disk has what was on the disk, and so has a differencing disk on it", async () => {
  const host = KINDS[0]![1]();
  {
    await using mounted = await mountWCOWLayers("c1", STACK, { host });
    host.writeTextFile(`${mounted.path}f`, "1");
    host.remove(`${mounted.path}app`);
  }
  host.addFolder("C:\\containers\\copy");
  host.addFolder("C:\\containers\\diff");
  k32.copyFile(host, DISK, "C:\\containers\\copy\\sandbox.vhdx");
  await createDifferencingDisk("C:\\containers\\diff\\sandbox.vhdx", DISK, { host });
  for (const folder of ["C:\\containers\\copy", "C:\\containers\\diff"]) {
    await using mounted = await mountWCOWLayers("c1", [APP, BASE, folder], { host });
    assertEquals(names(host, mounted.path), ["both.txt", "f", "Windows"]);
    host.writeTextFile(`${mounted.path}f`, "2");
  }
  await using mounted = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(host.readTextFile(`${mounted.path}f`), "1");
});

Deno.test("remove() removes what nobody uses, and refuses what Windows refuses", async () => {
  const host = KINDS[0]![1]();
  const mounted = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.writeTextFile(`${MOUNT}\\f`, "");
  for (const path of [SCRATCH, DISK, "C:\\containers"]) {
    assertThrows(() => host.remove(path), SimulationError, `${path} can't be removed: a disk in it is in use`);
  }
  assertThrows(() => host.readFile(DISK), SimulationError, "is in use");
  assertThrows(() => host.writeTextFile(DISK, ""), SimulationError, "is in use");
  for (const path of [BASE, "C:\\layers", `${APP}\\Files\\both.txt`]) {
    assertThrows(() => host.remove(path), SimulationError, "nobody knows");
  }
  assertThrows(() => host.remove(MOUNT), SimulationError, "nobody knows");
  assertThrows(() => host.remove("C:\\"), SimulationError, "root");
  assertThrows(() => host.remove(mounted.path), SimulationError, "root");
  assertThrows(() => host.remove("C:\\no"), Deno.errors.NotFound);
  {
    using _open = k32.openFile(host, BASE, { flags: k32.fileFlag.BACKUP_SEMANTICS });
    await mounted.release();
    assertThrows(() => host.remove("C:\\layers"), SimulationError, "it is open in this process");
  }
  host.remove(SCRATCH);
  host.remove("C:\\layers");
  assertEquals(host.paths(), ["C:", "C:\\containers"]);
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host }));
});

Deno.test("remove(): a scratch that somebody deletes after unmounting it doesn't keep its owner from releasing it", async () => {
  const host = KINDS[0]![1]();
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  await unmountWCOWLayers(SCRATCH, { host });
  host.remove(SCRATCH);
  await mounted.release();
  assertEquals(held(host), []);
});

Deno.test("nothing can be written to an image that is mounted on its own, nor can its file be removed", async () => {
  const host = KINDS[1]![1]();
  await using _mounted = await mountWCOWLayers("c1", STACK, { host });
  const image = host.held().find(({ kind }) => kind === "cimVolume")!;
  assertThrows(() => host.remove(image.target), SimulationError, "an image in it is mounted");
  const volume = host.calls.findLast((call) => call.function === "CimMountImage")!.args["volumeId"];
  const root = `\\\\?\\Volume{${volume}}`;
  assertEquals(names(host, root), ["Files"]);
  assertEquals(host.readTextFile(`${root}\\Files\\both.txt`), "app");
  assertThrows(() => host.writeTextFile(`${root}\\Files\\both.txt`, ""), SimulationError, "image");
  assertThrows(() => host.remove(`${root}\\Files\\both.txt`), SimulationError, "image");
});

Deno.test("functions of Windows see what a mount shows, and change the scratch alone", async () => {
  const host = KINDS[0]![1]();
  await using mounted = await mountWCOWLayers("c1", STACK, { host });
  k32.deleteFile(host, `${mounted.path}both.txt`);
  assertThrows(() => host.readTextFile(`${mounted.path}both.txt`), Deno.errors.NotFound);
  assertEquals(host.readTextFile(`${APP}\\Files\\both.txt`), "app");
  // A mount point and a stream at what a layer has are on the scratch.
  const folder = `${mounted.path}app\\empty`;
  k32.createDirectory(host, folder);
  writeText(host, `${mounted.path}app:mark`, "marked");
  assertEquals(k32.readText(host, `${mounted.path}app:mark`), "marked");
  assertThrows(() => k32.readText(host, `${APP}\\Files\\app:mark`));
  k32.setVolumeMountPoint(host, folder, host.addVolume("11111111-1111-1111-1111-111111111111"));
  assertEquals(names(host, folder), []);
  assertEquals(names(host, `${mounted.path}app`), ["empty", "main.txt"]);
});
