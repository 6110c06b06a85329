// What every exported function does if it is cancelled: by a signal that is aborted before it, while a call of Windows runs, and
// by a time limit, while a call of Windows hangs. The functions and their arguments are those of arguments_table.ts.
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { HungCallError, mountWCOWLayers, NativeError, UnwindError } from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import * as storage from "../../src/storage/mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { call, newWorld, tableOf, validAt, type World } from "../checks/arguments_table.ts";
import { CallBarrier, held, settle } from "../support/calls.ts";
import { hostInFront, hostWith } from "../support/host.ts";
import { BASE, DISK, SCRATCH, storageHost } from "../support/storage_host.ts";

/** They return at once, or call nothing of Windows that is slow. */
const IMMEDIATE = [
  "makeMountedWCOWLayers",
  "createUtilityVMScratch",
  "enablePrivileges",
  "getHCSLayers",
  "grantVmGroupAccess",
  "isDiskInUse",
  "layerId",
  "mountSandboxVolume",
  "Mounted.release",
  "removeSandboxMountPoint",
  "resolvePath",
  "toHostHcsSchemaLayers",
];

/** They return no promise, and take the same options as the others. */
const SYNCHRONOUS = ["enablePrivileges", "isDiskInUse", "layerId", "resolvePath"];

/** They take neither a signal nor a time limit, because they call nothing of Windows that is slow. */
const WITHOUT = [
  ...["windowsHost", "layerData", "Disk.physicalPath", "Disk.info", "Mounted.toJSON"],
  ...["parseLCOWLayers", "parseWCOWLayers"],
];

/** An abort ends the wait for a request of theirs, which goes on. */
const AT_ONCE = ["UtilityVM.start", "UtilityVM.modify", "UtilityVM.properties", "UtilityVM.terminate"];

/** They make one call of Windows, which holds nothing. Once it has returned, the function is done, or was refused. */
const ONE_CALL = [
  "baseImages",
  "deactivateLayer",
  "destroyLayer",
  "dismountCimImage",
  "exportLayer",
  "grantVmAccess",
  "hcsDestroyLayer",
  "hcsDetachLayerStorageFilter",
  "hcsDetachOverlayFilter",
  "hcsExportLayer",
  "hcsFormatWritableLayerVhd",
  "hcsGetLayerVhdMountPath",
  "hcsInitializeWritableLayer",
  "hcsSetupBaseOSLayer",
  "hcsSetupBaseOSVolume",
  "layerExists",
  "layerMountPath",
  "unprepareLayer",
  "Disk.detach",
  "UtilityVM.close",
];

/** The machine refuses what the table has for them, so that there is nothing to undo. */
const REFUSED = ["hcsAttachLayerStorageFilter", "hcsAttachOverlayFilter", "mountLCOWLayers", "prepareLayer"];

/** What they do is meant to stay. */
const LEAVES = ["dismountCimImage", "UtilityVM.close", "UtilityVM.terminate", "UtilityVM.start"];

/** What has to be there, so that a function has to call Windows. */
const BEFORE: Readonly<Record<string, (world: World) => Promise<unknown>>> = {
  listMounts: mountScratch,
  findMounts: mountScratch,
  recover: async ({ host }) => {
    const other = host.otherProcess();
    await mountScratch({ host: other });
    other.endProcess();
  },
  detachDisk: ({ host }) => storage.attachDisk("C:\\disks\\blank.vhdx", { host, permanent: true }),
};

function mountScratch({ host }: Pick<World, "host">) {
  return mountWCOWLayers("c1", ["C:\\layers\\top", "C:\\layers\\base", "C:\\scratch"], { host });
}

type Native = (...args: unknown[]) => unknown;

/** The functions of a host, each as `wrap` returns it. */
function wrapped(
  host: SimulatedHost,
  wrap: (fn: Native, name: string, isSlow: boolean) => Native,
): Host["symbols"] {
  return ((dll) =>
    Object.fromEntries(
      Object.entries(host.symbols(dll) as Record<string, Native>).map(([name, fn]) => [
        name,
        wrap(fn, name, dll.symbols[name]!.nonblocking === true),
      ]),
    )) as Host["symbols"];
}

/** A machine on which the next slow call hangs once `arm` was called, until `release` is. */
class Hanging {
  hung: string | undefined;
  #isArmed = false;
  #release = () => {};
  readonly limits: { readonly ms: number; readonly pass: () => void; readonly signal: AbortSignal }[] = [];

