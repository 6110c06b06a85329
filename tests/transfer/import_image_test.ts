import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  importBlockCimLayer,
  importCimLayer,
  InvalidInputError,
  listMounts,
  type TransferProgress,
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
    [/at once/, entry({ path: "Files/data", type: "whiteout", isOpaque: true })],
    [/come first/, folder("Files/d"), entry({ path: "Files/d", type: "whiteout" })],
    [/hive/, ...config, entry({ path: "Files/Windows/System32/config/SAM", type: "link", target: "Files/data/a.txt" })],
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

const COMPLETE = [CHILD, `${IMAGES}\\app.cim`];

async function leavesNothing(host: SimulatedHost, situation: string): Promise<void> {
  const left = host.held().map(({ kind, target }) => `${kind} ${target}`);
  const made = left.filter((what) => COMPLETE.some((path) => what.includes(path)));
  // All of the layer, or nothing of it.
  const isWhole = made.some((what) => what === `file ${COMPLETE[1]}`) &&
    made.some((what) => what === `folder ${CHILD}`);
  assertEquals(isWhole ? [] : made, [], situation);
  assertEquals(left.filter((what) => /handle|privilege|[0-9a-f]{12}/.test(what)), [], situation);
  assertEquals(await listMounts({ host }), [], situation);
}

const prepared = (await withBase()).snapshot();
const WORK = {
  machine() {
    const host = machine();
    host.restore(prepared);
    return host;
  },
  work: (host: SimulatedHost) => importCimLayer(CHILD, tar(...childEntries()), [BASE], { host }),
};

Deno.test("importCimLayer(): after any single failure, all of the layer is there or nothing", async () => {
  await withEachFailure(WORK, leavesNothing, 13);
});

Deno.test("importCimLayer(): after the process ends at any call, recover() leaves all of the layer or nothing", async () => {
  await withEachEnd(WORK, leavesNothing, 13);
});
