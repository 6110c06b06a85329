import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { FormatError } from "../../../src/errors/file_errors.ts";
import { InvalidInputError } from "../../../src/errors/input_error.ts";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { openCim } from "../../../src/files/cim/open_cim.ts";
import { concat } from "../../../src/files/tar/pax_records.ts";
import { readTar } from "../../../src/files/tar/read_tar.ts";
import { writeTar } from "../../../src/files/tar/write_tar.ts";
import { bytesOf, gzip, inPieces, readAll, refusal, tarOf, type TestEntry } from "./tars.ts";

const LONG = `Files/${"long/".repeat(60)}name`;
const ENTRIES: readonly TestEntry[] = [
  { name: "Files/", type: "5" },
  {
    name: "Files/a.txt",
    data: "hello",
    pax: { "MSWINDOWS.fileattr": "32", "SCHILY.xattr.user": "ä\n=1 2", mtime: "1.5" },
  },
  { name: "Files/empty" },
  { name: LONG, data: "x".repeat(1000) },
  { name: "Files/é😀", type: "1", linkName: LONG },
  { name: "Files/block", data: "y".repeat(512), uid: 2 ** 30, mtime: -3, userName: "me" },
];

Deno.test("readTar() gives what writeTar() was given, in pieces of any length, packed or not, and both agree byte for byte", async () => {
  const tar = await tarOf(...ENTRIES);
  const sources = [fromBytes(tar), fromBytes(await gzip(tar))];
  for (const length of [1, 7, 512, 100_000]) {
    sources.push(inPieces(tar, length) as never, inPieces(await gzip(tar), length) as never);
  }
  for (const source of sources) {
    const entries = await readAll(source);
    assertEquals(entries.map(({ name, type, data, linkName }) => ({ name, type, data, linkName })), [
      { name: "Files/", type: "5", data: "", linkName: "" },
      { name: "Files/a.txt", type: "0", data: "hello", linkName: "" },
      { name: "Files/empty", type: "0", data: "", linkName: "" },
      { name: LONG, type: "0", data: "x".repeat(1000), linkName: "" },
      { name: "Files/é😀", type: "1", data: "", linkName: LONG },
      { name: "Files/block", type: "0", data: "y".repeat(512), linkName: "" },
    ]);
    assertEquals([...entries[1]!.pax], [["MSWINDOWS.fileattr", "32"], ["SCHILY.xattr.user", "ä\n=1 2"], [
      "mtime",
      "1.5",
    ]]);
    assertEquals([...entries[5]!.pax], [["mtime", "-3"], ["uid", String(2 ** 30)]]);
  }
  assertEquals(await bytesOf(writeTar(readTar(fromBytes(tar)))), tar);
});

Deno.test("contents stay as they are while more is read, and headers may lie across pieces", async () => {
  const data = Array.from({ length: 3000 }, (_, i) => `${i}`.padStart(7)).join(" ");
  const tar = await tarOf(...ENTRIES, { name: "data", data });
  const bytes = fromBytes(tar);
  const short = { ...bytes, read: (at: number, into: Uint8Array) => bytes.read(at, into.subarray(0, 700)) };
  const kept = new Map<string, Uint8Array[]>();
  for await (const entry of readTar(short)) kept.set(entry.name, await Array.fromAsync(entry.contents()));
  assertEquals([...kept.keys()], [...ENTRIES.map(({ name }) => name), "data"]);
  assertEquals(new TextDecoder().decode(concat(kept.get("data")!)), data);
});

Deno.test("readTar() leaves out contents that aren't read, or only in part", async () => {
  const tar = await tarOf(...ENTRIES, { name: "last", data: "z".repeat(300_000) }, { name: "end" });
  for (const source of [fromBytes(tar), inPieces(tar, 1000)]) {
    const names: string[] = [];
    for await (const entry of readTar(source)) {
      names.push(entry.name);
      if (entry.size > 300) await entry.contents().getReader().read();
    }
    assertEquals(names.slice(-2), ["last", "end"]);
  }
});

Deno.test("the contents of an entry can be read once, and until the next entry is asked for", async () => {
  const tar = await tarOf({ name: "a", data: "x".repeat(100_000) }, { name: "b", data: "y" }, { name: "c" });
  const entries = readTar(inPieces(tar, 1000));
  const first = (await entries.next()).value!;
  const stream = first.contents().getReader();
  await stream.read();
  const second = (await entries.next()).value!;
  await assertRejects(() => stream.read(), TypeError, "the next entry");
  second.contents();
  let refused = 0;
  for (const contents of [first.contents, second.contents]) {
    try {
      contents();
    } catch (error) {
      assert(error instanceof TypeError);
      refused++;
    }
  }
  assertEquals(refused, 2);
  await entries.return();
});

Deno.test("readTar() tells where a tar is cut, wherever that is", async () => {
  const tar = await tarOf(...ENTRIES);
  for (let length = 0; length < tar.byteLength - 512; length += 37) {
    const error = await refusal(readTar(fromBytes(tar.subarray(0, length), "cut.tar")));
    assertStringIncludes(error.message, "cut");
    assertEquals([error.file, error.reason], ["cut.tar", "damaged"]);
    assert(error.offset! <= length);
  }
  const packed = await gzip(tar);
  for (let length = 3; length < packed.byteLength; length += 7) {
    assertStringIncludes((await refusal(readTar(fromBytes(packed.subarray(0, length))))).message, "cut");
  }
});

