import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  importBlockCimLayer,
  importCimLayer,
  InvalidInputError,
  listMounts,
  NativeError,
  type TransferProgress,
  UnwindError,
} from "../../mod.ts";
import { FormatError, type LayerEntry } from "../../src/files/mod.ts";
import { mountCimImage } from "../../src/storage/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { withEachEnd, withEachFailure } from "../support/every_failure.ts";
import { baseEntries, childEntries, entry, folder, tar } from "../support/layer_tars.ts";

const [BASE, CHILD] = ["C:\\layers\\base", "C:\\layers\\app"];
const IMAGES = "C:\\layers\\cim-layers";

function machine(): SimulatedHost {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder(IMAGES);
  return host;
}

async function withBase(): Promise<SimulatedHost> {
  const host = machine();
  await importCimLayer(BASE, tar(...baseEntries()), [], { host });
  return host;
}

async function shown(host: SimulatedHost, image: string): Promise<Record<string, string>> {
  const volume = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
  await using _ = await mountCimImage(image, volume, { host });
  const files: Record<string, string> = {};
  const walk = (folder: string) => {
    for (const { name, isFile, isDirectory } of host.readDir(`${volume}${folder}`)) {
      const path = folder === "" ? name : `${folder}\\${name}`;
      if (isFile) files[path] = host.readTextFile(`${volume}${path}`);
      if (isDirectory) walk(path);
    }
  };
  walk("");
  return files;
}

Deno.test("importCimLayer() imports a base layer, with its registry hives in the image and beside it", async () => {
  const host = machine();
  const progress: TransferProgress[] = [];
  const imported = await importCimLayer(BASE, tar(...baseEntries()), [], {
    host,
    onProgress: (now) => progress.push(now),
  });
  assertEquals(imported, { layer: BASE, image: `${IMAGES}\\base.cim`, size: imported.size });
  assertEquals(progress.at(-1), { phase: "hives", entries: baseEntries().length, bytes: imported.size });
  const files = await shown(host, imported.image);
  assertEquals(files["Files\\data\\a.txt"], "hello");
  assertEquals(files["Files\\data\\b.txt"], "hello");
  assertEquals(files["Hives\\DEFAULTUSER_BASE"], "hive DEFAULT");
  assertEquals(files["layout"], "vhd-with-hives\n");
  assertEquals(host.readTextFile(`${BASE}\\Hives\\SYSTEM_BASE`), "hive SYSTEM");
  assertEquals([await listMounts({ host }), host.held().filter(({ kind }) => kind === "handle")], [[], []]);
});

Deno.test("importCimLayer() imports a layer above another one, which stays as it is", async () => {
  const host = await withBase();
  const before = await shown(host, `${IMAGES}\\base.cim`);
  const { image } = await importCimLayer(CHILD, tar(...childEntries()), [BASE], { host });
  const files = await shown(host, image);
  assertEquals(files["Files\\data\\new.txt"], "new");
  assertEquals(files["Files\\data\\old.txt"], "hello");
  assertEquals(files["Files\\data\\gone.txt"], undefined);
  assertEquals(files["Hives\\SYSTEM_BASE"], "hive SYSTEM+delta");
  assertEquals(await shown(host, `${IMAGES}\\base.cim`), before);

  // A layer without changes of a hive has none of it: the next one goes on from that below.
  await importCimLayer("C:\\layers\\third", tar(folder("Files"), folder("Hives")), [CHILD, BASE], { host });
  const above = [folder("Files"), folder("Hives"), entry({ path: "Hives/Sam_Delta", text: "sam" })];
  const parents = ["C:\\layers\\third", CHILD, BASE];
  const { image: last } = await importCimLayer("C:\\layers\\fourth", tar(...above), parents, { host });
  assertEquals((await shown(host, last))["Hives\\SAM_BASE"], "hive SAM+sam");
});

Deno.test("importBlockCimLayer() imports layers into files of their own", async () => {
  const host = machine();
  const base = await importBlockCimLayer(BASE, tar(...baseEntries()), [], { host, verified: true });
  assertEquals([base.image, base.rootHash?.byteLength], [`${BASE}\\layer.bcim`, 32]);
  await importBlockCimLayer(CHILD, tar(...childEntries()), [BASE], { host, block: "C:\\layers\\app.bcim" });
  const calls = host.calls.filter(({ function: fn }) => /Link|Tombstone/.test(fn)).map((
    { function: fn, args },
  ) => [fn, Object.values(args).slice(1)]);
  assertEquals(calls.slice(-2), [
    ["CimTombstoneFile", ["Files\\data\\gone.txt"]],
    ["CimCreateMergeLink", ["Files\\data\\old.txt", "Files\\data\\a.txt"]],
  ]);
});

