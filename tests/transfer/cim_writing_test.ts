import { assert, assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  type CimWriter,
  ClosedError,
  InvalidInputError,
  listMounts,
  mergeBlockCims,
  NativeError,
  UnwindError,
  writeBlockCim,
  writeCim,
} from "../../mod.ts";
import { mountCimImage } from "../../src/storage/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { withEachEnd, withEachFailure } from "../support/every_failure.ts";

const IMAGE = "C:\\images\\app.cim";
const NOW = 133_000_000_000_000_001n;
const TIMES = { creationTime: NOW, lastWriteTime: NOW + 1n, changeTime: NOW + 2n, lastAccessTime: NOW + 3n };
const FILE = { attributes: 0x20, ...TIMES };
const FOLDER = { attributes: 0x10, ...TIMES };
const bytes = (text: string) => new TextEncoder().encode(text);
const isMark = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

function machine(): SimulatedHost {
  const host = new SimulatedHost({ build: 27800 });
  host.addFolder("C:\\images");
  return host;
}

/** The calls of cimfs.dll, without the name that the image has while it is written. */
function writes(host: SimulatedHost): unknown[] {
  const own = host.calls.filter(({ dll }) => dll === "cimfs");
  return JSON.parse(
    JSON.stringify(own.map(({ function: fn, args }) => [fn, args])).replaceAll(
      new RegExp(`\\.${isMark.source}`, "g"),
      "",
    ),
  );
}

async function write(host: SimulatedHost): Promise<void> {
  await using image = await writeCim(IMAGE, { host });
  await image.addFolder("Files", FOLDER);
  await image.addFile("Files\\a.txt", FILE, 5, bytes("hello"));
  await image.addStream("Files\\a.txt", "one:$DATA", 3, bytes("two"));
  await image.addLink("Files\\b.txt", "Files\\a.txt");
  await image.addFile("Files\\gone", FILE, 0, new Uint8Array());
  assertEquals([await image.remove("Files\\gone"), await image.remove("Files\\never")], [true, false]);
  await image.commit();
}

Deno.test("writeCim() makes these calls, and the image is there once it is complete", async () => {
  const host = machine();
  await write(host);
  const metadata = {
    creationTime: `${NOW}`,
    lastWriteTime: `${NOW + 1n}`,
    changeTime: `${NOW + 2n}`,
    lastAccessTime: `${NOW + 3n}`,
  };
  const securityDescriptor = Uint8Array.of(1, 0, 4, 0x80, ...new Uint8Array(16)).toBase64();
  const calls = writes(host) as [string, Record<string, unknown>][];
  assertEquals(calls.map(([fn]) => fn), [
    "CimCreateImage",
    "CimCreateFile",
    "CimCloseStream",
    "CimCreateFile",
    "CimWriteStream",
    "CimCloseStream",
    "CimCreateAlternateStream",
    "CimWriteStream",
    "CimCloseStream",
    "CimCreateHardLink",
    "CimCreateFile",
    "CimCloseStream",
    "CimDeletePath",
    "CimDeletePath",
    "CimCommitImage",
    "CimCloseImage",
  ]);
  const args = (fn: string) => calls.filter(([name]) => name === fn).map(([, args]) => args);
  assertEquals(args("CimCreateImage")[0], { folder: "C:\\images", oldName: null, newName: "app.cim", image: "buffer" });
  assertEquals(args("CimCreateFile")[1]!.metadata, { attributes: 0x20, size: 5, ...metadata, securityDescriptor });
  assertEquals(args("CimCreateAlternateStream")[0]!.path, "Files\\a.txt:one");
  assertEquals(host.held().map(({ kind, target }) => [kind, target]), [["file", IMAGE]]);

  const volume = "\\\\?\\Volume{00000000-0000-5000-8000-000000000001}\\";
  await using _ = await mountCimImage(IMAGE, volume, { host });
  assertEquals(host.readTextFile(`${volume}Files\\b.txt`), "hello");
  assertEquals(host.readDir(`${volume}Files`).map(({ name }) => name), ["a.txt", "b.txt"]);
});

