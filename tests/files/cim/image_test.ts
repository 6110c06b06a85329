// Looking into images: what is found where, what is refused, and what it may cost.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  checkCim,
  type CimFolder,
  filesOfCim,
  FormatError,
  fromBytes,
  httpRange,
  InvalidInputError,
  openCim,
  UnreadableFileError,
} from "../../../src/files/mod.ts";
import { type CimNode, writeCim } from "../../support/cim_writer.ts";
import { allFacts, faultsOf, type Files, hex, inMemory, patch, sample } from "./samples.ts";

const GUID = "00112233-4455-6677-8899-0000000000e0";
const REGION = `region_${GUID}_0`;
const SAMPLE = "region_00112233-4455-6677-8899-000000000001_0";

function image(children: Readonly<Record<string, CimNode>>): Files {
  return new Map(writeCim({ children: new Map(Object.entries(children)) }, { guid: GUID }).files);
}

const text = (value: string): CimNode => ({ contents: new TextEncoder().encode(value) });
const folder = (children: Readonly<Record<string, CimNode>>): CimNode => ({
  children: new Map(Object.entries(children)),
});

const MOST_READS = 2_000;

/** A folder whose files count how much is read of them, and how many are open. */
function counting(files: Files): CimFolder & { largest: number; reads: number; open_: number; mostOpen: number } {
  const counts = {
    largest: 0,
    reads: 0,
    open_: 0,
    mostOpen: 0,
    open(name: string) {
      const bytes = files.get(name);
      if (bytes === undefined) return Promise.resolve(undefined);
      const source = fromBytes(bytes, name);
      counts.mostOpen = Math.max(counts.mostOpen, ++counts.open_);
      return Promise.resolve({
        name,
        size: source.size,
        read(at: number, into: Uint8Array) {
          if (++counts.reads > MOST_READS) throw new Error("it reads without end");
          counts.largest = Math.max(counts.largest, into.byteLength);
          return source.read(at, into);
        },
        [Symbol.dispose]: () => void counts.open_--,
      });
    },
  };
  return counts;
}

Deno.test("entry() finds a file by a path with either slash, whatever the case of its letters", async () => {
  await using read = await openCim(inMemory(image({ Windows: folder({ "Straße.TXT": text("a"), é: text("b") }) })));
  const ids = await Promise.all(
    ["\\Windows\\Straße.TXT", "windows/straße.txt", "/WINDOWS//STRAßE.txt", "Windows\\É", "Windows\\", ""].map((path) =>
      read.entry(path)
    ),
  );
  assertEquals(ids.map((entry) => entry?.path), [
    "\\Windows\\Straße.TXT",
    "\\Windows\\Straße.TXT",
    "\\Windows\\Straße.TXT",
    "\\Windows\\é",
    "\\Windows",
    "\\",
  ]);
  assertEquals(await read.entry("Windows\\strasse.txt"), undefined);
  assertEquals(await read.entry("Windows\\é\\more"), undefined);
});

Deno.test("the files of an image are found on a disk that tells apart small and large letters", async () => {
  const path = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of sample("tiny")) await Deno.writeFile(`${path}/${name.toUpperCase()}`, bytes);
    await using read = await openCim(`${path}/Image.cim`);
    assertEquals((await Array.fromAsync(read.walk())).map((entry) => entry.path), ["\\dir", "\\dir\\a.txt"]);
    const { files } = await filesOfCim(`${path}/IMAGE.CIM`);
    assertEquals(files.every(({ size }) => size !== undefined), true);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});

Deno.test("an image is read over HTTP, in ranges", async () => {
  const files = sample("nested");
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const bytes = files.get(new URL(request.url).pathname.slice(1));
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("Range")!)!.map(Number);
    if (bytes === undefined) return new Response("", { status: 404 });
    const part = bytes.slice(start, end! + 1);
    const headers = { "Content-Range": `bytes ${start}-${start! + part.length - 1}/${bytes.length}` };
    return new Response(part, { status: 206, headers });
  });
  const base = `http://127.0.0.1:${server.addr.port}/`;
  await using read = await openCim({ name: "image.cim", folder: { open: (name) => httpRange(base + name) } });
  await using local = await openCim(inMemory(files));
  assertEquals(await allFacts(read), await allFacts(local));
});

