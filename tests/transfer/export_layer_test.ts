import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { exportLayer, importLayer, InvalidInputError, listMounts, mountWCOWLayers } from "../../mod.ts";
import { fromBytes, type LayerEntry, readLayerTar } from "../../src/files/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { withEachEnd, withEachFailure } from "../support/every_failure.ts";
import { childEntries, entry, folder, tar } from "../support/layer_tars.ts";

const [BASE, CHILD, SCRATCH] = ["C:\\layers\\base", "C:\\layers\\app", "C:\\scratch"];

async function exported(host: SimulatedHost, layer: string, parents: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const read = new Response(readable).bytes().catch((error: Error) => error);
  await exportLayer(layer, parents, writable, { host });
  return await read as Uint8Array<ArrayBuffer>;
}

/** Entries as plain data, each with its contents. */
async function plain(entries: AsyncIterable<LayerEntry> | Iterable<LayerEntry>): Promise<unknown[]> {
  const found = [];
  for await (const { contents, offset: _, reparse, times, ...rest } of entries) {
    const text = await new Response(contents()).text();
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    found.push({
      ...given,
      ...reparse && { reparse: { tag: reparse.tag, target: reparse.target?.replaceAll("\\", "/") } },
      ...times && { times: Object.values(times).map(String) },
      text,
    });
  }
  return found;
}

const read = (bytes: Uint8Array) => plain(readLayerTar(fromBytes(bytes)));

/** A base layer with all that a tar can have, in the order in which it is exported. */
function richBase(): LayerEntry[] {
  const securityDescriptor = Uint8Array.of(1, 0, 4, 0x80, ...new Uint8Array(16));
  const extendedAttributes = [{ name: "ONE", flags: 0, value: Uint8Array.of(1, 2, 3) }];
  const hives = ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
  return [
    folder("Files"),
    ...["Files/Windows", "Files/Windows/System32", "Files/Windows/System32/config"].map(folder),
    ...hives.map((hive) => entry({ path: `Files/Windows/System32/config/${hive}`, text: `hive ${hive}` })),
    { ...folder("Files/data"), securityDescriptor },
    entry({ path: "Files/data:of a folder", type: "stream", text: "folder's" }),
    entry({ path: "Files/data/a.txt", text: "hello", securityDescriptor, extendedAttributes }),
    entry({ path: "Files/data/a.txt:one", type: "stream", text: "stream" }),
    entry({ path: "Files/data/a.txt:two", type: "stream", text: "" }),
    entry({ path: "Files/data/b.txt", type: "link", target: "Files/data/a.txt" }),
    entry({ path: "Files/data/empty", text: "" }),
    entry({ path: "Files/data/empty:s", type: "stream", text: "s" }),
    entry({ path: "Files/data/hidden.sys", text: "h", attributes: 0x26 }),
    entry({
      path: "Files/data/junction",
      type: "reparse",
      attributes: 0x410,
      reparse: { tag: 0xa0000003, target: "C:/ProgramData" },
    }),
    entry({ path: "Files/data/l", type: "reparse", attributes: 0x420, reparse: { tag: 0xa000000c, target: "../x/y" } }),
    entry({ path: "Files/data/l:of a link", type: "stream", text: "link's" }),
    entry({ path: "Files/data/sparse", text: `${"\0".repeat(200_000)}end`, attributes: 0x220 }),
    entry({ path: "Files/data/über 😀", text: "name" }),
    folder("UtilityVM"),
    ...["UtilityVM/Files", "UtilityVM/Files/EFI", "UtilityVM/Files/EFI/Microsoft", "UtilityVM/Files/EFI/Microsoft/Boot"]
      .map(folder),
    entry({ path: "UtilityVM/Files/EFI/Microsoft/Boot/BCD", text: "bcd" }),
  ];
}

async function machine(): Promise<SimulatedHost> {
  const host = new SimulatedHost();
  host.addFolder("C:\\layers");
  await importLayer(BASE, tar(...richBase()), [], { host });
  return host;
}

