import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { FormatError } from "../../../src/errors/file_errors.ts";
import { fromBytes } from "../../../src/files/bytes/random_access.ts";
import { checkedEntries, type CheckLayerOptions, lintLayer } from "../../../src/files/layer/check_layer.ts";
import { verifyLayer } from "../../../src/files/layer/verify_layer.ts";
import { layerOfTar } from "../../../src/files/tar/layer_of_tar.ts";
import { concat } from "../../../src/files/tar/pax_records.ts";
import { tarOf, type TestEntry } from "../tar/tars.ts";
import { file, findings, folder, layer, link, lint, symlink, whiteout } from "./layers.ts";

const TOP = [folder("Hives"), folder("Files")];
const CONFIG = ["Files/Windows", "Files/Windows/System32", "Files/Windows/System32/config"].map((name) => folder(name));
const HIVES = ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"].map((name) => file(`${CONFIG[2]!.name}/${name}`));

Deno.test("lintLayer() finds nothing in layers that Windows takes", async () => {
  const streams = [
    folder("Files/d"),
    { name: "Files/d:s" },
    file("Files/d/a", "x"),
    {
      name: "Files/d/a:s",
      data: "y",
    },
    symlink("Files/l", "x".repeat(4090)),
    { name: "Files/l:s" },
  ];
  assertEquals(await lint([...TOP, ...streams, file("Hives/System_Delta")], { isBase: false }), []);
  const links = [
    file("Files/a"),
    link("Files/b", "Files/a"),
    link("Files/c", "Files/below"),
    whiteout("Files/.wh.gone"),
  ];
  assertEquals(await lint([...TOP, ...links], { isBase: false }), []);
  // Letters that are the same in capitals, but not to Windows.
  const letters = ["ı", "i", "ß", "ss", "ſ", "s"].map((name) => file(`Files/${name}`));
  assertEquals(await lint([...TOP, ...letters], { isBase: false }), []);
  assertEquals(await lint([folder("Files"), ...CONFIG, ...HIVES, ...links.slice(0, 2)], { isBase: true }), []);
});

const CASES: readonly (readonly [entries: readonly TestEntry[], finding: string, options?: CheckLayerOptions])[] = [
  [[file("Files/d/a")], "error order Files/d/a: its folder doesn't come before it"],
  [[file("Files/a"), file("Files/a/b")], "error collision Files/a/b: its folder is a file"],
  [[file("Files/a"), file("Files/a")], "error collision Files/a: its path is there twice"],
  [[file("Files/a"), folder("Files/A")], "error collision Files/A: its path differs only by case from Files/a"],
  [[file("Files/é"), file("Files/É")], "error collision Files/É: its path differs only by case from Files/é"],
  [
    [symlink("Files/l", ".."), file("Files/l/a")],
    "error link Files/l/a: its folder is a link: it would get out of its place",
  ],
  [[folder("Windows")], "error root Windows: a layer has Files, Hives and UtilityVM at its top, not Windows"],
  [[file("UtilityVM")], "error root UtilityVM: UtilityVM has to be a folder"],
  [[file("Hives/Other")], "warning root Hives/Other: Windows doesn't know this hive"],
  [[folder("UtilityVM"), file("UtilityVM/x")], "warning root UtilityVM/x: only Files of UtilityVM is taken"],
  [[{ name: "Files/a:s" }], "error stream Files/a:s: a stream has to follow its file directly"],
  [
    [file("Files/a"), file("Files/b"), { name: "Files/a:s" }],
    "error stream Files/a:s: a stream has to follow its file directly",
  ],
  [
    [file("Files/a"), { name: "Files/a:s" }, { name: "Files/a:S" }],
    "error collision Files/a:S: the stream is there twice",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.rawsd": new Uint8Array(65536).toBase64() })],
    "error metadata Files/a: its security descriptor has 65536 bytes, more than Windows allows",
  ],
  [[symlink("Files/l", "x".repeat(4091))], "error metadata Files/l: what it links to is too long, or no path"],
  [[link("Files/a", "Files/a")], "error link Files/a: it links to itself"],
  [[folder("Files/d"), link("Files/a", "Files/d")], "error link Files/a: it links to a folder"],
  [
    [link("Files/a", "Hives/x")],
    "error link Files/a: only files in Files and UtilityVM/Files can have more than one name",
  ],
  [[whiteout("Hives/.wh.x")], "error whiteout Hives/x: only what is in Files or UtilityVM/Files can be removed"],
  [[whiteout(".wh.Files")], "error whiteout Files: only what is in Files or UtilityVM/Files can be removed"],
  [
    [whiteout("Files/.wh..wh..opq")],
    "warning whiteout Files: hcsshim doesn't know whiteouts of all that is in a folder: it removes nothing",
  ],
  [
    [whiteout("Files/.wh.a"), file("Files/a")],
    "warning whiteout Files/a: the layer removes this path as well: hcsshim removes the new one",
  ],
  [
    [file("Files/a"), whiteout("Files/.wh.a")],
    "warning whiteout Files/a: the layer adds this path as well: hcsshim removes the new one",
  ],
  [[{ ...file("Files/a"), type: "6" }], "error type Files/a: a named pipe can't be in a layer"],
  [[file("Files/../../etc/passwd")], "error path Files/../../etc/passwd: its path has a .. in it: it climbs"],
  [
    [file("Files/a", "", { "MSWINDOWS.fileattr": "64" })],
    "error metadata Files/a: its attributes are those of a device",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.fileattr": "16" })],
    "error metadata Files/a: its attributes are those of a folder",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.fileattr": "1024" })],
    "error metadata Files/a: its attributes are those of a reparse point",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.rawsd": "anVuaw==" })],
    "error metadata Files/a: a security descriptor is cut off",
  ],
  [[{ name: "Files/a" }, { name: "Files/b" }], "warning metadata Files/a: it has no attributes, and 1 more"],
  [[{ name: "Files/a" }], "warning metadata Files/a: it has no security descriptor"],
  [
    [{ name: "Files/a", pax: { "MSWINDOWS.fileattr": "32", "MSWINDOWS.sd": "O:SY" } }],
    "warning metadata Files/a: its security descriptor is a text, which only Windows can read",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.xattr.A": "AAAA".repeat(22000) })],
    "error metadata Files/a: its extended attributes have 66013 bytes, more than Windows allows",
  ],
  [
    [file("Files/a", "", { "MSWINDOWS.fileattrs": "32" })],
    "warning metadata Files/a: Windows knows no MSWINDOWS.fileattrs: it is ignored",
  ],
  [[symlink("Files/l", "")], "error metadata Files/l: it links to nothing"],
  [[], "error base: Files/Windows/System32/config/SAM is missing in a base layer", { isBase: true }],
  [
    [folder("UtilityVM"), folder("UtilityVM/Files")],
    "error base: UtilityVM/Files/EFI/Microsoft/Boot/BCD is missing in a base layer with a utility VM",
    { isBase: true },
  ],
  [
    [whiteout("Files/.wh.a")],
    "error whiteout Files/a: a base layer has nothing below that it could remove",
    { isBase: true },
  ],
  [
    [link("Files/a", "Files/b")],
    "error link Files/a: the file that it links to doesn't come before it: Files/b",
    { isBase: true },
  ],
];

