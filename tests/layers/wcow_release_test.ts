import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { LayerError, mountWCOWLayers, NativeError, ReleaseError, unmountWCOWLayers } from "../../mod.ts";
import { CallBarrier, changes, held } from "../support/calls.ts";
import { hostWith, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const GIVEN = [
  `DeleteVolumeMountPointW ${MOUNT}\\`,
  `RemoveDirectoryW ${MOUNT}`,
  "RemoveDirectoryW C:\\mnt",
  `UnprepareLayer ${SCRATCH}`,
  `DeactivateLayer ${SCRATCH}`,
];

Deno.test("release() side by side is one release, and afterwards does nothing", async () => {
  const barrier = new CallBarrier((call) => call.function === "UnprepareLayer");
  const host = stackHost({ latency: barrier.latency });
  const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const calls = host.calls.length;
  const releasing = [layers.release(), layers.release(), layers[Symbol.asyncDispose]()];
  await barrier.arrival();
  releasing.push(layers.release());
  barrier.release();
  await Promise.all(releasing);
  assertEquals(changes(host, calls), GIVEN);
  const done = host.calls.length;
  await layers.release();
  await layers[Symbol.asyncDispose]();
  assertEquals(host.calls.length, done);
});

Deno.test("release() makes the same calls however many mounts have their folders beside its own", async () => {
  const calls = await Promise.all([1, 20].map(async (others) => {
    const scratches = Array.from({ length: others + 1 }, (_, i) => `C:\\scratches\\${i}`);
    const host = hostWith({ layers: LAYERS, scratches });
    const mounted = [];
    for (const [i, scratch] of scratches.entries()) {
      mounted.push(await mountWCOWLayers(`c${i}`, [...LAYERS, scratch], { host, volumeMountPath: `C:\\mnt\\${i}` }));
    }
    const before = host.calls.length;
    await mounted.at(-1)!.release();
    return host.calls.slice(before).map((call) => call.function);
  }));
  assertEquals(calls[1], calls[0]);
});

/** By the function that fails once in a release: what is still held then. */
const STUCK: [fn: string, code: number, held: string[]][] = [
  ["DeleteVolumeMountPointW", 5, [`folder C:\\mnt`, `folder ${MOUNT}`, `mountPoint ${MOUNT}`]],
  ["RemoveDirectoryW", 5, ["folder C:\\mnt", `folder ${MOUNT}`]],
  ["UnprepareLayer", 0x801f0010, [`activation ${SCRATCH}`, `filter ${SCRATCH}`]],
  ["DeactivateLayer", 0x80070020, [`activation ${SCRATCH}`]],
];

for (const [fn, code, stuck] of STUCK) {
  Deno.test(`release() goes on where ${fn} fails, keeps what is stuck, and gives that back when called again`, async () => {
    const host = stackHost();
    const before = host.paths();
    const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    host.fail({ function: fn, code });
    const error = await assertRejects(() => layers.release(), ReleaseError);
    assertEquals(error.errors.map((each) => each instanceof NativeError && each.operation), [fn]);
    assertEquals(held(host), stuck);
    assertEquals(error.holds, layers.holds);
    host.failNothing();
    await layers.release();
    assertEquals([held(host), host.paths(), layers.holds], [[], before, []]);
  });
}

Deno.test("release() of a mount that another process has unmounted meanwhile does nothing, and succeeds", async () => {
  const host = stackHost();
  const before = host.paths();
  const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  await unmountWCOWLayers(SCRATCH, { host });
  await layers.release();
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("unmountWCOWLayers() knows all from the scratch folder, and says what it gave back", async () => {
  const host = stackHost();
  const before = host.paths();
  const { path } = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const calls = host.calls.length;
  assertEquals<unknown>(await unmountWCOWLayers(`${SCRATCH.toUpperCase()}\\`, { host }), [
    { hold: { kind: "mountPoint", folder: MOUNT, volume: path }, wasHeld: true },
    { hold: { kind: "folder", folder: MOUNT }, wasHeld: true },
    { hold: { kind: "filter", scratch: SCRATCH.toUpperCase(), layers: [] }, wasHeld: true },
    { hold: { kind: "activation", scratch: SCRATCH.toUpperCase() }, wasHeld: true },
  ]);
  assertEquals(changes(host, calls), [
    ...GIVEN.slice(0, 3),
    ...GIVEN.slice(3).map((call) => call.replace(SCRATCH, SCRATCH.toUpperCase())),
  ]);
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("unmountWCOWLayers() of what is unmounted, or never was mounted, or isn't there, succeeds", async () => {
  const host = stackHost();
  const before = host.paths();
  await mountWCOWLayers("c1", STACK, { host });
  for (
    const [scratch, wasMounted] of [
      [SCRATCH, true],
      [SCRATCH, false],
      ["C:\\scratch\\never", false],
      ["D:\\no\\disk", false],
    ] as const
  ) {
    const released = await unmountWCOWLayers(scratch, { host, volumeMountPath: MOUNT });
    assertEquals(released.map(({ hold, wasHeld }) => [hold.kind, wasHeld]), [
      ["mountPoint", false],
      ["folder", false],
      ["filter", wasMounted],
      ["activation", wasMounted],
    ]);
  }
  assertEquals([held(host), host.paths()], [[], before]);
});

Deno.test("unmountWCOWLayers() takes off a mount point whose volume is gone, where it's told the folder", async () => {
  const host = stackHost();
  const before = host.paths();
  const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  host.fail({ function: "DeleteVolumeMountPointW", code: 5, nth: 1 });
  await assertRejects(() => layers.release(), ReleaseError);
  assertEquals(held(host).filter((each) => !each.startsWith("folder")), [`mountPoint ${MOUNT}`]);
  await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT });
  assertEquals([held(host), host.paths()], [[], before]);
  await layers.release();
});

Deno.test("unmountWCOWLayers() changes nothing while Windows doesn't tell the volume of a mounted scratch", async () => {
  const host = stackHost();
  await mountWCOWLayers("c1", STACK, { host });
  host.fail({ function: "GetLayerMountPath", code: 5 });
  const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), NativeError);
  assertEquals([error.operation, held(host)], ["GetLayerMountPath", [`activation ${SCRATCH}`, `filter ${SCRATCH}`]]);
  host.failNothing();
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), []);
});