Deno.test("a file of an image that a server doesn't have is told as missing", async () => {
  const files = sample("tiny");
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
    const bytes = files.get(name) as Uint8Array<ArrayBuffer> | undefined;
    if (bytes === undefined) return new Response("", { status: 404 });
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("Range")!)!;
    const headers = { "Content-Range": `bytes ${start}-${Math.min(Number(end), bytes.length - 1)}/${bytes.length}` };
    return new Response(bytes.slice(Number(start), Number(end) + 1), { status: 206, headers });
  });
  const source = {
    name: "image.cim",
    folder: { open: (name: string) => httpRange(`http://127.0.0.1:${server.addr.port}/${name}`) },
  };
  const [region, ids] = ["region_", "objectid_"].map((kind) =>
    [...files.keys()].find((name) => name.startsWith(kind))!
  );
  files.delete(ids!);
  const [fault] = await Array.fromAsync(checkCim(source));
  assertEquals([fault?.severity, fault?.file], ["note", ids]);
  files.delete(region!);
  const error = await assertRejects(() => openCim(source), FormatError, "this file of the image is missing");
  assertEquals(error.file, region);
  await server.shutdown();
});

Deno.test("filesOfCim() lists the files of an image, and who else needs them", async () => {
  const files = sample("forks");
  const { files: found, version, sharedWith } = await filesOfCim(inMemory(files, "child.cim"));
  const set = (n: number) => `00112233-4455-6677-8899-0000000000${n}`;
  const parts = (n: number, of: string) =>
    [0, 1, 2].flatMap((index) => [
      [`region_${set(n)}_${index}`, "region", of],
      [`objectid_${set(n)}_${index}`, "objectIds", of],
    ]);
  assertEquals(version, { major: 2, minor: 0 });
  assertEquals(
    found.map(({ name, kind, of }) => [name, kind, of]),
    [["child.cim", "image", "own"], ...parts(11, "own"), ...parts(10, "parent")],
  );
  assertEquals(found.map(({ size }) => size), found.map(({ name }) => files.get(name)!.length));
  assertEquals(sharedWith, ["grandchild.cim", "parent.cim"]);
});

Deno.test("an image whose parent was left behind says that it was made from another one", async () => {
  const files = sample("forks");
  const [parent, own] = ["10", "11"].map((id) => `region_00112233-4455-6677-8899-0000000000${id}_0`);
  const problemWithout = async (name: string) => {
    const left = new Map(files);
    left.delete(name);
    return (await assertRejects(() => openCim(inMemory(left, "child.cim")), FormatError)).problem;
  };
  const missing = "this file of the image is missing";
  assertEquals(await problemWithout(own!), missing);
  assertEquals(await problemWithout(parent!), `${missing}, which is of another image that it was made from`);
});

Deno.test("filesOfCim() lists the files of an image of format 3, and those that are missing", async () => {
  const { files, version } = await filesOfCim(inMemory(sample("versions"), "major-3-0.cim"));
  assertEquals(version, { major: 3, minor: 0 });
  assertEquals(files.filter(({ kind }) => kind === "region").map(({ size }) => size), [undefined, 40, 41]);
  assertEquals((await filesOfCim(inMemory(sample("versions"), "minor-2-7.cim"))).sharedWith, []);
});

Deno.test("a block image is refused with what helps", async () => {
  const disk = new Uint8Array(4096);
  disk.set(new TextEncoder().encode("conectix"), 4096 - 512);
  const source = inMemory(new Map([["layer.vhd", disk]]), "layer.vhd");
  const error = await assertRejects(() => openCim(source), FormatError);
  assertEquals([error.reason, error.file, error.offset], ["unsupported", "layer.vhd", 3584]);
  assertStringIncludes(error.message, "CimConvertBlockImage");
});

