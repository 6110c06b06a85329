import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { MissingExportError, NativeError } from "../../src/errors/windows_errors.ts";
import type { Host } from "../../src/ffi/host.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { INFO, withFunction } from "../support/host.ts";

const TOP = "C:\\snap\\é𝄞 top";
const BASE = "C:\\snap\\ro01";
const SCRATCH = "C:\\snap\\scratch 𝄞";
const VM = "cab70344-facb-41e4-b5e5-ab6592283e6e";
const BASE_ID = "488d6829-ed71-5eed-ac15-2fb41ecac0fd";

function machine(): SimulatedHost {
  const host = new SimulatedHost();
  host.addLayer(TOP);
  host.addLayer(BASE);
  host.addScratch(SCRATCH);
  return host;
}

function parents(host: Host): dll.ParentLayer[] {
  return [TOP, BASE].map((path) => ({ id: dll.nameToGuid(host, path.slice(8)), path }));
}

const layers = [
  { LayerId: dll.nameToGuid(new SimulatedHost(), "é𝄞 top"), Flags: 0, Path: TOP },
  { LayerId: BASE_ID, Flags: 0, Path: BASE },
];
const onScratch = { info: INFO, id: SCRATCH };

interface Row {
  readonly fn: string;
  readonly call: (host: Host) => unknown;
  readonly args: Record<string, unknown>;
  readonly answer?: unknown;
  /** Runs before, without being looked at. */
  readonly before?: (host: Host) => unknown;
}

const activate = (host: Host) => dll.activateLayer(host, SCRATCH);
const NEW = "C:\\snap\\new";

const ROWS: Row[] = [
  { fn: "ActivateLayer", call: activate, args: onScratch },
  {
    fn: "CopyLayer",
    call: (host) => dll.copyLayer(host, TOP, NEW, parents(host).slice(1)),
    args: { info: INFO, source: TOP, destination: NEW, layers: layers.slice(1), layerCount: 1 },
  },
  { fn: "CreateLayer", call: (host) => dll.createLayer(host, NEW, BASE), args: { info: INFO, id: NEW, parent: BASE } },
  {
    fn: "CreateSandboxLayer",
    call: (host) => dll.createSandboxLayer(host, NEW, parents(host)),
    args: { info: INFO, id: NEW, parent: 0, layers, layerCount: 2 },
  },
  { fn: "DeactivateLayer", before: activate, call: (host) => dll.deactivateLayer(host, SCRATCH), args: onScratch },
  { fn: "DestroyLayer", call: (host) => dll.destroyLayer(host, SCRATCH), args: onScratch },
  {
    fn: "ExpandSandboxSize",
    call: (host) => dll.expandSandboxSize(host, SCRATCH, 40n << 30n),
    args: { ...onScratch, size: 42949672960 },
  },
  {
    fn: "ExportLayer",
    call: (host) => dll.exportLayer(host, TOP, NEW, parents(host).slice(1)),
    args: { info: INFO, id: TOP, path: NEW, layers: layers.slice(1), layerCount: 1 },
  },
  { fn: "GetBaseImages", call: dll.getBaseImages, args: { images: "buffer" }, answer: '{"Images":[]}' },
  {
    fn: "GetLayerMountPath",
    call: (host) => dll.getLayerMountPath(host, BASE),
    args: { info: INFO, id: BASE, length: "buffer", buffer: "buffer" },
    answer: BASE,
  },
  {
    fn: "GrantVmAccess",
    call: (host) => dll.grantVmAccess(host, VM, `${SCRATCH}\\sandbox.vhdx`),
    args: { vmid: VM, filepath: `${SCRATCH}\\sandbox.vhdx` },
  },
  {
    fn: "ImportLayer",
    call: (host) => dll.importLayer(host, NEW, TOP, parents(host).slice(1)),
    args: { info: INFO, id: NEW, path: TOP, layers: layers.slice(1), layerCount: 1 },
  },
  {
    fn: "LayerExists",
    call: (host) => dll.layerExists(host, SCRATCH),
    args: { ...onScratch, exists: "buffer" },
    answer: true,
  },
  {
    fn: "LayerExists",
    call: (host) => dll.layerExists(host, NEW),
    args: { info: INFO, id: NEW, exists: "buffer" },
    answer: false,
  },
  {
    fn: "NameToGuid",
    call: (host) => dll.nameToGuid(host, "ro01"),
    args: { name: "ro01", guid: "buffer" },
    answer: BASE_ID,
  },
  {
    fn: "PrepareLayer",
    before: activate,
    call: (host) => dll.prepareLayer(host, SCRATCH, parents(host)),
    args: { ...onScratch, layers, layerCount: 2 },
  },
  {
    fn: "PrepareLayer",
    before: (host) => dll.activateLayer(host, BASE),
    call: (host) => dll.prepareLayer(host, BASE, []),
    args: { info: INFO, id: BASE, layers: [], layerCount: 0 },
  },
  { fn: "ProcessBaseImage", call: (host) => dll.processBaseImage(host, BASE), args: { path: BASE } },
  { fn: "ProcessUtilityImage", call: (host) => dll.processUtilityImage(host, BASE), args: { path: BASE } },
  {
    fn: "RevokeVmAccess",
    before: (host) => dll.grantVmAccess(host, VM, `${SCRATCH}\\sandbox.vhdx`),
    call: (host) => dll.revokeVmAccess(host, VM, `${SCRATCH}\\sandbox.vhdx`),
    args: { vmid: VM, filepath: `${SCRATCH}\\sandbox.vhdx` },
  },
  {
    fn: "UnprepareLayer",
    before: async (host) => {
      await activate(host);
      await dll.prepareLayer(host, SCRATCH, parents(host));
    },
    call: (host) => dll.unprepareLayer(host, SCRATCH),
    args: onScratch,
  },
];

