import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  InvalidInputError,
  MissingExportError,
  type MountedLayers,
  mountWCOWLayers,
  NativeError,
  NotMountedError,
  releaseCimFSHostLayers,
  ReleaseError,
  toHostHcsSchemaLayers,
  unmountWCOWLayers,
  UnsupportedBuildError,
} from "../../mod.ts";
import { SimulatedHost, type SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { sequence } from "../support/calls.ts";
import { hostWith, withFunction } from "../support/host.ts";
import { WHEN_UNKNOWN } from "../proofs/scenarios.ts";

const TOP = "C:\\layers\\top";
const BASE = "C:\\layers\\base";
const SCRATCH = "C:\\scratch";
const STACK = [TOP, BASE, SCRATCH];
// Version 5 GUID of "test" in the namespace that upstream compiles in.
const VOLUME = "\\\\?\\Volume{738f7a76-5f2d-5fc5-aa43-120530a48964}\\";
const RECORDED = ["vmcompute", "computestorage", "cimfs"];

function cimHost(options?: SimulatedHostOptions): SimulatedHost {
  return hostWith({ cimLayers: [TOP], layers: [BASE], scratches: [SCRATCH] }, options);
}

function nativeSequence(host: SimulatedHost): string[] {
  return host.calls.filter((call) => RECORDED.includes(call.dll)).map((call) => call.function);
}

Deno.test("mountWCOWLayers() mounts the image of the topmost layer under the container's volume", async () => {
  const host = cimHost();
  const layers = await mountWCOWLayers("test", STACK, { host });
  assertEquals(host.held().map(({ kind, target }) => [kind, target]), [
    ["activation", SCRATCH],
    ["cimVolume", "C:\\layers\\cim-layers\\top.cim"],
    ["overlay", layers.path],
  ]);
  await layers.release();
  assertEquals(nativeSequence(host), [
    "ActivateLayer",
    "GetLayerMountPath",
    "GetLayerMountPath",
    "CimMountImage",
    "NameToGuid",
    "HcsAttachOverlayFilter",
    "GetLayerMountPath",
    "GetLayerMountPath",
    "HcsDetachOverlayFilter",
    "CimDismountImage",
    "DeactivateLayer",
  ]);
  const [mount] = host.calls.filter((call) => call.function === "CimMountImage");
  assertEquals(mount!.args, {
    imagePath: "C:\\layers\\cim-layers",
    fsName: "top.cim",
    flags: 4,
    volumeId: VOLUME.slice(11, -2),
  });
  assertEquals(host.held(), []);
  assertEquals(host.allocations, 1);
});

Deno.test("mountWCOWLayers() passes the overlay filter the document with all keys", async () => {
  const host = cimHost();
  await using layers = await mountWCOWLayers("test", STACK, { host });
  const [{ Id } = {}] = await toHostHcsSchemaLayers("test", [TOP], { host });
  const attach = host.calls.find((call) => call.function === "HcsAttachOverlayFilter")!;
  assertEquals(attach.args.volumePath, layers.path);
  assertEquals(JSON.parse(attach.args.layerData as string), {
    SchemaVersion: {},
    Layers: [{ Id, Path: `${VOLUME}Files` }],
    FilterType: "UnionFS",
  });
});

for (
  const [build, revision, works] of [
    [17763, 1, false],
    [19043, 928, false],
    [20348, 1, false],
    [20348, 2030, false],
    [20348, 2031, true],
    [20349, 9999, false],
    [25398, 1, false],
    [26100, 1, true],
    [26200, 1, true],
  ] as const
) {
  Deno.test(`mountWCOWLayers() ${works ? "takes" : "refuses"} images on build ${build}.${revision}`, async () => {
    const host = cimHost({ build, revision });
    if (works) {
      await (await mountWCOWLayers("test", STACK, { host })).release();
    } else {
      const error = await assertRejects(() => mountWCOWLayers("test", STACK, { host }), UnsupportedBuildError);
      assertEquals(error.build, `${build}.${revision}`);
      assertStringIncludes(error.message, "20348.2031");
      assertStringIncludes(error.message, "26100");
      assertEquals(nativeSequence(host), []);
    }
    assertEquals(host.held(), []);
  });
}

Deno.test("mountWCOWLayers() refuses an image that is empty or a folder", async () => {
  for (const spoil of ["addFile", "addFolder"] as const) {
    const host = new SimulatedHost();
    host.addLayer(TOP);
    host[spoil]("C:\\layers\\cim-layers\\top.cim");
    host.addScratch(SCRATCH);
    const error = await assertRejects(() => mountWCOWLayers("test", [TOP, SCRATCH], { host }), InvalidInputError);
    assertEquals(error.argument, "layerFolders[0]");
    assertStringIncludes(error.message, "top.cim");
    assertEquals(nativeSequence(host), []);
  }
});

Deno.test("mountWCOWLayers() refuses a topmost layer with neither folder nor image", async () => {
  const host = new SimulatedHost();
  host.addScratch(SCRATCH);
  const error = await assertRejects(() => mountWCOWLayers("test", [TOP, SCRATCH], { host }), InvalidInputError);
  assertEquals(error.argument, "layerFolders[0]");
  assertEquals(nativeSequence(host), []);
});

Deno.test("mountWCOWLayers() mounts plain folders under an image as the image alone, and images under a plain folder not at all", async () => {
  const host = new SimulatedHost();
  host.addLayer(TOP);
  host.addCimLayer(BASE);
  host.addScratch(SCRATCH);
  await using _layers = await mountWCOWLayers("test", STACK, { host });
  assertEquals(host.held().map(({ kind }) => kind), ["activation", "filter"]);
});

Deno.test("mountWCOWLayers() accepts a trailing separator on the topmost layer", async () => {
  const host = cimHost();
  await using _layers = await mountWCOWLayers("test", [`${TOP}\\`, BASE, `${SCRATCH}\\`], { host });
  assertEquals(host.held()[1]!.target, "C:\\layers\\cim-layers\\top.cim");
});

Deno.test("mountWCOWLayers() first releases the image that an unmount could not release", async () => {
  const host = cimHost();
  await mountWCOWLayers("test", STACK, { host });
  host.fail({ function: "CimDismountImage", code: 0x80070005 });
  await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }));
  host.failNothing();
  assertEquals(host.held().map(({ kind }) => kind), ["cimVolume"]);
  const again = await mountWCOWLayers("test", STACK, { host });
  assertEquals(host.held().map(({ kind }) => kind), ["activation", "cimVolume", "overlay"]);
  await again.release();
  assertEquals(host.held(), []);
});