Deno.test("an image that isn't there is told by its path", async () => {
  const error = await assertRejects(() => openCim("/nowhere/a.cim"), UnreadableFileError);
  assertEquals(error.file, "/nowhere/a.cim");
});

Deno.test("no more is read at a time than there is, whatever the image says", async () => {
  const files = sample("tiny");
  // A folder of 2^47 bytes, a file of 1 TiB, and 16,383 regions that aren't there.
  patch(files, SAMPLE, 131336, [0, 0, 0, 0, 0, 0x80, 1, 0]);
  patch(files, SAMPLE, 131432, [0, 0, 0, 0, 0, 1, 0, 0]);
  const folder = counting(files);
  await Array.fromAsync(checkCim({ folder, name: "image.cim" }));
  patch(files, "image.cim", 48, [0xff, 0x3f]);
  const faults = await Array.fromAsync(checkCim({ folder, name: "image.cim" }));
  assert(faults.length < 200, `tells ${faults.length} faults`);
  assertEquals(
    faults.filter(({ problem }) => problem.includes("more things")).map(({ problem, offset }) => [problem, offset]),
    [
      ["16280 more things are wrong with its files", 32],
    ],
  );
  assert(folder.largest <= 64 * 1024, `reads ${folder.largest} bytes at a time`);
  assert(folder.reads < 100, `reads ${folder.reads} times`);
  assertEquals(folder.open_, 0);
});

Deno.test("an image of many regions has few files open at a time", async () => {
  const files = sample("tiny");
  const [set, count] = ["00112233-4455-6677-8899-000000000001", 300];
  for (let index = 3; index < count; index++) {
    const region = files.get(`region_${set}_1`)!.slice();
    region.set([index & 0xff, index >> 8], 32);
    files.set(`region_${set}_${index}`, region);
  }
  patch(files, "image.cim", 48, [count & 0xff, count >> 8]);
  const folder = counting(files);
  {
    await using read = await openCim({ folder, name: "image.cim" });
    await Array.fromAsync(read.walk());
  }
  assertEquals([folder.mostOpen <= 32, folder.open_], [true, 0]);
});

Deno.test("walk() and checkCim() end where an image has more entries than allowed, though each file is there once", async () => {
  const name = inMemory(image(Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`f${n}`, text(`${n}`)]))));
  await using read = await openCim(name);
  const error = await assertRejects(() => Array.fromAsync(read.walk({ mostEntries: 49 })), FormatError);
  assertEquals(error.reason, "limit");
  assertEquals((await Array.fromAsync(read.walk({ mostEntries: 50 }))).length, 50);
  const faults = await Array.fromAsync(checkCim(name, { mostEntries: 49 }));
  assertStringIncludes(faults.at(-1)!.problem, "more than 49 entries");
});

Deno.test("walk() and checkCim() end once they are aborted, though nothing is wrong", async () => {
  const source = inMemory(sample("tiny"));
  const controller = new AbortController();
  await using read = await openCim(source);
  const walking = read.walk({ signal: controller.signal });
  await walking.next();
  controller.abort(new Error("enough"));
  await assertRejects(() => walking.next(), Error, "enough");
  // As the last region is looked at, and as the tree is read.
  for (const last of [4, 8]) {
    const controller = new AbortController();
    let opened = 0;
    const open = (name: string) => {
      if (++opened === last) controller.abort(new Error("enough"));
      return source.folder.open(name);
    };
    const checking = checkCim({ name: "image.cim", folder: { open } }, { signal: controller.signal });
    await assertRejects(() => Array.fromAsync(checking), Error, "enough");
    assertEquals(opened, last);
  }
});

Deno.test("checkCim() ends where a file has more streams than allowed", async () => {
  const streams = new Map(Array.from({ length: 60 }, (_, n) => [`s${n}`, new Uint8Array()]));
  const faults = await Array.fromAsync(checkCim(inMemory(image({ a: { streams } })), { mostEntries: 49 }));
  assertEquals(faults.filter(({ problem }) => problem.includes("more than 49 entries")).length, 1);
});