  readonly front = (host: SimulatedHost): SimulatedHost =>
    hostInFront(host, {
      symbols: wrapped(host, (fn, name, isSlow) => (...args) => {
        if (!this.#isArmed || !isSlow) return fn(...args);
        this.#isArmed = false;
        this.hung = name;
        return new Promise<void>((resolve) => this.#release = resolve).then(() => fn(...args));
      }),
      deadline: (ms, signal) => new Promise((pass) => this.limits.push({ ms, pass, signal })),
    });

  arm(): void {
    this.#isArmed = true;
  }

  release(): void {
    this.#release();
  }

  /** The limits for which a timer would run. */
  get pending(): number[] {
    return this.limits.filter(({ signal }) => !signal.aborted).map(({ ms }) => ms);
  }

  pass(ms: number): void {
    this.limits.find((limit) => limit.ms === ms && !limit.signal.aborted)!.pass();
  }
}

/** The arguments of a row, with what ends the call early. */
function withLimits(world: World, name: string, limits: object): unknown[] {
  return Object.values(tableOf(world)[name]!).map((place) => {
    const valid = validAt(place);
    return place.kind === "object" && "signal" in place.fields ? { ...valid as object, ...limits } : valid;
  });
}

const world = await newWorld();
const names = Object.entries(tableOf(world)).filter(([, places]) =>
  Object.values(places).some((place) =>
    place.kind === "object" && "signal" in place.fields && "timeout" in place.fields
  )
).map(([name]) => name);

/** A world in which the first slow call of a function hangs, and the call of the function. */
async function hangs(name: string, limits: object) {
  const hanging = new Hanging();
  const world = await newWorld(hanging.front);
  await BEFORE[name]?.(world);
  const before = JSON.stringify(world.host.held());
  hanging.arm();
  const result = call(world, name, withLimits(world, name, limits)).then(() => undefined, (error: unknown) => error);
  for (let round = 0; round < 20 && hanging.hung === undefined; round++) await settle();
  return { hanging, world, before, result };
}

async function settled(): Promise<void> {
  for (let round = 0; round < 10; round++) await settle();
}

Deno.test("every function takes a signal and a time limit, or calls nothing of Windows that is slow", () => {
  const without = Object.keys(tableOf(world)).filter((name) => !names.includes(name));
  assertEquals(without.toSorted(), WITHOUT.toSorted());
});

for (const name of names.filter((name) => !SYNCHRONOUS.includes(name))) {
  Deno.test(`${name}() with an aborted signal rejects with its reason, and calls nothing of Windows`, async () => {
    const reason = new Error("enough");
    const calls = world.host.calls.length;
    const values = withLimits(world, name, { signal: AbortSignal.abort(reason) });
    assertStrictEquals(await assertRejects(() => call(world, name, values)), reason);
    assertEquals(world.host.calls.slice(calls), []);
  });
}

for (const name of names.filter((name) => !IMMEDIATE.includes(name))) {
  Deno.test(`${name}() aborted while Windows is called rejects with the reason, and holds nothing`, async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const { hanging, world, before, result } = await hangs(name, { signal: controller.signal });
    assert(hanging.hung !== undefined, "a call is under way");
    controller.abort(reason);
    await settle();
    if (!AT_ONCE.includes(name)) hanging.release();
    const error = await result;
    if (ONE_CALL.includes(name)) assert(error !== reason);
    else if (!REFUSED.includes(name)) assertStrictEquals(error, reason);
    hanging.release();
    await settled();
    if (!LEAVES.includes(name)) assertEquals(JSON.stringify(world.host.held()), before);
    assertEquals(hanging.pending, []);
  });

  Deno.test(`${name}() whose time is over while a call of Windows hangs tells which, and undoes it once it returns`, async () => {
    const { hanging, world, before, result } = await hangs(name, { timeout: 1000 });
    hanging.pass(1000);
    await settle();
    if (!AT_ONCE.includes(name)) hanging.pass(5000);
    const error = await result;
    if (!AT_ONCE.includes(name)) {
      assertInstanceOf(error, HungCallError);
      assertEquals([error.operation, error.seconds], [hanging.hung, 5]);
      let isOver = false;
      error.over!.then(() => isOver = true);
      await settle();
      assertEquals(isOver, false);
      hanging.release();
      await error.over;
    }
    const reason = AT_ONCE.includes(name) ? error : (error as Error).cause;
    assertInstanceOf(reason, DOMException);
    assertEquals([reason.name, reason.message], ["TimeoutError", "The time limit of 1000 ms is over"]);
    hanging.release();
    await settled();
    if (!LEAVES.includes(name)) assertEquals(JSON.stringify(world.host.held()), before);
    assertEquals(hanging.pending, []);
  });
}

/** What is attached by one call, for which the machine has to be prepared: that call, and what is left to do for it. */
const ATTACHED: Readonly<Record<string, (host: SimulatedHost) => Promise<(signal: AbortSignal) => Promise<unknown>>>> =
  {
    async PrepareLayer(host) {
      await storage.activateLayer(SCRATCH, { host });
      return (signal) => storage.prepareLayer(SCRATCH, [BASE], { host, signal });
    },
    async HcsAttachLayerStorageFilter(host) {
      const { volume } = await storage.mountWritableLayerDisk(DISK, { host });
      const data = storage.layerData({ layers: [{ Id: storage.layerId(BASE, { host }), Path: BASE }] });
      return (signal) => storage.hcsAttachLayerStorageFilter(volume, data, { host, signal });
    },
    async HcsAttachOverlayFilter(host) {
      host.addCimLayer("C:\\cim\\app");
      const scratch = host.addVolume(crypto.randomUUID());
      const image = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
      await storage.mountCimImage("C:\\cim\\cim-layers\\app.cim", image, { host });
      const layer = { Id: storage.layerId("C:\\cim\\app", { host }), Path: `${image}Files` };
      const data = storage.layerData({ layers: [layer], filterType: "UnionFS" });
      return (signal) => storage.hcsAttachOverlayFilter(scratch, data, { host, signal });
    },
    // deno-lint-ignore require-await
    async HcsGetLayerVhdMountPath(host) {
      return (signal) => storage.mountWritableLayerDisk(DISK, { host, signal });
    },
    // deno-lint-ignore require-await
    async AttachVirtualDisk(host) {
      return (signal) => storage.attachDisk(DISK, { host, signal, permanent: true });
    },
  };

for (const [fn, prepare] of Object.entries(ATTACHED)) {
  Deno.test(`what ${fn} attached although it was cancelled meanwhile is detached again`, async () => {
    const slow = new CallBarrier((call) => call.function === fn);
    const host = storageHost({ latency: slow.latency, build: 26100 });
    const attach = await prepare(host);
    const before = held(host);
    const controller = new AbortController();
    const reason = new Error("enough");
    const attaching = assertRejects(() => attach(controller.signal));
    await slow.arrival();
    controller.abort(reason);
    slow.release();
    assertStrictEquals(await attaching, reason);
    assertEquals(held(host), before);
  });
}

const FILTERS = [["HcsAttachLayerStorageFilter", "filter"], ["HcsAttachOverlayFilter", "overlay"]] as const;
for (const [fn, kind] of FILTERS) {
  Deno.test(`what ${fn} attached although it timed out is detached again, or told`, async () => {
    for (const isStuck of [false, true]) {
      const host = storageHost({ build: 26100 });
      const attach = await ATTACHED[fn]!(host);
      const before = held(host);
      host.fail({ function: fn, code: "ERROR_TIMEOUT", effect: "full" });
      const stuck = fn.replace("Attach", "Detach");
      if (isStuck) host.fail({ function: stuck, code: "ERROR_ACCESS_DENIED", nth: 1 });
      const error = await assertRejects(() => attach(new AbortController().signal));
      assertEquals([error instanceof UnwindError, error instanceof NativeError], [isStuck, !isStuck]);
      if (error instanceof UnwindError) {
        assertEquals(error.holds.map((hold) => hold.kind), [kind]);
        await error.release();
      }
      assertEquals(held(host), before);
    }
  });

  Deno.test(`what ${fn} refused is not detached, as a filter there is somebody else's`, async () => {
    const host = storageHost({ build: 26100 });
    const attach = await ATTACHED[fn]!(host);
    host.fail({ function: fn, code: "ERROR_ACCESS_DENIED" });
    await assertRejects(() => attach(new AbortController().signal), NativeError);
    assertEquals(host.calls.filter((call) => call.function.startsWith("HcsDetach")), []);
  });
}

Deno.test("a mount that creates its scratch leaves nothing of it at whichever of its calls it is aborted", async () => {
  const reason = new Error("enough");
  /** Aborts before the nth call. Returns what is there then, what the mount rejected with, and how many calls there were. */
  const abortedAt = async (nth: number) => {
    const controller = new AbortController();
    const host = hostWith({ layers: [BASE], folders: ["C:\\mnt"] });
    const before = outsideRecords(host);
    let calls = 0;
    const front = hostInFront(host, {
      symbols: wrapped(host, (fn) => (...args) => {
        if (++calls === nth) controller.abort(reason);
        return fn(...args);
      }),
    });
    const options = { host: front, createScratch: true, volumeMountPath: "C:\\mnt\\a\\c1", signal: controller.signal };
    const error = await mountWCOWLayers("c1", [BASE, "C:\\new\\c1"], options).then(() => undefined, (error) => error);
    return { error, calls, before, after: outsideRecords(host) };
  };
  const { calls } = await abortedAt(0);
  for (let nth = 1; nth <= calls; nth++) {
    const { error, before, after } = await abortedAt(nth);
    assertEquals([nth, error, after], [nth, reason, before]);
  }
});

/** All that is there but for the folder of records. */
function outsideRecords(host: SimulatedHost): string[] {
  return host.paths().filter((path) => !path.startsWith("C:\\ProgramData"));
}
