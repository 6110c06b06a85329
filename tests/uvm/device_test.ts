import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { type Device, DeviceRegistry } from "../../src/uvm/devices/device.ts";

/** A device whose requests are answered by the test, in the order in which they were made. */
class Manual implements Device {
  readonly log: string[] = [];
  readonly #open: { resolve(): void; reject(error: unknown): void }[] = [];

  #request(name: string): Promise<void> {
    this.log.push(name);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#open.push({ resolve, reject });
    return promise;
  }

  add(): Promise<void> {
    return this.#request("add");
  }

  readonly removal = [() => this.#request("unplug"), () => this.#request("detach")];

  free(): void {
    this.log.push("free");
  }

  /** Answers the oldest request that is open, once there is one. */
  async answer(error?: Error): Promise<void> {
    for (let turn = 0; turn < 100 && this.#open.length === 0; turn++) await null;
    assert(this.#open.length > 0, "nothing was asked for");
    const { resolve, reject } = this.#open.shift()!;
    error === undefined ? resolve() : reject(error);
  }
}

function setUp() {
  const registry = new DeviceRegistry<Manual>();
  const device = new Manual();
  return { registry, device, place: () => registry.place("k", () => device) };
}

const refused = () => new Error("refused");

Deno.test("DeviceUse.ready() side by side makes one request and shares its success", async () => {
  const { device, place } = setUp();
  const [a, b] = [place(), place()];
  const both = Promise.all([a.ready(), b.ready()]);
  await device.answer();
  await both;
  assertEquals(device.log, ["add"]);
});

Deno.test("DeviceUse.ready() side by side shares a failure, and then nobody holds the device", async () => {
  const { registry, device, place } = setUp();
  const [a, b] = [place(), place()];
  const both = Promise.allSettled([a.ready(), b.ready()]);
  await device.answer(refused());
  assertEquals((await both).map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals(await a.release(), false);
  assertEquals(await b.release(), false);
  assertEquals(device.log, ["add", "free"]);
  assertEquals(registry.has("k"), false);
});

Deno.test("DeviceUse.ready() tries again in the same place after a failure of another use", async () => {
  const { device, place } = setUp();
  const [a, b] = [place(), place()];
  const first = a.ready();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  await Promise.all([b.ready(), device.answer()]);
  assertEquals(device.log, ["add", "add"]);
});

Deno.test("DeviceUse.ready() aborted gives up its hold where another waits", async () => {
  const { device, place } = setUp();
  const [a, b] = [place(), place()];
  const stop = new AbortController();
  const first = a.ready(stop.signal);
  const second = b.ready();
  stop.abort(new Error("stopped"));
  await assertRejects(() => first, Error, "stopped");
  await Promise.all([second, device.answer()]);
  assertEquals(await a.release(), false);
  const released = b.release();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  assertEquals(device.log, ["add", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse.ready() aborted and alone gets the device, for the request can't be called back", async () => {
  const { device, place } = setUp();
  const a = place();
  const stop = new AbortController();
  const ready = a.ready(stop.signal);
  stop.abort();
  await device.answer();
  await ready;
  const released = a.release();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
});

Deno.test("DeviceUse.ready() refuses a signal that is aborted before it asks for anything", async () => {
  const { device, place } = setUp();
  const a = place();
  await assertRejects(() => a.ready(AbortSignal.abort(new Error("stopped"))), Error, "stopped");
  a[Symbol.dispose]();
  assertEquals(device.log, ["free"]);
});

Deno.test("DeviceUse.ready() during a removal waits, and adds the device anew in its place", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const released = a.release();
  const b = place();
  const ready = b.ready();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  await device.answer();
  await ready;
  assertEquals(device.log, ["add", "unplug", "detach", "add"]);
});

Deno.test("DeviceUse.release() of one of two uses asks for nothing", async () => {
  const { device, place } = setUp();
  const [a, b] = [place(), place()];
  await Promise.all([a.ready(), b.ready(), device.answer()]);
  assertEquals(await a.release(), true);
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["add"]);
});

Deno.test("DeviceUse.release() twice side by side is one release", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const both = Promise.all([a.release(), a.release()]);
  await device.answer();
  await device.answer();
  assertEquals(await both, [true, true]);
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["add", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse.release() after a failure goes on with the step that failed", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first, Error, "refused"), device.answer(refused())]);
  const second = a.release();
  await device.answer();
  assertEquals(await second, true);
  assertEquals(device.log, ["add", "unplug", "detach", "detach", "free"]);
});

Deno.test("DeviceUse.ready() takes over a device of whose removal no step was done", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const first = a.release();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = place();
  await b.ready();
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["add", "unplug"]);
  const second = b.release();
  await device.answer();
  await device.answer();
  assertEquals(await second, true);
});

Deno.test("DeviceUse.ready() finishes a removal that was half done, and adds the device anew", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = place();
  const ready = b.ready();
  await device.answer();
  await device.answer();
  await ready;
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["add", "unplug", "detach", "detach", "add"]);
});

Deno.test("DeviceUse.ready() fails where a removal that was half done can't be finished", async () => {
  const { device, place } = setUp();
  const a = place();
  await Promise.all([a.ready(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = place();
  const ready = b.ready();
  await Promise.all([assertRejects(() => ready, Error, "refused"), device.answer(refused())]);
  assertEquals(await b.release(), false);
  const second = a.release();
  await device.answer();
  assertEquals(await second, true);
  assertEquals(device.log, ["add", "unplug", "detach", "detach", "detach", "free"]);
});

Deno.test("DeviceUse.release() during its own ready() waits for the outcome", async () => {
  const { device, place } = setUp();
  const a = place();
  const ready = a.ready();
  const released = a.release();
  await device.answer();
  await ready;
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  assertEquals(device.log, ["add", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse[Symbol.dispose]() gives up a place, and never a device", async () => {
  const { registry, device, place } = setUp();
  const [a, b] = [place(), place()];
  await Promise.all([a.ready(), device.answer()]);
  a[Symbol.dispose]();
  b[Symbol.dispose]();
  assertEquals(device.log, ["add"]);
  assertEquals(registry.find("k"), device);
});

Deno.test("DeviceUse.ready() refuses a use that was given back", async () => {
  const { place } = setUp();
  const a = place();
  a[Symbol.dispose]();
  await assertRejects(() => a.ready(), TypeError);
});

Deno.test("DeviceUse.release() keeps the place that another use has, and the next one adds the device in it", async () => {
  const { device, place } = setUp();
  const [a, b] = [place(), place()];
  await Promise.all([a.ready(), device.answer()]);
  const released = a.release();
  await device.answer();
  await device.answer();
  await released;
  await Promise.all([b.ready(), device.answer()]);
  assertEquals(device.log, ["add", "unplug", "detach", "add"]);
});