Deno.test("mountWCOWLayers() leaves no image if mounting it fails after its effect, and Windows doesn't tell whether it is there", async () => {
  const host = cimHost();
  host.fail({ function: "CimMountImage", code: "ERROR_TIMEOUT", effect: "full" });
  host.before("CimMountImage", () => {
    host.fail({ function: "GetFileAttributesW", code: "ERROR_ACCESS_DENIED", nth: 1 });
  });
  await assertRejects(() => mountWCOWLayers("test", STACK, { host }), NativeError);
  assertEquals(host.held(), []);
});

for (
  const [looks, tells, left] of [
    [1, "nothing: Windows tells when it is asked once more", []],
    [2, "what may be another's", ["cimVolume"]],
  ] as const
) {
  Deno.test(`mountWCOWLayers() leaves, of an image of which Windows didn't tell before ${looks} times whether it is there, ${tells}`, async () => {
    const host = cimHost();
    let untold = 0;
    host.fail({
      function: "GetFileAttributesW",
      code: "ERROR_ACCESS_DENIED",
      when: ({ args }) => `${args["path"]}`.startsWith(VOLUME.slice(0, -1)) && untold++ < looks,
    });
    host.fail({ function: "CimMountImage", code: "ERROR_TIMEOUT", effect: "full" });
    const error = await assertRejects(() => mountWCOWLayers("test", STACK, { host }));
    assertEquals(host.held().map(({ kind }) => kind), [...left]);
    assertEquals(error instanceof ReleaseError ? error.holds.map(({ kind }) => kind) : [], [...left]);
  });
}