Deno.test("walk() and checkCim() tell of a folder in itself, and of its files once", async () => {
  const files = sample("tiny");
  patch(files, SAMPLE, 131144, [1]);
  await using read = await openCim(inMemory(files));
  const seen: string[] = [];
  const error = await assertRejects(async () => {
    for await (const { path } of read.walk()) seen.push(path);
  }, FormatError);
  assertStringIncludes(error.problem, "or in itself");
  assertEquals([error.offset, seen], [131144, ["\\dir"]]);
  const shared = { extendedAttributes: Uint8Array.of(1) };
  const problems = (await faultsOf(image({ a: shared, b: shared }))).filter(({ severity }) => severity === "error");
  assertEquals(problems.map(({ entry }) => entry), ["\\a"]);
});

Deno.test("an image with more regions than can be numbered is refused", async () => {
  const files = sample("forks");
  patch(files, "child.cim", 88, [0xff, 0xff]);
  const error = await assertRejects(() => openCim(inMemory(files, "child.cim")), FormatError);
  assertStringIncludes(error.problem, "more than 65536 regions");
});

Deno.test("a table of streams without its length in front is known from one with it, however many they are", async () => {
  // The number of streams, and where the first is, could be the length and the number of another table.
  const streams = new Map(
    Array.from({ length: 900 }, (_, n) => [`s${n}`.padEnd(5, "x"), new TextEncoder().encode(`${n}`)]),
  );
  await using read = await openCim(inMemory(image({ a: { streams } })));
  const entry = await read.entry("a");
  assertEquals((await Array.fromAsync(entry!.streams())).length, 900);
});

Deno.test("walk() begins in a folder, and refuses what is none of the image", async () => {
  await using read = await openCim(inMemory(sample("forks"), "child.cim"));
  const from = await read.entry("sub");
  assertEquals((await Array.fromAsync(read.walk({ from: from! }))).map(({ path }) => path), ["\\sub\\big.bin"]);
  for (const options of [{ from: {} }, { mostEntries: 0 }, { most: 1 }]) {
    await assertRejects(() => Array.fromAsync(read.walk(options as never)), InvalidInputError);
  }
  const checked = checkCim(inMemory(sample("tiny")), { mostEntries: 0.5 });
  await assertRejects(() => Array.fromAsync(checked), InvalidInputError);
});

Deno.test("a path that is longer than Windows takes is refused where it becomes too long", async () => {
  let node: CimNode = text("");
  for (let n = 0; n < 140; n++) node = folder({ ["x".repeat(250)]: node });
  const files = image({ top: node });
  await using read = await openCim(inMemory(files));
  let longest = 0;
  const error = await assertRejects(async () => {
    for await (const { path } of read.walk()) longest = Math.max(longest, path.length);
  }, FormatError);
  assertStringIncludes(error.problem, "32767");
  assertEquals(longest <= 32767, true);
  assertStringIncludes((await faultsOf(files)).find(({ severity }) => severity === "error")!.problem, "32767");
});

Deno.test("a region that is cut while an image is open is told, and its file closed", async () => {
  const files = sample("tiny");
  const folder = counting(files);
  {
    await using read = await openCim({ folder, name: "image.cim" });
    const entry = await read.entry("dir/a.txt");
    const { open } = folder;
    folder.open = (name) => {
      files.set(name, files.get(name)!.subarray(0, 41));
      return open.call(folder, name);
    };
    const contents = await entry!.contents();
    const error = await assertRejects(() => contents.read(0, new Uint8Array(6)), FormatError);
    assertEquals([error.file, error.problem], [SAMPLE.replace(/0$/, "2"), "it ends early"]);
  }
  assertEquals(folder.open_, 0);
});

