// Tars that somebody made to do harm, or that a disk or a network has damaged: what each is, and what is said of it.
import { concat } from "../../../src/files/tar/pax_records.ts";
import { BLOCK, formatBlock, type TarBlock } from "../../../src/files/tar/tar_header.ts";
import { EMPTY } from "../../../src/files/tar/write_tar.ts";
import { paddingOf } from "../../../src/files/tar/read_tar.ts";
import { file, folder, link, symlink, whiteout } from "../layer/layers.ts";
import { gzip, tarOf, type TestEntry } from "./tars.ts";

/** A tar, and a part of the error that it gets. */
export interface HostileTar {
  readonly name: string;
  readonly problem: string;
  bytes(): Promise<Uint8Array> | Uint8Array | ReadableStream<Uint8Array>;
}

const TOP = [folder("Files"), folder("Files/d"), file("Files/f", "text")];
const END = new Uint8Array(2 * BLOCK);
const encoder = new TextEncoder();

function layer(name: string, problem: string, ...entries: readonly TestEntry[]): HostileTar {
  return { name, problem, bytes: () => tarOf(...TOP, ...entries) };
}

function raw(name: string, problem: string, ...parts: readonly Uint8Array[]): HostileTar {
  return { name, problem, bytes: () => concat(parts) };
}

/** A header block with bytes of its own, and the right checksum. */
function block(
  header: Partial<TarBlock>,
  patch: Readonly<Record<number, string | readonly number[]>> = {},
): Uint8Array {
  const bytes = formatBlock({ ...EMPTY, name: "Files", type: "5", ...header });
  for (const [at, value] of Object.entries(patch)) {
    bytes.set(typeof value === "string" ? encoder.encode(value) : value, Number(at));
  }
  bytes.fill(0x20, 148, 156);
  const sum = bytes.reduce((sum, byte) => sum + byte, 0);
  bytes.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return bytes;
}

/** An extended header of a type with any bytes in it. */
function extended(contents: string | Uint8Array, type = "x"): Uint8Array {
  const bytes = typeof contents === "string" ? encoder.encode(contents) : contents;
  const padding = new Uint8Array(paddingOf(bytes.byteLength));
  return concat([block({ name: "pax", type, size: bytes.byteLength }), bytes, padding]);
}

const [SIZE, MTIME, NAME, TYPE] = [124, 136, 0, 156];

const CLIMBING: readonly (readonly [path: string, problem: string])[] = [
  ["..", "climbs"],
  ["../x", "climbs"],
  ["Files/..", "climbs"],
  ["Files/../x", "climbs"],
  ["Files/d/../../x", "climbs"],
  ["Files/d/../../../../etc/passwd", "climbs"],
  ["Files/./x", "climbs"],
  ["./Files/x", "climbs"],
  ["/Files/x", "absolute"],
  ["//server/share/x", "absolute"],
  ["//?/C:/x", "absolute"],
  ["C:/x", "drive"],
  ["C:x", "drive"],
  ["c:", "drive"],
  ["Files//x", "empty name"],
  ["Files/d//", "empty name"],
  ["Files\\..\\x", "\\"],
  ["Files/..\\..\\x", "\\"],
  ["Files/d\\x", "\\"],
  ["\\\\?\\C:\\x", "\\"],
  ["Files/.../x", "dot or space"],
  ["Files/.. /x", "dot or space"],
];

const DEVICES = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$", "COM¹", "LPT³"];
for (let i = 1; i <= 9; i++) DEVICES.push(`COM${i}`, `LPT${i}`);

const CHARACTERS = ["<", ">", '"', "|", "?", "*", ...Array.from({ length: 31 }, (_, i) => String.fromCharCode(i + 1))];

const TYPES = ["3", "4", "6", "8", "9", "A", "D", "M", "N", "V", "X", "Z", " ", "\xff"];

