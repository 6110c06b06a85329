import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import {
  InUseError,
  mountWCOWLayers,
  NativeError,
  UnexpectedAnswerError,
  UnsupportedBuildError,
  UnwindError,
} from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { changes, held } from "../support/calls.ts";
import { hostInFront, INFO, LAYERS, MOUNT, SCRATCH, STACK, stackHost, withFunction } from "../support/host.ts";

const VOLUME = "\\\\?\\Volume{6b4c4a90-85bd-59c6-952e-c439654f64b2}\\";
const IDS = ["ro05", "ro04", "ro03", "ro02", "ro01"].map((name) => `NameToGuid ${name}`);
const TAKEN = [`ActivateLayer ${SCRATCH}`, ...IDS, `PrepareLayer ${SCRATCH}`];
const GIVEN = [`UnprepareLayer ${SCRATCH}`, `DeactivateLayer ${SCRATCH}`];

Deno.test("mountWCOWLayers() attaches the disk, puts the filter on, and answers the volume; release() undoes both", async () => {
  const host = stackHost();
  const before = host.paths();
  const layers = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(layers.path, VOLUME);
  assertEquals(layers.volumeMountPath, undefined);
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
  assertEquals(layers.holds.map((hold) => hold.kind), ["activation", "filter"]);
  assertEquals(host.allocations, 1);
  await layers.release();
  assertEquals(changes(host), [...TAKEN, ...GIVEN]);
  assertEquals([held(host), host.paths(), layers.holds, host.allocations], [[], before, [], 1]);
});

Deno.test("mountWCOWLayers() hands over the layers topmost first, with the ids of their names", async () => {
  const host = stackHost();
  await using _layers = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(host.calls.find((call) => call.function === "PrepareLayer")!.args, {
    info: INFO,
    id: SCRATCH,
    layers: [
      "4898f4cd-8571-5efb-8889-23b41e32b3fd",
      "489611a4-1f71-5ef8-b16c-26b41e98b6fd",
      "48932e7b-b971-5ef4-bedb-34b41e96c7fd",
      "48904b52-5371-5ef1-a7bf-37b41efccafd",
      "488d6829-ed71-5eed-ac15-2fb41ecac0fd",
    ].map((LayerId, i) => ({ LayerId, Flags: 0, Path: LAYERS[i] })),
    layerCount: 5,
  });
});

Deno.test("mountWCOWLayers() mounts the volume at a folder as well, which it creates with its parents", async () => {
  const host = stackHost();
  const before = host.paths();
  {
    await using layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: `${MOUNT}\\` });
    assertEquals([layers.path, layers.volumeMountPath], [VOLUME, MOUNT]);
    assertEquals<unknown>(layers.holds, [
      { kind: "activation", scratch: SCRATCH },
      { kind: "filter", scratch: SCRATCH, layers: LAYERS },
      { kind: "folder", folder: MOUNT, created: [MOUNT, "C:\\mnt"] },
      { kind: "mountPoint", folder: MOUNT, volume: VOLUME },
    ]);
    assertEquals(JSON.parse(JSON.stringify(layers.holds)), layers.holds, "a record can be written down");
  }
  assertEquals(changes(host), [
    ...TAKEN,
    `CreateDirectoryW ${MOUNT} 0x80070003`,
    "CreateDirectoryW C:\\mnt",
    `CreateDirectoryW ${MOUNT}`,
    `SetVolumeMountPointW ${MOUNT}\\`,
    `DeleteVolumeMountPointW ${MOUNT}\\`,
    `RemoveDirectoryW ${MOUNT}`,
    "RemoveDirectoryW C:\\mnt",
    ...GIVEN,
  ]);
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("mountWCOWLayers() works whether or not GetLayerMountPath closes the volume's name", async () => {
  for (const mountPathSeparator of [false, true]) {
    const host = stackHost({ mountPathSeparator });
    await using layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    assertEquals(layers.path, VOLUME);
  }
});

Deno.test("mountWCOWLayers() asks for the id of a name once", async () => {
  const host = stackHost();
  for (let i = 0; i < 2; i++) await (await mountWCOWLayers("c1", STACK, { host })).release();
  assertEquals(changes(host).filter((call) => call.startsWith("NameToGuid")), IDS);
});

