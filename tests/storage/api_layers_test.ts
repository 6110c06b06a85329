import { assertEquals, assertInstanceOf, assertRejects } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { simulatedLayerId } from "../../src/simulated/name_to_guid.ts";
import * as storage from "../../src/storage/mod.ts";
import { BASE, DISK, SCRATCH, storageHost, TOP } from "../support/storage_host.ts";
import { GIB } from "../support/host.ts";
import { held, onlyCall, sequence, storageCalls } from "../support/calls.ts";

const INFO = { Flavour: 1, HomeDir: "" };
const parent = (Path: string) => ({ LayerId: simulatedLayerId(Path.split("\\").at(-1)!), Flags: 0, Path });
const PARENTS = [parent(TOP), parent(BASE)];

Deno.test("a layer's life: every function of it calls its function of vmcompute.dll with what it was given", async () => {
  const host = storageHost();
  const rows: [call: () => Promise<unknown>, name: string, args: unknown, answer?: unknown][] = [
    [() => storage.activateLayer(SCRATCH, { host }), "ActivateLayer", { info: INFO, id: SCRATCH }],
    [
      () => storage.prepareLayer(`${SCRATCH}\\`, [TOP, BASE], { host }),
      "PrepareLayer",
      { info: INFO, id: SCRATCH, layers: PARENTS, layerCount: 2 },
    ],
    [() => storage.unprepareLayer(SCRATCH, { host }), "UnprepareLayer", { info: INFO, id: SCRATCH }, true],
    [() => storage.unprepareLayer(SCRATCH, { host }), "UnprepareLayer", { info: INFO, id: SCRATCH }, false],
    [() => storage.deactivateLayer(SCRATCH, { host }), "DeactivateLayer", { info: INFO, id: SCRATCH }],
    [() => storage.layerExists(BASE, { host }), "LayerExists", { info: INFO, id: BASE, exists: "buffer" }, true],
    [
      () => storage.layerExists("C:\\no", { host }),
      "LayerExists",
      { info: INFO, id: "C:\\no", exists: "buffer" },
      false,
    ],
    [() => storage.createLayer("C:\\new", { host }), "CreateLayer", { info: INFO, id: "C:\\new", parent: "" }],
    [
      () => storage.createLayer("C:\\child", { host, parent: BASE }),
      "CreateLayer",
      { info: INFO, id: "C:\\child", parent: BASE },
    ],
    [
      () => storage.createScratchLayer("C:\\s2", [TOP, BASE], { host }),
      "CreateSandboxLayer",
      { info: INFO, id: "C:\\s2", parent: 0, layers: PARENTS, layerCount: 2 },
    ],
    [
      () => storage.copyLayer(TOP, "C:\\copy", { host, parents: [BASE] }),
      "CopyLayer",
      { info: INFO, source: TOP, destination: "C:\\copy", layers: [parent(BASE)], layerCount: 1 },
    ],
    [
      () => storage.importLayer("C:\\imported", BASE, { host }),
      "ImportLayer",
      { info: INFO, id: "C:\\imported", path: BASE, layers: [], layerCount: 0 },
    ],
    [
      () => storage.exportLayer(TOP, "C:\\new", { host, parents: [BASE] }),
      "ExportLayer",
      { info: INFO, id: TOP, path: "C:\\new", layers: [parent(BASE)], layerCount: 1 },
    ],
    [() => storage.destroyLayer("C:\\copy", { host }), "DestroyLayer", { info: INFO, id: "C:\\copy" }],
    [() => storage.baseImages({ host }), "GetBaseImages", { images: "buffer" }, []],
    [() => storage.grantVmAccess(DISK, "vm1", { host }), "GrantVmAccess", { vmid: "vm1", filepath: DISK }],
  ];
  for (const [call, name, args, answer] of rows) {
    const from = host.calls.length;
    assertEquals(await call(), answer);
    assertEquals(onlyCall(host, from), [name, args as Record<string, unknown>]);
    assertEquals(host.allocations, 1, name);
  }
  assertEquals(held(host).filter((line) => !line.startsWith("f")), []);
});

for (const mountPathSeparator of [true, false]) {
  Deno.test(`layerMountPath() closes the volume's name where Windows ${mountPathSeparator ? "does" : "doesn't"}`, async () => {
    const host = storageHost({ mountPathSeparator });
    await storage.activateLayer(SCRATCH, { host });
    const path = await storage.layerMountPath(SCRATCH, { host });
    assertEquals(/^\\\\\?\\Volume\{[0-9a-f-]{36}\}\\$/.test(path), true, path);
    assertEquals(await storage.layerMountPath(BASE, { host }), BASE);
  });
}

Deno.test("expandScratchLayer() makes the disk larger, and refuses to make it smaller", async () => {
  const host = storageHost();
  await storage.expandScratchLayer(SCRATCH, 30 * GIB, { host });
  const from = host.calls.length;
  await storage.expandScratchLayer(SCRATCH, 30n * BigInt(GIB), { host });
  const error = await assertRejects(
    () => storage.expandScratchLayer(SCRATCH, 29 * GIB, { host }),
    storage.InvalidInputError,
    "is less than the 32212254720 bytes that the disk has",
  );
  assertEquals(error.argument, "size");
  assertEquals(storageCalls(host).filter((call) => call.function === "ExpandSandboxSize").map(({ args }) => args), [
    { info: INFO, id: SCRATCH, size: 30 * GIB },
  ]);
  assertEquals(storageCalls(host, from).map((call) => call.function), [
    "OpenVirtualDisk",
    "GetVirtualDiskInformation",
    "OpenVirtualDisk",
    "GetVirtualDiskInformation",
  ]);
  assertEquals(held(host), []);
});

