// What the storage API refuses, before Windows is asked to do anything.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { BASE, BLANK, DISK, SCRATCH, storageHost, TOP } from "../support/storage_host.ts";
import { GIB } from "../support/host.ts";
import { held } from "../support/calls.ts";

type Call = (host: SimulatedHost) => unknown;

const NEW = "C:\\disks\\new.vhdx";
const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const MIB = 2 ** 20;
const DISKS = { base: NEW, differencing: "C:\\disks\\diff.vhdx", size: GIB };
const data = storage.layerData();

// Every function that takes a path there, by the argument.
const PATHS: [argument: string, call: (path: string, host: SimulatedHost) => unknown][] = [
  ["layer", (path, host) => storage.activateLayer(path, { host })],
  ["layer", (path, host) => storage.deactivateLayer(path, { host })],
  ["layer", (path, host) => storage.prepareLayer(path, [BASE], { host })],
  ["parents[1]", (path, host) => storage.prepareLayer(SCRATCH, [TOP, path], { host })],
  ["layer", (path, host) => storage.unprepareLayer(path, { host })],
  ["layer", (path, host) => storage.layerMountPath(path, { host })],
  ["layer", (path, host) => storage.layerExists(path, { host })],
  ["layer", (path, host) => storage.createLayer(path, { host })],
  ["parent", (path, host) => storage.createLayer("C:\\new", { parent: path, host })],
  ["layer", (path, host) => storage.createScratchLayer(path, [BASE], { host })],
  ["parents[0]", (path, host) => storage.createScratchLayer("C:\\new", [path], { host })],
  ["layer", (path, host) => storage.expandScratchLayer(path, 30 * GIB, { host })],
  ["layer", (path, host) => storage.destroyLayer(path, { host })],
  ["source", (path, host) => storage.copyLayer(path, "C:\\new", { host })],
  ["destination", (path, host) => storage.copyLayer(BASE, path, { host })],
  ["parents[0]", (path, host) => storage.copyLayer(BASE, "C:\\new", { parents: [path], host })],
  ["layer", (path, host) => storage.importLayer(path, BASE, { host })],
  ["folder", (path, host) => storage.importLayer("C:\\new", path, { host })],
  ["parents[0]", (path, host) => storage.importLayer("C:\\new", BASE, { parents: [path], host })],
  ["layer", (path, host) => storage.exportLayer(path, TOP, { host })],
  ["folder", (path, host) => storage.exportLayer(BASE, path, { host })],
  ["parents[0]", (path, host) => storage.exportLayer(BASE, TOP, { parents: [path], host })],
  ["layer", (path, host) => storage.layerId(path, { host })],
  ["layer", (path, host) => storage.hcsImportLayer(path, BASE, { host })],
  ["sourceFolder", (path, host) => storage.hcsImportLayer("C:\\new", path, { host })],
  ["layer", (path, host) => storage.hcsExportLayer(path, TOP, { host })],
  ["exportFolder", (path, host) => storage.hcsExportLayer(BASE, path, { host })],
  ["layer", (path, host) => storage.hcsDestroyLayer(path, { host })],
  ["layer", (path, host) => storage.hcsSetupBaseOSLayer(path, { Type: "Container" }, { host })],
  ["layer", (path, host) => storage.hcsSetupBaseOSVolume(path, VOLUME, { host })],
  ["volume", (path, host) => storage.hcsSetupBaseOSVolume(BASE, path, { host })],
  ["layer", (path, host) => storage.hcsInitializeWritableLayer(path, data, { host })],
  ["layer", (path, host) => storage.hcsAttachLayerStorageFilter(path, data, { host })],
  ["layer", (path, host) => storage.hcsDetachLayerStorageFilter(path, { host })],
  ["volume", (path, host) => storage.hcsAttachOverlayFilter(path, data, { host })],
  ["volume", (path, host) => storage.hcsDetachOverlayFilter(path, data, { host })],
  ["path", (path, host) => storage.createVhdx(path, { size: GIB, host })],
  ["path", (path, host) => storage.createDifferencingDisk(path, DISK, { host })],
  ["parent", (path, host) => storage.createDifferencingDisk(NEW, path, { host })],
  ["path", (path, host) => storage.openDisk(path, { host })],
  ["path", (path, host) => storage.attachDisk(path, { host })],
  ["path", (path, host) => storage.detachDisk(path, { host })],
  ["path", (path, host) => storage.isDiskInUse(path, { host })],
  ["path", (path, host) => storage.formatWritableLayerDisk(path, { host })],
  ["path", (path, host) => storage.mountWritableLayerDisk(path, { host })],
  ["layer", (path, host) => storage.setupContainerBaseLayer(path, DISKS, { host })],
  ["disks.base", (path, host) => storage.setupContainerBaseLayer(BASE, { ...DISKS, base: path }, { host })],
  [
    "disks.differencing",
    (path, host) => storage.setupUtilityVMBaseLayer(BASE, { ...DISKS, differencing: path }, { host }),
  ],
  ["layer", (path, host) => storage.setupUtilityVMBaseLayer(path, DISKS, { host })],
  ["folder", (path, host) => storage.createScratch(path, [BASE], { host })],
  ["layers[0]", (path, host) => storage.createScratch("C:\\new", [path], { host })],
  ["folder", (path, host) => storage.createUtilityVMScratch(path, BASE, { vmId: "vm1", host })],
  ["layer", (path, host) => storage.createUtilityVMScratch("C:\\new", path, { vmId: "vm1", host })],
  ["folder", (path, host) => storage.expandScratch(path, 30 * GIB, { host })],
  ["file", (path, host) => storage.grantVmAccess(path, "vm1", { host })],
  ["path", (path, host) => storage.grantVmGroupAccess(path, { host })],
  ["path", (path, host) => storage.resolvePath(path, { host })],
  ["image", (path, host) => storage.mountCimImage(path, VOLUME, { host })],
  ["volume", (path, host) => storage.mountCimImage(BASE, path, { host })],
  ["volume", (path, host) => storage.dismountCimImage(path, { host })],
];

