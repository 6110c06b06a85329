import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import {
  FormatError,
  fromBytes,
  type LayerEntry,
  type NewTarEntry,
  readLayerTar,
  writeTar,
} from "../../../src/files/mod.ts";
import { formatHeader, SPARSE_STREAM } from "../../../src/files/backup/backup_header.ts";
import { formatAttributes, parseAttributes } from "../../../src/files/backup/extended_attributes.ts";
import { entriesOfFile } from "../../../src/files/backup/read_backup.ts";
import { formatLink, parseReparse } from "../../../src/files/backup/reparse_buffer.ts";
import { alternateHeader, dataStream, metadataStreams } from "../../../src/files/backup/write_backup.ts";
import { concat } from "../../../src/files/tar/pax_records.ts";
import { randomTest } from "../../support/random.ts";

const RECORDED = new URL("../../vectors/tar/", import.meta.url);
// deno-lint-ignore no-explicit-any
const recorded = (name: string): any[] => JSON.parse(Deno.readTextFileSync(new URL(name, RECORDED)));

async function* pieces(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for await (const chunk of stream) yield chunk.slice();
}

/** The backup streams of the first file in entries, with the alternate data streams that follow it. */
async function streamsOf(entries: AsyncIterable<LayerEntry>): Promise<string> {
  const parts: Uint8Array[] = [];
  let first: LayerEntry | undefined;
  for await (const entry of entries) {
    if (first === undefined) {
      first = entry;
      parts.push(...metadataStreams(entry));
      if (entry.type === "file") parts.push(...await Array.fromAsync(dataStream(entry, pieces(entry.contents()))));
    } else if (entry.type === "stream" && entry.path.startsWith(`${first.path}:`)) {
      parts.push(alternateHeader(entry.path.slice(first.path.length + 1), entry.size));
      parts.push(...await Array.fromAsync(entry.contents()));
    } else {
      break;
    }
  }
  return concat(parts).toHex();
}

// deno-lint-ignore no-explicit-any
function tarEntry({ name, type, size, linkname = "", data = "", pax = {}, mtime }: any): NewTarEntry {
  const contents = () => ReadableStream.from([Uint8Array.fromHex(data)]);
  const records = new Map<string, string>(Object.entries(pax));
  return { name, type, size, linkName: linkname, mtime: Math.floor(Number(mtime)), pax: records, contents };
}

// What readLayerTar() refuses before, or does otherwise on purpose.
const REFUSED = [
  "long-name",
  "fileattr-4294967295",
  "Error",
  "rawsd-no-descriptor",
  "stream-typed",
  "stream-as-folder",
  "fifo",
  "whiteout",
  "creationtime-",
  "stream-of-folder-slash",
];

Deno.test("entries of a tar become the backup streams that were recorded", async () => {
  let played = 0;
  for (const run of recorded("import.json")) {
    const { name, input, backupStream } = run;
    if (backupStream === undefined || run.fileInfoError !== undefined || REFUSED.includes(name)) continue;
    const bytes = await new Response(writeTar(input.entries.map(tarEntry))).bytes();
    const found = await streamsOf(readLayerTar(fromBytes(bytes))).catch((error) => `${error}`);
    assertEquals(found, backupStream, name);
    played++;
  }
  assertEquals(played > 25, true, `${played} runs`);
});

/** Entries made of backup streams, as plain as the recordings have them. */
async function entriesIn(backupStream: Uint8Array, facts: { path: string; size: number; attributes: number }) {
  const open = () => {
    let chunk: Uint8Array | undefined = backupStream;
    const source = {
      next() {
        const all = chunk;
        chunk = undefined;
        return Promise.resolve(all);
      },
      cancel: () => Promise.resolve(),
    };
    return { source, [Symbol.asyncDispose]: () => Promise.resolve() };
  };
  const isFolder = (facts.attributes & 0x10) !== 0;
  const found = [];
  for await (const entry of entriesOfFile({ ...facts, isFolder }, open)) {
    const { securityDescriptor, extendedAttributes, reparse, type, path } = entry;
    const data = concat(await Array.fromAsync(entry.contents()));
    found.push({
      path,
      type: { file: "0", stream: "0", folder: "5", reparse: "2" }[type as string],
      ...data.byteLength > 0 && (data.byteLength > 256 ? { dataLength: data.byteLength } : { data: data.toHex() }),
      ...reparse && { linkname: reparse.target },
      ...securityDescriptor && { "MSWINDOWS.rawsd": securityDescriptor.toBase64() },
      ...Object.fromEntries(
        (extendedAttributes ?? []).map(({ name, value }) => [`MSWINDOWS.xattr.${name}`, value.toBase64()]),
      ),
    });
  }
  return found;
}

// What the original loses, or can't export.
const RIGHT_HERE: Readonly<Record<string, string>> = {
  "unknown stream ID 9": "sparse files have their contents",
  "unknown stream ID 3": "security after data is kept",
};