Deno.test("an image goes on from another one in the folder, which stays as it is", async () => {
  const host = machine();
  await write(host);
  {
    await using image = await writeCim("C:\\images\\next.cim", { host, from: "app.cim" });
    await image.remove("Files\\a.txt");
    await image.addFile("Files\\c.txt", FILE, 3, bytes("new"));
    await image.commit();
  }
  const names = async (image: string) => {
    const volume = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
    await using _ = await mountCimImage(image, volume, { host });
    return host.readDir(`${volume}Files`).map(({ name }) => name);
  };
  assertEquals(await names("C:\\images\\next.cim"), ["b.txt", "c.txt"]);
  assertEquals(await names(IMAGE), ["a.txt", "b.txt"]);
});

Deno.test("an image that isn't completed leaves nothing, and nothing follows a call that failed", async () => {
  const host = machine();
  const before = host.held();
  {
    await using image = await writeCim(IMAGE, { host });
    await image.addFolder("Files", FOLDER);
    assertEquals((await listMounts({ host })).map(({ kind, layers, state }) => [kind, layers, state]), [
      ["newImage", [IMAGE], "partial"],
    ]);
  }
  assertEquals([host.held(), await listMounts({ host })], [before, []]);
  {
    await using image = await writeCim(IMAGE, { host });
    host.fail({ function: "CimWriteStream", code: 0x80070070 });
    await image.addFolder("Files", FOLDER);
    await assertRejects(() => image.addFile("Files\\a", FILE, 1, bytes("a")), NativeError, "CimWriteStream");
    await assertRejects(() => image.addFile("Files\\b", FILE, 1, bytes("b")), NativeError, "CimWriteStream");
    await assertRejects(() => image.commit(), NativeError, "CimWriteStream");
  }
  assertEquals(writes(host).filter((call) => (call as string[])[0] === "CimCommitImage"), []);
  assertEquals(host.held(), before);
});

Deno.test("contents of another size than announced break an image", async () => {
  for (const [size, problem] of [[4, "more than 4 bytes"], [6, "fewer than 6 bytes"]] as const) {
    const host = machine();
    await using image = await writeCim(IMAGE, { host });
    await assertRejects(() => image.addFile("a", FILE, size, bytes("hello")), InvalidInputError, problem);
    await assertRejects(() => image.commit(), InvalidInputError, problem);
  }
});

Deno.test("paths that Windows would take for something else are refused", async () => {
  const host = machine();
  const paths = [
    "",
    "..",
    "a\\..\\b",
    "\\a",
    "a\\",
    "C:\\a",
    "a:b",
    "a/b",
    "nul",
    "a\\con.txt",
    "a.",
    "a ",
    "a\0",
    "a*",
  ];
  for (const path of paths) {
    await using image = await writeCim(IMAGE, { host });
    await assertRejects(() => image.addFile(path, FILE, 0, new Uint8Array()), InvalidInputError);
  }
  assertEquals(writes(host).filter((call) => (call as string[])[0] === "CimCreateFile"), []);
});

Deno.test("bad input is refused before anything is written", async () => {
  const host = machine();
  await write(host);
  const calls = host.calls.filter(({ dll }) => dll === "cimfs").length;
  await assertRejects(() => writeCim(IMAGE, { host }), InvalidInputError, "exists already");
  await assertRejects(() => writeCim("C:\\none\\a.cim", { host }), InvalidInputError, "doesn't exist");
  await assertRejects(
    () => writeCim("C:\\images\\b.cim", { host, from: "none.cim" }),
    InvalidInputError,
    "doesn't exist",
  );
  await assertRejects(
    () => writeCim("C:\\images\\b.cim", { host, from: "..\\b.cim" }),
    InvalidInputError,
    "from",
  );
  await assertRejects(
    () => writeBlockCim("C:\\images\\b.bcim", { host, name: "a\\b" }),
    InvalidInputError,
    "name is not",
  );
  await assertRejects(
    () => mergeBlockCims("C:\\images\\b", [{ block: IMAGE }], { host }),
    InvalidInputError,
    "two images",
  );
  assertEquals(host.calls.filter(({ dll }) => dll === "cimfs").length, calls);
});