Deno.test("lintLayer() finds what is wrong, and goes on", async () => {
  for (const [entries, finding, options] of CASES) {
    const all = await lint([...TOP, ...entries, file("Files/last/last")], options);
    assertEquals(all.filter((text) => text === finding), [finding], `${finding}\n${all.join("\n")}`);
    assertEquals(all.filter((text) => text.includes("last/last")).length, 1, "it goes on");
  }
  assertEquals(await lint([folder("Files")], { isBase: false }), [
    "warning root: the folder Hives is missing, which all layers but the base have",
  ]);
});

Deno.test("lintLayer() looks for what a layer links to and removes in those below", async () => {
  const base = await layer(
    ...TOP,
    folder("Files/d"),
    file("Files/a"),
    file("Files/gone"),
    link("Files/two", "Files/a"),
  );
  const middle = await layer(...TOP, whiteout("Files/.wh.gone"));
  const entries = [
    ...TOP,
    link("Files/later", "Files/own"),
    file("Files/own"),
    link("Files/1", "Files/A"),
    link("Files/2", "Files/two"),
    link("Files/3", "Files/gone"),
    link("Files/4", "Files/d"),
    whiteout("Files/.wh.two"),
    whiteout("Files/.wh.gone"),
    whiteout("Files/d/.wh..wh..opq"),
    whiteout("Files/x/.wh..wh..opq"),
  ];
  const opaque = "hcsshim doesn't know whiteouts of all that is in a folder: it removes nothing";
  assertEquals(await lint(entries, { parents: [middle, base] }), [
    "warning whiteout Files/gone: no layer below has what it removes",
    `warning whiteout Files/d: ${opaque}`,
    `warning whiteout Files/x: ${opaque}`,
    "warning whiteout Files/x: no layer below has what it removes",
    "error link Files/3: neither it nor a layer below has the file that it links to: Files/gone",
    "error link Files/4: it links to a folder",
  ]);
  assertEquals((await lint(entries)).filter((text) => !text.endsWith(opaque)), []);
  // Without any below it is a base layer.
  assertEquals((await lint([...TOP, file("Files/a")], { parents: [] })).filter((text) => /error/.test(text)).length, 5);
});

Deno.test("checkedEntries() passes on what lintLayer() has no errors for, and refuses the rest where it is", async () => {
  const good = await layer(...TOP, file("Files/a"), { name: "Files/b" });
  const paths = await Array.fromAsync(checkedEntries(good.entries()), ({ path }) => path);
  assertEquals(paths, ["Hives", "Files", "Files/a", "Files/b"]);
  const bad = await layer(...TOP, file("Files/a"), file("Files/A"));
  const passed: string[] = [];
  const error = await assertRejects(async () => {
    for await (const { path } of checkedEntries(bad.entries(), { name: "bad.tar" })) passed.push(path);
  }, FormatError);
  assertEquals(passed, ["Hives", "Files", "Files/a"]);
  assertEquals([error.file, error.entry], ["bad.tar", "Files/A"]);
  const base = () => Array.fromAsync(checkedEntries(good.entries(), { isBase: true }));
  await assertRejects(base, FormatError, "missing in a base layer");
});

Deno.test("lintLayer() finds what follows the end of a tar, and which nobody reads", async () => {
  const tar = await tarOf(...TOP);
  const rest = [new Uint8Array(20 * 512), new TextEncoder().encode("hidden"), await tarOf(file("Files/a"))];
  const twice = layerOfTar(fromBytes(concat([tar, ...rest])));
  assertEquals(await Array.fromAsync(lintLayer(twice, { isBase: false })), [{
    severity: "warning",
    rule: "format",
    problem: "something follows its end, such as another tar: nobody reads it",
    offset: tar.byteLength + 20 * 512,
  }]);
  assertEquals(await findings(layerOfTar(fromBytes(concat([tar, rest[0]!]))), { isBase: false }), []);
  const { isSame, mismatches } = await verifyLayer(twice, [layerOfTar(fromBytes(tar))]);
  assertEquals([isSame, mismatches.map(({ severity, part }) => [severity, part])], [true, [["warning", "format"]]]);
});
