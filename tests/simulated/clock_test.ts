import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, NativeError } from "../../mod.ts";
import { layerExists } from "../../src/ffi/vmcompute.ts";
import { createSocketEvent, startWinsock } from "../../src/ffi/ws2_32.ts";
import { SimulatedHost, type SimulatedHostOptions, SimulationError } from "../../src/simulated/mod.ts";
import { heldKinds, settle } from "../support/calls.ts";
import { hostWith, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

/** Records when promises are done, by the clock of a host. */
function timesOn(host: SimulatedHost): { times: string[]; note: (name: string, work: Promise<unknown>) => void } {
  const times: string[] = [];
  return {
    times,
    note: (name, work) =>
      void work.then(
        () => times.push(`${name} ${host.clock.now}`),
        () => times.push(`${name} failed ${host.clock.now}`),
      ),
  };
}

Deno.test("a clock that is moved by hand moves by advance() alone, and stops at each thing that is due", async () => {
  const host = new SimulatedHost({ clock: "manual" });
  const { times, note } = timesOn(host);
  note("long", host.sleep(300));
  note("twice", host.sleep(100).then(() => host.sleep(100)));
  await settle();
  assertEquals([host.clock.now, times], [0, []]);
  await host.clock.advance(250);
  assertEquals([host.clock.now, times], [250, ["twice 200"]]);
  await host.clock.advance(50);
  assertEquals(times, ["twice 200", "long 300"]);
});

Deno.test("a clock that moves by itself goes to the next thing that is due, in the order of time", async () => {
  const host = new SimulatedHost({ clock: "automatic" });
  const { times, note } = timesOn(host);
  note("c", host.sleep(300));
  note("a", host.sleep(100));
  note("b", host.sleep(100));
  await host.sleep(1000);
  assertEquals([times, host.clock.now], [["a 100", "b 100", "c 300"], 1000]);
});

Deno.test("without the option, who sleeps goes on at once, and the clock is later", async () => {
  const host = new SimulatedHost();
  const seen: number[] = [];
  await host.sleep(5_000);
  await host.sleep(0);
  assertEquals(host.clock.now, 5_000);
  using _ = host.clock.after(10, () => seen.push(host.clock.now));
  await host.sleep(100);
  assertEquals([seen, host.clock.now], [[5_010], 5_100]);
  await host.clock.advance(10);
  assertEquals(host.clock.now, 5_110);
});

Deno.test("a sleep ends when its signal is aborted, with the reason", async () => {
  for (const clock of ["manual", "automatic"] as const) {
    const host = new SimulatedHost({ clock });
    const abort = new AbortController();
    host.clock.after(50, () => abort.abort(new Error("enough")));
    const sleeping = host.sleep(100, abort.signal);
    const outcome = assertRejects(() => sleeping, Error, "enough");
    if (clock === "manual") await host.clock.advance(50);
    await outcome;
    assertEquals(host.clock.now, 50);
    await assertRejects(() => host.sleep(1, abort.signal), Error, "enough");
  }
});

Deno.test("what is taken back doesn't happen", async () => {
  const host = new SimulatedHost({ clock: "manual" });
  const seen: string[] = [];
  host.clock.after(10, () => seen.push("first"))[Symbol.dispose]();
  host.clock.after(10, () => seen.push("second"));
  await host.clock.advance(10);
  assertEquals(seen, ["second"]);
});

Deno.test("slow functions and notifications take their time by the clock", async () => {
  const options = { clock: "automatic", latency: { ActivateLayer: 700, PrepareLayer: 300 } } as const;
  const host = stackHost(options);
  const layers = await mountWCOWLayers("c1", STACK, { host });
  assertEquals(host.clock.now, 1_000);
  await layers.release();

  const machine = vmHost({ clock: "automatic", completion: 60_000 });
  await using vm = await startedVM(machine, WINDOWS);
  assertEquals([machine.clock.now, vm.state], [120_000, "running"]);
});

Deno.test("what happens between two calls can be chosen by the time", async () => {
  const host = stackHost({ clock: "automatic", latency: { PrepareLayer: 100 } });
  const abort = new AbortController();
  const seen: string[][] = [];
  host.clock.after(99, () => {
    seen.push(heldKinds(host));
    abort.abort(new Error("enough"));
  });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host, signal: abort.signal }), Error, "enough");
  assertEquals([seen, heldKinds(host), host.clock.now], [[["activation"]], [], 100]);
});

