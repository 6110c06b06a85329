import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { simulatedLayerId } from "../../src/simulated/name_to_guid.ts";
import * as storage from "../../src/storage/mod.ts";
import { BASE, BLANK, DISK, storageHost, TOP } from "../support/storage_host.ts";
import { held, onlyCall, sequence, storageCalls } from "../support/calls.ts";

const VOLUME = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const DATA = storage.layerData({ layers: [{ Id: simulatedLayerId("base"), Path: BASE }] });
const DATA_TEXT = `{"SchemaVersion":{},"Layers":[{"Id":"${simulatedLayerId("base")}","Path":"C:\\\\layers\\\\base"}]}`;
const NONE_TEXT = '{"SchemaVersion":{}}';

function volumeHost(build = 20348): SimulatedHost {
  const host = storageHost({ build });
  host.addVolume(VOLUME.slice(11, -2));
  host.addFolder("C:\\out");
  return host;
}

Deno.test("each function of computestorage.dll gets what it was given, and the documents with all keys", async () => {
  const host = volumeHost();
  const rows: [call: () => Promise<unknown>, name: string, args: unknown][] = [
    [
      () => storage.hcsImportLayer("C:\\new", TOP, { host, data: DATA }),
      "HcsImportLayer",
      { path: "C:\\new", source: TOP, data: DATA_TEXT },
    ],
    [
      () => storage.hcsExportLayer(TOP, "C:\\out", { host }),
      "HcsExportLayer",
      { path: TOP, folder: "C:\\out", data: NONE_TEXT, options: "{}" },
    ],
    [
      () => storage.hcsExportLayer(TOP, "C:\\out", { host, data: DATA, writable: true }),
      "HcsExportLayer",
      { path: TOP, folder: "C:\\out", data: DATA_TEXT, options: '{"IsWritableLayer":true}' },
    ],
    [() => storage.hcsDestroyLayer("C:\\new", { host }), "HcsDestroyLayer", { path: "C:\\new" }],
    [
      () => storage.hcsSetupBaseOSLayer(BASE, { Type: "Container" }, { host }),
      "HcsSetupBaseOSLayer",
      { path: BASE, vhd: 0, options: '{"Type":"Container"}' },
    ],
    [
      () => storage.hcsSetupBaseOSVolume(TOP, VOLUME.slice(0, -1), { host }),
      "HcsSetupBaseOSVolume",
      { path: TOP, volume: VOLUME, options: '{"Type":"Container"}' },
    ],
    [
      () => storage.hcsSetupBaseOSVolume(TOP, VOLUME, { host, os: { Type: "Vm", SkipUpdateBcdForBoot: true } }),
      "HcsSetupBaseOSVolume",
      { path: TOP, volume: VOLUME, options: '{"Type":"Vm","SkipUpdateBcdForBoot":true}' },
    ],
    [
      () => storage.hcsInitializeWritableLayer(VOLUME.slice(0, -1), DATA, { host }),
      "HcsInitializeWritableLayer",
      { path: VOLUME, data: DATA_TEXT, options: "" },
    ],
    [
      () => storage.hcsAttachLayerStorageFilter(VOLUME, DATA, { host }),
      "HcsAttachLayerStorageFilter",
      { path: VOLUME, data: DATA_TEXT },
    ],
    [
      () => storage.hcsDetachLayerStorageFilter(VOLUME, { host }),
      "HcsDetachLayerStorageFilter",
      { path: VOLUME },
    ],
  ];
  for (const [call, name, args] of rows) {
    const from = host.calls.length;
    assertEquals(await call(), undefined);
    assertEquals(onlyCall(host, from), [name, args as Record<string, unknown>]);
  }
  assertEquals(held(host).filter((line) => !line.startsWith("f")), []);
});

Deno.test("hcsSetupBaseOSLayer() passes a utility VM's layer the disk that it was given", async () => {
  const host = volumeHost();
  await using disk = await storage.attachDisk(BLANK, { host });
  await storage.hcsSetupBaseOSLayer(TOP, { Type: "Vm" }, { host, vhd: disk.handle });
  const [, args] = [...storageCalls(host)].map((call) => [call.function, call.args] as const).at(-1)!;
  assertEquals(args, { path: TOP, vhd: Number(disk.handle), options: '{"Type":"Vm"}' });
});

Deno.test("hcsGetLayerVhdMountPath() closes the volume's name, and frees it as the function's documentation says", async () => {
  const host = volumeHost();
  await using disk = await storage.attachDisk(DISK, { host });
  const from = host.calls.length;
  const volume = await storage.hcsGetLayerVhdMountPath(disk.handle, { host });
  assertEquals(/^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/.test(volume), true, volume);
  assertEquals(sequence(host, from), ["HcsGetLayerVhdMountPath", "LocalFree"]);
  assertEquals(host.allocations, 0);
});

Deno.test("hcsFormatWritableLayerVhd() formats the disk that it was given", async () => {
  const host = volumeHost();
  await using disk = await storage.openDisk(BLANK, { host });
  await storage.hcsFormatWritableLayerVhd(disk.handle, { host });
  await disk.attach();
  await storage.hcsGetLayerVhdMountPath(disk.handle, { host });
});

Deno.test("hcsSetupBaseOSVolume() refuses a build below 19645 before it calls anything", async () => {
  const host = volumeHost(19644);
  const error = await assertRejects(
    () => storage.hcsSetupBaseOSVolume(TOP, VOLUME, { host }),
    storage.UnsupportedBuildError,
  );
  assertEquals(error.build, "19644");
  assertEquals(host.calls.map((call) => call.function), ["RtlGetVersion"]);
  await storage.hcsSetupBaseOSVolume(TOP, VOLUME, { host: volumeHost(19645) });
});

for (const build of [17763, 19043]) {
  Deno.test(`hcsAttachOverlayFilter() and hcsDetachOverlayFilter() name what is missing on build ${build}`, async () => {
    const host = volumeHost(build);
    const data = storage.layerData({ filterType: "UnionFS" });
    for (const call of [storage.hcsAttachOverlayFilter, storage.hcsDetachOverlayFilter]) {
      const error = await assertRejects(() => call(VOLUME, data, { host }), storage.MissingExportError);
      assertEquals(error.dll, "computestorage.dll");
    }
  });
}