Deno.test("what isn't a file, a folder or a stream is refused by its name before Windows is asked to make it", async () => {
  const one = Uint8Array.of(1);
  // deno-lint-ignore no-explicit-any
  type Any = any;
  const calls: readonly (readonly [argument: string, call: (image: CimWriter) => Promise<unknown>])[] = [
    ["path", (image) => image.addFile(1 as Any, FILE, 1, one)],
    ["path", (image) => image.remove(undefined as Any)],
    ["metadata", (image) => image.addFile("a", undefined as Any, 1, one)],
    ["metadata.creationTime", (image) => image.addFile("a", { ...FILE, creationTime: 1 as Any }, 1, one)],
    ["metadata.changeTime", (image) => image.addFolder("a", { ...FILE, changeTime: 2n ** 63n })],
    ["metadata.attributes", (image) => image.addFolder("a", { ...FILE, attributes: -1 })],
    ["metadata.reparse", (image) => image.addFile("a", { ...FILE, reparse: new Uint8Array(16385) }, 1, one)],
    ["metadata.securityDescriptor", (image) => image.addFolder("a", { ...FILE, securityDescriptor: "O:BA" as Any })],
    ...[1.5, -1, NaN, 2 ** 53, "1" as Any].map((size) =>
      ["size", (image: CimWriter) => image.addFile("a", FILE, size, one)] as const
    ),
    ["size", (image) => image.addStream("a", "s", -1, one)],
    ["name", (image) => image.addStream("a", 1 as Any, 1, one)],
    ...["x", undefined, null, [one], new ArrayBuffer(1)].map((contents) =>
      ["contents", (image: CimWriter) => image.addFile("a", FILE, 1, contents as Any)] as const
    ),
  ];
  for (const [argument, call] of calls) {
    const host = machine();
    await using image = await writeCim(IMAGE, { host });
    const error = await assertRejects(() => call(image), InvalidInputError);
    assertEquals(error.argument, argument);
    assertEquals(host.calls.filter(({ function: fn }) => /^CimCreate(File|Alternate)|^CimDelete/.test(fn)), []);
  }
  const host = machine();
  await using image = await writeCim(IMAGE, { host });
  const strings = ReadableStream.from(["x"]) as Any;
  await assertRejects(() => image.addFile("a", FILE, 1, strings), InvalidInputError, "something else than bytes");
});

Deno.test("an image is disposed of though contents of a file never come", async () => {
  const host = machine();
  const image = await writeCim(IMAGE, { host });
  const silent = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
  const adding = image.addFile("a", FILE, 5, silent);
  const waiting = image.addFile("b", FILE, 0, new Uint8Array());
  const refused = [adding, waiting].map((one) => assertRejects(() => one, ClosedError));
  await Promise.resolve();
  await image[Symbol.asyncDispose]();
  await Promise.all(refused);
  assertEquals([host.held(), await listMounts({ host })], [machine().held(), []]);
});

Deno.test("an image is closed for good once it is complete", async () => {
  const host = machine();
  const image = await writeCim(IMAGE, { host });
  await image.commit();
  await assertRejects(() => image.addFolder("Files", FOLDER), ClosedError);
  await image[Symbol.asyncDispose]();
  assertEquals(host.held().map(({ target }) => target), [IMAGE]);
});

Deno.test("what is made at the path meanwhile stays, and the image is gone", async () => {
  const host = machine();
  const image = await writeCim(IMAGE, { host });
  host.addFile(IMAGE, "another's");
  await assertRejects(() => image.commit(), InvalidInputError, "image exists since");
  await image[Symbol.asyncDispose]();
  assertEquals([host.readTextFile(IMAGE), host.held()], ["another's", []]);
});

