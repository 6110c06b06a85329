import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { FormatError } from "../../../src/errors/file_errors.ts";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { type LayerEntry, MOUNT_POINT_TAG, SYMLINK_TAG } from "../../../src/files/layer/entry.ts";
import { readLayerTar, writeLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { fileTimeOf, paxTimeOf } from "../../../src/files/tar/pax_time.ts";
import { bytesOf, readLayer, refusal, tarOf, type TestEntry } from "./tars.ts";

const TIMES = { creation: 1n, write: 132223104005000001n, access: 0n, change: 220584384000000000n };

Deno.test("readLayerTar() gives what writeLayerTar() was given, with all that Windows keeps of a file", async () => {
  const text = (data: string) => ({ size: data.length, data, contents: () => new Response(data).body! });
  const none = text("");
  const entries: (LayerEntry & { data: string })[] = [
    { path: "Files", type: "folder", attributes: 0x10, times: TIMES, ...none },
    {
      path: "Files/a.txt",
      type: "file",
      attributes: 0xffffffff,
      times: { creation: 0n, write: 0n, access: 2n ** 63n - 1n, change: 116444736000000000n },
      securityDescriptor: Uint8Array.of(1, 2, 3),
      extendedAttributes: [
        { name: "$KERNEL.PURGE", flags: 0, value: Uint8Array.of(0, 255) },
        { name: "EMPTY", flags: 0, value: new Uint8Array(0) },
      ],
      ...text("hello"),
    },
    {
      path: "Files/a.txt:Zone.Identifier",
      type: "stream",
      times: { ...TIMES, creation: TIMES.write },
      ...text("zone"),
    },
    { path: "Files/old", type: "file", sddl: "O:SYG:SY", times: TIMES, ...none },
    {
      path: "Files/link",
      type: "reparse",
      attributes: 0x420,
      times: TIMES,
      reparse: { tag: SYMLINK_TAG, target: "..\\..\\out" },
      ...none,
    },
    {
      path: "Files/junction",
      type: "reparse",
      attributes: 0x410,
      times: TIMES,
      reparse: { tag: MOUNT_POINT_TAG, target: "C:\\Windows" },
      ...none,
    },
    { path: "Files/second", type: "link", target: "Files/a.txt", attributes: 0x20, times: TIMES, ...none },
    { path: "Files/gone", type: "whiteout", ...none },
    { path: "Files/emptied", type: "whiteout", isOpaque: true, ...none },
  ];
  const tar = await bytesOf(writeLayerTar(entries));
  const expected = entries.map(({ contents: _, ...entry }) => entry);
  assertEquals(await readLayer(fromBytes(tar)), expected);
  assertEquals(await bytesOf(writeLayerTar(readLayerTar(fromBytes(tar)))), tar);
});

Deno.test("readLayerTar() takes times that are missing from the last write, and leaves attributes that are missing unknown", async () => {
  const [file] = await readLayer(
    fromBytes(await tarOf({ name: "Files/a", mtime: 1577836800, pax: { atime: "1577836801.12345678" } })),
  );
  const write = 132223104000000000n;
  assertEquals(file, {
    path: "Files/a",
    type: "file",
    size: 0,
    data: "",
    times: { creation: write, write, access: write + 11234567n, change: write },
  });
});

Deno.test("readLayerTar() takes a stream with or without its type, and a folder with or without a slash", async () => {
  const tar = await tarOf(
    { name: "Files/", type: "5" },
    { name: "Files/a" },
    { name: "Files/a:one", data: "1" },
    { name: "Files/a:two:$DATA", data: "2" },
    { name: "pax_global_header", type: "g", data: "" },
  );
  assertEquals((await readLayer(fromBytes(tar))).map(({ path, type, data }) => [path, type, data]), [
    ["Files", "folder", ""],
    ["Files/a", "file", ""],
    ["Files/a:one", "stream", "1"],
    ["Files/a:two", "stream", "2"],
  ]);
});

Deno.test("fileTimeOf() and paxTimeOf() are exact for all that Windows can have", () => {
  for (
    const time of [
      0n,
      1n,
      116444735985000000n,
      116444735999999999n,
      116444736000000000n,
      132223104001234567n,
      2n ** 63n - 1n,
    ]
  ) {
    assertEquals(fileTimeOf(paxTimeOf(time)), time);
  }
  assertEquals(paxTimeOf(0n), "-11644473600");
  assertEquals(paxTimeOf(116444735999999999n), "-0.0000001");
  assertEquals(fileTimeOf("-0.0000001"), 116444735999999999n);
  for (const text of ["", "abc", "1.x", "-", "1e3", " 1", "-11644473600.1", "9".repeat(20)]) {
    assertEquals(fileTimeOf(text), undefined, text);
  }
});

Deno.test("readLayerTar() refuses what Windows can't have, and tells which entry it is", async () => {
  const cases: readonly (readonly [TestEntry, problem: string])[] = [
    [{ name: "/Files/a" }, "is absolute"],
    [{ name: "C:/a" }, "has a drive"],
    [{ name: "Files/../a" }, "has a .. in it"],
    [{ name: "Files//a" }, "an empty name"],
    [{ name: "Files/a\\b" }, "has a \\ in it"],
    [{ name: "Files/.wh..." }, "has a .. in it"],
    [{ name: "Files/.wh." }, "an empty name"],
    [{ name: "Files/.wh..wh.plnk" }, "known to no format"],
    [{ name: "Files/.wh.a", data: "x" }, "a whiteout has a size"],
    [{ name: "Files/a:b:c" }, "of another type"],
    [{ name: "Files/d:s", type: "5" }, "a stream is no file"],
    [{ name: "Files/l", type: "1", linkName: "Files/../../x" }, "links to has a .. in it"],
    [{ name: "Files/pipe", type: "6" }, "a named pipe can't be in a layer"],
    [{ name: "Files/a", pax: { "MSWINDOWS.fileattr": "4294967296" } }, "no number of 32 bits"],
    [{ name: "Files/a", pax: { "MSWINDOWS.fileattr": "0x20" } }, "no number of 32 bits"],
    [{ name: "Files/a", pax: { "MSWINDOWS.rawsd": "AQAE!" } }, "MSWINDOWS.rawsd is no base64"],
    [{ name: "Files/a", pax: { "MSWINDOWS.xattr.A": "***" } }, "MSWINDOWS.xattr.A is no base64"],
    [{ name: "Files/a", pax: { "LIBARCHIVE.creationtime": "abc" } }, "no time that Windows can have"],
  ];
  const first = { name: "Files/first", type: "5" };
  const offset = (await tarOf(first)).byteLength - 1024;
  for (const [entry, problem] of cases) {
    const error = await refusal(readLayerTar(fromBytes(await tarOf(first, entry), "layer.tar")));
    assertStringIncludes(error.message, problem);
    assertEquals([error.file, error.entry, error.offset], ["layer.tar", entry.name, offset]);
  }
});

Deno.test("writeLayerTar() refuses a reparse point that a tar can't have", async () => {
  const entry: LayerEntry = {
    path: "Files/wsl",
    type: "reparse",
    size: 0,
    reparse: { tag: 0xa000001d, data: new Uint8Array(8) },
    contents: () => new ReadableStream(),
  };
  await assertRejects(() => bytesOf(writeLayerTar([entry])), FormatError, "tag 0xa000001d");
});
