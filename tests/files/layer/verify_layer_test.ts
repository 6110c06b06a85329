import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  FormatError,
  fromBytes,
  InvalidInputError,
  type LayerEntry,
  layerOfCim,
  layerOfFolder,
  layerOfTar,
  type LayerSource,
  type LayerVerification,
  openCim,
  verifyLayer,
} from "../../../src/files/mod.ts";
import { exportLayer, importCimLayer, importLayer } from "../../../mod.ts";
import { SimulatedHost } from "../../../src/simulated/mod.ts";
import { baseEntries, childEntries, entry, tar } from "../../support/layer_tars.ts";
import { bytesOf, tarOf } from "../tar/tars.ts";
import { file, folder, layer, link, pax, symlink, whiteout } from "./layers.ts";

function told({ mismatches }: LayerVerification): string[] {
  return mismatches.map(({ severity, part, path, problem }) => `${severity} ${part} ${path}: ${problem}`);
}

/** A layer of entries as they are. */
function given(form: LayerSource["form"], ...entries: readonly LayerEntry[]): LayerSource {
  return {
    name: "layer",
    form,
    async *entries() {
      yield* entries;
    },
  };
}

const TIME = 132_223_104_001_234_567n;
const TIMES = { creation: TIME, write: TIME, access: TIME, change: TIME };

Deno.test("verifyLayer() tells of everything that a layer has otherwise than the tar says", async () => {
  const big = "x".repeat(5_000_000);
  const expected = [
    folder("Files"),
    file("Files/same", "same"),
    file("Files/gone", "12345"),
    { name: "Files/gone:s", data: "1" },
    file("Files/text", "abc"),
    file("Files/longer", "abc"),
    file("Files/big", `${big}1`),
    file("Files/attributes"),
    file("Files/creation", "", { "LIBARCHIVE.creationtime": "1" }),
    file("Files/write", "", { mtime: "1", atime: "0", ctime: "0", "LIBARCHIVE.creationtime": "0" }),
    file("Files/access", "", { atime: "1" }),
    { name: "Files/security", pax: pax({ "MSWINDOWS.fileattr": "32" }) },
    file("Files/extended", "", { "MSWINDOWS.xattr.A": "AAAA", "MSWINDOWS.xattr.B": "AAAA" }),
    file("Files/type"),
    symlink("Files/link", "a/b"),
    symlink("Files/junction", "C:/a"),
    file("Files/name1", "names"),
    link("Files/name2", "Files/name1"),
    file("Files/own1", "own"),
    file("Files/own2", "own"),
    whiteout("Files/.wh.removed"),
    whiteout("Files/.wh.kept"),
  ];
  const found = [
    folder("Files"),
    file("Files/SAME", "same"),
    file("Files/text", "abd"),
    file("Files/longer", "abcd"),
    file("Files/big", `${big}2`),
    file("Files/attributes", "", { "MSWINDOWS.fileattr": "33" }),
    file("Files/creation"),
    file("Files/write", "", { "LIBARCHIVE.creationtime": "0" }),
    file("Files/access"),
    { name: "Files/security", pax: { "MSWINDOWS.fileattr": "32" } },
    file("Files/extended", "", { "MSWINDOWS.xattr.b": "AAAA" }),
    folder("Files/type"),
    symlink("Files/link", "a\\c"),
    { ...symlink("Files/junction", "C:/a"), pax: pax({ "MSWINDOWS.fileattr": "1040", "MSWINDOWS.mountpoint": "1" }) },
    file("Files/name1", "names"),
    file("Files/name2", "names"),
    file("Files/own1", "own"),
    link("Files/own2", "Files/own1"),
    file("Files/kept", "kept"),
    file("Files/added"),
    whiteout("Files/.wh.more"),
  ];
  const verification = await verifyLayer(await layer(...found), [await layer(...expected)]);
  assertEquals(told(verification), [
    "warning name Files/same: the layer has it as Files/SAME",
    "error contents Files/text: its bytes are others",
    "error size Files/longer: it has 4 bytes, not 3",
    "error contents Files/big: its bytes are others",
    "error attributes Files/attributes: its attributes are 0x21, not 0x20",
    "error times Files/creation: it was created 1970-01-01T00:00:00.0000000Z, not 1970-01-01T00:00:01.0000000Z",
    "error times Files/write: it was written 1970-01-01T00:00:00.0000000Z, not 1970-01-01T00:00:01.0000000Z",
    "warning times Files/access: it was last read 1970-01-01T00:00:00.0000000Z, not 1970-01-01T00:00:01.0000000Z",
    "error security Files/security: it has no access rights",
    "error extendedAttributes Files/extended: its extended attributes differ: A",
    "error type Files/type: it is a folder, not a file",
    "error target Files/link: it leads to a\\c, not a/b",
    "error target Files/junction: its reparse tag is 0xa0000003, not 0xa000000c",
    "error link Files/own2: it is one file with Files/own1, which it isn't in the tar",
    "error removal Files/kept: it is there, and the tar removes it",
    "error extra Files/added: the tar doesn't have it",
    "error extra Files/more: it is removed, which it isn't in the tar",
    "error link Files/name2: it is a file of its own, not another name of Files/name1",
    "error missing Files/gone: the layer lacks this file, which has 5 bytes",
    "error missing Files/gone:s: the layer lacks this stream, which has 1 bytes",
    "error removal Files/removed: the layer doesn't remove it, as the tar does",
    "error removal Files/kept: the layer doesn't remove it, as the tar does",
  ]);
  const { isSame, expected: all, found: there, uncompared } = verification;
  assertEquals([isSame, all.entries, there.entries, uncompared], [false, expected.length, found.length, {}]);
  assertEquals([all.bytes, there.bytes], [5_000_028, 5_000_029]);
});