Deno.test("mountWCOWLayers() leaves nothing if attaching the overlay filter fails after its effect with a code that no Win32 error has", async () => {
  const host = cimHost();
  host.fail({ function: "HcsAttachOverlayFilter", code: 0xc0000001, effect: "full" });
  await assertRejects(() => mountWCOWLayers("test", STACK, { host }), NativeError, "0xc0000001");
  assertEquals(host.held(), []);
});

Deno.test("a mount that failed and that another process has unmounted keeps nobody from mounting", async () => {
  const host = cimHost({ whenUnknown: WHEN_UNKNOWN });
  host.fail({ function: "HcsAttachOverlayFilter", code: "ERROR_ACCESS_DENIED", effect: "full" });
  const failed = await assertRejects(() => mountWCOWLayers("test", STACK, { host })) as unknown as MountedLayers;
  host.failNothing();
  await unmountWCOWLayers(SCRATCH, { host: host.otherProcess() });
  await failed.release();
  await (await mountWCOWLayers("test", STACK, { host })).release();
  assertEquals(host.held(), []);
});

Deno.test("mountWCOWLayers() refuses the volume of another image, and leaves it mounted", async () => {
  const host = cimHost();
  host.addScratch("C:\\scratch2");
  const first = await mountWCOWLayers("test", STACK, { host });
  const error = await assertRejects(
    () => mountWCOWLayers("test", [TOP, BASE, "C:\\scratch2"], { host }),
    NativeError,
  );
  assertEquals(error.win32, 183);
  assertStringIncludes(error.message, "release it first");
  assertEquals(host.held().map(({ kind }) => kind), ["activation", "cimVolume", "overlay"]);
  await first.release();
  assertEquals(host.held(), []);
});

const lost: Record<string, (layers: MountedLayers, host: SimulatedHost) => Promise<unknown> | void> = {
  "nothing": () => {},
  "everything": (layers) => layers.release(),
  "the record of the mount": (_layers, host) => host.remove("C:\\ProgramData\\hcs-layers\\mounts"),
};
for (const [what, lose] of Object.entries(lost)) {
  Deno.test(`releaseCimFSHostLayers() works where ${what} is gone already`, async () => {
    const host = cimHost();
    const layers = await mountWCOWLayers("test", STACK, { host, volumeMountPath: "C:\\mnt\\c1" });
    await lose(layers, host);
    await releaseCimFSHostLayers(SCRATCH, "test", { host });
    assertEquals(host.held(), []);
    await releaseCimFSHostLayers(SCRATCH, "test", { host });
    assertEquals(host.held(), []);
  });
}

Deno.test("releaseCimFSHostLayers() works where the overlay filter alone is gone", async () => {
  const host = cimHost();
  await mountWCOWLayers("test", STACK, { host });
  host.removeOverlays();
  await releaseCimFSHostLayers(SCRATCH, "test", { host });
  assertEquals(host.held(), []);
});

Deno.test("releaseCimFSHostLayers() doesn't take image and disk from under an overlay filter that can't be detached", async () => {
  const host = cimHost();
  await mountWCOWLayers("test", STACK, { host });
  host.fail({ function: "HcsDetachOverlayFilter", code: "ERROR_ACCESS_DENIED" });
  const from = host.calls.length;
  const error = await assertRejects(() => releaseCimFSHostLayers(SCRATCH, "test", { host }), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["activation", "cimVolume", "overlay"]);
  assertEquals(sequence(host, from).filter((name) => /^(Cim|Unprepare|Deactivate)/.test(name)), []);
  host.failNothing();
  await error.release();
  assertEquals(host.held(), []);
});

Deno.test("unmountWCOWLayers() keeps image and disk if nothing on this Windows can detach the overlay filter", async () => {
  const host = cimHost();
  await mountWCOWLayers("test", STACK, { host });
  const mounted = host.held();
  const other = host.otherProcess();
  const missing = withFunction(other, "HcsDetachOverlayFilter", () => {
    throw new MissingExportError("computestorage.dll", "HcsDetachOverlayFilter", "");
  });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host: missing }), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["activation", "cimVolume", "overlay"]);
  assertEquals(sequence(other).filter((name) => /^(Cim|Unprepare|Deactivate)/.test(name)), []);
  assertEquals(host.held(), mounted);
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(host.held(), []);
});

