import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, windowsHost } from "../../../mod.ts";
import { activateLayer } from "../../../src/ffi/vmcompute.ts";
import { LayerFolders } from "./layers.ts";
import { Recorder } from "./recorder.ts";
import { heldAfter } from "./trace.ts";

const turns = (count: number) =>
  Array.from({ length: count }).reduce<Promise<void>>(
    (before) => before.then(() => new Promise((resolve) => setTimeout(resolve))),
    Promise.resolve(),
  );

Deno.test("the event loop stays free while a layer call is at work", async () => {
  using recorder = new Recorder();
  using folders = new LayerFolders(["base"]);
  using host = windowsHost();
  recorder.hold("PrepareLayer");
  let settled = false;
  const mounting = mountWCOWLayers("c1", folders.all, { host }).finally(() => settled = true);
  // This alone needs an event loop that turns.
  await recorder.untilHeld();
  await turns(10);
  assert(!settled);
  recorder.letGo();
  await using mounted = await mounting;
  assertEquals(mounted.holds.length, 2);
});

for (const fn of ["ActivateLayer", "PrepareLayer"]) {
  Deno.test(`mountWCOWLayers() aborted during ${fn} waits for it, and gives everything back`, async () => {
    using recorder = new Recorder();
    using folders = new LayerFolders(["base"]);
    using host = windowsHost();
    const controller = new AbortController();
    const reason = new Error("enough");
    recorder.hold(fn);
    let settled = false;
    const outcome = mountWCOWLayers("c1", folders.all, { host, signal: controller.signal })
      .then(() => "mounted", (error) => error)
      .finally(() => settled = true);
    await recorder.untilHeld();
    controller.abort(reason);
    await turns(10);
    assert(!settled);
    recorder.letGo();
    assertEquals(await outcome, reason);
    assertEquals(heldAfter(recorder.calls), []);
    assert(recorder.calls.some((call) => call.fn === fn));
  });
}

Deno.test("mountWCOWLayers() aborted while it waits for another's PrepareLayer gives everything back", async () => {
  using recorder = new Recorder();
  using first = new LayerFolders(["base"]);
  using second = new LayerFolders(["base"]);
  using host = windowsHost();
  recorder.hold("PrepareLayer");
  const mounting = mountWCOWLayers("c1", first.all, { host });
  await recorder.untilHeld();
  const controller = new AbortController();
  const waiting = mountWCOWLayers("c2", second.all, { host, signal: controller.signal });
  const isActivated = () => recorder.calls.some(({ fn, args }) => fn === "ActivateLayer" && args.id === second.scratch);
  while (!isActivated()) await turns(1);
  controller.abort(new Error("enough"));
  await assertRejects(() => waiting, Error, "enough");
  assertEquals(heldAfter(recorder.calls), [`ActivateLayer ${first.scratch}`]);
  recorder.letGo();
  await (await mounting).release();
  assertEquals(heldAfter(recorder.calls), []);
});

Deno.test("layer calls run side by side on the pool, and PrepareLayer one at a time", async () => {
  using recorder = new Recorder();
  using host = windowsHost();
  recorder.hold("ActivateLayer");
  const activating = [1, 2, 3, 4].map((i) => activateLayer(host, `C:\\scratch${i}`));
  await recorder.untilHeld(4);
  recorder.letGo();
  await Promise.all(activating);
  assertEquals(new Set(recorder.calls.map(({ thread }) => thread)).size, 4);

  const stacks = [1, 2, 3].map(() => new LayerFolders(["base"]));
  using cleanup = new DisposableStack();
  for (const folders of stacks) cleanup.use(folders);
  recorder.hold("PrepareLayer");
  const mounting = stacks.map((folders, i) => mountWCOWLayers(`c${i}`, folders.all, { host }));
  await recorder.untilHeld();
  await turns(20);
  assertEquals(recorder.held, 1);
  recorder.letGo();
  for (const mounted of await Promise.all(mounting)) await mounted.release();
  // Those activated first were never given back.
  assertEquals(heldAfter(recorder.calls).length, activating.length);
});

Deno.test("100 concurrent mounts, half of them aborted at some moment, leave nothing held", async () => {
  using recorder = new Recorder();
  using cleanup = new DisposableStack();
  using host = windowsHost();
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, async (_, i) => {
    const folders = cleanup.use(new LayerFolders(["top", "base"]));
    const controller = new AbortController();
    const mounting = mountWCOWLayers(`c${i}`, folders.all, { host, signal: controller.signal });
    const aborting = i % 2 === 1 ? turns(i % 25).then(() => controller.abort(new Error("enough"))) : undefined;
    try {
      await using _mounted = await mounting;
    } finally {
      await aborting;
    }
  }));
  const rejected = outcomes.filter((outcome) => outcome.status === "rejected");
  assert(rejected.every(({ reason }) => reason.message === "enough"), String(rejected[0]?.reason));
  assert(rejected.length <= 50);
  assertEquals(heldAfter(recorder.calls), []);
});