Deno.test("a base layer is exported as it was imported, entry for entry and stream for stream", async () => {
  const host = await machine();
  const bytes = await exported(host, BASE, []);
  const given = await plain(readLayerTar(tar(...richBase())));
  const order = (entries: unknown) => [...entries as { path: string }[]].sort((a, b) => a.path < b.path ? -1 : 1);
  assertEquals(order(await read(bytes)), order(given));
  // And once more.
  await importLayer("C:\\layers\\again", fromBytes(bytes), [], { host });
  assertEquals(await exported(host, "C:\\layers\\again", []), bytes);
  assertEquals(host.held().filter(({ kind }) => /handle|privilege|activation/.test(kind)), []);
});

Deno.test("a layer above another one is exported as it was imported, mounted, and exported again", async () => {
  const host = await machine();
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host });
  const bytes = await exported(host, CHILD, [BASE]);
  const found = await read(bytes) as { path: string; type: string; text: string }[];
  assertEquals(
    found.map(({ path, type, text }) => [path, type, text]),
    [
      ["Files", "folder", ""],
      ["Files/data", "folder", ""],
      ["Files/data/new.txt", "file", "new"],
      ["Files/data/old.txt", "file", "hello"],
      ["Files/data/old.txt:one", "stream", "stream"],
      ["Files/data/old.txt:two", "stream", ""],
      ["Hives", "folder", ""],
      ["Hives/System_Delta", "file", "delta"],
    ],
  );
  const times = (entries: unknown) =>
    (entries as { path: string; times: unknown }[]).find(({ path }) => path === "Files/data")!.times;
  assertEquals(times(found), times(await plain(readLayerTar(tar(...childEntries())))));
  await importLayer("C:\\layers\\again", fromBytes(bytes), [BASE], { host });
  host.addScratch(SCRATCH);
  {
    await using mounted = await mountWCOWLayers("c1", ["C:\\layers\\again", BASE, SCRATCH], { host });
    assertEquals(host.readTextFile(`${mounted.path}data\\old.txt`), "hello");
  }
  assertEquals(await exported(host, "C:\\layers\\again", [BASE]), bytes);
});

Deno.test("what a container wrote is exported from its scratch, with what it removed", async () => {
  const host = await machine();
  host.addScratch(SCRATCH);
  {
    await using mounted = await mountWCOWLayers("c1", [BASE, SCRATCH], { host });
    host.writeTextFile(`${mounted.path}data\\new.txt`, "new");
    host.remove(`${mounted.path}data\\a.txt`);
    const busy = exported(host, SCRATCH, [BASE]);
    await assertRejects(() => busy, Error, "mounted");
  }
  const found = await read(await exported(host, SCRATCH, [BASE])) as { path: string; type: string }[];
  assertEquals(found.map(({ path, type }) => [path, type]), [
    ["Files", "folder"],
    ["Files/data", "folder"],
    ["Files/data/a.txt", "whiteout"],
    ["Files/data/new.txt", "file"],
    ["Hives", "folder"],
  ]);
  assertEquals(host.held().filter(({ kind }) => kind === "activation" || kind === "filter"), []);
});

Deno.test("an export that fails, or is aborted, leaves nothing, and the layer as it is", async () => {
  const host = await machine();
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host });
  const held = host.held();
  const failing = (into: WritableStream<Uint8Array>, options = {}) =>
    exportLayer(CHILD, [BASE], into, { host, ...options });
  const full = new WritableStream<Uint8Array>({
    write() {
      throw new TypeError("full");
    },
  });
  await assertRejects(() => failing(full), TypeError, "full");
  const controller = new AbortController();
  const onProgress = () => controller.abort(new Error("enough"));
  await assertRejects(() => failing(new WritableStream(), { signal: controller.signal, onProgress }), Error, "enough");
  for (const fn of ["ActivateLayer", "PrepareLayer", "ExportLayer", "ReadFile"]) {
    host.fail({ function: fn, code: 0x80070005 });
    await assertRejects(() => failing(new WritableStream()));
    host.failNothing();
    assertEquals([host.held(), await listMounts({ host })], [held, []], fn);
  }
  await assertRejects(() => exportLayer("C:\\none", [], new WritableStream(), { host }), InvalidInputError);
  // deno-lint-ignore no-explicit-any
  await assertRejects(() => exportLayer(BASE, [], {} as any, { host }), InvalidInputError, "into");
  assertEquals(host.held(), held);
});

