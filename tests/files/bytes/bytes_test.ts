// Bytes of files, memory and servers: the same, wherever they are read from.
import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import {
  FormatError,
  fromBytes,
  httpRange,
  openFile,
  type RandomAccess,
  UnreadableFileError,
} from "../../../src/files/mod.ts";
import { readFully, streamOf } from "../../../src/files/bytes/random_access.ts";

const BYTES = crypto.getRandomValues(new Uint8Array(50_000));

async function at(source: RandomAccess, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  return into.subarray(0, await source.read(offset, into));
}

async function assertSame(source: RandomAccess): Promise<void> {
  assertEquals(source.size, BYTES.byteLength);
  assertEquals(await at(source, 49_000, 5_000), BYTES.subarray(49_000));
  assertEquals(await at(source, 50_000, 10), new Uint8Array());
  assertEquals(await at(source, 90_000, 10), new Uint8Array());
  const many = await Promise.all([7, 30_000, 1].map((offset) => at(source, offset, 2_000)));
  assertEquals(many, [7, 30_000, 1].map((offset) => BYTES.subarray(offset, offset + 2_000)));
  assertEquals(await new Response(streamOf(source, 5, 40_000)).bytes(), BYTES.slice(5, 40_005));
  const error = await assertRejects(() => readFully(source, 49_990, new Uint8Array(11)), FormatError);
  assertEquals([error.file, error.offset, error.reason], [source.name, 50_000, "damaged"]);
}

/** A server that answers like one of ranges, but for what the test changes. */
function serve(answer: (start: number, end: number) => Response): Disposable & { readonly url: string } {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("Range")!)!;
    return answer(Number(start), Number(end));
  });
  return { url: `http://127.0.0.1:${server.addr.port}/a.cim`, [Symbol.dispose]: () => void server.shutdown() };
}

function range(start: number, end: number, { total = BYTES.byteLength, tag = "1" } = {}): Response {
  const headers = { "Content-Range": `bytes ${start}-${Math.min(end, total - 1)}/${total}`, ETag: tag };
  return new Response(BYTES.slice(start, end + 1), { status: 206, headers });
}

Deno.test("bytes in memory are read at any place", () => assertSame(fromBytes(BYTES)));

Deno.test("a file is read at any place, several at a time", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, BYTES);
    using file = await openFile(path);
    assertEquals(file.name, path);
    await assertSame(file);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("openFile() tells of a file that isn't there, and of a folder", async () => {
  const error = await assertRejects(() => openFile("/nowhere/a.cim"), UnreadableFileError);
  assertEquals(error.file, "/nowhere/a.cim");
  const folder = await Deno.makeTempDir();
  await assertRejects(() => openFile(folder), UnreadableFileError);
  await Deno.remove(folder);
});

Deno.test({
  name: "openFile() doesn't wait for a pipe",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    await new Deno.Command("mkfifo", { args: [`${folder}/a.cim`] }).output();
    await assertRejects(() => openFile(`${folder}/a.cim`), UnreadableFileError, "it is no file");
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("a file of a server is read by ranges", async () => {
  using server = serve(range);
  await assertSame(await httpRange(server.url));
});

Deno.test("httpRange() and its reads end with the reason of the signal once it is aborted", async () => {
  const controller = new AbortController();
  const gone = Promise.withResolvers<void>();
  let asked = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    if (++asked === 1) return range(0, 0);
    // An answer that begins, and goes on for ever.
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (stream) => stream.enqueue(new Uint8Array(1)),
      pull: () => controller.abort(new Error("enough")),
      cancel: () => gone.resolve(),
    });
    return new Response(body, range(0, 9));
  });
  const url = `http://127.0.0.1:${server.addr.port}/a.cim`;
  const source = await httpRange(url, { signal: controller.signal });
  await assertRejects(() => at(source, 0, 10), Error, "enough");
  await assertRejects(() => at(source, 0, 10), Error, "enough");
  await assertRejects(() => httpRange(url, { signal: controller.signal }), Error, "enough");
  await gone.promise;
  await server.shutdown();
});

Deno.test("httpRange() takes an empty file", async () => {
  using server = serve(() => new Response(null, { status: 416, headers: { "Content-Range": "bytes */0" } }));
  const source = await httpRange(server.url);
  assertEquals([source.size, await source.read(0, new Uint8Array(1))], [0, 0]);
});

const REFUSED: readonly [what: string, problem: string, answer: (start: number, end: number) => Response][] = [
  ["no ranges", "doesn't serve parts", () => new Response(BYTES)],
  ["no file", "answers with 404", () => new Response("", { status: 404 })],
  ["another range", "answers with 206", (_, end) => range(7, end)],
];

for (const [what, problem, answer] of REFUSED) {
  Deno.test(`httpRange() refuses a server with ${what}`, async () => {
    using server = serve(answer);
    const error = await assertRejects(() => httpRange(server.url), UnreadableFileError);
    assertEquals(error.file, server.url);
    assertStringIncludes(error.message, problem);
  });
}

const LATER: readonly [what: string, problem: string, answer: (start: number, end: number) => Response][] = [
  ["another size", "has been changed", (start, end) => range(start, end, { total: 60_000 })],
  ["another tag", "has been changed", (start, end) => range(start, end, { tag: "2" })],
  ["fewer bytes", "has sent 9 of 10 bytes", (start) => new Response(BYTES.slice(0, 9), range(start, start + 9))],
];

for (const [what, problem, answer] of LATER) {
  Deno.test(`a read from a server that comes to have ${what} fails`, async () => {
    let asked = 0;
    using server = serve((start, end) => asked++ === 0 ? range(start, end) : answer(start, end));
    const source = await httpRange(server.url);
    const error = await assertRejects(() => at(source, 0, 10), UnreadableFileError);
    assertStringIncludes(error.message, problem);
  });
}

Deno.test("a server that sends more than asked for isn't listened to", async () => {
  let asked = 0;
  using server = serve((start, end) => asked++ === 0 ? range(start, end) : new Response(BYTES, range(start, end)));
  assertEquals(await at(await httpRange(server.url), 0, 10), BYTES.subarray(0, 10));
});
