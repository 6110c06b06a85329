import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../../src/errors/windows_errors.ts";
import { type Host, windowsHost } from "../../../src/ffi/host.ts";
import * as layers from "../../../src/ffi/vmcompute.ts";
import { watched } from "./host.ts";
import { probe } from "./probe.ts";
import { Recorder } from "./recorder.ts";
import type { RecordedCall } from "./trace.ts";

const LAYER = "C:\\layers\\scratch";
const PARENTS: layers.ParentLayer[] = [
  { id: "488d6829-ed71-5eed-ac15-2fb41ecac0fd", path: "C:\\layers\\top" },
  { id: "00010203-0405-0607-0809-0a0b0c0d0e0f", path: "C:\\layers\\a longer name\\base" },
];

const info = { Flavour: 1, HomeDir: "" };
const parents = {
  layers: PARENTS.map(({ id, path }) => ({ LayerId: id, Flags: 0, Path: path })),
  layerCount: PARENTS.length,
};

interface Case {
  fn: keyof typeof layers.vmcomputeSymbols;
  call(host: Host): unknown;
  answer?: unknown;
  received: Record<string, unknown>[];
  gave?: (Record<string, unknown> | undefined)[];
  path?: string | undefined;
}

const GUID = "1e24c3a3-3c9c-5d1f-a8d5-5d0f2b7e5c1a";
const UNITS = "\\\\?\\Volume{}\\".length + 36 + 1;

const CASES: Case[] = [
  { fn: "ActivateLayer", call: (host) => layers.activateLayer(host, LAYER), received: [{ info, id: LAYER }] },
  { fn: "DeactivateLayer", call: (host) => layers.deactivateLayer(host, LAYER), received: [{ info, id: LAYER }] },
  {
    fn: "PrepareLayer",
    call: (host) => layers.prepareLayer(host, LAYER, PARENTS),
    received: [{ info, id: LAYER, ...parents }],
  },
  { fn: "UnprepareLayer", call: (host) => layers.unprepareLayer(host, LAYER), received: [{ info, id: LAYER }] },
  {
    fn: "GetLayerMountPath",
    call: (host) => layers.getLayerMountPath(host, LAYER),
    received: [
      { info, id: LAYER, length: 0, buffer: null },
      { info, id: LAYER, length: UNITS, buffer: "non-null" },
    ],
  },
  {
    fn: "LayerExists",
    call: (host) => layers.layerExists(host, LAYER),
    answer: true,
    received: [{ info, id: LAYER, exists: "non-null" }],
    gave: [{ exists: 1 }],
  },
  {
    fn: "CreateLayer",
    call: (host) => layers.createLayer(host, LAYER, "C:\\layers\\base"),
    received: [{ info, id: LAYER, parent: "C:\\layers\\base" }],
  },
  {
    fn: "CreateSandboxLayer",
    call: (host) => layers.createSandboxLayer(host, LAYER, PARENTS),
    received: [{ info, id: LAYER, parent: 0, ...parents }],
  },
  {
    fn: "ExpandSandboxSize",
    // Each byte another one.
    call: (host) => layers.expandSandboxSize(host, LAYER, 0x0012_3456_789a_bcden),
    received: [{ info, id: LAYER, size: 0x0012_3456_789a_bcde }],
  },
  { fn: "DestroyLayer", call: (host) => layers.destroyLayer(host, LAYER), received: [{ info, id: LAYER }] },
  {
    fn: "CopyLayer",
    call: (host) => layers.copyLayer(host, LAYER, "D:\\copy", PARENTS),
    received: [{ info, srcId: LAYER, dstId: "D:\\copy", ...parents }],
  },
  {
    fn: "ExportLayer",
    call: (host) => layers.exportLayer(host, LAYER, "D:\\out", PARENTS),
    received: [{ info, id: LAYER, path: "D:\\out", ...parents }],
  },
  {
    fn: "ImportLayer",
    call: (host) => layers.importLayer(host, LAYER, "D:\\in", PARENTS),
    received: [{ info, id: LAYER, path: "D:\\in", ...parents }],
  },
  {
    fn: "NameToGuid",
    call: (host) => layers.nameToGuid(host, "base"),
    received: [{ name: "base", guid: "non-null" }],
    path: "base",
  },
  {
    fn: "GrantVmAccess",
    call: (host) => layers.grantVmAccess(host, GUID, "D:\\disk.vhdx"),
    received: [{ vmid: GUID, filepath: "D:\\disk.vhdx" }],
    path: "D:\\disk.vhdx",
  },
  {
    fn: "RevokeVmAccess",
    call: (host) => layers.revokeVmAccess(host, GUID, "D:\\disk.vhdx"),
    received: [{ vmid: GUID, filepath: "D:\\disk.vhdx" }],
    path: "D:\\disk.vhdx",
  },
  {
    fn: "GetBaseImages",
    call: (host) => layers.getBaseImages(host),
    answer: '{"Images":[]}',
    received: [{ buffer: "non-null" }],
    gave: [{ buffer: '{"Images":[]}' }],
    path: undefined,
  },
  {
    fn: "ProcessBaseImage",
    call: (host) => layers.processBaseImage(host, "D:\\base"),
    received: [{ path: "D:\\base" }],
    path: "D:\\base",
  },
  {
    fn: "ProcessUtilityImage",
    call: (host) => layers.processUtilityImage(host, "D:\\base\\UtilityVM"),
    received: [{ path: "D:\\base\\UtilityVM" }],
    path: "D:\\base\\UtilityVM",
  },
];

