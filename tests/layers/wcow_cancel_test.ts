import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import {
  mountSandboxVolume,
  mountWCOWLayers,
  removeSandboxMountPoint,
  unmountWCOWLayers,
  UnwindError,
} from "../../mod.ts";
import type { NativeCall } from "../../src/simulated/mod.ts";
import { CallBarrier, changes, held, settle } from "../support/calls.ts";
import { hostInFront, LAYERS, MOUNT, SCRATCH, STACK, stackHost } from "../support/host.ts";

const reason = new Error("aborted by the test");
const SECOND = "C:\\scratch\\c2";
const VOLUME = "11111111-2222-3333-4444-555555555555";

function abortable() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(reason) };
}

async function rejectsWithReason(promise: Promise<unknown>): Promise<void> {
  assertStrictEquals(await assertRejects(() => promise), reason);
}

Deno.test("an aborted signal is noticed before anything is done, by every function", async () => {
  const host = stackHost();
  const signal = AbortSignal.abort(reason);
  const volume = host.addVolume(VOLUME);
  await rejectsWithReason(mountWCOWLayers("c1", STACK, { host, signal }));
  await rejectsWithReason(unmountWCOWLayers(SCRATCH, { host, signal }));
  await rejectsWithReason(mountSandboxVolume(MOUNT, volume, { host, signal }));
  await rejectsWithReason(removeSandboxMountPoint(MOUNT, { host, signal }));
  assertEquals(changes(host), []);
});

/** The slow calls of a mount, and what has been called once the abort during one of them is through. */
const IN_FLIGHT: [fn: string, nth: number, undone: string[]][] = [
  ["ActivateLayer", 1, ["DeactivateLayer"]],
  ["PrepareLayer", 1, ["UnprepareLayer", "DeactivateLayer"]],
  ["GetLayerMountPath", 1, ["UnprepareLayer", "DeactivateLayer"]],
  ["GetLayerMountPath", 2, ["UnprepareLayer", "DeactivateLayer"]],
];

for (const volumeMountPath of [undefined, MOUNT]) {
  for (const [fn, nth, undone] of IN_FLIGHT) {
    const where = volumeMountPath === undefined ? "" : " with a mount point";
    Deno.test(`mountWCOWLayers()${where} aborted during ${fn} #${nth} waits for it, and undoes it`, async () => {
      let seen = 0;
      const barrier = new CallBarrier((call) => call.function === fn && ++seen === nth);
      const host = stackHost({ latency: barrier.latency });
      const before = host.paths();
      const { signal, abort } = abortable();
      let settled = false;
      const mounting = mountWCOWLayers("c1", STACK, { host, signal, volumeMountPath }).finally(() => settled = true);
      mounting.catch(() => {});
      await barrier.arrival();
      abort();
      await settle();
      assertEquals([settled, host.calls.at(-1)!.function], [false, fn]);
      barrier.release();
      await rejectsWithReason(mounting);
      const calls = changes(host);
      assertEquals(calls.slice(-undone.length), undone.map((name) => `${name} ${SCRATCH}`));
      assertEquals([held(host), host.paths(), host.allocations], [[], before, 1]);
    });
  }
}

// Those behind the last look at the signal.
const LAST_CALLS = ["CloseHandle", "GetLastError", "UnlockFileEx"];

Deno.test("mountWCOWLayers() aborted between any two calls undoes what it took, or ends with the mount whole", async () => {
  const probe = stackHost();
  await mountWCOWLayers("c1", STACK, { host: probe, volumeMountPath: MOUNT });
  for (let at = 0; at < probe.calls.length; at++) {
    const host = stackHost();
    const before = host.paths();
    const { signal, abort } = abortable();
    // Conditions are asked at each call, so that one can act on it.
    const calls = () => host.calls.length === at && abort();
    for (const fn of new Set(probe.calls.map((call) => call.function))) {
      host.fail({ function: fn, code: 5, when: () => (calls(), false) });
    }
    const mounting = mountWCOWLayers("c1", STACK, { host, signal, volumeMountPath: MOUNT });
    const mounted = await mounting.catch(() => undefined);
    if (mounted === undefined) await rejectsWithReason(mounting);
    else assert(probe.calls.slice(at).every(({ function: fn }) => LAST_CALLS.includes(fn)), `mounted, at call ${at}`);
    await mounted?.release();
    assertEquals([held(host), host.paths(), host.allocations <= 1], [[], before, true], `at call ${at}`);
  }
});

/** Reasons of which no text can be made, or none that says anything. */
const UNPRINTABLE: unknown[] = [
  {
    toString() {
      throw new Error("no text");
    },
  },
  Object.create(null),
  new Proxy({}, {
    getPrototypeOf() {
      throw new Error("no prototype");
    },
  }),
  Symbol("stop"),
  null,
  0,
  "",
  NaN,
  5n,
];

Deno.test("a reason of which no text can be made comes through as it is, also where undoing fails", async () => {
  for (const reason of UNPRINTABLE) {
    for (const fails of [false, true]) {
      const controller = new AbortController();
      const host = stackHost();
      host.fail({ function: "GetLayerMountPath", code: 5, when: () => (controller.abort(reason), false) });
      if (fails) host.fail({ function: "DeactivateLayer", code: 5 });
      const mounting = mountWCOWLayers("c1", STACK, { host, signal: controller.signal });
      const error: unknown = await mounting.then(() => "mounted", (error) => error);
      if (!fails) {
        assertEquals([Object.is(error, reason), held(host)], [true, []]);
        continue;
      }
      assertInstanceOf(error, UnwindError);
      assertEquals([Object.is(error.cause, reason), error.message.includes("DeactivateLayer failed")], [true, true]);
      assertEquals(error.holds.length, 1);
    }
  }
});