Deno.test("tars that would do harm are refused, and nothing is left", async () => {
  const above = [folder("Files"), folder("Hives"), folder("Files/data")];
  const config = ["Files/Windows", "Files/Windows/System32", "Files/Windows/System32/config"].map(folder);
  const bad: [problem: RegExp, ...entries: LayerEntry[]][] = [
    [/climbs/, entry({ path: "Files/../a" })],
    [/\\ in it/, entry({ path: "Files/a\\..\\b" })],
    [/drive|: in it/, entry({ path: "C:/a" })],
    [/absolute|empty name/, entry({ path: "/Files/a" })],
    [/device/, entry({ path: "Files/NUL" })],
    [/twice/, entry({ path: "Files/a" }), entry({ path: "Files/a" })],
    [/case/, entry({ path: "Files/a" }), entry({ path: "Files/A" })],
    [/top/, entry({ path: "Other" })],
    [
      /link/,
      entry({ path: "Files/l", type: "reparse", reparse: { tag: 0xa000000c, target: "C:/" } }),
      entry({ path: "Files/l/a" }),
    ],
    [/before it/, entry({ path: "Files/none/a" })],
    [/itself/, entry({ path: "Files/a", type: "link", target: "Files/A" })],
    [/climbs/, entry({ path: "Files/a", type: "link", target: "Files/../../x" })],
    [
      /at once, unless/,
      entry({ path: "Files/data/a" }),
      entry({ path: "Files/data", type: "whiteout", isOpaque: true }),
    ],
    [/is made of those/, entry({ path: "Hives/System_Base" })],
    [/only be a file/, entry({ path: "Hives/Sam_Delta", type: "reparse", reparse: { tag: 0xa000000c, target: "x" } })],
    [/is a text/, entry({ path: "Files/a", sddl: "O:BA" })],
    [/come first/, folder("Files/d"), entry({ path: "Files/d", type: "whiteout" })],
    [
      /only be a file/,
      ...config,
      entry({ path: "Files/Windows/System32/config/SAM", type: "link", target: "Files/data/a.txt" }),
    ],
    [/security descriptor/, entry({ path: "Files/a", securityDescriptor: Uint8Array.of(1, 2, 3) })],
  ];
  const host = await withBase();
  const held = host.held();
  for (const [problem, ...entries] of bad) {
    const error = await assertRejects(
      () => importCimLayer(CHILD, tar(...above, ...entries), [BASE], { host }),
      FormatError,
    );
    assertEquals(problem.test(error.message), true, error.message);
    assertEquals([host.held(), await listMounts({ host })], [held, []], `${problem}`);
  }
});

Deno.test("all that the layers below have in a folder is removed if that follows the folder", async () => {
  const host = await withBase();
  const opaque = entry({ path: "Files/data", type: "whiteout", isOpaque: true });
  const above = [folder("Files"), folder("Hives"), folder("Files/data")];
  const { image } = await importCimLayer(CHILD, tar(...above, opaque, entry({ path: "Files/data/n", text: "n" })), [
    BASE,
  ], {
    host,
  });
  const files = Object.keys(await shown(host, image));
  assertEquals(files.filter((path) => path.startsWith("Files\\data")), ["Files\\data\\n"]);
  const { args } = host.calls.findLast(({ args }) => args.path === "Files\\data")!;
  assertEquals((args.metadata as { creationTime: string }).creationTime, "132223104001234567");

  await importBlockCimLayer("C:\\layers\\b", tar(...baseEntries()), [], { host });
  const block = () => importBlockCimLayer("C:\\layers\\c", tar(...above, opaque), ["C:\\layers\\b"], { host });
  await assertRejects(block, FormatError, "at once");
});

Deno.test("what comes into the image at the end has its streams and other names there too", async () => {
  const host = machine();
  const entries = baseEntries();
  const at = entries.findIndex(({ path }) => path.endsWith("/SAM")) + 1;
  const config = "Files/Windows/System32/config";
  entries.splice(at, 0, entry({ path: `${config}/sam:one`, type: "stream", text: "stream" }));
  entries.push(
    entry({ path: "Files/data/first", type: "link", target: `${config}/Sam` }),
    entry({ path: "Files/data/second", type: "link", target: "Files/data/FIRST" }),
  );
  for (const form of [importCimLayer, importBlockCimLayer]) {
    const layer = `C:\\layers\\${form.name}`;
    const before = host.calls.length;
    await form(layer, tar(...entries), [], { host });
    const calls = host.calls.slice(before).filter(({ function: fn }) => /^CimCreate/.test(fn)).map(({ args }) =>
      `${args.path ?? args.newPath}`
    );
    const names = ["config\\SAM", "config\\sam:one", "data\\first", "data\\second", "SAM_BASE"];
    assertEquals(
      calls.flatMap((path) => names.filter((name) => path.endsWith(name))),
      names,
      form.name,
    );
  }
  assertEquals((await shown(host, `${IMAGES}\\importCimLayer.cim`))["Files\\data\\second"], "hive SAM");
});