Deno.test("readTar() ends and cancels its stream when the caller leaves, or aborts", async () => {
  let cancelled = 0;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(tar)),
      cancel: () => void cancelled++,
    });
  const tar = (await tarOf({ name: "a", data: "x" })).subarray(0, 1024);
  for await (const { name } of readTar(endless())) {
    assertEquals(name, "a");
    break;
  }
  assertEquals(cancelled, 1);
  const controller = new AbortController();
  let entries = 0;
  await assertRejects(
    async () => {
      for await (const _ of readTar(endless(), { signal: controller.signal })) {
        if (++entries === 5) controller.abort(new Error("stop"));
      }
    },
    Error,
    "stop",
  );
  assertEquals([entries, cancelled], [5, 2]);
  const waiting = new ReadableStream<Uint8Array>({ cancel: () => void cancelled++ });
  const abort = new AbortController();
  const reading = readTar(waiting, { signal: abort.signal }).next();
  abort.abort(new Error("stop waiting"));
  await assertRejects(() => reading, Error, "stop waiting");
  assertEquals(cancelled, 3);
});

Deno.test("readTar() passes an error of the stream on, packed or not", async () => {
  const tar = await tarOf(...ENTRIES);
  for (const bytes of [tar, await gzip(tar)]) {
    const failing = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes.subarray(0, 100)),
      pull: (controller) => controller.error(new Error("the disk is gone")),
    });
    await assertRejects(() => readAll(failing), Error, "the disk is gone");
  }
});

Deno.test("readTar() refuses more than its limits allow", async () => {
  const tar = await tarOf(...ENTRIES);
  for (
    const [limit, problem] of [
      [{ maxEntries: 5 }, "more than 5 entries"],
      [{ maxEntrySize: 999 }, "an entry has 1000 bytes"],
      [{ maxTotalSize: 1004 }, "more than 1004 bytes"],
      [{ maxDepth: 61 }, "more than 61 names"],
      [{ maxHeaderSize: 60 }, "an extended header has"],
    ] as const
  ) {
    const error = await refusal(readTar(fromBytes(tar), limit));
    assertStringIncludes(error.message, problem);
    assertEquals(error.reason, "limit");
  }
  const enough = { maxEntries: 6, maxEntrySize: 1000, maxTotalSize: 1517, maxDepth: 62, maxHeaderSize: 1000 };
  assertEquals((await readAll(fromBytes(tar), enough)).length, 6);
  await assertRejects(() => readAll(fromBytes(tar), { maxDepth: -1 }), InvalidInputError, "maxDepth");
  await assertRejects(() => readAll("tar" as never), InvalidInputError, "source");
});

Deno.test("readTar() unpacks little at a time, however much that becomes", async () => {
  const size = 50_000_000;
  const packed = await gzip(await tarOf({ name: "zeros", data: new Uint8Array(size) }));
  let [total, longest] = [0, 0];
  for await (const entry of readTar(fromBytes(packed))) {
    for await (const { byteLength } of entry.contents()) {
      total += byteLength;
      longest = Math.max(longest, byteLength);
    }
  }
  assertEquals(total, size);
  assert(longest < 20_000_000, `${longest}`);
});

Deno.test("writeTar() refuses contents of another length than the header says", async () => {
  for (const size of [4, 6]) {
    const stream = writeTar([{ name: "a", type: "0", size, contents: () => new Response("hello").body! }]);
    await assertRejects(() => bytesOf(stream), FormatError, size < 5 ? "more than" : "less than");
  }
  await assertRejects(() => bytesOf(writeTar([{ name: "a\ud800", type: "0" }])), FormatError, "half a character");
});

Deno.test("readTar() ends when it is aborted though its bytes never come", async () => {
  const controller = new AbortController();
  const silent = { name: "server", size: 4096, read: () => new Promise<number>(() => {}) };
  const reading = Array.fromAsync(readTar(silent, { signal: controller.signal }));
  setTimeout(() => controller.abort(new Error("enough")));
  await assertRejects(() => reading, Error, "enough");
});

Deno.test("writeTar() refuses what would be something else in the tar", async () => {
  const contents = () => ReadableStream.from([new Uint8Array(1)]);
  for (
    const [more, problem] of [
      [{ type: "" }, "a type of an entry is one byte"],
      [{ type: "00" }, "a type of an entry is one byte"],
      [{ size: 0.5, contents }, "a size can't be 0.5"],
      [{ size: -1, contents }, "a size can't be -1"],
      [{ mtime: NaN }, "a time can't be NaN"],
      [{ pax: new Map([["a=b", "c"]]) }, "the key of a record can't be empty, or have a = or NUL in it: a=b"],
      [{ pax: new Map([["", "c"]]) }, "the key of a record can't be empty"],
    ] as const
  ) {
    const tar = writeTar([{ name: "a", type: "0", ...more }]);
    const error = await assertRejects(() => bytesOf(tar), FormatError, problem);
    assertEquals(error.entry, "a");
  }
});

Deno.test("bytes whose read() doesn't say how much it has read are refused, and not read without end", async () => {
  for (const count of [null, undefined, -1, 0.5, 2 ** 30]) {
    // deno-lint-ignore no-explicit-any
    const odd = { name: "odd", size: 4096, read: () => Promise.resolve(count as any) };
    await assertRejects(() => Array.fromAsync(readTar(odd)), InvalidInputError, "read() of odd returns no number");
    const folder = { open: () => Promise.resolve(odd) };
    await assertRejects(() => openCim({ name: "a.cim", folder }), InvalidInputError, "returns no number");
  }
});

Deno.test("readTar() refuses more paths than fit into memory, however small the tar is when it is packed", async () => {
  const names = Array.from({ length: 300 }, (_, i) => ({ name: `${i}`.padStart(900, "x") }));
  const packed = await gzip(await tarOf(...names));
  assertEquals((await readAll(fromBytes(packed))).length, 300);
  const error = await refusal(readTar(fromBytes(packed), { maxHeaderSize: 1000 }));
  assertEquals([error.problem, error.reason], ["its paths have more than 256000 characters", "limit"]);
});