Deno.test("every function of the storage API refuses a path that is none, before it calls anything", async () => {
  for (const [argument, call] of PATHS) {
    for (const path of ["", "a\0b", "relative\\path", "/a/b", "C:", 5 as unknown as string]) {
      const host = storageHost();
      const error = await refusal(() => call(path, host));
      assertEquals([error.argument, host.calls], [argument, []], `${call} ${JSON.stringify(path)}`);
    }
  }
});

const SIZES: [size: unknown, problem: string][] = [
  [0, "is not between 3 MiB and 64 TiB"],
  [0n, "is not between 3 MiB and 64 TiB"],
  [-GIB, "is not between 3 MiB and 64 TiB"],
  [3 * MIB - 512, "is not between 3 MiB and 64 TiB"],
  [64 * 2 ** 40 + 512, "is not between 3 MiB and 64 TiB"],
  [2n ** 64n, "is not between 3 MiB and 64 TiB"],
  [2 ** 64, "is not between 3 MiB and 64 TiB"],
  [GIB + 1, "is not a multiple of 512 bytes"],
  [1.5 * MIB + 0.5, "is not a whole number of bytes"],
  [NaN, "is not a whole number of bytes"],
  [Infinity, "is not a whole number of bytes"],
  ["20GB", "is not a whole number of bytes"],
  [undefined, "is not a whole number of bytes"],
];

const WITH_SIZE: [argument: string, call: (size: number, host: SimulatedHost) => unknown][] = [
  ["size", (size, host) => storage.createVhdx(NEW, { size, host })],
  ["size", (size, host) => storage.expandScratchLayer(SCRATCH, size, { host })],
  ["size", (size, host) => storage.expandScratch(SCRATCH, size, { host })],
  ["disks.size", (size, host) => storage.setupContainerBaseLayer(BASE, { ...DISKS, size }, { host })],
  ["disks.size", (size, host) => storage.setupUtilityVMBaseLayer(BASE, { ...DISKS, size }, { host })],
  ["size", (size, host) => storage.createScratch("C:\\new", [BASE], { size: size ?? NaN, host })],
];

for (const [size, problem] of SIZES) {
  Deno.test(`every function with a size refuses ${typeof size} ${size}: it ${problem}`, async () => {
    for (const [argument, call] of WITH_SIZE) {
      const host = storageHost();
      const error = await refusal(() => call(size as number, host));
      assertEquals([error.argument, error.message.includes(problem), host.calls], [argument, true, []], error.message);
    }
  });
}

Deno.test("createVhdx() and createDifferencingDisk() refuse blocks of another size than Windows has", async () => {
  for (const blockSize of [-1, 1, MIB - 1, MIB + 1, 3 * MIB, 512 * MIB, 1.5]) {
    const host = storageHost();
    const errors = [
      await refusal(() => storage.createVhdx(NEW, { size: GIB, blockSize, host })),
      await refusal(() => storage.createDifferencingDisk(NEW, DISK, { blockSize, host })),
    ];
    assertEquals([errors.map(({ argument }) => argument), host.calls], [["blockSize", "blockSize"], []]);
  }
});