Deno.test("verifyLayer() takes names of one file as equal, whichever comes first", async () => {
  const first = await layer(
    folder("Files"),
    file("Files/z", "x"),
    { name: "Files/z:s", data: "stream" },
    link("Files/b", "Files/z"),
    link("Files/a", "Files/b"),
  );
  const second = await layer(
    folder("Files"),
    file("Files/a", "x"),
    { name: "Files/a:s", data: "stream" },
    link("Files/b", "Files/a"),
    link("Files/z", "Files/a"),
  );
  assertEquals(told(await verifyLayer(second, [first])), []);
  const other = await layer(
    folder("Files"),
    file("Files/a", "y"),
    link("Files/b", "Files/a"),
    link("Files/z", "Files/a"),
  );
  assertEquals(told(await verifyLayer(other, [first])), [
    "error contents Files/a: its bytes are others",
    "error missing Files/z:s: the layer lacks this stream, which has 6 bytes",
  ]);
});

Deno.test("verifyLayer() tells what can't be in a layer, and ends where the tar is cut", async () => {
  const there = await layer(folder("Files"));
  const bad = await layer(
    folder("Files"),
    { name: "Files/NUL" },
    { name: "Files/device", type: "3" },
    file("Files/a", "", { "MSWINDOWS.what": "1" }),
    file("Files/a"),
  );
  assertEquals(told(await verifyLayer(there, [bad])), [
    "error format Files/NUL: layer.tar: its path has the name of a device",
    "error format Files/device: layer.tar: a device can't be in a layer",
    "warning format Files/a: layer.tar: Windows knows no MSWINDOWS.what: it is ignored",
    "error format Files/a: the tar has it twice",
    "error missing Files/a: the layer lacks this file, which has 0 bytes",
  ]);
  const bytes = await tarOf(folder("Files"), file("Files/a", "x".repeat(1000)));
  const cut = layerOfTar(fromBytes(bytes.subarray(0, bytes.byteLength - 2048), "cut.tar"));
  await assertRejects(() => verifyLayer(there, [cut]), FormatError, "cut.tar");
  await assertRejects(() => verifyLayer(cut, [there]), FormatError, "cut.tar");
  await assertRejects(() => verifyLayer(there, []), InvalidInputError, "against");
  await assertRejects(() => verifyLayer(there, [there], { signal: AbortSignal.abort() }), DOMException);
});