async function block(host: SimulatedHost, file: string, names: Record<string, string>, removed: string[] = []) {
  await using image = await writeBlockCim(file, { host, verified: true });
  await image.addFolder("Files", FOLDER);
  for (const path of removed) await image.addTombstone(path);
  for (const [name, text] of Object.entries(names)) {
    await image.addFile(`Files\\${name}`, FILE, text.length, bytes(text));
  }
  if (removed.length > 0) await image.addMergeLink("Files\\linked", "Files\\kept");
  await image.commit();
  return image.rootHash;
}

Deno.test("a merge that fails, and can't remove what it has begun, tells that, and removes it later", async () => {
  const host = machine();
  await block(host, "C:\\images\\1.bcim", { a: "1" });
  await block(host, "C:\\images\\2.bcim", { a: "2" });
  const sources = [2, 1].map((n) => ({ block: `C:\\images\\${n}.bcim` }));
  host.fail({ function: "CimAddFsToMergedImage2", nth: 2, code: 0x80070002 });
  let program: Disposable | undefined;
  host.before("CimAddFsToMergedImage2", () => {
    const begun = host.readDir("C:\\images").find(({ name }) => isMark.test(name))!;
    program ??= host.openFile(`C:\\images\\${begun.name}`, { share: ["read", "write"] });
  });
  const error = await assertRejects(() => mergeBlockCims("C:\\images\\3.bcim", sources, { host }), UnwindError);
  assert(error.cause instanceof NativeError && error.cause.operation === "CimAddFsToMergedImage2");
  program![Symbol.dispose]();
  await error.release();
  assertEquals(host.readDir("C:\\images").map(({ name }) => name), ["1.bcim", "2.bcim"]);
});

Deno.test("block images are written, sealed and merged", async () => {
  const host = machine();
  const hash = await block(host, "C:\\images\\1.bcim", { kept: "kept", gone: "gone", both: "below" });
  assertEquals(hash?.byteLength, 32);
  await block(host, "C:\\images\\2.bcim", { both: "above" }, ["Files\\gone"]);
  const sources = [{ block: "C:\\images\\2.bcim" }, { block: "C:\\images\\1.bcim", name: "layer.cim" }];
  const merged = await mergeBlockCims("C:\\images\\merged.bcim", sources, { host, verified: true });
  assertEquals(merged?.byteLength, 32);
  const calls = writes(host) as [string, Record<string, unknown>][];
  assertEquals(calls.slice(-7).map(([fn, { path, flags }]) => [fn, path, flags]), [
    ["CimCreateImage2", undefined, 0x58],
    ["CimAddFsToMergedImage2", "C:\\images\\2.bcim\\layer.cim", 5],
    ["CimAddFsToMergedImage2", "C:\\images\\1.bcim\\layer.cim", 5],
    ["CimCommitImage", undefined, undefined],
    ["CimCloseImage", undefined, undefined],
    ["CimSealImage", undefined, undefined],
    ["CimGetVerificationInformation", undefined, undefined],
  ]);
  assertEquals(host.held().map(({ target }) => target), ["1", "2", "merged"].map((name) => `C:\\images\\${name}.bcim`));
});

const WORKS = {
  writeCim: write,
  writeBlockCim: (host: SimulatedHost) => block(host, "C:\\images\\1.bcim", { a: "a" }),
} as const;
const COMPLETE = /^C:\\images\\(app\.cim|1\.bcim)$/;

for (const [name, work] of Object.entries(WORKS)) {
  const leavesNothing = async (host: SimulatedHost, situation: string) => {
    assertEquals(host.held().filter(({ target }) => !COMPLETE.test(target)), [], situation);
    assertEquals(await listMounts({ host }), [], situation);
  };

  Deno.test(`${name}(): after any single failure, nothing is left but a complete image`, async () => {
    await withEachFailure({ machine, work }, leavesNothing, 5);
  });

  Deno.test(`${name}(): after the process ends at any call, recover() leaves nothing but a complete image`, async () => {
    await withEachEnd({ machine, work }, leavesNothing, 3);
  });
}