Deno.test("unmountWCOWLayers() that is refused before it releases anything leaves everything to the owner", async () => {
  for (const volumeMountPath of [undefined, "C:\\mnt\\c10"]) {
    const host = stackHost();
    const before = host.paths();
    host.addScratch("C:\\scratch\\c10");
    const others = ["C:\\layers\\ro01", "C:\\scratch\\c10"];
    const other = await mountWCOWLayers("c10", others, { host, volumeMountPath: "C:\\mnt\\c10" });
    const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    // Either Windows doesn't tell the volume, or the caller names the folder of another one.
    if (volumeMountPath === undefined) host.fail({ function: "GetLayerMountPath", code: 5 });
    const error = await assertRejects(() => unmountWCOWLayers(SCRATCH, { host, volumeMountPath }), LayerError);
    assertEquals(error.name, volumeMountPath === undefined ? "NativeError" : "InvalidInputError");
    host.failNothing();
    await layers.release();
    await other.release();
    assertEquals([held(host), before.filter((path) => !host.exists(path))], [[], []]);
  }
});

Deno.test("unmountWCOWLayers() keeps going where a step fails, and goes on when called again", async () => {
  for (const [fn, code] of STUCK) {
    const host = stackHost();
    const before = host.paths();
    await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
    host.fail({ function: fn, code });
    await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), ReleaseError);
    host.failNothing();
    await unmountWCOWLayers(SCRATCH, { host, volumeMountPath: MOUNT });
    assertEquals([held(host), host.paths()], [[], before], fn);
  }
});

Deno.test("unmountWCOWLayers() leaves other mounts alone", async () => {
  const host = stackHost();
  host.addScratch("C:\\scratch\\c10");
  await using _other = await mountWCOWLayers("c10", [...STACK.slice(0, -1), "C:\\scratch\\c10"], { host });
  await mountWCOWLayers("c1", STACK, { host });
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals(held(host), ["activation C:\\scratch\\c10", "filter C:\\scratch\\c10"]);
});