Deno.test("a retry waits by the clock of the host", async () => {
  const host = stackHost({ clock: "automatic" });
  host.fail({ function: "PrepareLayer", code: "ERROR_NOT_READY" });
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), NativeError);
  assertEquals(host.clock.now, 400);
});

Deno.test("a duration that is none is refused", async () => {
  const host = new SimulatedHost({ clock: "manual" });
  for (const ms of [-1, NaN, Infinity]) {
    assertThrows(() => host.clock.after(ms, () => {}), SimulationError, "milliseconds");
    await assertRejects(() => host.sleep(ms), SimulationError, "milliseconds");
    await assertRejects(() => host.clock.advance(ms), SimulationError, "milliseconds");
  }
  assertThrows(() => new SimulatedHost({ latency: { CreateFileW: 5 } }), SimulationError, "fast");
  assertThrows(() => new SimulatedHost({ latency: { PrepareLyer: 5 } }), SimulationError, "did you mean PrepareLayer");
});

Deno.test("an error in something that happens later is thrown by the next call", async () => {
  const host = new SimulatedHost({ clock: "manual" });
  host.clock.after(1, () => {
    throw new SimulationError("what a test does");
  });
  await host.clock.advance(1);
  await assertRejects(() => mountWCOWLayers("c1", STACK, { host }), SimulationError, "what a test does");
});

Deno.test("the hosts of one machine have one time, and different processes", async () => {
  const file = await Deno.makeTempFile();
  try {
    const first = stackHost({ file });
    const second = new SimulatedHost({ file });
    await first.sleep(1_000);
    await mountWCOWLayers("c1", STACK, { host: first });
    second.held();
    assertEquals(second.clock.now, 1_000);
    await second.sleep(500);
    second.held();
    assert(first.held().every(({ by }) => by!.process === 1));
    assertEquals([first.clock.now, second.clock.now], [1_500, 1_500]);
    assertEquals(first.exists(`${SCRATCH}\\sandbox.vhdx`), true);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("slow functions share the threads of a pool, and wait for one in their order", async () => {
  const scratches = ["C:\\s1", "C:\\s2", "C:\\s3"];
  const host = hostWith({ layers: ["C:\\base"], scratches }, {
    poolThreads: 2,
    clock: "automatic",
    latency: { ActivateLayer: 100 },
  });
  const mounts = await Promise.all(
    scratches.map((scratch, i) => mountWCOWLayers(`c${i}`, ["C:\\base", scratch], { host })),
  );
  assertEquals(host.clock.now, 200);
  await Promise.all(mounts.map((mount) => mount.release()));
  assertThrows(() => new SimulatedHost({ poolThreads: 0 }), SimulationError, "poolThreads");
});

Deno.test("a function that only waits keeps its thread, and with it those that come after it", async () => {
  const host = new SimulatedHost({ poolThreads: 1 });
  using _winsock = startWinsock(host);
  using event = createSocketEvent(host);
  const waiting = event.wait();
  let exists: boolean | undefined;
  const asking = layerExists(host, "C:\\layers\\base").then((result) => exists = result);
  await settle();
  assertEquals(exists, undefined);
  event.set();
  await Promise.all([waiting, asking]);
  assertEquals(exists, false);
});

Deno.test("a clock that isn't known is refused", () => {
  const options = { clock: "auto" } as unknown as SimulatedHostOptions;
  assertThrows(() => new SimulatedHost(options), SimulationError, 'clock is "manual" or "automatic", not "auto"');
});

Deno.test("a build that is no number is refused", () => {
  for (const build of ["x", -1, 1.5, NaN, 2 ** 32]) {
    const options = { build } as SimulatedHostOptions;
    assertThrows(() => new SimulatedHost(options), SimulationError, "build is not a number of a build");
  }
});