/** Each attempt that fails in `PrepareLayer`, without the ids, which are asked for once. */
const ATTEMPT = (
  code: string,
) => [
  `ActivateLayer ${SCRATCH}`,
  `PrepareLayer ${SCRATCH} ${code}`,
  `UnprepareLayer ${SCRATCH} 0x801f0015`,
  `DeactivateLayer ${SCRATCH}`,
];

Deno.test("mountWCOWLayers() tries again where the disk isn't ready, whichever step says so", async () => {
  for (const code of [21, 1167]) {
    for (const fn of ["ActivateLayer", "NameToGuid", "PrepareLayer"]) {
      const host = stackHost();
      host.fail({ function: fn, code, nth: 1 });
      const slept: number[] = [];
      const layers = await mountWCOWLayers("c1", STACK, { host: sleeping(host, slept) });
      assertEquals(slept, [100], fn);
      assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
      const calls = host.calls.map((call) => call.function);
      assertEquals(calls.filter((name) => name === "ActivateLayer").length, 2);
      assertEquals(calls.filter((name) => name === "DeactivateLayer").length, fn === "ActivateLayer" ? 0 : 1);
      await layers.release();
      assertEquals([held(host), host.allocations], [[], 1]);
    }
  }
});

Deno.test("mountWCOWLayers() gives up after five attempts, undoes each, and doesn't sleep after the last", async () => {
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21 });
  const slept: number[] = [];
  const error = await assertRejects(
    () => mountWCOWLayers("c1", STACK, { host: sleeping(host, slept), volumeMountPath: MOUNT }),
    NativeError,
    "try again with fewer mounts at once",
  );
  assertEquals([error.operation, error.path, error.win32], ["PrepareLayer", SCRATCH, 21]);
  assertEquals(slept, [100, 100, 100, 100]);
  const all = Array(5).fill(ATTEMPT("0x80070015")).flat();
  assertEquals(changes(host).filter((call) => !call.startsWith("NameToGuid")), all);
  assertEquals(held(host), []);
});

Deno.test("mountWCOWLayers() doesn't try again for any other code, nor where a later step isn't ready", async () => {
  const failures: [fn: string, code: number][] = [
    ["ActivateLayer", 0x80070005],
    ["PrepareLayer", 0x80070005],
    ["PrepareLayer", 0xc0370112],
    ["GetLayerMountPath", 0x80070015],
    ["SetVolumeMountPointW", 0x80070015],
    ["CreateDirectoryW", 0x80070015],
  ];
  for (const [fn, code] of failures) {
    const host = stackHost();
    const before = host.paths();
    host.fail({ function: fn, code, when: ({ args: { path } }) => !`${path}`.startsWith("C:\\ProgramData") });
    const slept: number[] = [];
    const error = await assertRejects(
      () => mountWCOWLayers("c1", STACK, { host: sleeping(host, slept), volumeMountPath: MOUNT }),
      NativeError,
    );
    assertEquals([error.operation, error.code, slept], [fn, code, []]);
    assertEquals(host.calls.filter((call) => call.function === "ActivateLayer").length, 1);
    assertEquals([held(host), host.paths()], [[], before], fn);
  }
});

Deno.test("mountWCOWLayers() throws the last code where the codes of its attempts differ", async () => {
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21, nth: 1 });
  host.fail({ function: "PrepareLayer", code: 1167, nth: 2 });
  host.fail({ function: "PrepareLayer", code: 5 });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError);
  assertEquals([error.win32, held(host)], [5, []]);
});

Deno.test("mountWCOWLayers() doesn't go on where an attempt can't be undone, and says how to undo it later", async () => {
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21 });
  host.fail({ function: "DeactivateLayer", code: 5 });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), UnwindError);
  assertEquals(host.calls.filter((call) => call.function === "PrepareLayer").length, 1);
  assertInstanceOf(error.cause, NativeError);
  assertEquals([error.cause.operation, error.cause.win32], ["PrepareLayer", 21]);
  assertEquals<unknown>(error.holds, [{ kind: "activation", scratch: SCRATCH }]);
  host.failNothing();
  await error.release();
  assertEquals([held(host), error.holds], [[], []]);
});

