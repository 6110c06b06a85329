// Every function of the storage API with an aborted signal.
import { assertEquals, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../src/storage/mod.ts";
import { GIB } from "../support/host.ts";
import { BASE, BLANK, DISK, SCRATCH, storageHost, TOP } from "../support/storage_host.ts";

const NEW = "C:\\new";
const NEW_DISK = "C:\\disks\\new.vhdx";
const DISKS = { base: NEW_DISK, differencing: "C:\\disks\\diff.vhdx", size: GIB };
const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const data = storage.layerData();

type Call = (options: Required<Pick<storage.HostOptions, "host" | "signal">>) => unknown;

const CALLS: Readonly<Record<string, Call>> = {
  activateLayer: (o) => storage.activateLayer(SCRATCH, o),
  attachDisk: (o) => storage.attachDisk(DISK, o),
  baseImages: (o) => storage.baseImages(o),
  copyLayer: (o) => storage.copyLayer(BASE, NEW, o),
  createDifferencingDisk: (o) => storage.createDifferencingDisk(NEW_DISK, DISK, o),
  createLayer: (o) => storage.createLayer(NEW, o),
  createScratch: (o) => storage.createScratch(NEW, [BASE], o),
  createScratchLayer: (o) => storage.createScratchLayer(NEW, [BASE], o),
  createUtilityVMScratch: (o) => storage.createUtilityVMScratch(NEW, BASE, { ...o, vmId: "vm" }),
  createVhdx: (o) => storage.createVhdx(NEW_DISK, { ...o, size: GIB }),
  deactivateLayer: (o) => storage.deactivateLayer(SCRATCH, o),
  destroyLayer: (o) => storage.destroyLayer(TOP, o),
  detachDisk: (o) => storage.detachDisk(DISK, o),
  dismountCimImage: (o) => storage.dismountCimImage(VOLUME, o),
  expandScratch: (o) => storage.expandScratch(SCRATCH, 30 * GIB, o),
  expandScratchLayer: (o) => storage.expandScratchLayer(SCRATCH, 30 * GIB, o),
  exportLayer: (o) => storage.exportLayer(BASE, TOP, o),
  formatWritableLayerDisk: (o) => storage.formatWritableLayerDisk(BLANK, o),
  grantVmAccess: (o) => storage.grantVmAccess(DISK, "vm", o),
  grantVmGroupAccess: (o) => storage.grantVmGroupAccess(DISK, o),
  hcsAttachLayerStorageFilter: (o) => storage.hcsAttachLayerStorageFilter(SCRATCH, data, o),
  hcsAttachOverlayFilter: (o) => storage.hcsAttachOverlayFilter(VOLUME, data, o),
  hcsDestroyLayer: (o) => storage.hcsDestroyLayer(TOP, o),
  hcsDetachLayerStorageFilter: (o) => storage.hcsDetachLayerStorageFilter(SCRATCH, o),
  hcsDetachOverlayFilter: (o) => storage.hcsDetachOverlayFilter(VOLUME, data, o),
  hcsExportLayer: (o) => storage.hcsExportLayer(BASE, TOP, o),
  hcsFormatWritableLayerVhd: (o) => storage.hcsFormatWritableLayerVhd(4n, o),
  hcsGetLayerVhdMountPath: (o) => storage.hcsGetLayerVhdMountPath(4n, o),
  hcsImportLayer: (o) => storage.hcsImportLayer(NEW, BASE, o),
  hcsInitializeWritableLayer: (o) => storage.hcsInitializeWritableLayer(SCRATCH, data, o),
  hcsSetupBaseOSLayer: (o) => storage.hcsSetupBaseOSLayer(BASE, { Type: "Container" }, o),
  hcsSetupBaseOSVolume: (o) => storage.hcsSetupBaseOSVolume(BASE, VOLUME, o),
  importLayer: (o) => storage.importLayer(NEW, BASE, o),
  layerExists: (o) => storage.layerExists(BASE, o),
  layerMountPath: (o) => storage.layerMountPath(BASE, o),
  mountCimImage: (o) => storage.mountCimImage("C:\\a.cim", VOLUME, o),
  mountWritableLayerDisk: (o) => storage.mountWritableLayerDisk(DISK, o),
  openDisk: (o) => storage.openDisk(DISK, o),
  prepareLayer: (o) => storage.prepareLayer(SCRATCH, [BASE], o),
  setupContainerBaseLayer: (o) => storage.setupContainerBaseLayer(BASE, DISKS, o),
  setupUtilityVMBaseLayer: (o) => storage.setupUtilityVMBaseLayer(BASE, DISKS, o),
  unprepareLayer: (o) => storage.unprepareLayer(SCRATCH, o),
};

/** The functions that return at once, so that there is nothing to abort. */
const IMMEDIATE = ["enablePrivileges", "isDiskInUse", "layerData", "layerId", "resolvePath", "windowsHost"];

Deno.test("every function of the storage API is in the table of those that take a signal, or returns at once", () => {
  const functions = Object.entries(storage)
    .filter(([, value]) => typeof value === "function" && !(value.prototype instanceof Error))
    .map(([name]) => name);
  assertEquals([...Object.keys(CALLS), ...IMMEDIATE].toSorted(), functions.toSorted());
});

for (const [name, call] of Object.entries(CALLS)) {
  Deno.test(`${name}() with an aborted signal rejects with its reason, and calls nothing of Windows`, async () => {
    const host = storageHost();
    const reason = new Error("stop");
    const error = await assertRejects(async () => await call({ host, signal: AbortSignal.abort(reason) }));
    assertStrictEquals(error, reason);
    assertEquals(host.calls, []);
  });
}