Deno.test("activateLayer() refuses a scratch that is mounted, by this process or another", async () => {
  const host = storageHost();
  await using layers = await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
  assertEquals(layers.holds.length, 2);
  const mine = await assertRejects(() => storage.activateLayer(SCRATCH, { host }), storage.InUseError);
  assertEquals([mine.path, mine.by], [SCRATCH, "this process"]);
  const other = storageHost();
  await storage.activateLayer(SCRATCH, { host: other });
  const stranger: storage.Host = {
    machine: {},
    symbols: (dll) => other.symbols(dll),
    sleep: (ms, signal) => other.sleep(ms, signal),
    callback: (listener) => other.callback(listener),
  };
  const theirs = await assertRejects(
    () => storage.activateLayer(SCRATCH, { host: stranger }),
    storage.InUseError,
  );
  assertEquals([theirs.path, theirs.by], [DISK, undefined]);
});

Deno.test("activateLayer() and deactivateLayer() take a read-only layer", async () => {
  const host = storageHost();
  await storage.activateLayer(BASE, { host });
  await storage.prepareLayer(BASE, [], { host });
  assertEquals(await storage.unprepareLayer(BASE, { host }), true);
  await storage.deactivateLayer(BASE, { host });
  assertEquals(held(host), []);
});

const IN_USE: [situation: string, layer: string, prepare: (host: SimulatedHost) => Promise<unknown>][] = [
  ["a parent of a mounted scratch", BASE, (host) => mountWCOWLayers("c1", [TOP, BASE, SCRATCH], { host })],
  ["that path in other letters", BASE.toUpperCase(), (host) => mountWCOWLayers("c1", [BASE, SCRATCH], { host })],
  ["a folder with such a parent in it", "C:\\layers", (host) => mountWCOWLayers("c1", [BASE, SCRATCH], { host })],
  ["a mounted scratch", SCRATCH, (host) => mountWCOWLayers("c1", [BASE, SCRATCH], { host })],
  ["an activated scratch", SCRATCH, (host) => storage.activateLayer(SCRATCH, { host })],
  ["a scratch whose disk is attached", SCRATCH, (host) => storage.attachDisk(DISK, { host })],
];
for (const [situation, layer, prepare] of IN_USE) {
  Deno.test(`destroyLayer() and hcsDestroyLayer() refuse ${situation}`, async () => {
    const host = storageHost();
    await prepare(host);
    const paths = host.paths();
    for (const destroy of [storage.destroyLayer, storage.hcsDestroyLayer]) {
      const error = await assertRejects(() => destroy(layer, { host }), storage.InUseError);
      assertEquals([layer, `${layer}\\sandbox.vhdx`].includes(error.path), true, error.path);
    }
    assertEquals(host.paths(), paths);
  });
}

Deno.test("destroyLayer() deletes a layer once nothing shows it any more", async () => {
  const host = storageHost();
  await (await mountWCOWLayers("c1", [BASE, SCRATCH], { host })).release();
  await storage.destroyLayer(BASE, { host });
  await storage.hcsDestroyLayer(SCRATCH, { host });
  assertEquals([host.exists(BASE), host.exists(SCRATCH)], [false, false]);
});

for (
  const [name, destroy] of [
    ["DestroyLayer", storage.destroyLayer],
    ["HcsDestroyLayer", storage.hcsDestroyLayer],
  ] as const
) {
  Deno.test(`a layer that a scanner has open is destroyed by ${name} once it is free`, async () => {
    const host = storageHost();
    for (const nth of [1, 2]) host.fail({ function: name, code: "ERROR_SHARING_VIOLATION", nth });
    await destroy(BASE, { host });
    assertEquals(host.calls.filter((call) => call.function === name).length, 3);
    assertEquals(host.exists(BASE), false);
  });
}

Deno.test("prepareLayer() waits for its turn, and an abort ends the wait alone", async () => {
  let go = () => {};
  const first = new Promise<void>((resolve) => go = resolve);
  const host = storageHost({
    latency: (call) => call.function === "PrepareLayer" && call.args.id === SCRATCH ? first : undefined,
  });
  host.addScratch("C:\\other");
  await storage.activateLayer(SCRATCH, { host });
  await storage.activateLayer("C:\\other", { host });
  const mine = storage.prepareLayer(SCRATCH, [BASE], { host });
  const abort = new AbortController();
  const waiting = storage.prepareLayer("C:\\other", [BASE], { host, signal: abort.signal });
  abort.abort(new Error("no longer"));
  await assertRejects(() => waiting, Error, "no longer");
  go();
  await mine;
  assertEquals(storageCalls(host).filter((call) => call.function === "PrepareLayer").length, 1);
});

Deno.test("layerId() is the id of the folder's name, asked for once", () => {
  const host = new SimulatedHost();
  assertEquals(storage.layerId("C:\\l\\4", { host }), "bd9c3ef9-f239-59b5-a27e-15c523b1d149");
  assertEquals(storage.layerId("D:\\m\\4\\", { host }), "bd9c3ef9-f239-59b5-a27e-15c523b1d149");
  assertEquals(sequence(host).filter((name) => name === "NameToGuid").length, 1);
});

Deno.test("a storage function passes on what Windows answers", async () => {
  const host = storageHost();
  host.fail({ function: "ImportLayer", code: 0x80070522 });
  const error = await assertRejects(() => storage.importLayer("C:\\new", BASE, { host }), storage.NativeError);
  assertEquals([error.operation, error.path, error.code], ["ImportLayer", "C:\\new", 0x80070522]);
  assertInstanceOf(error, storage.LayerError);
});