Deno.test("mountWCOWLayers() throws the failure itself where undoing an attempt worked at the second try", async () => {
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21 });
  host.fail({ function: "DeactivateLayer", code: 5, nth: 1 });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError);
  assertEquals([error.operation, error.win32, held(host)], ["PrepareLayer", 21, []]);
});

Deno.test("mountWCOWLayers() refuses an answer of GetLayerMountPath that is no volume, and undoes the mount", async () => {
  const host = stackHost();
  const broken = withFunction(host, "GetLayerMountPath", () => 0);
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host: broken }), UnexpectedAnswerError, "GetLayerMountPath");
  assertEquals(held(host), []);
});

Deno.test("mountWCOWLayers() needs build 17763", async () => {
  const old = stackHost({ build: 17134 });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host: old }), UnsupportedBuildError, "17763");
  assertEquals([error.build, changes(old)], ["17134", []]);
  await using _layers = await mountWCOWLayers("c1", STACK, { host: stackHost({ build: 17763 }) });
});

Deno.test("mountWCOWLayers() refuses a scratch that this process has mounted, and leaves that mount alone", async () => {
  const host = stackHost();
  const layers = await mountWCOWLayers("c1", STACK, { host });
  const calls = host.calls.length;
  for (const scratch of [SCRATCH, SCRATCH.toUpperCase(), `\\\\?\\${SCRATCH}`, `${SCRATCH}\\`]) {
    const error = await assertRejects(() => mountWCOWLayers("c2", [...LAYERS, scratch], { host }), InUseError);
    assertEquals([error.path, error.by], [scratch.replace(/\\$/, ""), "this process"]);
  }
  assertEquals([changes(host, calls), held(host)], [[], [`activation ${SCRATCH}`, `filter ${SCRATCH}`]]);
  await layers.release();
  await using _again = await mountWCOWLayers("c2", STACK, { host });
});

Deno.test("mountWCOWLayers() side by side for one scratch: one gets it", async () => {
  const host = stackHost();
  const mounts = await Promise.allSettled([1, 2, 3].map(() => mountWCOWLayers("c1", STACK, { host })));
  assertEquals(mounts.map((mount) => mount.status), ["fulfilled", "rejected", "rejected"]);
  assertEquals(held(host), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});

Deno.test("mountWCOWLayers() refuses a scratch that another process has mounted, and leaves that mount alone", async () => {
  const file = await Deno.makeTempFile();
  try {
    const first = stackHost({ file });
    const second = new SimulatedHost({ file });
    const layers = await mountWCOWLayers("c1", STACK, { host: first, volumeMountPath: MOUNT });
    const before = held(first);
    const error = await assertRejects(
      () => mountWCOWLayers("c2", STACK, { host: second }),
      InUseError,
      "is mounted by process 1, since ",
    );
    assertEquals([error.path, error.by], [SCRATCH, "process 1"]);
    assertEquals([changes(second), held(first)], [[], before]);
    await layers.release();
    await using _again = await mountWCOWLayers("c2", STACK, { host: second });
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("mountWCOWLayers() doesn't activate a scratch whose disk a program writes to, be it one that lets others write", async () => {
  const host = stackHost();
  {
    using _ = host.openFile(`${SCRATCH}\\sandbox.vhdx`, { access: ["read", "write"] });
    await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), InUseError);
    assertEquals(changes(host), []);
  }
  await using _layers = await mountWCOWLayers("c1", STACK, { host });
});

Deno.test("mountWCOWLayers() can mount a scratch whose activation failed before", async () => {
  const host = stackHost();
  host.fail({ function: "ActivateLayer", code: 0x80070005, nth: 1 });
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError);
  assertStrictEquals(error.win32, 5);
  await using _layers = await mountWCOWLayers("c1", STACK, { host });
});

/** The host, writing down how long it is asked to sleep. */
function sleeping(host: SimulatedHost, slept: number[]): SimulatedHost {
  return hostInFront(host, {
    sleep(ms, signal) {
      slept.push(ms);
      return host.sleep(ms, signal);
    },
  });
}