Deno.test("release() aborted with a reason of which no text can be made rejects with that reason", async () => {
  for (const reason of UNPRINTABLE) {
    const host = stackHost();
    const layers = await mountWCOWLayers("c1", STACK, { host });
    const error: unknown = await layers.release({ signal: AbortSignal.abort(reason) }).catch((error) => error);
    assertEquals([Object.is(error, reason), held(host).length], [true, 2]);
    await layers.release();
  }
});

Deno.test("mountWCOWLayers() aborted while another mount is in PrepareLayer doesn't wait for its turn", async () => {
  const barrier = new CallBarrier((call) => call.function === "PrepareLayer");
  const host = stackHost({ latency: barrier.latency });
  host.addScratch(SECOND);
  const { signal, abort } = abortable();
  const first = mountWCOWLayers("c1", STACK, { host });
  await barrier.arrival();
  const second = mountWCOWLayers("c2", [...LAYERS, SECOND], { host, signal });
  second.catch(() => {});
  await settle();
  assertEquals(held(host), [`activation ${SCRATCH}`, `activation ${SECOND}`]);
  abort();
  await rejectsWithReason(second);
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  barrier.release();
  await (await first).release();
  assertEquals([held(host), changes(host).filter((call) => call.startsWith("PrepareLayer"))], [[], [
    `PrepareLayer ${SCRATCH}`,
  ]]);
});

Deno.test("mountWCOWLayers() lets one mount at a time into PrepareLayer, in the order of arrival", async () => {
  const barrier = new CallBarrier((call) => call.function === "PrepareLayer");
  const host = stackHost({ latency: barrier.latency });
  const scratches = [1, 2, 3].map((i) => `C:\\scratch\\side${i}`);
  scratches.forEach((scratch) => host.addScratch(scratch));
  const mounting = scratches.map((scratch) => mountWCOWLayers("c", [...LAYERS, scratch], { host }));
  for (let i = 1; i <= 3; i++) {
    await barrier.arrival();
    await settle();
    assertEquals(
      host.calls.filter((call) => call.function === "PrepareLayer").map((call) => call.result),
      [...Array(i - 1).fill("0x00000000"), "pending"],
    );
    barrier.release();
  }
  const mounts = await Promise.all(mounting);
  assertEquals(
    changes(host).filter((call) => call.startsWith("Prep")),
    scratches.map((scratch) => `PrepareLayer ${scratch}`),
  );
  await Promise.all(mounts.map((mount) => mount.release()));
  assertEquals(held(host), []);
});

Deno.test("mountWCOWLayers() aborted while it waits for the next attempt ends at once", async () => {
  const host = stackHost();
  host.fail({ function: "PrepareLayer", code: 21 });
  const { signal, abort } = abortable();
  const asleep = Promise.withResolvers<void>();
  const slow = hostInFront(host, {
    sleep: (_ms, signal) =>
      new Promise<void>((_, reject) => {
        signal!.addEventListener("abort", () => reject(signal!.reason), { once: true });
        asleep.resolve();
      }),
  });
  const mounting = mountWCOWLayers("c1", STACK, { host: slow, signal });
  mounting.catch(() => {});
  await asleep.promise;
  assertEquals(held(host), [], "nothing is held while it waits");
  abort();
  await rejectsWithReason(mounting);
  assertEquals(changes(host).filter((call) => call.startsWith("ActivateLayer")).length, 1);
});

Deno.test("mountWCOWLayers() that fails after its signal was aborted says why it failed, and undoes what it took", async () => {
  const barrier = new CallBarrier((call) => call.function === "PrepareLayer");
  const host = stackHost({ latency: barrier.latency });
  host.fail({ function: "PrepareLayer", code: 0xc0370112 });
  const { signal, abort } = abortable();
  const mounting = mountWCOWLayers("c1", STACK, { host, signal });
  mounting.catch(() => {});
  await barrier.arrival();
  abort();
  barrier.release();
  await assertRejects(() => mounting, Error, "0xc0370112");
  assertEquals(held(host), []);
});

Deno.test("release() can be aborted between its steps, and goes on from there", async () => {
  const barrier = new CallBarrier((call: NativeCall) => call.function === "UnprepareLayer");
  const host = stackHost({ latency: barrier.latency });
  const before = host.paths();
  const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
  const { signal, abort } = abortable();
  const releasing = layers.release({ signal });
  releasing.catch(() => {});
  await barrier.arrival();
  abort();
  barrier.release();
  await rejectsWithReason(releasing);
  assertEquals([held(host), layers.holds.map((hold) => hold.kind)], [[`activation ${SCRATCH}`], ["activation"]]);
  const calls = host.calls.length;
  await layers.release();
  assertEquals([changes(host, calls), held(host), host.paths()], [[`DeactivateLayer ${SCRATCH}`], [], before]);
});

Deno.test("unmountWCOWLayers() can be aborted between its steps, and goes on when called again", async () => {
  const barrier = new CallBarrier((call: NativeCall) => call.function === "UnprepareLayer");
  const host = stackHost({ latency: barrier.latency });
  await mountWCOWLayers("c1", STACK, { host });
  const { signal, abort } = abortable();
  const unmounting = unmountWCOWLayers(SCRATCH, { host, signal });
  unmounting.catch(() => {});
  await barrier.arrival();
  abort();
  barrier.release();
  await rejectsWithReason(unmounting);
  assertEquals(held(host), [`activation ${SCRATCH}`]);
  const again = unmountWCOWLayers(SCRATCH, { host });
  await barrier.arrival();
  barrier.release();
  await again;
  assertEquals(held(host), []);
});
