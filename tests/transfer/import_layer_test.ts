import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  exportLayer,
  importLayer,
  InUseError,
  InvalidInputError,
  listMounts,
  mountWCOWLayers,
  NativeError,
} from "../../mod.ts";
import { FormatError } from "../../src/files/mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { withEachEnd, withEachFailure } from "../support/every_failure.ts";
import { baseEntries, childEntries, entry, folder, tar } from "../support/layer_tars.ts";

const [BASE, CHILD] = ["C:\\layers\\base", "C:\\layers\\app"];

function machine(): SimulatedHost {
  const host = new SimulatedHost();
  host.addFolder("C:\\layers");
  return host;
}

async function withBase(): Promise<SimulatedHost> {
  const host = machine();
  await importLayer(BASE, tar(...baseEntries()), [], { host });
  return host;
}

/** The files that a container with these layers sees. */
async function shown(host: SimulatedHost, ...layers: string[]): Promise<Record<string, string>> {
  const scratch = `C:\\scratches\\${crypto.randomUUID()}`;
  host.addScratch(scratch);
  await using mounted = await mountWCOWLayers("c", [...layers, scratch], { host });
  const files: Record<string, string> = {};
  const walk = (at: string) => {
    for (const { name, isFile, isDirectory } of host.readDir(`${mounted.path}${at}`)) {
      const path = at === "" ? name : `${at}\\${name}`;
      if (isFile) files[path] = host.readTextFile(`${mounted.path}${path}`);
      if (isDirectory) walk(path);
    }
  };
  walk("");
  return files;
}

Deno.test("importLayer() imports a base layer with all that Windows keeps of its files", async () => {
  const host = machine();
  const { layer, size } = await importLayer(BASE, tar(...baseEntries()), [], { host });
  assertEquals([layer, size > 50], [BASE, true]);
  const own = host.calls.filter(({ dll }) => dll === "vmcompute").map(({ function: fn, args }) => [fn, args]);
  assertEquals(own, [["ProcessBaseImage", { path: `\\\\?\\${BASE}` }]]);
  const { state } = JSON.parse(JSON.stringify(host.snapshot()));
  const node = state.nodes[`${BASE}\\Files\\data\\a.txt`.toLowerCase()];
  assertEquals([node.text, node.streams, node.metadata.changeTime], ["hello", { one: "stream" }, "132223104001234570"]);
  const files = await shown(host, BASE);
  assertEquals([files["data\\a.txt"], files["data\\b.txt"]], ["hello", "hello"]);
  assertEquals(host.held().filter(({ kind }) => /handle|privilege/.test(kind)), []);
  assertEquals(await listMounts({ host }), []);
});

Deno.test("importLayer() imports a layer above another one, which stays as it is", async () => {
  const host = await withBase();
  const before = await shown(host, BASE);
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host });
  const files = await shown(host, CHILD, BASE);
  assertEquals([files["data\\new.txt"], files["data\\old.txt"], files["data\\gone.txt"]], ["new", "hello", undefined]);
  assertEquals(files["data\\a.txt"], "hello");
  assertEquals(host.readTextFile(`${CHILD}\\Hives\\System_Delta`), "delta");
  assertEquals(await shown(host, BASE), before);
  assertEquals(host.paths().filter((path) => /\.files|[0-9a-f]{12}/.test(path) && !/scratches|Volume/.test(path)), []);
});

Deno.test("a removal is about the layers below, wherever it stands", async () => {
  const host = await withBase();
  const gone = entry({ path: "Files/data/gone.txt", type: "whiteout" });
  const added = entry({ path: "Files/data/gone.txt", text: "again" });
  const all = entry({ path: "Files/data", type: "whiteout" });
  const start = [folder("Files"), folder("Hives"), folder("Files/data")];
  for (const [i, entries] of [[gone, added], [added, gone]].entries()) {
    const layer = `${CHILD}${i}`;
    await importLayer(layer, tar(...start, ...entries), [BASE], { host });
    assertEquals((await shown(host, layer, BASE))["data\\gone.txt"], "again");
  }
  await importLayer(CHILD, tar(...start, added, all), [BASE], { host });
  assertEquals(Object.keys(await shown(host, CHILD, BASE)).filter((path) => path.startsWith("data")), [
    "data\\gone.txt",
  ]);
});