Deno.test("CASES have every function of the table", () => {
  assertEquals(CASES.map(({ fn }) => fn).sort(), Object.keys(layers.vmcomputeSymbols).sort());
});

for (const calls of ["pool", "thread"] as const) {
  for (const { fn, call, received, ...expected } of CASES) {
    Deno.test(`${fn} receives what was passed, and its answer arrives (${calls})`, async () => {
      using recorder = new Recorder();
      recorder.wantRaw();
      using host = windowsHost({ calls });
      const names: string[] = [];
      const answer = await call(watched(host, names));

      const recorded = recorder.calls;
      assertEquals(
        recorded.map(({ dll, fn, hr }) => [dll, fn, hr]),
        received.map(() => ["vmcompute", fn, "0x00000000"]),
      );
      assertEquals(recorded.map(({ args }) => args), received);
      assertEquals(answer, "answer" in expected ? expected.answer : answerOf(fn, recorded));
      if (expected.gave) assertEquals(recorded.map(({ out }) => out), expected.gave);
      recorded.forEach(checkBytes);

      const here = host.symbols(probe).ThreadId();
      const elsewhere = calls === "pool" && fn !== "NameToGuid";
      assert(recorded.every(({ thread }) => (thread !== here) === elsewhere));
      assertEquals(blocksLeft(names), "info" in received[0]! ? 1 : 0);
      assertEquals(names.includes("CoTaskMemFree"), fn === "GetBaseImages");
    });

    Deno.test(`${fn} that fails becomes a NativeError, and its memory is freed (${calls})`, async () => {
      using recorder = new Recorder();
      using host = windowsHost({ calls });
      const names: string[] = [];
      const counting = watched(host, names);
      for (const nth of received.keys()) {
        recorder.fail({ [`${fn}#${recorder.calls.length + nth + 1}`]: 0x8007001f });
        const error = await assertRejects(async () => await call(counting), NativeError);
        const path = "path" in expected ? expected.path : LAYER;
        assertEquals(
          { operation: error.operation, path: error.path, code: error.code, symbol: error.symbol },
          { operation: fn, path, code: 0x8007001f, symbol: "ERROR_GEN_FAILURE" },
        );
      }
      assertEquals(blocksLeft(names), "info" in received[0]! ? 1 : 0);
    });
  }

  Deno.test(`prepareLayer() passes NULL for no parents (${calls})`, async () => {
    using recorder = new Recorder();
    using host = windowsHost({ calls });
    await layers.prepareLayer(host, LAYER, []);
    assertEquals(recorder.calls.map(({ args }) => args), [{ info, id: LAYER, layers: null, layerCount: 0 }]);
  });

  Deno.test(`prepareLayer() passes 128 parents (${calls})`, async () => {
    using recorder = new Recorder();
    using host = windowsHost({ calls });
    const many = Array.from({ length: 128 }, (_, i) => ({
      id: `${i.toString(16).padStart(8, "0")}-0000-0000-0000-000000000000`,
      path: `C:\\layers\\${"x".repeat(i)}${i}`,
    }));
    await layers.prepareLayer(host, LAYER, many);
    assertEquals(
      recorder.calls[0]!.args.layers,
      many.map(({ id, path }) => ({ LayerId: id, Flags: 0, Path: path })),
    );
  });
}

// What the DLL gave back, in the form in which the caller gets it.
function answerOf(fn: string, recorded: readonly RecordedCall[]): unknown {
  if (fn === "NameToGuid") return recorded[0]!.out!.guid;
  if (fn === "GetLayerMountPath") return recorded[1]!.out!.buffer;
  return undefined;
}

function blocksLeft(names: readonly string[]): number {
  return names.filter((name) => name === "LocalAlloc").length - names.filter((name) => name === "LocalFree").length;
}

// struct-layouts: DriverInfo { u32 flavour, u32 padding, LPCWSTR }, WC_LAYER_DESCRIPTOR { GUID, u32 flags, u32 padding,
// LPCWSTR }. The strings that the pointers lead to have been compared already.
function checkBytes({ raw = {}, args }: RecordedCall): void {
  assertEquals(Object.hasOwn(raw, "info"), Object.hasOwn(args, "info"));
  if (raw.info !== undefined) assertEquals(bytesAround(raw.info, 8), "0100000000000000");
  if (raw.layers === undefined) return;
  assertEquals(bytesAround(raw.layers.slice(0, 64), 24), "29688d4871eded5eac152fb41ecac0fd0000000000000000");
  assertEquals(bytesAround(raw.layers.slice(64), 24), "030201000504070608090a0b0c0d0e0f0000000000000000");
}

// The bytes before the pointer at `offset`, with which the struct ends. The pointer has to be one.
function bytesAround(hex: string, offset: number): string {
  assertEquals(hex.length, 2 * (offset + 8));
  assert(/[1-9a-f]/.test(hex.slice(2 * offset)));
  return hex.slice(0, 2 * offset);
}
