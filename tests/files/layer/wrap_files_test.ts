import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { FormatError } from "../../../src/errors/file_errors.ts";
import { InvalidInputError } from "../../../src/errors/input_error.ts";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { FILE_SECURITY, FOLDER_SECURITY } from "../../../src/files/layer/default_security.ts";
import { wrapFiles } from "../../../src/files/layer/wrap_files.ts";
import { layerOfTar } from "../../../src/files/tar/layer_of_tar.ts";
import { bytesOf, inPieces, readLayer, tarOf } from "../tar/tars.ts";
import { findings } from "./layers.ts";

Deno.test("wrapFiles() makes a tar of files into a layer that Windows takes", async () => {
  const tar = await tarOf(
    { name: "./", type: "5" },
    { name: "./bin/", type: "5", mtime: 5 },
    { name: "./bin/a.exe", data: "MZ", mode: 0o755, uid: 3, mtime: 7, pax: { mtime: "7.5", "SCHILY.xattr.x": "1" } },
    { name: "./bin/b.exe", type: "1", linkName: "./bin/a.exe" },
    { name: "./lib", type: "2", linkName: "bin" },
    { name: "./a", type: "2", linkName: "/bin/a.exe" },
    { name: "deep/er/file", data: "x" },
    { name: "deep/er/", type: "5" },
    { name: "deep/.wh.gone" },
    { name: "known", pax: { "MSWINDOWS.fileattr": "33" } },
  );
  const wrapped = await bytesOf(wrapFiles(inPieces(tar, 1000)));
  assertEquals(await findings(layerOfTar(fromBytes(wrapped)), { isBase: false }), []);
  const entries = await readLayer(fromBytes(wrapped));
  assertEquals(
    entries.map(({ path, type, attributes, target, reparse, data }) =>
      [type, attributes, path, target ?? reparse?.target ?? data].join(" ").trim()
    ),
    [
      "folder 16 Hives",
      "folder 16 Files",
      "folder 16 Files/bin",
      "file 32 Files/bin/a.exe MZ",
      "link 32 Files/bin/b.exe Files/bin/a.exe",
      "reparse 1040 Files/lib bin",
      "reparse 1056 Files/a /bin/a.exe",
      "folder 16 Files/deep",
      "folder 16 Files/deep/er",
      "file 32 Files/deep/er/file x",
      "whiteout  Files/deep/gone",
      "file 33 Files/known",
    ],
  );
  assertEquals(entries[2]!.securityDescriptor, FOLDER_SECURITY);
  assertEquals(entries[3]!.securityDescriptor, FILE_SECURITY);
  const time = 116444736075000000n;
  assertEquals(entries[3]!.times, { creation: time, write: time, access: time, change: time });
  assertEquals(await bytesOf(wrapFiles(fromBytes(tar))), wrapped);
});

Deno.test("wrapFiles() puts a folder before the removal of all that is in it, as images need it", async () => {
  const tar = await tarOf({ name: ".wh..wh..opq" }, { name: "a/d/.wh..wh..opq" }, { name: "a/d/x" });
  const entries = await readLayer(wrapFiles(fromBytes(tar)));
  assertEquals(entries.map(({ type, path }) => `${type} ${path}`), [
    "folder Hives",
    "folder Files",
    "whiteout Files",
    "folder Files/a",
    "folder Files/a/d",
    "whiteout Files/a/d",
    "file Files/a/d/x",
  ]);
});

Deno.test("wrapFiles() makes the smallest base layer, and base layers of files", async () => {
  const base = await bytesOf(wrapFiles(undefined, { base: true }));
  assertEquals(await findings(layerOfTar(fromBytes(base)), { isBase: true }), []);
  assertEquals((await readLayer(fromBytes(base))).length, 9);
  const tar = await tarOf({ name: "windows/system32/CONFIG/system", data: "hive" });
  const date = new Date("2020-01-01T00:00:00Z");
  const layer = await bytesOf(wrapFiles(fromBytes(tar), { base: true, date }));
  assertEquals(await findings(layerOfTar(fromBytes(layer)), { isBase: true }), []);
  const entries = await readLayer(fromBytes(layer));
  assertEquals(entries.filter(({ path }) => /system$/i.test(path)).map(({ path, data }) => [path, data]), [
    ["Files/windows/system32/CONFIG/system", "hive"],
  ]);
  assertEquals(entries[1]!.times!.write, 132223104000000000n);
});

Deno.test("wrapFiles() refuses what can't be in a layer", async () => {
  for (
    const [entries, problem] of [
      [[{ name: "../x" }], "has a .. in it"],
      [[{ name: "/x" }], "an empty name"],
      [[{ name: "dev/null", type: "3" }], "a device can't be in a layer"],
      [[{ name: "a" }, { name: "A" }], "differs only by case"],
      [[{ name: "a", type: "1", linkName: "../x" }], "links to has a .. in it"],
      [[{ name: "aux.c" }], "the name of a device"],
      [[{ name: "d", type: "2", linkName: ".." }, { name: "d/x" }], "is there twice"],
    ] as const
  ) {
    const tar = await tarOf(...entries);
    const error = await assertRejects(() => bytesOf(wrapFiles(fromBytes(tar))), FormatError);
    assertStringIncludes(error.message, problem);
  }
  await assertRejects(async () => await bytesOf(wrapFiles(undefined, { base: 1 } as never)), InvalidInputError, "base");
});