Deno.test("the rows below are all functions of vmcompute.dll that work on layers", () => {
  assertEquals(new Set(ROWS.map((row) => row.fn)), new Set(Object.keys(dll.vmcomputeSymbols)));
});

for (const { fn, call, args, answer, before } of ROWS) {
  const name = fn[0]!.toLowerCase() + fn.slice(1);
  Deno.test(`${name}() hands over its arguments unit for unit, and gives native memory back`, async () => {
    const host = machine();
    await before?.(host);
    assertEquals(await call(host), answer);
    const last = host.calls.findLast((other) => other.dll === "vmcompute")!;
    assertEquals([last.function, last.args, last.result], [fn, args, "0x00000000"]);
    // The empty string of the driver info is kept.
    assertEquals(host.allocations, "info" in args || host.calls.some((other) => "info" in other.args) ? 1 : 0);
  });

  Deno.test(`${name}() throws the HRESULT that it gets, and gives native memory back`, async () => {
    const host = machine();
    await before?.(host);
    const allocated = host.allocations;
    host.fail({ function: fn, code: 0xc0370112 });
    const error = await assertRejects(async () => await call(host), NativeError);
    assertEquals([error.operation, error.code], [fn, 0xc0370112]);
    assert(host.allocations <= Math.max(allocated, 1));
  });
}

Deno.test("getLayerMountPath() asks for the length, then for the path, with or without a closing separator", async () => {
  for (const mountPathSeparator of [false, true]) {
    const host = new SimulatedHost({ mountPathSeparator });
    host.addScratch("C:\\layers\\scratch");
    await dll.activateLayer(host, "C:\\layers\\scratch");
    assertEquals(
      await dll.getLayerMountPath(host, "C:\\layers\\scratch"),
      `\\\\?\\Volume{8a8599d2-6be7-50a8-b7be-a48e24edadda}${mountPathSeparator ? "\\" : ""}`,
    );
    const asked = host.calls.filter((call) => call.function === "GetLayerMountPath");
    assertEquals(asked.map((call) => call.args["buffer"]), [null, "buffer"]);
  }
});

Deno.test('getLayerMountPath() answers "" where Windows says that there is none', async () => {
  const host = withFunction(machine(), "GetLayerMountPath", () => 0);
  assertEquals(await dll.getLayerMountPath(host, SCRATCH), "");
});

Deno.test("getBaseImages() frees the string also where the function fails", async () => {
  const simulated = machine();
  const getBaseImages = simulated.symbols(dll.vmcompute).GetBaseImages;
  const host = withFunction(simulated, "GetBaseImages", (out: Uint8Array<ArrayBuffer>) => {
    getBaseImages(out);
    return 0x80004005 | 0;
  });
  const error = await assertRejects(() => dll.getBaseImages(host), NativeError);
  assertEquals([error.code, simulated.allocations], [0x80004005, 0]);
});

Deno.test("a NUL in a path and an id that is no GUID are refused before the call", async () => {
  const host = machine();
  await assertRejects(() => dll.activateLayer(host, "C:\\a\0b"), InvalidInputError);
  await assertRejects(
    () => dll.prepareLayer(host, SCRATCH, [{ id: "x", path: BASE }]),
    InvalidInputError,
    "is not a GUID",
  );
  await assertRejects(() => dll.prepareLayer(host, SCRATCH, [{ id: BASE_ID, path: "\0" }]), InvalidInputError);
  assertThrows(() => dll.nameToGuid(host, "\0"), InvalidInputError);
  assertEquals(host.calls.filter((call) => call.dll === "vmcompute"), []);
  assert(host.allocations <= 1);
});

Deno.test("an export that this Windows lacks is an error that says so when it's called", async () => {
  const missing = () => {
    throw new MissingExportError("vmcompute.dll", "ActivateLayer", dll.vmcompute.remedy);
  };
  const host = withFunction(machine(), "ActivateLayer", missing);
  await assertRejects(() => dll.activateLayer(host, SCRATCH), MissingExportError, "Install-WindowsFeature Containers");
});
