// A call of Windows that doesn't return, and what has to wait for it.
import { assertEquals, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { HungCallError, mountWCOWLayers } from "../../mod.ts";
import { prepareLayer } from "../../src/storage/mod.ts";
import { CallBarrier, changes, held, settle } from "../support/calls.ts";
import { hostInFront, LAYERS, SCRATCH, STACK, stackHost } from "../support/host.ts";

const OTHER = "C:\\scratch\\c2";

/** A host on which `PrepareLayer` is held back, and whose limits pass when the test says so. */
function hungHost() {
  const slow = new CallBarrier((call) => call.function === "PrepareLayer");
  const machine = stackHost({ latency: slow.latency });
  machine.addScratch(OTHER);
  const limits: { ms: number; pass(): void; signal: AbortSignal }[] = [];
  const deadline = (ms: number, signal: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    limits.push({ ms, pass: resolve, signal });
    return promise;
  };
  return { host: hostInFront(machine, { deadline }), machine, slow, limits };
}

Deno.test("PrepareLayer hangs: who waits for it is told after a minute, and who comes later at once", async () => {
  const { host, machine, slow, limits } = hungHost();
  const first = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  const second = mountWCOWLayers("c2", [...LAYERS, OTHER], { host });
  const told = assertRejects(() => second, HungCallError);
  await settle();
  assertEquals(limits.map(({ ms }) => ms), [60_000]);
  limits[0]!.pass();
  const error = await told;
  assertEquals([error.operation, error.path, error.seconds], ["PrepareLayer", SCRATCH, 60]);
  assertEquals(
    error.message,
    `PrepareLayer for ${SCRATCH} has not returned for more than 60 s, and only one call runs at a time. Try again later. ` +
      "If it never returns, end this process, and unmount the scratch in another",
  );
  await assertRejects(() => mountWCOWLayers("c2", [...LAYERS, OTHER], { host }), HungCallError);
  await assertRejects(() => prepareLayer(OTHER, LAYERS, { host }), HungCallError);
  assertEquals(held(machine), [`activation ${SCRATCH}`]);
  assertEquals(changes(machine).filter((call) => call.endsWith(OTHER)), [
    `ActivateLayer ${OTHER}`,
    `DeactivateLayer ${OTHER}`,
    `ActivateLayer ${OTHER}`,
    `DeactivateLayer ${OTHER}`,
  ]);

  slow.release();
  await (await first).release();
  const again = mountWCOWLayers("c2", [...LAYERS, OTHER], { host });
  await slow.arrival();
  slow.release();
  await (await again).release();
  assertEquals([held(machine), limits.map(({ signal }) => signal.aborted)], [[], [true, true]]);
});

Deno.test("PrepareLayer hangs on a host with a clock: who waits is told after a minute of that clock", async () => {
  const slow = new CallBarrier((call) => call.function === "PrepareLayer");
  const host = stackHost({ latency: slow.latency, clock: "manual" });
  host.addScratch(OTHER);
  const first = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  let told: unknown;
  const second = mountWCOWLayers("c2", [...LAYERS, OTHER], { host }).catch((error) => told = error);
  await host.clock.advance(59_999);
  assertEquals(told, undefined);
  await host.clock.advance(1);
  await second;
  assertEquals([told instanceof HungCallError, held(host)], [true, [`activation ${SCRATCH}`]]);
  slow.release();
  await (await first).release();
  assertEquals(held(host), []);
});

Deno.test("PrepareLayer takes long: who waits for it has the lock after it, and the limit begins anew", async () => {
  const { host, machine, slow, limits } = hungHost();
  const first = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  const second = mountWCOWLayers("c2", [...LAYERS, OTHER], { host });
  await settle();
  slow.release();
  await first;
  limits[0]!.pass();
  await slow.arrival();
  machine.addScratch("C:\\scratch\\c3");
  const third = mountWCOWLayers("c3", [...LAYERS, "C:\\scratch\\c3"], { host });
  await settle();
  assertEquals(limits.map(({ signal }) => signal.aborted), [true, false]);
  slow.release();
  await second;
  await slow.arrival();
  slow.release();
  await third;
  assertEquals(held(machine).length, 6);
});

Deno.test("PrepareLayer hangs: who waits for it gives up when its signal is aborted", async () => {
  const { host, machine, slow, limits } = hungHost();
  const first = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  const controller = new AbortController();
  const reason = new Error("enough");
  const second = mountWCOWLayers("c2", [...LAYERS, OTHER], { host, signal: controller.signal });
  const failed = assertRejects(() => second);
  await settle();
  controller.abort(reason);
  assertStrictEquals(await failed, reason);
  limits[0]!.pass();
  await settle();
  slow.release();
  await first;
  assertEquals(held(machine), [`activation ${SCRATCH}`, `filter ${SCRATCH}`]);
});