Deno.test("all that the layers below have in a folder is removed, and what the layer adds there stays", async () => {
  const host = await withBase();
  const start = [folder("Files"), folder("Hives"), folder("Files/data")];
  const opaque = entry({ path: "Files/data", type: "whiteout", isOpaque: true });
  await importLayer(CHILD, tar(...start, opaque, entry({ path: "Files/data/new.txt", text: "new" })), [BASE], { host });
  assertEquals(Object.keys(await shown(host, CHILD, BASE)).filter((path) => path.startsWith("data")), [
    "data\\new.txt",
  ]);
});

Deno.test("attributes that can't be set come with what a file is, and those that Windows refuses are left out", async () => {
  const host = await withBase();
  const files = [
    entry({ path: "Files/pinned", attributes: 0x80020 }),
    entry({ path: "Files/sparse", attributes: 0x200, text: "\0".repeat(70_000) }),
    entry({ path: "Files/readonly", attributes: 0x21 }),
  ];
  await importLayer(CHILD, tar(folder("Files"), folder("Hives"), ...files), [BASE], { host });
  // A layer above others is handed to Windows with all attributes; a base layer is made file by file.
  await importLayer("C:\\layers\\second", tar(...baseEntries(), ...files), [], { host });
  const { state } = JSON.parse(JSON.stringify(host.snapshot()));
  const attributes = (name: string) => state.nodes[`c:\\layers\\second\\files\\${name}`].metadata.attributes;
  assertEquals(["pinned", "sparse", "readonly"].map(attributes), [0x20, 0x200, 0x21]);
});

Deno.test("importLayer() makes the utility VM of a layer of that of the layer below", async () => {
  const host = machine();
  const boot = [
    "UtilityVM",
    "UtilityVM/Files",
    "UtilityVM/Files/EFI",
    "UtilityVM/Files/EFI/Microsoft",
    "UtilityVM/Files/EFI/Microsoft/Boot",
  ];
  const vm = [
    ...boot.map(folder),
    entry({ path: "UtilityVM/Files/EFI/Microsoft/Boot/BCD", text: "bcd" }),
    entry({ path: "UtilityVM/Files/keep.dll", text: "keep" }),
    entry({ path: "UtilityVM/Files/gone.dll", text: "gone" }),
  ];
  await importLayer(BASE, tar(...baseEntries(), ...vm), [], { host });
  const changes = [
    ...boot.slice(0, 2).map(folder),
    entry({ path: "UtilityVM/Files/new.dll", text: "new" }),
    entry({ path: "UtilityVM/Files/gone.dll", type: "whiteout" }),
    entry({ path: "UtilityVM/Files/l.dll", type: "link", target: "UtilityVM/Files/keep.dll" }),
  ];
  await importLayer(CHILD, tar(...childEntries(), ...changes), [BASE], { host });
  const names = host.readDir(`${CHILD}\\UtilityVM\\Files`).map(({ name }) => name);
  assertEquals(names, ["EFI", "keep.dll", "l.dll", "new.dll"]);
  assertEquals(host.readTextFile(`${CHILD}\\UtilityVM\\Files\\EFI\\Microsoft\\Boot\\BCD`), "bcd");
  assertEquals(host.readTextFile(`${CHILD}\\UtilityVM\\Files\\l.dll`), "keep");
  const processed = host.calls.filter(({ function: fn }) => fn === "ProcessUtilityImage").map(({ args }) => args.path);
  assertEquals(processed, [`\\\\?\\${BASE}\\UtilityVM`, `\\\\?\\${CHILD}\\UtilityVM`]);
  assertEquals(host.readTextFile(`${BASE}\\UtilityVM\\Files\\gone.dll`), "gone");
});