Deno.test("contents can be read at any place, of an executable too", async () => {
  await using read = await openCim(inMemory(sample("sparse-empty-pe")));
  const entry = await read.entry("image.dll");
  const contents = await entry!.contents();
  const whole = new Uint8Array(entry!.size);
  assertEquals(await contents.read(0, whole), entry!.size);
  for (const [at, length] of [[0, 1], [1000, 100], [1023, 2], [2559, 3], [3071, 10], [3072, 10]] as const) {
    const part = new Uint8Array(length);
    const count = await contents.read(at, part);
    assertEquals(part.subarray(0, count), whole.subarray(at, at + length));
  }
});

Deno.test("an image that was closed isn't read", async () => {
  const read = await openCim(inMemory(sample("tiny")));
  const entry = await read.entry("dir/a.txt");
  await read[Symbol.asyncDispose]();
  const contents = await entry!.contents();
  const error = await assertRejects(() => contents.read(0, new Uint8Array(6)));
  assertEquals((error as Error).name, "ClosedError");
});

Deno.test("an image that was closed gives nothing, also of what is in memory", async () => {
  const read = await openCim(inMemory(sample("tiny")));
  assertEquals((await Array.fromAsync(read.walk())).length, 2);
  const walking = read.walk();
  await walking.next();
  await read[Symbol.asyncDispose]();
  for (const use of [() => read.entry("dir"), () => Array.fromAsync(read.walk()), () => walking.next()]) {
    assertEquals((await assertRejects(use) as Error).name, "ClosedError");
  }
});

Deno.test("what can't be read once is read the next time", async () => {
  const { folder } = inMemory(sample("tiny"));
  let failing = false;
  const open = async (file: string) => {
    const source = await folder.open(file);
    if (failing) throw new UnreadableFileError(file, "the network is down");
    return source && {
      ...source,
      read(at: number, into: Uint8Array) {
        if (failing) throw new UnreadableFileError(file, "the network is down");
        return source.read(at, into);
      },
    };
  };
  await using read = await openCim({ name: "image.cim", folder: { open } });
  failing = true;
  await assertRejects(() => read.entry("dir/a.txt"), UnreadableFileError);
  failing = false;
  const contents = await (await read.entry("dir/a.txt"))!.contents();
  failing = true;
  await assertRejects(() => contents.read(0, new Uint8Array(6)), UnreadableFileError);
  failing = false;
  assertEquals(await contents.read(0, new Uint8Array(6)), 6);
});

Deno.test("a missing stream is told by its name", async () => {
  await using read = await openCim(inMemory(sample("streams-counted")));
  const entry = await read.entry("file.txt");
  const error = await assertRejects(() => entry!.contents("gamma"), FormatError);
  assertStringIncludes(error.message, '"gamma"');
});

const VALUES: readonly [
  what: string,
  at: number,
  bytes: number[],
  severity: string,
  offset: number,
  problem: string,
][] = [
  ["a reserved byte of a region", 36, [1], "warning", 35, "reserved"],
  ["an unknown type of region", 34, [9], "warning", 34, "type of region, 9"],
  [
    "contents in a region for what is known about files",
    131424,
    [0x30, 0, 0, 0, 0, 0, 0, 0],
    "warning",
    131424,
    "type 0",
  ],
  ["contents in the header of a region", 131424, [8, 0, 0, 0, 0, 0, 2, 0], "error", 131424, "outside of"],
  ["more names than there is room for", 131172, [3], "error", 131172, "has 3 in 24 bytes"],
  ["unknown flags of a file", 131385, [0x10], "warning", 131384, "unknown flags: 0x1000"],
  ["unknown flags of a stream", 131439, [0x80], "warning", 131439, "unknown flags: 0x80"],
  [
    "the length of extended attributes that are nowhere",
    131386,
    [8],
    "error",
    131386,
    "8 bytes of extended attributes",
  ],
  ["extended attributes of no length", 131448, [40, 0, 0, 0, 0, 0, 0, 0], "warning", 131448, "no bytes"],
  ["extended attributes that make no sense", 131386, [8], "error", 131386, "extended attributes"],
  ["zeros with a place", 131439, [1], "note", 131424, "zeros that are nowhere"],
  ["a parent without a name for it", 131472, [1], "warning", 131472, "no name in the folder that it names, 1"],
  ["a reserved byte of a table", 131492, [1], "warning", 131492, "reserved"],
  ["a security descriptor that isn't self-relative", 131117, [0], "error", 131116, "self-relative"],
  ["a security descriptor with its owner outside", 131118, [0xff], "error", 131118, "a SID is at 255"],
];