Deno.test("who reads a tar is told when the export fails, whatever is wrong", async () => {
  const host = await machine();
  const failing = async (layer: string, options = {}) => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const reading = assertRejects(() => new Response(readable).bytes());
    const error = await assertRejects(() => exportLayer(layer, [], writable, { host, ...options }));
    assertEquals(await reading, error);
    assertEquals(writable.locked, false);
  };
  await failing("C:\\none");
  await failing("none");
  await failing(BASE, { signal: AbortSignal.abort(new Error("enough")) });
  await failing(BASE, {
    onProgress() {
      throw new Error("listener");
    },
  });
  host.fail({ function: "ActivateLayer", code: 0x80070005 });
  await failing(BASE);
});

Deno.test("an export ends at its time limit though nobody takes what it writes", async () => {
  const host = await machine();
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host });
  const held = host.held();
  for (const stuck of [{ write: () => new Promise<void>(() => {}) }, { close: () => new Promise<void>(() => {}) }]) {
    const into = new WritableStream<Uint8Array>(stuck);
    await assertRejects(() => exportLayer(CHILD, [BASE], into, { host, timeout: 50 }), DOMException, "time limit");
    assertEquals([host.held(), await listMounts({ host })], [held, []]);
  }
});

Deno.test("each folder of many in one folder takes as many calls as the others", async () => {
  const host = await machine();
  const counts: number[] = [];
  for (const many of [10, 20, 30]) {
    const layer = `${CHILD}${many}`;
    const folders = Array.from({ length: many }, (_, i) => folder(`Files/${10 + i}`));
    await importLayer(layer, tar(folder("Files"), folder("Hives"), ...folders), [BASE], { host });
    const before = host.calls.length;
    await exported(host, layer, [BASE]);
    counts.push(host.calls.slice(before).filter(({ function: fn }) => /^(Nt|GetFileInf|ReadFile)/.test(fn)).length);
  }
  const [ten, twenty, thirty] = counts as [number, number, number];
  assertEquals(thirty - twenty, twenty - ten);
});

Deno.test("exportLayer() refuses a stream that something else writes to before anything is changed", async () => {
  const host = await machine();
  const into = new WritableStream<Uint8Array>();
  into.getWriter();
  const calls = host.calls.length;
  await assertRejects(() => exportLayer(BASE, [], into, { host }), InvalidInputError, "into is locked");
  assertEquals(host.calls.length, calls);
});

const prepared = await (async () => {
  const host = await machine();
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host });
  return host.snapshot();
})();
const WORK = {
  machine() {
    const host = new SimulatedHost();
    host.restore(prepared);
    return host;
  },
  work: (host: SimulatedHost) => exported(host, CHILD, [BASE]),
};
const HELD = WORK.machine().held();

async function leavesNothing(host: SimulatedHost, situation: string): Promise<void> {
  const left = host.held().filter(({ kind, target }) =>
    kind !== "activation" && !HELD.some((one) => one.target === target)
  );
  assertEquals(left, [], situation);
  assertEquals(await listMounts({ host }), [], situation);
}

Deno.test("exportLayer(): after any single failure, nothing is left", async () => {
  await withEachFailure(WORK, leavesNothing, 19);
});

Deno.test("exportLayer(): after the process ends at any call, recover() leaves nothing", async () => {
  await withEachEnd(WORK, leavesNothing, 31);
});