Deno.test("an error in the tar, or of Windows, leaves nothing, and Windows makes no layer of half a tar", async () => {
  const host = await withBase();
  const held = host.held();
  const calls = () => host.calls.filter(({ function: fn }) => fn === "ImportLayer" || fn === "ProcessBaseImage").length;
  const before = calls();
  const bad = [
    entry({ path: "Files/l", type: "link", target: "Hives/System_Delta" }),
    entry({ path: "Files/../x" }),
    entry({ path: "Files/d.$wcidirs$" }),
    entry({ path: "Hives/System_Delta", type: "whiteout" }),
    entry({ path: "Files/data/new.txt" }),
    entry({ path: "Files/text", sddl: "O:BA" }),
  ];
  for (const one of bad) {
    const run = () => importLayer(CHILD, tar(...childEntries(), one), [BASE], { host });
    await assertRejects(run, FormatError);
    assertEquals([host.held(), await listMounts({ host })], [held, []], one.path);
  }
  assertEquals(calls(), before);
  const missing = entry({ path: "Files/l", type: "link", target: "Files/nowhere" });
  await assertRejects(
    () => importLayer(CHILD, tar(...childEntries(), missing), [BASE], { host }),
    FormatError,
    "no layer has",
  );
  host.fail({ function: "ImportLayer", code: 0x80070005 });
  await assertRejects(() => importLayer(CHILD, tar(...childEntries()), [BASE], { host }), NativeError, "ImportLayer");
  host.failNothing();
  await assertRejects(() => importLayer(BASE, tar(), [], { host }), InvalidInputError, "exists already");
  assertEquals([host.held(), await listMounts({ host })], [held, []]);
});

Deno.test("of two imports at a time to one place, one makes the layer, and the other is refused", async () => {
  const host = await withBase();
  const results = await Promise.allSettled(
    [1, 2].map(() => importLayer(CHILD, tar(...childEntries()), [BASE], { host })),
  );
  const problems = results.filter(({ status }) => status === "rejected").map((result) =>
    (result as PromiseRejectedResult).reason.message
  );
  assertEquals(problems, [`layer is being created by another call of this process: ${JSON.stringify(CHILD)}`]);
  assertEquals((await shown(host, CHILD, BASE))["data\\new.txt"], "new");
  assertEquals(host.held().filter(({ target }) => /\.[0-9a-f]{8}-/.test(target)), []);
});

Deno.test("what an async listener throws ends an import, which leaves nothing", async () => {
  const host = await withBase();
  const held = host.held();
  const onProgress = async () => {
    await Promise.resolve();
    throw new Error("listener");
  };
  const run = () => importLayer(CHILD, tar(...childEntries()), [BASE], { host, onProgress });
  await assertRejects(run, Error, "listener");
  assertEquals([host.held(), await listMounts({ host })], [held, []]);
});

Deno.test("the stream of a tar is cancelled if it isn't read, and refused if something else reads it", async () => {
  const host = await withBase();
  const failing = async (layer: string, parents: string[], options = {}) => {
    let reason: unknown;
    const stream = new ReadableStream<Uint8Array>({ cancel: (given) => void (reason = given) });
    const error = await assertRejects(() => importLayer(layer, stream, parents, { host, ...options }));
    assertEquals([reason, stream.locked], [error, false]);
  };
  await failing(BASE, []);
  await failing(CHILD, ["C:\\none"]);
  await failing(CHILD, [BASE], { timeout: -1 });
  host.fail({ function: "AdjustTokenPrivileges", code: 0x80070522 });
  await failing(CHILD, [BASE]);
  host.failNothing();
  const locked = new ReadableStream<Uint8Array>();
  locked.getReader();
  await assertRejects(() => importLayer(CHILD, locked, [BASE], { host }), InvalidInputError, "tar is locked");
  assertEquals([host.held().filter(({ target }) => target?.includes(CHILD)), await listMounts({ host })], [[], []]);
});