for (const [what, at, bytes, severity, offset, problem] of VALUES) {
  Deno.test(`checkCim() tells of ${what}`, async () => {
    const files = sample("tiny");
    patch(files, SAMPLE, at, bytes);
    const faults = (await faultsOf(files)).filter((fault) => fault.problem.includes(problem));
    assertEquals(faults.map((fault) => [fault.severity, fault.file, fault.offset]), [[severity, SAMPLE, offset]]);
  });
}

const NAMES: readonly [name: string, severity: string, problem: string][] = [
  ["x".repeat(256), "error", "a name has 256 characters"],
  ["..", "error", "leads elsewhere"],
  [".", "error", "leads elsewhere"],
  ["C:a", "error", "leads elsewhere"],
  ["a*b", "error", "doesn't allow"],
  ["a\u0001b", "error", "doesn't allow"],
  ["nul.txt", "warning", "name of a device"],
  ["a.", "warning", "ends in a dot or space"],
];

for (const [name, severity, problem] of NAMES) {
  Deno.test(`checkCim() tells of the name ${JSON.stringify(name)}`, async () => {
    const faults = await faultsOf(image({ [name]: text("a") }));
    assertEquals(faults.map((fault) => [fault.severity, fault.file]), [[severity, REGION]]);
    assertStringIncludes(faults[0]!.problem, problem);
  });
}

Deno.test("checkCim() finds two names that are the same where the names have no order", async () => {
  const files = image({ aa: text("1"), bb: text("2"), cc: text("3"), dd: text("4") });
  const region = files.get(REGION)!;
  const units = (name: string) => [...name].flatMap((char) => [char.charCodeAt(0), 0]);
  const at = (name: string) => {
    const wanted = String(units(name));
    return region.findIndex((_, i) => i > 131112 && String([...region.subarray(i, i + 4)]) === wanted);
  };
  patch(files, REGION, at("aa"), units("zz"));
  patch(files, REGION, at("dd"), units("zz"));
  const problems = (await faultsOf(files)).map(({ severity, problem, entry }) => [severity, problem, entry]);
  assertEquals(problems, [
    ["error", "there are two of this name", "\\zz"],
    ["warning", "its name is out of order: Windows may not find it", "\\bb"],
  ]);
});

Deno.test("checkCim() tells of parts of an executable that are empty or outside of it", async () => {
  for (const mappings of [[[1000, 0], [1000, 8]], [[3000, 0]]] as const) {
    const faults = await faultsOf(
      image({ "a.dll": { executable: { image: new Uint8Array(8192), length: 3000, mappings } } }),
    );
    assertEquals(faults.map(({ severity, entry }) => [severity, entry]), [["error", "\\a.dll"]]);
    assertStringIncludes(faults[0]!.problem, "a part of its executable begins at");
  }
});

Deno.test("many reads at a time don't push out of memory what each other needs", async () => {
  // Each is in two or three parts of a region that no other one needs, and all are more than is kept.
  const file = (n: number) => ({ extendedAttributes: new Uint8Array(65_000).fill(n) });
  const files = image(Object.fromEntries(Array.from({ length: 240 }, (_, n) => [`f${n}`, file(n + 1)])));
  const folder = counting(files);
  await using read = await openCim({ folder, name: "image.cim" });
  const entries = (await Array.fromAsync(read.walk())).sort((a, b) => a.id - b.id).filter((_, n) => n % 3 === 0);
  const before = folder.reads;
  await Promise.all(entries.map((entry) => assertRejects(() => entry.extendedAttributes(), FormatError)));
  assert(folder.reads - before <= 3 * entries.length, `${folder.reads - before} reads`);
});