Deno.test("a link leads to what is there when its turn comes", async () => {
  const host = await withBase();
  const { image } = await importCimLayer(
    CHILD,
    tar(
      folder("Files"),
      folder("Hives"),
      folder("Files/data"),
      entry({ path: "Files/data/c", type: "link", target: "Files/data/a.txt" }),
      entry({ path: "Files/data/d", type: "link", target: "Files/data/C" }),
      entry({ path: "Files/data/a.txt", type: "whiteout" }),
    ),
    [BASE],
    { host },
  );
  const files = await shown(host, image);
  assertEquals([files["Files\\data\\c"], files["Files\\data\\d"]], ["hello", "hello"]);
  assertEquals(files["Files\\data\\a.txt"], undefined);
});

Deno.test("a link to nothing, or to a folder, is refused with its entry", async () => {
  const host = await withBase();
  const held = host.held();
  for (
    const [target, problem] of [
      ["Files/nowhere", "neither what comes before it nor a layer below has the file that it links to"],
      ["Files/later", "neither what comes before it"],
      ["Files/data", "as it does where that is a folder"],
    ] as const
  ) {
    const entries = [entry({ path: "Files/l", type: "link", target }), entry({ path: "Files/later" })];
    const run = () => importCimLayer(CHILD, tar(folder("Files"), folder("Hives"), ...entries), [BASE], { host });
    const error = await assertRejects(run, FormatError, problem);
    assertEquals([error.entry, error.reason, host.held()], ["Files/l", "damaged", held]);
  }
});

Deno.test("of two images that are written in a folder at a time, the second is refused with the reason, and leaves nothing", async () => {
  const host = await withBase();
  const [one, two] = await Promise.allSettled(
    [CHILD, `${CHILD}2`].map((layer) => importCimLayer(layer, tar(...childEntries()), [BASE], { host })),
  );
  assertEquals(one!.status, "fulfilled");
  assertStringIncludes((two as PromiseRejectedResult).reason.message, "Another image is being written in this folder");
  assertEquals(host.held().filter(({ target }) => target?.includes("app2")), []);
});

Deno.test("the root hash of a verified image is in the folder of the layer as well", async () => {
  const host = machine();
  const { rootHash } = await importBlockCimLayer(BASE, tar(...baseEntries()), [], { host, verified: true });
  assertEquals(host.readTextFile(`${BASE}\\integrity_checksum`), rootHash!.toHex());
});

Deno.test("a scanner that opens the new image doesn't keep it from getting its name", async () => {
  const host = new SimulatedHost({ build: 27900, company: { scanner: { holds: 100 } } });
  host.addFolder(IMAGES);
  await importCimLayer(BASE, tar(...baseEntries()), [], { host });
  assertEquals(host.readDir(IMAGES).map(({ name }) => name), ["base.cim"]);
});

Deno.test("contents are read no faster than they are written, and the tar ends with the import", async () => {
  const host = await withBase();
  let [made, isCancelled] = [0, false];
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      made++;
      controller.enqueue(new Uint8Array(2 ** 20));
    },
    cancel: () => void (isCancelled = true),
  }, { highWaterMark: 0 });
  const big = { ...entry({ path: "Files/big" }), size: 2 ** 24, contents: () => endless };
  host.fail({ function: "CimWriteStream", nth: 5, code: 0x80070070 });
  const run = () => importCimLayer(CHILD, tar(folder("Files"), folder("Hives"), big), [BASE], { host });
  await assertRejects(run, NativeError, "CimWriteStream");
  assertEquals([made <= 7, isCancelled], [true, true], `${made} MiB were read, and 5 written`);
});

Deno.test("a tar that is cut, an abort and a listener that throws leave nothing", async () => {
  const host = await withBase();
  const held = host.held();
  const whole = await new Response(tar(...childEntries())).bytes();
  const cut = () => new Response(whole.slice(0, 2500)).body!;
  await assertRejects(() => importCimLayer(CHILD, cut(), [BASE], { host }), FormatError, "cut");
  const controller = new AbortController();
  const onProgress = () => controller.abort(new Error("enough"));
  const aborted = importCimLayer(CHILD, tar(...childEntries()), [BASE], {
    host,
    signal: controller.signal,
    onProgress,
  });
  await assertRejects(() => aborted, Error, "enough");
  const throwing = () => {
    throw new TypeError("no");
  };
  await assertRejects(
    () => importCimLayer(CHILD, tar(...childEntries()), [BASE], { host, onProgress: throwing }),
    TypeError,
  );
  assertEquals([host.held(), await listMounts({ host })], [held, []]);
});