Deno.test("of what Windows changes in a layer itself, verifyLayer() warns", async () => {
  const boot = "UtilityVM/Files/EFI/Microsoft/Boot/BCD";
  const at = (path: string, text: string, time: bigint) =>
    entry({ path, text, times: { ...TIMES, write: time }, attributes: 0x20 });
  const expected = given(undefined, at(boot, "boot", TIME), at("Hives/System_Delta", "delta", TIME));
  const changed = [at(boot, "other", TIME), at("Hives/System_Delta", "delta", TIME + 10_000n)];
  const made = ["Hives", "layout", "Hives/SYSTEM_BASE", "Hives/defaultuser_Base"].map((path) => at(path, "x", TIME));
  assertEquals(told(await verifyLayer(given("image", ...changed, ...made), [expected])).sort(), [
    "warning size UtilityVM/Files/EFI/Microsoft/Boot/BCD: it has 5 bytes, not 4",
    "warning times Hives/System_Delta: it was written 2020-01-01T00:00:00.1244567Z, not 2020-01-01T00:00:00.1234567Z",
  ]);
  const tarred = await verifyLayer(given("tar", at("layout", "x", TIME)), [given("tar")]);
  assertEquals(told(tarred), ["error extra layout: the tar doesn't have it"]);
});

Deno.test("verifyLayer() says how much a folder doesn't tell, and compares the rest", async () => {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/Files/d`, { recursive: true });
  const time = new Date("2020-01-01T00:00:00.123Z");
  for (const [name, text] of [["a", "same"], ["d/b", "text"], ["own", "same"]] as const) {
    await Deno.writeTextFile(`${root}/Files/${name}`, text);
    await Deno.utime(`${root}/Files/${name}`, time, time);
  }
  await Deno.writeTextFile(`${root}/Files/below`, "text");
  await Deno.link(`${root}/Files/a`, `${root}/Files/z`);
  await Deno.symlink("a", `${root}/Files/l`);
  await Deno.utime(`${root}/Files/d`, time, time);
  const written = { mtime: "1577836800.1234567" };
  const { mtime } = await Deno.lstat(`${root}/Files/l`);
  const rest = [
    { name: "Files/a:s", data: "stream" },
    file("Files/d/b", "text", { mtime: "1577836800.1254567", "MSWINDOWS.xattr.A": "AAAA" }),
    { name: "Files/l", type: "2", linkName: "a", pax: pax({ mtime: String(mtime!.getTime() / 1000) }) },
    link("Files/a", "Files/z"),
    link("Files/own", "Files/z"),
    link("Files/below", "Files/only/below"),
    whiteout("Files/.wh.gone"),
  ];
  const tar = await layer(
    { name: "Files", type: "5", mtime: Math.floor((await Deno.lstat(`${root}/Files`)).mtime!.getTime() / 1000) },
    { name: "Files/d", type: "5", pax: written },
    file("Files/z", "same", written),
    ...rest,
  );
  const verification = await verifyLayer(layerOfFolder(root), [tar]);
  assertEquals(told(verification).filter((line) => !line.startsWith("warning times Files: ")), [
    "error times Files/d/b: it was written 2020-01-01T00:00:00.1230000Z, not 2020-01-01T00:00:00.1254567Z",
    "error link Files/own: it is a file of its own, not another name of Files/a",
  ]);
  assertEquals(verification.uncompared, {
    attributes: 3,
    security: 3,
    extendedAttributes: 1,
    streams: 1,
    contents: 1,
    removal: 1,
  });
  await Deno.writeTextFile(`${root}/tombstones.txt`, "Version 1.0\n\\other\n");
  const listed = await verifyLayer(layerOfFolder(root), [tar]);
  assertEquals(told(listed).filter((line) => line.includes("remov")), [
    "error extra Files/other: it is removed, which it isn't in the tar",
    "error removal Files/gone: the layer doesn't remove it, as the tar does",
  ]);
});

Deno.test("verifyLayer() takes what is of layers below for that in the folder of a layer, and doesn't read it", async () => {
  const root = await Deno.makeTempDir();
  for (const folder of ["Files", "Hives"]) await Deno.mkdir(`${root}/${folder}`);
  const names = ["own", "below", "more"];
  for (const name of names) await Deno.writeTextFile(`${root}/Files/${name}`, name);
  const top = [folder("Hives"), folder("Files")];
  const tar = await layer(...top, file("Files/own", "own"));
  const below = await layer(...top, file("Files/below", "other"), file("Files/none"));
  const parts = ({ mismatches }: LayerVerification) =>
    mismatches.filter(({ part }) => part !== "times").map(({ part, path }) => `${part} ${path}`);
  const alone = await verifyLayer(layerOfFolder(root), [tar]);
  assertEquals([parts(alone), alone.uncompared.extra], [[], 2]);
  const all = await verifyLayer(layerOfFolder(root), [tar, below]);
  assertEquals([parts(all), all.uncompared.contents], [["extra Files/more"], 1]);
  const parent = layerOfFolder(root);
  assertEquals(parts(await verifyLayer(layerOfFolder(root), [tar, parent])), []);
  for (const [found, ...against] of [[tar, parent], [parent, parent], [tar, tar, parent]] as const) {
    const error = await assertRejects(() => verifyLayer(found, against), InvalidInputError, "less than a tar");
    assertEquals(error.argument, `against[${against.length - 1}]`);
  }
});

Deno.test("where Deno rounds the numbers of files, verifyLayer() doesn't claim that names are of one file or not", async () => {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/Files`);
  for (const name of ["a", "b"]) await Deno.writeTextFile(`${root}/Files/${name}`, name);
  await Deno.link(`${root}/Files/a`, `${root}/Files/a2`);
  await Deno.link(`${root}/Files/b`, `${root}/Files/b2`);
  const { lstat } = Deno;
  // As that of a file on NTFS whose record was often used.
  Deno.lstat = async (path) => ({ ...await lstat(path), ino: 2 ** 54 });
  try {
    const tar = await layer(
      folder("Files"),
      ...["a", "b"].flatMap((name) => [file(`Files/${name}`, name), link(`Files/${name}2`, `Files/${name}`)]),
    );
    const { mismatches, uncompared } = await verifyLayer(layerOfFolder(root), [tar]);
    const rest = mismatches.filter(({ part }) => part !== "times");
    assertEquals(told({ mismatches: rest } as unknown as LayerVerification), [
      `warning format undefined: ${root}: which names are of one file can't be told of 4 files: each is taken for a file ` +
      "of its own",
    ]);
    assertEquals(uncompared.link, 2);
  } finally {
    Deno.lstat = lstat;
  }
});