Deno.test("checkCim() tells of parts of an executable that are in the same place", async () => {
  const executable = { image: new Uint8Array(8192), length: 3000, mappings: [[1000, 2000], [2000, 1500]] as const };
  const faults = await faultsOf(image({ "a.dll": { executable } }));
  assertEquals(faults.map(({ severity, problem }) => [severity, problem]), [
    ["error", "two parts of its executable are in the same place"],
  ]);
});

Deno.test("checkCim() tells of a link whose name is outside of its reparse data", async () => {
  const link = [0x0c, 0, 0, 0xa0, 12, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const faults = await faultsOf(image({ a: { reparse: Uint8Array.from(link) } }));
  assertEquals(faults.map(({ severity, problem, entry }) => [severity, problem, entry]), [
    ["error", "a reparse point has a name outside of it", "\\a"],
  ]);
});

Deno.test("checkCim() tells once of names in the order of UTF-16, in which another reader doesn't find them", async () => {
  const files = image({ "\u{1f600}": text("1"), "\ue000": text("2"), "\uff21": text("3"), x: text("4") });
  assertEquals(await faultsOf(files), []);
  // By code points, x, U+E000, U+FF21, U+1F600: the last becomes the second.
  const region = files.get(REGION)!;
  const table = region.findIndex((_, i) => i >= 131112 && hex(region.subarray(i, i + 8)) === "3a00000004000000");
  const field = (at: number) => region.slice(table + at, table + at + 4);
  for (const from of [8, 24]) {
    const order = [0, 3, 1, 2].map((n) => field(from + 4 * n));
    order.forEach((bytes, n) => patch(files, REGION, table + from + 4 * n, bytes));
  }
  assertEquals((await faultsOf(files)).map(({ severity, entry }) => [severity, entry]), [["note", "\\\ue000"]]);
});

Deno.test("checkCim() tells of reparse data that doesn't fit its record", async () => {
  const reparse = (count: number, tag: number) =>
    image({ a: { reparse: Uint8Array.from([0x18, 0, 0, tag, count, 0, 0, 0, 1, 2, 3, 4]) } });
  assertEquals(await faultsOf(reparse(4, 0x80)), []);
  assertStringIncludes((await faultsOf(reparse(3, 0x80)))[0]!.problem, "says that 3 follow");
  const files = reparse(4, 0x80);
  const at = files.get(REGION)!.findLastIndex((byte, i, all) => byte === 0x80 && all[i - 3] === 0x18);
  patch(files, REGION, at - 3, [0x19]);
  assertStringIncludes((await faultsOf(files))[0]!.problem, "tag 0x80000018, and its record 0x80000019");
});

Deno.test("checkCim() tells of extended attributes that lead nowhere", async () => {
  const list = Uint8Array.from([8, 0, 0, 0, 0, 1, 1, 0, 0x41, 0, 0x76, 0]);
  const faults = await faultsOf(image({ a: { extendedAttributes: list } }));
  assertEquals(faults.map(({ severity, problem, entry }) => [severity, problem, entry]), [
    ["error", "the extended attribute at 0 leads to one that can't be", "\\a"],
  ]);
});

Deno.test("checkCim() tells of object ids outside of their file, and of objects outside of their region", async () => {
  const files = sample("tiny");
  const name = SAMPLE.replace("region", "objectid");
  patch(files, name, 44, [0xff, 0xff]);
  assertEquals((await faultsOf(files)).map(({ severity, file, offset }) => [severity, file, offset]), [
    ["warning", name, 40],
  ]);
  const other = sample("tiny");
  patch(other, name, 48, [0xff, 0xff, 0xff]);
  assertEquals((await faultsOf(other)).map(({ severity, file, offset }) => [severity, file, offset]), [
    ["warning", name, 48],
  ]);
});