Deno.test("bad input is refused before anything is made", async () => {
  const host = await withBase();
  const held = host.held();
  const run = (layer: string, parents: string[], options = {}) =>
    assertRejects(() => importCimLayer(layer, tar(), parents, { host, ...options }), InvalidInputError);
  await run(BASE, []);
  await run("C:\\none\\app", [BASE]);
  await run(CHILD, ["C:\\layers\\none"]);
  await run(CHILD, [BASE], { image: "C:\\layers\\app.cim" });
  await run(CHILD, [BASE], { image: `${IMAGES}\\base.cim` });
  await run(CHILD, [BASE], { limits: { maxNothing: 1 } });
  await run(CHILD, [BASE], { onProgress: 1 });
  assertEquals(host.held(), held);
});

Deno.test("an image that can't be removed keeps its layer, by which it is known, and both go later", async () => {
  const rehearsed = await withBase();
  const before = rehearsed.calls.length;
  await importCimLayer(CHILD, tar(...childEntries()), [BASE], { host: rehearsed });
  const deleted = rehearsed.calls.slice(before).filter(({ function: fn }) => fn === "DeleteFileW");
  const nth = deleted.findIndex(({ args }) => String(args.path).startsWith(`${CHILD}:`)) + 1;
  const host = await withBase();
  const image = `${IMAGES}\\app.cim`;
  host.fail({ function: "DeleteFileW", nth, code: 0x80070005, effect: "none" });
  let program: Disposable | undefined;
  host.before("DeleteFileW", ({ args }) => {
    if (String(args.path).startsWith(`${CHILD}:`)) program ??= host.openFile(image, { share: ["read"] });
  });
  const error = await assertRejects(() => importCimLayer(CHILD, tar(...childEntries()), [BASE], { host }), UnwindError);
  assertEquals(error.holds.map(({ kind }) => kind), ["newLayer", "newFile"]);
  program![Symbol.dispose]();
  await error.release();
  assertEquals(host.held().filter(({ target }) => target.includes("app")), []);
});

Deno.test("a mark that is gone although its removal failed, and that Windows once doesn't tell of, hinders no import", async () => {
  const host = await withBase();
  const denied = { code: "ERROR_ACCESS_DENIED" } as const;
  let removals = 0;
  let looks = 0;
  host.fail({
    ...denied,
    function: "DeleteFileW",
    effect: "full",
    when: ({ args }) => `${args.path}`.startsWith(`${CHILD}:`) && removals++ === 0,
  });
  host.fail({ ...denied, function: "CreateFileW", when: () => removals > 0 && looks++ === 0 });
  await importCimLayer(CHILD, tar(...childEntries()), [BASE], { host });
  assertEquals([removals, looks > 0, await listMounts({ host })], [1, true, []]);
});

const COMPLETE = [CHILD, `${IMAGES}\\app.cim`];

/** Checks that there is all of the layer, or nothing of it. */
function leavesAllOf(whole: readonly string[]): (host: SimulatedHost, situation: string) => Promise<void> {
  return async (host, situation) => {
    const left = host.held().map(({ kind, target }) => `${kind} ${target}`);
    const made = COMPLETE.filter((path) => left.some((what) => what.includes(path)));
    if (made.length > 0) assertEquals(made, whole, situation);
    assertEquals(left.filter((what) => /handle|privilege|[0-9a-f]{12}/.test(what)), [], situation);
    assertEquals(await listMounts({ host }), [], situation);
  };
}

const FORMS = { importCimLayer, importBlockCimLayer };

for (const [name, run] of Object.entries(FORMS)) {
  const first = machine();
  await run(BASE, tar(...baseEntries()), [], { host: first });
  const prepared = first.snapshot();
  const work = {
    machine() {
      const host = machine();
      host.restore(prepared);
      return host;
    },
    work: (host: SimulatedHost) => run(CHILD, tar(...childEntries()), [BASE], { host }),
  };
  const check = leavesAllOf(run === importCimLayer ? COMPLETE : [CHILD]);

  Deno.test(`${name}(): after any single failure, all of the layer is there or nothing`, async () => {
    await withEachFailure(work, check, 17);
  });

  Deno.test(`${name}(): after the process ends at any call, recover() leaves all of the layer or nothing`, async () => {
    await withEachEnd(work, check, 19);
  });
}