async function imageOf(host: SimulatedHost, image: string): Promise<LayerSource & AsyncDisposable> {
  const open = await openCim(host.imageFiles(image));
  return { ...layerOfCim(open), [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

const [BASE, APP] = ["C:\\layers\\base", "C:\\layers\\app"];

Deno.test("verifyLayer() finds nothing in images that were just imported, also above others", async () => {
  const host = new SimulatedHost({ build: 27900 });
  host.addFolder("C:\\layers\\cim-layers");
  const [baseTar, appTar] = [baseEntries(), childEntries()].map((entries) => given("tar", ...entries));
  const base = await importCimLayer(BASE, tar(...baseEntries()), [], { host });
  await using baseImage = await imageOf(host, base.image);
  assertEquals(told(await verifyLayer(baseImage, [baseTar!])), []);
  const app = await importCimLayer(APP, tar(...childEntries()), [BASE], { host });
  await using appImage = await imageOf(host, app.image);
  const { mismatches, uncompared } = await verifyLayer(appImage, [appTar!, baseTar!]);
  assertEquals([told({ mismatches } as LayerVerification), uncompared], [[], {}]);
  // Without those below, what is theirs can't be told from what is too much.
  const alone = await verifyLayer(appImage, [appTar!]);
  assertEquals([told(alone), alone.uncompared], [[], { extra: 12 }]);
  const more = await verifyLayer(appImage, [appTar!, given("tar")]);
  assertEquals([more.isSame, more.mismatches.filter(({ part }) => part === "extra").length], [false, 12]);
});

Deno.test("verifyLayer() finds nothing in a layer that was imported into folders and exported again", async () => {
  const host = new SimulatedHost();
  host.addFolder("C:\\layers");
  await importLayer(BASE, tar(...baseEntries()), [], { host });
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const bytes = bytesOf(readable);
  await exportLayer(BASE, [], writable, { host });
  const exported = layerOfTar(fromBytes(await bytes));
  assertEquals(told(await verifyLayer(exported, [given("tar", ...baseEntries())])), []);
});