const REFUSED: [problem: string, argument: string, call: Call][] = [
  ["a layer that doesn't exist", "layer", (host) => storage.activateLayer("C:\\no", { host })],
  ["a layer that is a file", "layer", (host) => storage.activateLayer(DISK, { host })],
  ["a parent that doesn't exist", "parents[0]", (host) => storage.prepareLayer(SCRATCH, ["C:\\no"], { host })],
  ["two parents of one name", "parents[1]", (host) => storage.prepareLayer(SCRATCH, [BASE, "D:\\BASE"], { host })],
  ["parents that are no list", "parents", (host) => storage.prepareLayer(SCRATCH, BASE as never, { host })],
  ["no parents for a scratch", "parents", (host) => storage.createScratchLayer("C:\\new", [], { host })],
  ["a scratch that has a disk", "layer", (host) => storage.createScratchLayer(SCRATCH, [BASE], { host })],
  ["a new layer that exists", "layer", (host) => storage.createLayer(BASE, { host })],
  ["a parent that is a file", "parent", (host) => storage.createLayer("C:\\new", { parent: DISK, host })],
  ["a copy onto what exists", "destination", (host) => storage.copyLayer(BASE, TOP, { host })],
  ["an import from the layer itself", "folder", (host) => storage.importLayer(BASE, `${BASE}\\`, { host })],
  ["an export to the layer itself", "folder", (host) => storage.exportLayer(BASE, BASE.toUpperCase(), { host })],
  ["an export to nowhere", "folder", (host) => storage.exportLayer(BASE, "C:\\no", { host })],
  ["the same by document", "sourceFolder", (host) => storage.hcsImportLayer(BASE, BASE, { host })],
  ["the same by document", "exportFolder", (host) => storage.hcsExportLayer(BASE, BASE, { host })],
  ["a scratch without a disk", "layer", (host) => storage.expandScratchLayer(BASE, 30 * GIB, { host })],
  ["a size below the disk's", "size", (host) => storage.expandScratch(SCRATCH, GIB, { host })],
  ["a utility VM without a disk", "vhd", (host) => storage.hcsSetupBaseOSLayer(BASE, { Type: "Vm" }, { host })],
  [
    "a layer for containers with a disk",
    "vhd",
    (host) => storage.hcsSetupBaseOSLayer(BASE, { Type: "Container" }, { vhd: 4n, host }),
  ],
  ["HANDLE 0", "vhd", (host) => storage.hcsFormatWritableLayerVhd(0n, { host })],
  ["HANDLE -1", "vhd", (host) => storage.hcsGetLayerVhdMountPath(2n ** 64n - 1n, { host })],
  ["a number for a HANDLE", "vhd", (host) => storage.hcsGetLayerVhdMountPath(4 as never, { host })],
  ["a folder for a volume", "volume", (host) => storage.hcsAttachOverlayFilter(BASE, data, { host })],
  ["a new disk that exists", "path", (host) => storage.createVhdx(BLANK, { size: GIB, host })],
  ["a new disk that exists", "path", (host) => storage.createDifferencingDisk(BLANK, DISK, { host })],
  ["another ending", "path", (host) => storage.createVhdx("C:\\disks\\new.vhd", { size: GIB, host })],
  ["a parent that isn't there", "parent", (host) => storage.createDifferencingDisk(NEW, "C:\\no.vhdx", { host })],
  ["a disk that isn't there", "path", (host) => storage.openDisk(NEW, { host })],
  ["a folder for a disk", "path", (host) => storage.attachDisk(BASE, { host })],
  [
    "two disks of one path",
    "disks.differencing",
    (host) => storage.setupUtilityVMBaseLayer(BASE, { ...DISKS, differencing: NEW.toUpperCase() }, { host }),
  ],
  ["a file for a scratch folder", "folder", (host) => storage.createScratch(DISK, [BASE], { host })],
  ["an empty VM id", "vmId", (host) => storage.grantVmAccess(DISK, "", { host })],
  ["a VM id with NUL", "vmId", (host) => storage.createUtilityVMScratch("C:\\new", BASE, { vmId: "a\0", host })],
  ["a grant to nothing", "path", (host) => storage.grantVmGroupAccess("C:\\no", { host })],
  ["a privilege without a name", "privileges[1]", (host) => storage.enablePrivileges(["SeX", ""], { host })],
  ["a privilege instead of a list", "privileges", (host) => storage.enablePrivileges("SeX" as never, { host })],
];
for (const [problem, argument, call] of REFUSED) {
  Deno.test(`${/storage\.(\w+)/.exec(`${call}`)![1]}() refuses ${problem}`, async () => {
    const host = storageHost();
    const paths = host.paths();
    const error = await refusal(() => call(host));
    assertEquals([error.argument, held(host), host.paths()], [argument, [], paths]);
  });
}

Deno.test("functions that need a disk for themselves refuse one that is in use", async () => {
  const host = storageHost();
  await using _ = await storage.attachDisk(DISK, { host });
  const from = host.calls.length;
  const calls: Call[] = [
    (host) => storage.activateLayer(SCRATCH, { host }),
    (host) => storage.expandScratchLayer(SCRATCH, 30 * GIB, { host }),
    (host) => storage.expandScratch(SCRATCH, 30 * GIB, { host }),
    (host) => storage.attachDisk(DISK, { host }),
    (host) => storage.formatWritableLayerDisk(DISK, { host }),
    (host) => storage.mountWritableLayerDisk(DISK, { host }),
  ];
  for (const call of calls) {
    const error = await assertRejects(async () => await call(host), storage.InUseError, "in use");
    assertEquals(error.path, DISK);
  }
  assertEquals(host.calls.slice(from).filter((call) => call.dll !== "kernel32"), []);
});

function refusal(call: () => unknown): Promise<storage.InvalidInputError> {
  return assertRejects(async () => await call(), storage.InvalidInputError);
}
