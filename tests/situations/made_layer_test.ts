// Functions that have Windows make a layer by one call, which fails after its effect, or is cancelled meanwhile: what it has made
// goes again; what may be another process's stays, and is told.
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError, NativeError, UnexpectedAnswerError, UnwindError } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { CallBarrier, held, sequence } from "../support/calls.ts";
import { hostWith } from "../support/host.ts";

const BASE = "C:\\layers\\base";
const NEW = "C:\\layers\\new";
const FROM = "C:\\unpacked";
const THERE = "C:\\there";

type Limits = { readonly signal?: AbortSignal };

/** Each function, the function of Windows that it calls, and the one that deletes what it has made. */
const CALLS: Readonly<
  Record<string, {
    readonly by: string;
    readonly deletion: string;
    readonly call: (host: SimulatedHost, limits?: Limits) => Promise<void>;
  }>
> = {
  createLayer: {
    by: "CreateLayer",
    deletion: "DestroyLayer",
    call: (host, limits) => storage.createLayer(NEW, { parent: BASE, host, ...limits }),
  },
  createScratchLayer: {
    by: "CreateSandboxLayer",
    deletion: "DestroyLayer",
    call: (host, limits) => storage.createScratchLayer(NEW, [BASE], { host, ...limits }),
  },
  "createScratchLayer in a folder": {
    by: "CreateSandboxLayer",
    deletion: "DeleteFileW",
    call: (host, limits) => storage.createScratchLayer(THERE, [BASE], { host, ...limits }),
  },
  copyLayer: {
    by: "CopyLayer",
    deletion: "DestroyLayer",
    call: (host, limits) => storage.copyLayer(BASE, NEW, { host, ...limits }),
  },
  importLayer: {
    by: "ImportLayer",
    deletion: "DestroyLayer",
    call: (host, limits) => storage.importLayer(NEW, FROM, { parents: [BASE], host, ...limits }),
  },
  hcsImportLayer: {
    by: "HcsImportLayer",
    deletion: "HcsDestroyLayer",
    call: (host, limits) => storage.hcsImportLayer(NEW, FROM, { host, ...limits }),
  },
};

const machine = (options = {}) => hostWith({ layers: [BASE], folders: [FROM, THERE] }, { records: false, ...options });

for (const [name, { by, deletion, call }] of Object.entries(CALLS)) {
  const isInFolder = name.endsWith("in a folder");
  const made = isInFolder ? `${THERE}\\sandbox.vhdx` : NEW;

  Deno.test(`${name}: what ${by} has made before it was given up, or the service ended, is deleted`, async () => {
    for (const code of ["ERROR_TIMEOUT", "RPC_S_CALL_FAILED"] as const) {
      const host = machine();
      const before = host.paths();
      host.fail({ function: by, code, effect: "full", nth: 1 });
      const error = await assertRejects(() => call(host), NativeError);
      assertEquals([error.operation, host.paths(), held(host)], [by, before, []]);
      assertEquals(sequence(host).filter((fn) => fn === deletion), [deletion]);
      await call(host);
    }
  });

  Deno.test(`${name}: what is there after ${by} was refused stays, and is told until it is gone`, async () => {
    const host = machine();
    host.fail({ function: by, code: "ERROR_ACCESS_DENIED", effect: "full", nth: 1 });
    const error = await assertRejects(() => call(host), UnwindError, "may be another process's");
    assertInstanceOf(error.cause, NativeError);
    const hold = isInFolder ? { kind: "newFile", path: made } : { kind: "newLayer", layer: made };
    assertEquals([error.holds, host.exists(made)], [[hold], true]);
    assertEquals(sequence(host).includes(deletion), false);
    await storage.destroyLayer(isInFolder ? THERE : NEW, { host });
    await error.release();
    assertEquals(error.holds, []);
  });

  Deno.test(`${name}: what was made while it was cancelled is deleted`, async () => {
    const slow = new CallBarrier((called) => called.function === by);
    const host = machine({ latency: slow.latency });
    const before = host.paths();
    const controller = new AbortController();
    const reason = new Error("enough");
    const making = call(host, { signal: controller.signal }).catch((error: unknown) => error);
    await slow.arrival();
    controller.abort(reason);
    slow.release();
    assertStrictEquals(await making, reason);
    assertEquals([host.paths(), held(host)], [before, []]);
  });

  Deno.test(`${name}: nothing is deleted after ${by} has refused what another process has made meanwhile`, async () => {
    const host = machine();
    host.before(by, () => void (isInFolder ? host.addFile(made, 1) : host.addLayer(NEW)));
    host.fail({ function: by, code: "ERROR_ALREADY_EXISTS", nth: 1 });
    const error = await assertRejects(() => call(host), NativeError);
    assertEquals([error.operation, host.exists(made), sequence(host).includes(deletion)], [by, true, false]);
  });
}

Deno.test("createScratchLayer() tells of the folder if Windows reports success, and has made no disk in it", async () => {
  const host = machine();
  host.fail({ function: "CreateSandboxLayer", code: 0, nth: 1 });
  host.before("CreateSandboxLayer", () => void host.addFolder(NEW));
  const error = await assertRejects(() => storage.createScratchLayer(NEW, [BASE], { host }), UnwindError);
  assertInstanceOf(error.cause, UnexpectedAnswerError);
  assertEquals(error.holds, [{ kind: "newLayer", layer: NEW }]);
});

Deno.test("an import into a layer that is there deletes nothing if it fails; two into a new one exclude each other", async () => {
  const host = machine();
  host.addLayer(NEW);
  host.fail({ function: "ImportLayer", code: "ERROR_TIMEOUT", effect: "full", nth: 1 });
  await assertRejects(() => storage.importLayer(NEW, FROM, { host }), NativeError);
  assertEquals([host.exists(NEW), sequence(host).includes("DestroyLayer")], [true, false]);

  const slow = new CallBarrier((called) => called.function === "ImportLayer");
  const other = machine({ latency: slow.latency });
  const first = storage.importLayer(NEW, FROM, { host: other });
  await slow.arrival();
  await assertRejects(() => storage.importLayer(NEW, FROM, { host: other }), InvalidInputError, "is being created");
  slow.release();
  await first;
  assertEquals(other.exists(NEW), true);
});
