// A call of Windows that doesn't return, and what has to wait for it.
import { assertEquals, assertMatch, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { BaseHandler, setup } from "jsr:@std/log@^0.224.14";
import {
  createUtilityVM,
  HungCallError,
  InUseError,
  listMounts,
  type MountInfo,
  mountWCOWLayers,
  recover,
  unmountWCOWLayers,
} from "../../mod.ts";
import { prepareLayer } from "../../src/storage/mod.ts";
import { CallBarrier, changes, held, settle } from "../support/calls.ts";
import { hostInFront, LAYERS, SCRATCH, STACK, stackHost } from "../support/host.ts";
import { IMAGE, vmHost, WINDOWS } from "../support/vm_host.ts";

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

/** The machine, on which the first call of a function is held back, and whose limits pass when the test says so. */
function hangingHost(fn: string) {
  let isFirst = true;
  const slow = new CallBarrier((call) => call.function === fn && isFirst && !(isFirst = false));
  const machine = stackHost({ latency: slow.latency });
  const limits: { ms: number; pass(): void; signal: AbortSignal }[] = [];
  const deadline = (ms: number, signal: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    limits.push({ ms, pass: resolve, signal });
    return promise;
  };
  const pass = async (ms: number) => {
    limits.filter((limit) => limit.ms === ms && !limit.signal.aborted).forEach((limit) => limit.pass());
    await settle();
  };
  return { host: hostInFront(machine, { deadline }), machine, slow, pass };
}

Deno.test("a mount whose time is over while PrepareLayer hangs tells so, keeps others out, and is undone once it returns", async () => {
  const { host, machine, slow, pass } = hangingHost("PrepareLayer");
  const mount = assertRejects(() => mountWCOWLayers("c1", STACK, { host, timeout: 30_000 }), HungCallError);
  await slow.arrival();
  const [{ id }] = await listMounts({ host: machine }) as [MountInfo];
  await pass(30_000);
  await pass(5_000);
  const error = await mount;
  assertEquals([error.operation, error.path, error.seconds, error.record], ["PrepareLayer", SCRATCH, 5, id]);
  assertEquals((error.cause as DOMException).name, "TimeoutError");
  assertEquals(
    error.message,
    `PrepareLayer for ${SCRATCH} has not returned for more than 5 s, and can't be stopped. Once it returns, what was begun ` +
      "is undone. If it never does, end this process, and recover() in another releases what is left",
  );
  const refusal = `${SCRATCH} is being changed: ${error.message}`;
  assertEquals((await assertRejects(() => mountWCOWLayers("c2", STACK, { host }), InUseError)).message, refusal);
  assertEquals((await assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), InUseError)).message, refusal);
  assertEquals(held(machine), [`activation ${SCRATCH}`]);

  slow.release();
  await error.over;
  while (held(machine).length > 0) await settle();
  assertEquals(await listMounts({ host: machine }), []);
  await (await mountWCOWLayers("c2", STACK, { host })).release();
});

Deno.test("a release whose time is over while UnprepareLayer hangs tells so, others are refused, and it goes on", async () => {
  const { host, machine, slow, pass } = hangingHost("UnprepareLayer");
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const [{ id }] = await listMounts({ host: machine }) as [MountInfo];
  const release = assertRejects(() => mounted.release({ timeout: 1_000 }), HungCallError);
  await slow.arrival();
  const waiting = assertRejects(() => unmountWCOWLayers(SCRATCH, { host }), InUseError);
  await settle();
  await pass(1_000);
  await pass(5_000);
  const error = await release;
  assertEquals([error.operation, error.path, error.record], ["UnprepareLayer", SCRATCH, id]);
  assertEquals((await waiting).message, `${SCRATCH} is being changed: ${error.message}`);
  await assertRejects(() => mountWCOWLayers("c2", STACK, { host }), InUseError, "is being changed: UnprepareLayer");

  // Who releases it without a limit shares the step, and goes on with the rest.
  const again = mounted.release();
  slow.release();
  await again;
  assertEquals([held(machine), await listMounts({ host: machine })], [[], []]);
  await (await mountWCOWLayers("c2", STACK, { host })).release();
});

Deno.test("side by side, a release whose time is over tells of the step of the other one that hangs", async () => {
  const { host, machine, slow, pass } = hangingHost("UnprepareLayer");
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const patient = mounted.release();
  await slow.arrival();
  const limited = assertRejects(() => mounted.release({ timeout: 1_000 }), HungCallError);
  await settle();
  await pass(1_000);
  await pass(5_000);
  assertEquals((await limited).operation, "UnprepareLayer");
  slow.release();
  await patient;
  assertEquals(held(machine), []);
});

Deno.test("side by side, a time limit stops only the release that has it", async () => {
  const { host, machine, slow, pass } = hangingHost("UnprepareLayer");
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  const limited = assertRejects(() => mounted.release({ timeout: 1_000 }), DOMException);
  await slow.arrival();
  const patient = mounted.release();
  await pass(1_000);
  slow.release();
  assertEquals((await limited).name, "TimeoutError");
  await patient;
  assertEquals(held(machine), []);
});

Deno.test("a mount whose time is over is undone, and rejects with a TimeoutError, if its call returns", async () => {
  const host = stackHost({ clock: "automatic", latency: { PrepareLayer: 4_000 } });
  const began = host.clock.now;
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host, timeout: 1_000 }), DOMException);
  assertEquals([error.name, error.message], ["TimeoutError", "The time limit of 1000 ms is over"]);
  assertEquals([host.clock.now - began, held(host)], [4_000, []]);
});

