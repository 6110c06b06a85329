import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import * as storage from "../../../src/ffi/computestorage.ts";
import { NativeError } from "../../../src/errors/windows_errors.ts";
import { type Host, windowsHost } from "../../../src/ffi/host.ts";
import { attachFlag, attachVirtualDisk, openVirtualDisk } from "../../../src/ffi/virtdisk.ts";
import { layerData } from "../../../src/hcsschema/storage.ts";
import { watched } from "./host.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";

const LAYER = "C:\\layers\\Ärger 😀";
const VOLUME = "\\\\?\\Volume{00010203-0405-0607-0809-0a0b0c0d0e0f}\\";
const DISK = "C:\\layers\\scratch\\blank.vhdx";

const data = layerData({
  layers: [
    { Id: "488d6829-ed71-5eed-ac15-2fb41ecac0fd", Path: "C:\\layers\\top" },
    { Id: "00010203-0405-0607-0809-0a0b0c0d0e0f", Path: "C:\\layers\\öse" },
  ],
  filterType: "WCIFS",
});
const DATA = '{"SchemaVersion":{},"Layers":[' +
  '{"Id":"488d6829-ed71-5eed-ac15-2fb41ecac0fd","Path":"C:\\\\layers\\\\top"},' +
  '{"Id":"00010203-0405-0607-0809-0a0b0c0d0e0f","Path":"C:\\\\layers\\\\öse"}],"FilterType":"WCIFS"}';

interface Case {
  fn: keyof typeof storage.computestorageSymbols;
  call(host: Host, disk: bigint): unknown;
  received: Record<string, unknown>;
  path?: string | undefined;
}

const CASES: Case[] = [
  {
    fn: "HcsAttachLayerStorageFilter",
    call: (host) => storage.attachLayerStorageFilter(host, LAYER, data),
    received: { layerPath: LAYER, layerData: DATA },
  },
  {
    fn: "HcsAttachOverlayFilter",
    call: (host) => storage.attachOverlayFilter(host, VOLUME, data),
    received: { volumePath: VOLUME, layerData: DATA },
    path: VOLUME,
  },
  {
    fn: "HcsDestroyLayer",
    call: (host) => storage.destroyLayer(host, LAYER),
    received: { layerPath: LAYER },
  },
  {
    fn: "HcsDetachLayerStorageFilter",
    call: (host) => storage.detachLayerStorageFilter(host, LAYER),
    received: { layerPath: LAYER },
  },
  {
    fn: "HcsDetachOverlayFilter",
    call: (host) => storage.detachOverlayFilter(host, VOLUME, layerData({ filterType: "UnionFS" })),
    received: { volumePath: VOLUME, layerData: '{"SchemaVersion":{},"FilterType":"UnionFS"}' },
    path: VOLUME,
  },
  {
    fn: "HcsExportLayer",
    call: (host) => storage.exportLayer(host, LAYER, "D:\\out", data, { IsWritableLayer: true }),
    received: { layerPath: LAYER, exportFolderPath: "D:\\out", layerData: DATA, options: '{"IsWritableLayer":true}' },
  },
  {
    fn: "HcsFormatWritableLayerVhd",
    call: (host, disk) => storage.formatWritableLayerVhd(host, disk),
    received: { vhdHandle: DISK },
    path: undefined,
  },
  {
    fn: "HcsGetLayerVhdMountPath",
    call: (host, disk) => storage.layerVhdMountPath(host, disk),
    received: { vhdHandle: DISK, mountPath: "non-null" },
    path: undefined,
  },
  {
    fn: "HcsImportLayer",
    call: (host) => storage.importLayer(host, LAYER, "D:\\in", data),
    received: { layerPath: LAYER, sourceFolderPath: "D:\\in", layerData: DATA },
  },
  {
    fn: "HcsInitializeWritableLayer",
    call: (host) => storage.initializeWritableLayer(host, LAYER, data),
    received: { writableLayerPath: LAYER, layerData: DATA, options: "" },
  },
  {
    fn: "HcsSetupBaseOSLayer",
    call: (host, disk) => storage.setupBaseOSLayer(host, LAYER, disk, { Type: "Vm" }),
    received: { layerPath: LAYER, vhdHandle: DISK, options: '{"Type":"Vm"}' },
  },
  {
    fn: "HcsSetupBaseOSVolume",
    call: (host) => storage.setupBaseOSVolume(host, LAYER, VOLUME, { Type: "Container" }),
    received: { layerPath: LAYER, volumePath: VOLUME, options: '{"Type":"Container"}' },
  },
];

Deno.test("CASES have every function of computestorage.dll", () => {
  assertEquals(CASES.map(({ fn }) => fn).sort(), Object.keys(storage.computestorageSymbols).sort());
});

for (const calls of ["pool", "thread"] as const) {
  for (const { fn, call, received, ...expected } of CASES) {
    Deno.test(`${fn} receives what was passed, and its answer arrives (${calls})`, async () => {
      using host = windowsHost({ calls });
      using disk = await openVirtualDisk(host, DISK);
      await attachVirtualDisk(host, disk.value, attachFlag.NONE);
      using recorder = new Recorder();
      const names: string[] = [];
      const answer = await call(watched(host, names), disk.value);

      const [recorded, ...others] = recorder.calls;
      assertEquals(others, []);
      const { dll, fn: name, hr, args, out, thread } = recorded!;
      assertEquals({ dll, fn: name, hr, args }, { dll: "computestorage", fn, hr: "0x00000000", args: received });
      assertEquals(answer, out?.mountPath);
      assertEquals(fn === "HcsGetLayerVhdMountPath", out !== undefined);
      // The string is the DLL's, by LocalAlloc.
      assertEquals(names.filter((other) => other === "LocalFree").length, out === undefined ? 0 : 1);
      assertEquals(thread !== host.symbols(probe).ThreadId(), calls === "pool");
    });

    Deno.test(`${fn} that fails becomes a NativeError (${calls})`, async () => {
      using host = windowsHost({ calls });
      using disk = await openVirtualDisk(host, DISK);
      using recorder = new Recorder();
      recorder.fail({ [`${fn}#1`]: 0x8007001f });
      const names: string[] = [];
      const error = await assertRejects(async () => await call(watched(host, names), disk.value), NativeError);
      assertEquals(
        { operation: error.operation, path: error.path, code: error.code, symbol: error.symbol },
        {
          operation: fn,
          path: "path" in expected ? expected.path : LAYER,
          code: 0x8007001f,
          symbol: "ERROR_GEN_FAILURE",
        },
      );
      assert(!names.includes("LocalFree"));
    });
  }

  Deno.test(`setupBaseOSLayer() passes NULL for no disk (${calls})`, async () => {
    using recorder = new Recorder();
    using host = windowsHost({ calls });
    await storage.setupBaseOSLayer(host, LAYER, 0n, { Type: "Container" });
    assertEquals(recorder.calls.map(({ args }) => args.vhdHandle), [null]);
  });
}