Deno.test("a link to nothing, or to a folder, is refused with its entry, whatever else the layers have", async () => {
  const host = await withBase();
  const held = host.held();
  const link = (path: string, target: string) => entry({ path, type: "link", target });
  for (
    const [links, problem] of [
      [[link("Files/l", "Files/nowhere")], "it links to a file that no layer has: Files/nowhere"],
      [[link("Files/l", "Files/data")], "it links to a folder: Files/data"],
      [[link("Files/l", "Files/m"), link("Files/m", "Files/l")], "it links to a file that no layer has: Files/m"],
    ] as const
  ) {
    const run = () => importLayer(CHILD, tar(folder("Files"), folder("Hives"), ...links), [BASE], { host });
    const error = await assertRejects(run, FormatError, problem);
    assertEquals([error.entry, error.reason, host.held()], ["Files/l", "damaged", held]);
  }
});

Deno.test("nobody gets at a layer while it is imported", async () => {
  const host = await withBase();
  host.addScratch("C:\\scratch");
  const refused: Promise<Error>[] = [];
  const onProgress = () => {
    if (refused.length > 0) return;
    refused.push(
      assertRejects(() => mountWCOWLayers("c", [CHILD, BASE, "C:\\scratch"], { host }), InUseError),
      assertRejects(() => importLayer(`${CHILD}2`, tar(), [CHILD, BASE], { host }), InUseError),
      assertRejects(() => exportLayer(CHILD, [BASE], new WritableStream(), { host }), InUseError),
      assertRejects(() => destroyLayer(CHILD, { host }), InUseError),
    );
  };
  await importLayer(CHILD, tar(...childEntries()), [BASE], { host, onProgress });
  for (const { message } of await Promise.all(refused)) {
    assertStringIncludes(message, `${CHILD} is being created`);
  }
  assertEquals((await shown(host, CHILD, BASE))["data\\new.txt"], "new");
});

Deno.test("a layer isn't imported into one of those below, which stay as they are", async () => {
  const host = await withBase();
  for (const layer of [`${BASE}\\app`, `${BASE}\\Files\\app`, "c:\\LAYERS\\Base\\Hives"]) {
    const error = await assertRejects(() => importLayer(layer, tar(), [BASE], { host }), InvalidInputError);
    assertEquals([error.argument, error.message.includes("is in parents[0]")], ["layer", true]);
  }
});

Deno.test("a folder beside the files of a utility VM doesn't make one of it", async () => {
  const host = machine();
  const beside = [folder("UtilityVM"), folder("UtilityVM/Files2")];
  await importLayer(BASE, tar(...baseEntries(), ...beside), [], { host });
  assertEquals(host.calls.filter(({ function: fn }) => fn === "ProcessUtilityImage"), []);
});

async function leavesNothing(host: SimulatedHost, situation: string): Promise<void> {
  const left = host.held().map(({ kind, target }) => `${kind} ${target}`).filter((what) => what.includes(CHILD));
  const isWhole = left.includes(`file ${CHILD}\\Hives\\System_Delta`) || left.includes(`folder ${CHILD}`);
  assertEquals(isWhole ? [] : left, [], situation);
  assertEquals(left.filter((what) => /handle|privilege|[0-9a-f]{12}/.test(what)), [], situation);
  assertEquals(await listMounts({ host }), [], situation);
  if (isWhole) assertEquals((await shown(host, CHILD, BASE))["data\\new.txt"], "new", situation);
}

const prepared = (await withBase()).snapshot();
const WORK = {
  machine() {
    const host = machine();
    host.restore(prepared);
    return host;
  },
  work: (host: SimulatedHost) => importLayer(CHILD, tar(...childEntries()), [BASE], { host }),
};

Deno.test("importLayer(): after any single failure, all of the layer is there or nothing", async () => {
  await withEachFailure(WORK, leavesNothing, 17);
});

Deno.test("importLayer(): after the process ends at any call, recover() leaves all of the layer or nothing", async () => {
  await withEachEnd(WORK, leavesNothing, 31);
});