Deno.test("the time of a limit is that of the host's clock", async () => {
  const host = stackHost({ clock: "automatic", latency: { PrepareLayer: 60_000 } });
  const began = host.clock.now;
  const error = await assertRejects(() => mountWCOWLayers("c1", STACK, { host, timeout: 1_000 }), HungCallError);
  assertEquals(host.clock.now - began, 6_000);
  await error.over;
  while (held(host).length > 0) await settle();
  assertEquals(host.clock.now - began, 60_000);
});

Deno.test("a call hangs in two lists and recoveries side by side: each of them is told", async () => {
  let hangs = false;
  const latency = (call: { function: string }) =>
    hangs && call.function === "GetLayerMountPath" ? 3_600_000 : undefined;
  const host = stackHost({ clock: "automatic", latency });
  const dead = host.otherProcess();
  await mountWCOWLayers("c1", STACK, { host: dead });
  dead.endProcess();
  hangs = true;
  for (const call of [listMounts, recover, listMounts, recover]) {
    const error = await assertRejects(() => call({ host, timeout: 1_000 }), HungCallError);
    assertEquals([error.operation, error.path], ["GetLayerMountPath", SCRATCH]);
  }
});

Deno.test("a mount that waits for its turn when its time is over rejects at once, and the call of another is none of its", async () => {
  const { host, machine, slow, pass } = hangingHost("PrepareLayer");
  machine.addScratch(OTHER);
  const first = mountWCOWLayers("c1", STACK, { host });
  await slow.arrival();
  const second = assertRejects(() => mountWCOWLayers("c2", [...LAYERS, OTHER], { host, timeout: 1_000 }), DOMException);
  await settle();
  await pass(1_000);
  assertEquals((await second).name, "TimeoutError");
  slow.release();
  await (await first).release();
  assertEquals(held(machine), []);
});

Deno.test("an error of undoing what was begun before a call hung is logged, and what is left can be unmounted", async () => {
  const { host, machine, slow, pass } = hangingHost("PrepareLayer");
  const controller = new AbortController();
  const mount = assertRejects(() => mountWCOWLayers("c1", STACK, { host, signal: controller.signal }), HungCallError);
  await slow.arrival();
  controller.abort(new Error("enough"));
  await pass(5_000);
  const { over, cause } = await mount;
  assertStrictEquals(cause, controller.signal.reason);
  machine.fail({ function: "DeactivateLayer", code: "ERROR_GEN_FAILURE" });
  const lines: string[] = [];
  using _log = logTo(lines);
  slow.release();
  await over;
  while (lines.length === 0) await settle();
  assertMatch(lines[0]!, /^undoing what was begun before a call of Windows hung: enough\. Undoing it failed as well: /);
  machine.failNothing();
  await unmountWCOWLayers(SCRATCH, { host });
  assertEquals([held(machine), await listMounts({ host: machine })], [[], []]);
});

/** Has errors that the library logs added to `lines`, until it is disposed of. */
function logTo(lines: string[]): Disposable {
  class Lines extends BaseHandler {
    override log(line: string): void {
      lines.push(line);
    }
  }
  const handler = new Lines("ERROR", { formatter: ({ msg }) => msg });
  setup({ handlers: { handler }, loggers: { "hcs-layers": { level: "ERROR", handlers: ["handler"] } } });
  return { [Symbol.dispose]: () => setup({ handlers: {}, loggers: {} }) };
}

/** Two VMs, and what is done with both of them while a call of each hangs. */
const WITH_TWO_VMS: readonly [hangs: string, what: string][] = [
  ["HcsGetServiceProperties", "created"],
  ["GrantVmAccess", "created"],
  ["GrantVmAccess", "mounted in"],
  ["RevokeVmAccess", "closed"],
  ["HcsTerminateComputeSystem", "closed"],
];

for (const [hangs, what] of WITH_TWO_VMS) {
  Deno.test(`${hangs} hangs for two VMs that are ${what} side by side: each call is told once its time is over`, async () => {
    let slow: CallBarrier | undefined;
    const host = vmHost({ clock: "automatic", completion: "synchronous", latency: (call) => slow?.latency(call) });
    host.addLayer("C:\\layers\\base");
    ["C:\\vms\\1", "C:\\vms\\2", "C:\\s\\1", "C:\\s\\2"].forEach((folder) => host.addScratch(folder));
    const limits = () => ({ timeout: slow === undefined ? undefined : 1_000 });
    const create = (n: number) =>
      createUtilityVM(
        { ...WINDOWS, guestConnection: "direct", id: `vm${n}`, layerFolders: [IMAGE, `C:\\vms\\${n}`] },
        { host, ...limits() },
      );
    const vms = what === "created" ? [] : await Promise.all([create(1), create(2)]);
    for (const vm of vms) await vm.start();
    slow = new CallBarrier((call) => call.function === hangs);
    const mount = (n: number) =>
      mountWCOWLayers("c1", ["C:\\layers\\base", `C:\\s\\${n}`], { vm: vms[n - 1]!, ...limits() });
    const calls = [1, 2].map((n) =>
      what === "created" ? create(n) : what === "closed" ? vms[n - 1]!.close(limits()) : mount(n)
    );
    const told = await Promise.all(calls.map((call) => assertRejects(() => call, HungCallError)));
    assertEquals(told.map(({ operation }) => operation), [hangs, hangs]);
    [1, 2].forEach(() => slow!.release());
    slow = undefined;
    await Promise.all(told.map(({ over }) => over));
    await settle();
    for (const vm of vms) await vm.close();
    assertEquals(held(host), []);
  });
}