Deno.test("releaseCimFSHostLayers() tries each step and keeps all errors", async () => {
  const host = cimHost();
  await mountWCOWLayers("test", STACK, { host });
  // It might mean that there is no filter.
  host.fail({ function: "HcsDetachOverlayFilter", code: "ERROR_NOT_READY" });
  for (const name of ["CimDismountImage", "DeactivateLayer"]) {
    host.fail({ function: name, code: "ERROR_ACCESS_DENIED" });
  }
  const error = await assertRejects(() => releaseCimFSHostLayers(SCRATCH, "test", { host }), ReleaseError);
  assertEquals(error.errors.map((each) => (each as NativeError).operation), [
    "CimDismountImage",
    "DeactivateLayer",
    "HcsDetachOverlayFilter",
  ]);
  host.failNothing();
  await releaseCimFSHostLayers(SCRATCH, "test", { host });
  assertEquals(host.held(), []);
});

for (const id of ["", "a\0b"]) {
  Deno.test(`releaseCimFSHostLayers() and toHostHcsSchemaLayers() refuse the container id ${JSON.stringify(id)}`, async () => {
    const host = cimHost();
    const before = host.calls.length;
    for (
      const call of [
        () => releaseCimFSHostLayers(SCRATCH, id, { host }),
        () => toHostHcsSchemaLayers(id, [TOP], { host }),
        () => mountWCOWLayers(id, STACK, { host }),
      ]
    ) {
      const error = await assertRejects(call, InvalidInputError);
      assertEquals(error.argument, "containerId");
    }
    assertEquals(host.calls.length, before);
  });
}

Deno.test("toHostHcsSchemaLayers() answers the volume of a mounted image, whoever mounted it", async () => {
  const host = cimHost();
  const error = await assertRejects(() => toHostHcsSchemaLayers("test", [TOP, BASE], { host }), NotMountedError);
  assertInstanceOf(error, NotMountedError);
  assertEquals(error.path, "C:\\layers\\cim-layers\\top.cim");
  const layers = await mountWCOWLayers("test", STACK, { host });
  const [layer, ...rest] = await toHostHcsSchemaLayers("test", [TOP, BASE], { host });
  assertEquals(layer!.Path, VOLUME);
  assertEquals(rest, []);
  await layers.release();
  await assertRejects(() => toHostHcsSchemaLayers("test", [TOP, BASE], { host }), NotMountedError);
});

Deno.test("toHostHcsSchemaLayers() answers plain folders one by one, in order", async () => {
  const host = new SimulatedHost();
  const layers = await toHostHcsSchemaLayers("test", ["C:\\layers\\4", "C:\\layers\\ro01\\"], { host });
  assertEquals(layers, [
    { Id: "bd9c3ef9-f239-59b5-a27e-15c523b1d149", Path: "C:\\layers\\4" },
    { Id: "488d6829-ed71-5eed-ac15-2fb41ecac0fd", Path: "C:\\layers\\ro01" },
  ]);
});

Deno.test("toHostHcsSchemaLayers() refuses an empty list", async () => {
  const error = await assertRejects(
    () => toHostHcsSchemaLayers("test", [], { host: new SimulatedHost() }),
    InvalidInputError,
  );
  assertEquals(error.argument, "readOnlyLayers");
});

Deno.test("toHostHcsSchemaLayers() refuses a scratch among the read-only layers", async () => {
  for (const host of [cimHost(), new SimulatedHost()]) {
    host.addScratch("C:\\other");
    const stack = [TOP, BASE, "C:\\other"];
    const error = await assertRejects(() => toHostHcsSchemaLayers("test", stack, { host }), InvalidInputError);
    assertEquals([error.argument, error.value], ["readOnlyLayers[2]", "C:\\other"]);
  }
});
