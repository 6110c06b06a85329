import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { type Device, DeviceRegistry } from "../../src/uvm/devices/device.ts";

/** A device whose requests are answered by the test, in the order in which they were made. */
class Manual implements Device {
  readonly hold = { kind: "openDisk", path: "k" } as const;
  readonly log: string[] = [];
  readonly #open: { resolve(): void; reject(error: unknown): void }[] = [];

  #request(name: string): Promise<void> {
    this.log.push(name);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#open.push({ resolve, reject });
    return promise;
  }

  attach(): Promise<void> {
    return this.#request("attach");
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
  return { registry, device, reserve: () => registry.reserve("k", () => device) };
}

const refused = () => new Error("refused");

Deno.test("a device that stays is attached once, and is gone only if it couldn't be attached", async () => {
  class Lasting extends Manual {
    readonly stays = true;

    undo(): Promise<void> {
      this.log.push("undo");
      return this.fails ? Promise.reject(refused()) : Promise.resolve();
    }

    fails = true;
  }
  const registry = new DeviceRegistry<Lasting>();
  const device = new Lasting();
  const reserve = () => registry.reserve("k", () => device);

  const first = reserve();
  const attached = first.attach(undefined, () => {});
  await Promise.all([assertRejects(() => attached), device.answer(refused())]);
  await assertRejects(() => first.release());
  device.fails = false;
  assertEquals(await first.release(), true);
  assertEquals(registry.has("k"), false);
  assertEquals(device.log, ["attach", "undo", "undo", "undo", "free"]);

  for (let i = 0; i < 2; i++) {
    const use = reserve();
    await Promise.all([use.attach(), i === 0 && device.answer()]);
    assertEquals(registry.find("k"), device);
    assertEquals([await use.release(), await use.release()], [true, false]);
    assertEquals([registry.has("k"), registry.find("k")], [true, undefined]);
  }
  assertEquals(device.log.slice(5), ["attach"]);
});

Deno.test("DeviceUse.attach() side by side makes one request and shares its success", async () => {
  const { device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  const both = Promise.all([a.attach(), b.attach()]);
  await device.answer();
  await both;
  assertEquals(device.log, ["attach"]);
});

Deno.test("DeviceUse.attach() side by side shares a failure, and then nobody holds the device", async () => {
  const { registry, device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  const both = Promise.allSettled([a.attach(), b.attach()]);
  await device.answer(refused());
  assertEquals((await both).map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals(await a.release(), false);
  assertEquals(await b.release(), false);
  assertEquals(device.log, ["attach", "free"]);
  assertEquals(registry.has("k"), false);
});

Deno.test("DeviceUse.attach() tries again in the same slot after a failure of another use", async () => {
  const { device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  const first = a.attach();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  await Promise.all([b.attach(), device.answer()]);
  assertEquals(device.log, ["attach", "attach"]);
});

Deno.test("DeviceUse.attach() aborted gives up its hold where another waits", async () => {
  const { device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  const stop = new AbortController();
  const first = a.attach(stop.signal);
  const second = b.attach();
  stop.abort(new Error("stopped"));
  await assertRejects(() => first, Error, "stopped");
  await Promise.all([second, device.answer()]);
  assertEquals(await a.release(), false);
  const released = b.release();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  assertEquals(device.log, ["attach", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse.attach() aborted and alone gets the device, for the request can't be called back", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  const stop = new AbortController();
  const ready = a.attach(stop.signal);
  stop.abort();
  await device.answer();
  await ready;
  const released = a.release();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
});

Deno.test("DeviceUse.attach() refuses a signal that is aborted before it asks for anything", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await assertRejects(() => a.attach(AbortSignal.abort(new Error("stopped"))), Error, "stopped");
  a[Symbol.dispose]();
  assertEquals(device.log, ["free"]);
});

Deno.test("DeviceUse.attach() during a removal waits, and adds the device anew in its slot", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const released = a.release();
  const b = reserve();
  const ready = b.attach();
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  await device.answer();
  await ready;
  assertEquals(device.log, ["attach", "unplug", "detach", "attach"]);
});

Deno.test("DeviceUse.release() of one of two uses asks for nothing", async () => {
  const { device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  await Promise.all([a.attach(), b.attach(), device.answer()]);
  assertEquals(await a.release(), true);
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["attach"]);
});

Deno.test("DeviceUse.release() twice side by side is one release", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const both = Promise.all([a.release(), a.release()]);
  await device.answer();
  await device.answer();
  assertEquals(await both, [true, true]);
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["attach", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse.release() after a failure goes on with the step that failed", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first, Error, "refused"), device.answer(refused())]);
  const second = a.release();
  await device.answer();
  assertEquals(await second, true);
  assertEquals(device.log, ["attach", "unplug", "detach", "detach", "free"]);
});

Deno.test("DeviceUse.attach() takes over a device whose removal is refused twice", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const first = a.release();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = reserve();
  await Promise.all([b.attach(), device.answer(refused())]);
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["attach", "unplug", "unplug"]);
  const second = b.release();
  await device.answer();
  await device.answer();
  assertEquals(await second, true);
});

Deno.test("DeviceUse.attach() removes a device whose removal was refused once, as it may have had its effect, and adds it anew", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const first = a.release();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = reserve();
  const ready = b.attach();
  await device.answer();
  await device.answer();
  await device.answer();
  await ready;
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["attach", "unplug", "unplug", "detach", "attach"]);
});

Deno.test("DeviceUse.attach() finishes a removal that was half done, and adds the device anew", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = reserve();
  const ready = b.attach();
  await device.answer();
  await device.answer();
  await ready;
  assertEquals(await a.release(), false);
  assertEquals(device.log, ["attach", "unplug", "detach", "detach", "attach"]);
});