Deno.test("backup streams become the entries that were recorded", async () => {
  let played = 0;
  for (const { name, input, entries, error } of recorded("export.json")) {
    if (input.backupStream === undefined) continue;
    const { attributes } = input.info;
    const facts = { path: input.path.replaceAll("\\", "/"), size: attributes & 0x10 ? 0 : input.size, attributes };
    const found = await entriesIn(Uint8Array.fromHex(input.backupStream), facts).catch((error: Error) => error);
    if (error !== undefined) {
      const isRight = Object.keys(RIGHT_HERE).some((text) => error.includes(text));
      if (!isRight) {
        assertEquals(found instanceof FormatError || /unsupported reparse/.test(error), true, `${name}: ${error}`);
      }
      continue;
    }
    if (found instanceof Error) throw new Error(`${name}: ${found.message}`);
    // deno-lint-ignore no-explicit-any
    const expected = entries.map(({ name: path, type, data, dataLength, linkname, pax = {} }: any) => ({
      path,
      type,
      ...data !== undefined && { data },
      ...dataLength !== undefined && { dataLength },
      ...linkname !== undefined && linkname !== "" && { linkname },
      ...Object.fromEntries(Object.entries(pax).filter(([key]) => /rawsd|xattr/.test(key))),
    }));
    if (/stream/.test(name) && found.length > expected.length) continue;
    assertEquals(found, expected, name);
    played++;
  }
  assertEquals(played > 20, true, `${played} runs`);
});

Deno.test("sparse files stay sparse, and keep their contents", async () => {
  const contents = new Uint8Array(400_000);
  contents.set([1, 2, 3], 70_000);
  contents.set([4], 399_999);
  const entry = { attributes: 0x220, size: contents.byteLength };
  const bytes = concat(
    await Array.fromAsync(dataStream(
      entry,
      (async function* () {
        yield contents;
      })(),
    )),
  );
  assertEquals(bytes.byteLength < 180_000, true, `${bytes.byteLength} bytes`);
  const [found] = await entriesIn(bytes, { path: "f", size: 400_000, attributes: 0x220 });
  assertEquals(found, { path: "f", type: "0", dataLength: 400_000 });
  const empty = concat(
    await Array.fromAsync(dataStream(
      { attributes: 0x200, size: 5 },
      (async function* () {
        yield new Uint8Array(5);
      })(),
    )),
  );
  assertEquals(await entriesIn(empty, { path: "f", size: 5, attributes: 0x200 }), [{
    path: "f",
    type: "0",
    data: "0000000000",
  }]);
});

Deno.test("links keep where they lead", () => {
  const targets = ["a/b", "../a", "C:/Windows", "//server/share/x", "/Windows", "//?/Volume{x}/a", "é😀"];
  for (const target of targets) {
    for (const tag of [0xa000000c, 0xa0000003]) {
      assertEquals(parseReparse(formatLink({ tag, target })).target, target.replaceAll("/", "\\"));
    }
  }
  assertThrows(() => formatLink({ tag: 0xa000000c, target: "x".repeat(9000) }), RangeError, "longer");
  // Without a name to print.
  const bare = formatLink({ tag: 0xa0000003, target: "C:/a" });
  new DataView(bare.buffer).setUint16(14, 0, true);
  assertEquals(parseReparse(bare).target, "C:\\a");
});

Deno.test("extended attributes are read as they were written", () => {
  const attributes = ["ONE", "TWO", "X".repeat(254)].map((name, flags) => ({
    name,
    flags,
    value: Uint8Array.of(1, 2, 3).subarray(flags),
  }));
  assertEquals(parseAttributes(formatAttributes(attributes)), attributes);
  assertEquals(parseAttributes(new Uint8Array()), []);
  for (const name of ["", "X".repeat(255), "a\0b"]) {
    assertThrows(() => formatAttributes([{ name, flags: 0, value: new Uint8Array() }]), RangeError);
  }
});

randomTest("damaged backup streams end in an error, or in entries", async (sequence) => {
  const whole = concat([
    ...metadataStreams({
      path: "f",
      type: "reparse",
      size: 0,
      securityDescriptor: new Uint8Array(20),
      extendedAttributes: [{ name: "A", flags: 0, value: new Uint8Array(5) }],
      reparse: { tag: 0xa000000c, target: "b" },
      contents: () => ReadableStream.from([]),
    }),
    formatHeader({ id: 1, attributes: SPARSE_STREAM, size: 0 }),
    formatHeader({ id: 9, size: 10 }),
    new Uint8Array(10),
    formatHeader({ id: 9, size: 8 }),
    Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0),
    alternateHeader("s", 3),
    new Uint8Array(3),
  ]);
  const random = sequence();
  for (let i = 0; i < 3000; i++) {
    const bytes = whole.slice(0, random(4) === 0 ? random(whole.byteLength) : whole.byteLength);
    for (let change = random(3); change >= 0 && bytes.byteLength > 0; change--) {
      bytes[random(bytes.byteLength)] = random(256);
    }
    await entriesIn(bytes, { path: "f", size: 2, attributes: random(2) === 0 ? 0x420 : 0x220 }).catch((error) => {
      if (!(error instanceof FormatError)) throw error;
    });
  }
  await assertRejects(
    () => entriesIn(whole.subarray(0, 30), { path: "f", size: 2, attributes: 0 }),
    FormatError,
    "cut",
  );
});