const COLLISIONS = [["a", "A"], ["é", "É"], ["σ", "Σ"], ["ж", "Ж"], ["ａ", "Ａ"], ["d", "D"], ["f", "F"]] as const;

const sizes: readonly HostileTar[] = [
  ["no number", "99999999999x"],
  ["no number", "-0000000001\0"],
  ["no number", "0x000000010\0"],
  ["can't be", [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ["can't be", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ["can't be", [0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ["an entry has 1125899906842624 bytes", [0x80, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0, 0]],
].map(([problem, size]) =>
  raw(`size ${size}`, problem as string, block({ name: "Files/x", type: "0" }, { [SIZE]: size! }), END)
);

const paxSizes = ["-1", "1.5", "1e3", "0x10", " 1", "99999999999999999999", "9007199254740993", "x"].map((size) =>
  layer(`PAX size ${size}`, "size is no number", { name: "Files/x", pax: { hidden: size } })
).map(({ name, problem }, i): HostileTar => {
  const size = ["-1", "1.5", "1e3", "0x10", " 1", "99999999999999999999", "9007199254740993", "x"][i]!;
  const line = `size=${size}\n`;
  return raw(name, problem, extended(`${line.length + 3} ${line}`), block({ name: "Files/x", type: "0" }), END);
});

const records = [
  ["no length", " a=b\n"],
  ["length 0", "0 a=b\n"],
  ["length too short", "3 a=b\n"],
  ["length too long", "99 a=b\n"],
  ["length too long by one", "7 a=b\n"],
  ["length of many digits", "00000000000006 a=b\n"],
  ["negative length", "-6 a=b\n"],
  ["hexadecimal length", "0x6 a=b\n"],
  ["no end of line", "6 a=bc"],
  ["no space", "6a=b\n"],
  ["no value", "4 a\n"],
  ["no key", "5 =b\n"],
  ["zeros", "\0\0\0\0"],
  ["text", "hello world"],
].map(([name, text]) => raw(`record: ${name}`, "a record without", extended(text!), block({}), END));

const damaged: readonly HostileTar[] = [
  raw("empty", "it is cut"),
  raw("one byte", "it is cut", new Uint8Array(1)),
  raw("511 bytes", "it is cut", new Uint8Array(511)),
  raw("no end", "it is cut", block({})),
  raw("no tar", "this is no tar", encoder.encode("x".repeat(2048))),
  raw("checksum", "checksum", block({}).with(0, 0x47), END),
  raw("checksum is text", "checksum", concat([block({}).fill(0x78, 148, 156)]), END),
  raw("one empty block", "only one empty block", block({}), new Uint8Array(BLOCK), block({}), END),
  raw(
    "contents cut",
    "cut in the contents",
    block({}),
    block({ name: "Files/x", type: "0", size: 5000 }),
    new Uint8Array(4000),
  ),
  raw(
    "contents cut at a block",
    "cut in the contents",
    block({}),
    block({ name: "Files/x", type: "0", size: 1024 }),
    new Uint8Array(512),
  ),
  raw(
    "padding cut",
    "cut in the contents",
    block({}),
    block({ name: "Files/x", type: "0", size: 5 }),
    new Uint8Array(100),
  ),
  raw(
    "huge size, nothing there",
    "cut in the contents",
    block({}),
    block({ name: "Files/x", type: "0", size: 8 ** 11 - 1 }),
    END,
  ),
  raw(
    "extended header cut",
    "cut in an extended header",
    block({ name: "pax", type: "x", size: 5000 }),
    new Uint8Array(600),
  ),
  raw("extended header at the end", "ends after an extended header", extended("6 a=b\n"), END),
  raw("two extended headers", "two extended headers", extended("6 a=b\n"), extended("6 a=b\n"), block({}), END),
  raw("endless long names", "more than 8 extended headers", ...Array(20).fill(extended("a", "L")), block({}), END),
  raw("huge extended header", "an extended header has", block({ name: "pax", type: "x", size: 2 ** 32 }), END),
  raw("huge long name", "an extended header has", block({ name: "long", type: "L", size: 2 ** 30 }), END),
  raw("time is text", "the time in a header is no number", block({}, { [MTIME]: "12345678901x" }), END),
  raw("name isn't UTF-8", "isn't UTF-8", block({}, { [NAME]: [0xff, 0xfe] }), END),
  raw("long name isn't UTF-8", "isn't UTF-8", extended(Uint8Array.of(0xff), "L"), block({}), END),
  raw(
    "path isn't UTF-8",
    "isn't UTF-8",
    extended(Uint8Array.of(...encoder.encode("9 path="), 0xff, 0x0a)),
    block({}),
    END,
  ),
  raw("NUL in a path", "a NUL in it", extended("12 path=a\0b\n"), block({}), END),
  raw("path in the record", "climbs", extended("11 path=..\n"), block({}), END),
  raw("path in the long name", "climbs", extended("../x\0", "L"), block({}), END),
  raw(
    "link in the long name",
    "climbs",
    block({}),
    block({ name: "Files/f", type: "0" }),
    extended("../x\0", "K"),
    block({ name: "Files/l", type: "1", linkName: "Files/f" }),
    END,
  ),
  raw("sparse file of GNU", "sparse", block({}), block({ name: "Files/x" }, { [TYPE]: "S" }), END),
  raw(
    "sparse file in records",
    "sparse",
    block({}),
    extended("22 GNU.sparse.major=1\n"),
    block({ name: "Files/x", type: "0" }),
    END,
  ),
  raw("folder with a size", "has a size of", block({ size: 512 }), new Uint8Array(512), END),
  raw(
    "hard link with a size",
    "has a size of",
    block({}),
    block({ name: "Files/x", type: "1", linkName: "Files/y", size: 512 }),
    new Uint8Array(512),
    END,
  ),
  raw("zstd", "zstd", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), new Uint8Array(1000)),
  layer("100,000 levels", "more than 1000 names", file(`Files/${"a/".repeat(100_000)}x`)),
  layer(
    "long path",
    "more than 32767 characters",
    file(
      `Files/${"a".repeat(255)}`.padEnd(
        40_000,
        "/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
      ),
    ),
  ),
  layer("long name", "more than 255 characters", file(`Files/${"a".repeat(256)}`)),
];

const packed: readonly HostileTar[] = [
  ["cut at the start", (bytes: Uint8Array) => bytes.subarray(0, 12)],
  ["cut at the end", (bytes: Uint8Array) => bytes.subarray(0, -4)],
  ["cut in the middle", (bytes: Uint8Array) => bytes.subarray(0, bytes.byteLength / 2)],
  ["a wrong sum", (bytes: Uint8Array) => bytes.with(bytes.byteLength - 6, bytes.at(-6)! ^ 1)],
  ["a wrong length", (bytes: Uint8Array) => bytes.with(bytes.byteLength - 2, bytes.at(-2)! ^ 1)],
  ["another method", (bytes: Uint8Array) => bytes.with(2, 7)],
  ["damaged", (bytes: Uint8Array) => bytes.with(15, bytes[15]! ^ 0xff)],
  ["more behind it", (bytes: Uint8Array) => concat([bytes, encoder.encode("more")])],
  ["twice", (bytes: Uint8Array) => concat([bytes, bytes])],
].map(([name, damage]) => ({
  name: `gzip: ${name}`,
  problem: "packed with gzip is cut or damaged",
  bytes: async () => (damage as (bytes: Uint8Array) => Uint8Array)(await gzip(await tarOf(...TOP))),
}));

/** A stream that never ends. */
function endless(name: string, problem: string, first: () => Promise<Uint8Array>, more: Uint8Array): HostileTar {
  const bytes = () =>
    ReadableStream.from(async function* () {
      yield await first();
      for (;;) yield more;
    }());
  return { name, problem, bytes };
}

const streams: readonly HostileTar[] = [
  endless("endless zeros", "follow its end", () => tarOf(...TOP), new Uint8Array(65536)),
  endless(
    "endless entries",
    "more than 10000 entries",
    async () => (await tarOf(...TOP)).subarray(0, -1024),
    block({ type: "g", name: "g" }),
  ),
  {
    name: "gzip: a bomb",
    problem: "follow its end",
    bytes: async () => await gzip(concat([await tarOf(...TOP), new Uint8Array(20_000_000)])),
  },
];

/** All of them. */
export const HOSTILE_TARS: readonly HostileTar[] = [
  ...CLIMBING.flatMap(([path, problem]) => [
    layer(`file ${path}`, problem, file(path)),
    layer(`folder ${path}`, problem, folder(path)),
    layer(
      `link to ${path}`,
      problem,
      link("Files/l", path),
    ),
  ]),
  layer("no name", "no name", file("")),
  layer("whiteout of the parent", "climbs", whiteout("Files/.wh...")),
  layer("whiteout of nothing", "empty name", whiteout("Files/.wh.")),
  layer("whiteout of all at the top", "no name", whiteout(".wh..wh..opq")),
  layer("whiteout of a device", "name of a device", whiteout("Files/.wh.nul")),
  layer("whiteout outside", "can be removed", whiteout("Hives/.wh.x")),
  layer("whiteout of the top", "can be removed", whiteout(".wh.Files")),
  layer("whiteout of another form", "known to no format", whiteout("Files/.wh..wh.aufs")),
  layer("whiteout with contents", "has a size", { name: "Files/.wh.x", data: "x" }),
  layer("through a link", "its folder is a link", symlink("Files/l", "../.."), file("Files/l/x")),
  layer("through a link and a folder", "doesn't come before", symlink("Files/l", "C:\\"), file("Files/l/Windows/x")),
  layer("through a junction", "its folder is a link", {
    ...symlink("Files/j", "C:\\"),
    pax: { "MSWINDOWS.mountpoint": "1" },
  }, file("Files/j/x")),
  layer("folder through a link", "its folder is a link", symlink("Files/l", "d"), folder("Files/l/x")),
  layer("link instead of a folder", "is there twice", symlink("Files/d", "C:\\"), file("Files/d/x")),
  layer("link to itself", "links to itself", link("Files/l", "Files/l")),
  layer("link to a folder", "links to a folder", link("Files/l", "Files/d")),
  layer("link to a hive", "can have more than one name", link("Files/l", "Hives/System_Delta")),
  layer("link as a hive", "can have more than one name", folder("Hives"), link("Hives/System_Delta", "Files/f")),
  layer("link to a stream", "a : in it", link("Files/l", "Files/f:s")),
  layer("link to nothing", "links to has no name", link("Files/l", "")),
  layer("symbolic link to nothing", "links to nothing", symlink("Files/l", "")),
  layer("long symbolic link", "too long", symlink("Files/l", "x".repeat(9000))),
  ...["Windows", "files", "FILES", "hives", "utilityvm", "etc", "Files2", "$Recycle.Bin"].map((root) =>
    layer(`top ${root}`, root.toLowerCase() === "files" ? "only by case" : "at its top", folder(root))
  ).filter(({ problem }) => problem === "at its top"),
  layer("top is a file", "has to be a folder", file("UtilityVM")),
  layer("file below a file", "its folder is a file", file("Files/f/x")),
  layer("file before its folder", "doesn't come before it", file("Files/new/x"), folder("Files/new")),
  layer("file twice", "is there twice", file("Files/f")),
  ...COLLISIONS.flatMap(([a, b]) => [
    layer(
      `case ${a} ${b}`,
      a === "d" || a === "f" ? "is there twice" : "only by case",
      file(`Files/${a}`),
      file(`Files/${b}`),
    ),
    layer(
      `case of folders ${a} ${b}`,
      a === "d" || a === "f" ? "is there twice" : "only by case",
      folder(`Files/${a}`),
      folder(`Files/${b}`),
    ),
  ]),
  ...DEVICES.flatMap((name) => [
    layer(`device ${name}`, "name of a device", file(`Files/${name.toLowerCase()}`)),
    layer(`device ${name}.txt`, "name of a device", folder(`Files/${name}.txt`)),
  ]),
  ...CHARACTERS.map((char) => layer(`character ${JSON.stringify(char)}`, "doesn't allow", file(`Files/a${char}b`))),
  ...["a.", "a ", ". ", "a..", "a. ."].map((name) => layer(`name "${name}"`, "dot or space", file(`Files/${name}`))),
  layer("transport name", "while it imports", file("Files/d.$wcidirs$")),
  layer("transport name in capitals", "while it imports", folder("Files/D.$WCIDIRS$")),
  ...[":$DATA", "a::$INDEX_ALLOCATION", "a:b:$INDEX_ALLOCATION", "a:b:c", "f:", "f::", "f::$DATA"].map((name) =>
    layer(`stream ${name}`, name === ":$DATA" ? "an empty name" : "without name, or of another type", {
      name: `Files/${name}`,
    })
  ),
  layer("stream of nothing", "follow its file", { name: "Files/x:s" }),
  layer("stream of another", "follow its file", file("Files/x"), { name: "Files/f:s" }),
  layer("stream twice", "stream is there twice", file("Files/x"), { name: "Files/x:s" }, { name: "Files/x:S:$DATA" }),
  layer("stream that is a folder", "a stream is no file", folder("Files/f:s")),
  layer("stream that is a link", "a stream is no file", symlink("Files/f:s", "x")),
  layer("stream in a path", "a : in it", file("Files/f:s/x")),
  layer("long stream", "doesn't allow", file("Files/x"), { name: `Files/x:${"s".repeat(256)}` }),
  ...TYPES.map((type) => layer(`type ${JSON.stringify(type)}`, "can't be in a layer", { ...file("Files/x"), type })),
  layer("attributes of a device", "those of a device", file("Files/x", "", { "MSWINDOWS.fileattr": "64" })),
  layer("attributes of a folder", "those of a folder", file("Files/x", "", { "MSWINDOWS.fileattr": "16" })),
  ...["-1", "4294967296", "0x20", "32 ", "", "1e3"].map((value) =>
    layer(`attributes ${value}`, "no number of 32 bits", file("Files/x", "", { "MSWINDOWS.fileattr": value }))
  ),
  ...["!", "AQAE", "anVuaw==", "anVuaw", "AQAEgP////8AAAAAAAAAAAAAAAA=", "AQAEgBQAAAAUAAAAAAAAABQAAAACAP//AQAAAA=="]
    .map((value) =>
      layer(
        `security ${value}`,
        /[!]|anVuaw$/.test(value)
          ? "no base64"
          : /^AQAE.*(8A|AQ)/.test(value)
          ? "outside of its"
          : "a security descriptor",
        file("Files/x", "", { "MSWINDOWS.rawsd": value }),
      )
    ),
  layer(
    "extended attribute without name",
    "the name of an extended attribute",
    file("Files/x", "", { "MSWINDOWS.xattr.": "" }),
  ),
  layer(
    "extended attribute of a long name",
    "the name of an extended attribute",
    file("Files/x", "", { [`MSWINDOWS.xattr.${"A".repeat(255)}`]: "" }),
  ),
  layer(
    "huge extended attribute",
    "more than Windows allows",
    file("Files/x", "", { "MSWINDOWS.xattr.A": "AAAA".repeat(30_000) }),
  ),
  ...["x", "1.x", "1e9", "-99999999999", "999999999999999999"].map((time) =>
    layer(`time ${time}`, "no time that Windows can have", file("Files/x", "", { "LIBARCHIVE.creationtime": time }))
  ),
  ...sizes,
  ...paxSizes,
  ...records,
  ...damaged,
  ...packed,
  ...streams,
];