Deno.test("DeviceUse.attach() fails where a removal that was half done can't be finished", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  await Promise.all([a.attach(), device.answer()]);
  const first = a.release();
  await device.answer();
  await Promise.all([assertRejects(() => first), device.answer(refused())]);
  const b = reserve();
  const ready = b.attach();
  await Promise.all([assertRejects(() => ready, Error, "refused"), device.answer(refused())]);
  assertEquals(await b.release(), false);
  const second = a.release();
  await device.answer();
  assertEquals(await second, true);
  assertEquals(device.log, ["attach", "unplug", "detach", "detach", "detach", "free"]);
});

Deno.test("DeviceUse.release() during its own ready() waits for the outcome", async () => {
  const { device, reserve } = setUp();
  const a = reserve();
  const ready = a.attach();
  const released = a.release();
  await device.answer();
  await ready;
  await device.answer();
  await device.answer();
  assertEquals(await released, true);
  assertEquals(device.log, ["attach", "unplug", "detach", "free"]);
});

Deno.test("DeviceUse[Symbol.dispose]() gives up a reserve, and never a device", async () => {
  const { registry, device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  await Promise.all([a.attach(), device.answer()]);
  a[Symbol.dispose]();
  b[Symbol.dispose]();
  assertEquals(device.log, ["attach"]);
  assertEquals(registry.find("k"), device);
});

Deno.test("DeviceUse.attach() refuses a use that was given back", async () => {
  const { reserve } = setUp();
  const a = reserve();
  a[Symbol.dispose]();
  await assertRejects(() => a.attach(), TypeError);
});

Deno.test("DeviceUse.release() keeps the reserve that another use has, and the next one adds the device in it", async () => {
  const { device, reserve } = setUp();
  const [a, b] = [reserve(), reserve()];
  await Promise.all([a.attach(), device.answer()]);
  const released = a.release();
  await device.answer();
  await device.answer();
  await released;
  await Promise.all([b.attach(), device.answer()]);
  assertEquals(device.log, ["attach", "unplug", "detach", "attach"]);
});
