/**
 * Records and folders of records that somebody has thought of.
 *
 * @module
 */

import type { Setting } from "./records.ts";
import { FOLDER, FOREIGN, MINE, MOUNTS, OURS, place, THEIRS, type World } from "./world.ts";

type Text = (text: string) => string | Uint8Array<ArrayBuffer>;

const bytes = (text: string) => new TextEncoder().encode(text);
const first = (text: string) => text.split("\n")[0]!;
const NO_VOLUME = "\\\\?\\Volume{deadbeef-0000-0000-0000-000000000000}\\";
const MOUNTED = JSON.stringify({ mounted: true, volume: NO_VOLUME });

/** Lines that a record can't have. */
export const LINES: readonly string[] = [
  "",
  " ",
  "null",
  "7",
  '"x"',
  "true",
  "[]",
  "{}",
  "{",
  "[[[[",
  '{"closed":true}',
  '{"closed":false}',
  '{"closed":1}',
  '{"closed":null}',
  '{"closed":true,"more":1}',
  '{"mounted":true}',
  '{"mounted":false}',
  '{"mounted":true,"volume":7}',
  '{"mounted":true,"volume":""}',
  '{"mounted":true,"volume":"C:\\\\"}',
  '{"mounted":true,"volume":"\\\\\\\\?\\\\Volume{x}\\\\"}',
  MOUNTED,
  '{"version":1}',
  '{"__proto__":{"closed":true}}',
  '{"constructor":1}',
  '{"mounted":true,"mounted":false}',
  "\ufeff{}",
  "\0\0\0\0",
];

/** What becomes of the text of a record. */
export const TEXTS: readonly (readonly [what: string, change: Text])[] = [
  ["empty", () => ""],
  ["a line end alone", () => "\n"],
  ["line ends alone", () => "\n".repeat(1000)],
  ["zeros, as a disk error leaves them", () => new Uint8Array(4096)],
  ["zeros and a line end", () => `${"\0".repeat(512)}\n`],
  ["zeros in place of its second half", (text) => text.slice(0, text.length / 2) + "\0".repeat(text.length / 2)],
  ["zeros behind it", (text) => text + "\0".repeat(4096)],
  ["ones", () => new Uint8Array(512).fill(0xff)],
  ["behind a byte order mark", (text) => `\ufeff${text}`],
  ["in UTF-16", (text) => new Uint8Array(Uint16Array.from(text, (char) => char.charCodeAt(0)).buffer)],
  ["with line ends of Windows", (text) => text.replaceAll("\n", "\r\n")],
  ["with line ends of old Macs", (text) => text.replaceAll("\n", "\r")],
  ["without the last line end", (text) => text.slice(0, -1)],
  ["with bytes that are no UTF-8", (text) => Uint8Array.of(...bytes(text.slice(0, -1)), 0xc3, 0x28, 0xff, 10)],
  ["cut in a character of several bytes", (text) => bytes(text.replace("ours", "ü")).slice(0, 70)],
  ["with half of a surrogate pair", (text) => text.replace('"ours"', '"\\ud800"')],
  ["its first line cut and ended", (text) => `${first(text).slice(0, 100)}\n`],
  ["its first line cut, and all again", (text) => `${first(text).slice(0, 100)}\n${text}`],
  ["its first line cut, and all again without a line end", (text) => first(text).slice(0, 100) + text],
  ["the first line alone", (text) => `${first(text)}\n`],
  ["the second line alone", (text) => `${text.split("\n")[1]}\n`],
  ["its lines swapped", (text) => `${text.split("\n").slice(0, 2).reverse().join("\n")}\n`],
  ["twice", (text) => text + text],
  ["behind an empty line", (text) => `\n${text}`],
  ["behind spaces", (text) => `   ${text}`],
  ["an empty line between its lines", (text) => text.replace("\n", "\n\n")],
  ["all on one line", (text) => `${text.replaceAll("\n", "")}\n`],
  ["written over several lines", (text) => `${JSON.stringify(JSON.parse(first(text)), null, 2)}\n`],
  ["a comment behind it", (text) => `${text}// that was all\n`],
  ["closed", (text) => `${text}{"closed":true}\n`],
  ["closed, torn", (text) => `${text}{"closed":tr`],
  ["closed, and mounted again", (text) => `${text}{"closed":true}\n${MOUNTED}\n`],
  ["closed first", (text) => `{"closed":true}\n${text}`],
  ["the line that closes it alone, twice", () => '{"closed":true}\n{"closed":true}\n'],
  ["mounted as two volumes", (text) => `${text}${MOUNTED}\n`],
  ["mounted as another volume first", (text) => text.replace("\n", `\n${MOUNTED}\n`)],
  ["mounted, torn", (text) => text.slice(0, text.length - 10)],
  ...LINES.map((line) => [`the line ${line} behind it`, (text: string) => `${text}${line}\n`] as const),
  ...LINES.slice(2, 12).map((line) => [`the line ${line} alone`, () => `${line}\n`] as const),
  ["a line of 10 MB behind it", (text) => `${text}{"x":"${"x".repeat(1e7)}"}\n`],
  ["a line of 10 MB alone", () => `{"x":"${"x".repeat(1e7)}"}\n`],
  ["10 MB without a line", () => "x".repeat(1e7)],
  ["a million lines behind it", (text) => text + "{}\n".repeat(1e6)],
  ["a million lines before it", (text) => "{}\n".repeat(1e6) + text],
  ["a first line of 100,000 lists in lists", () => `${"[".repeat(1e5)}${"]".repeat(1e5)}\n`],
  ["a first line of 100,000 objects in objects", () => `${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}\n`],
  ["a later line of 100,000 lists in lists", (text) => `${text}${"[".repeat(1e5)}${"]".repeat(1e5)}\n`],
  ["layers of 10,000 lists in lists", (text) => text.replace(/"layers":\[/, `$&${"[".repeat(1e4)}${"]".repeat(1e4)},`)],
  ["a field twice, the second of another type", (text) => text.replace('"container"', '"container":7,"container"')],
  ["a field twice, the second one wrong", (text) => text.replace("{", '{"scratch":"C:\\\\data",')],
  ["a key of another case", (text) => text.replace('"scratch"', '"Scratch"')],
  ["a key with a NUL", (text) => text.replace('"scratch"', '"scratch\\u0000"')],
  ["a prototype in its first line", (text) => text.replace("{", '{"__proto__":{"isPermanent":true},')],
  ["a process with a prototype", (text) => text.replace('"process":{', '"process":{"__proto__":{"pid":1},')],
  ["a number beyond all", (text) => text.replace(/"pid":\d+/, '"pid":1e999')],
  ["a number that is no JSON", (text) => text.replace(/"pid":\d+/, '"pid":NaN')],
  ["a number of another base", (text) => text.replace(/"pid":\d+/, '"pid":0x10')],
];

type Fields = Readonly<Record<string, unknown>> | ((world: World) => Readonly<Record<string, unknown>>);

const PLACES: readonly (readonly [what: string, path: unknown])[] = [
  ["of somebody else", place("theirs")],
  ["of another tool", place("foreign")],
  ["of files of others", "C:\\data"],
  ["that is an empty folder of others", "C:\\empty"],
  ["that is a file of others", "C:\\data\\theirs.txt"],
  ["that is a folder of Windows", "C:\\Windows\\System32"],
  ["that is Windows", "C:\\Windows"],
  ["that is a drive", "C:\\"],
  ["that is a drive without its root", "C:"],
  ["that is a layer", "C:\\layers\\base"],
  ["that is a scratch of somebody else", THEIRS],
  ["that is the disk of somebody else", `${THEIRS}\\sandbox.vhdx`],
  ["on a share", "\\\\server\\share\\mnt"],
  ["that is a device", "\\\\.\\PhysicalDrive0"],
  ["that is a pipe", "\\\\.\\pipe\\docker_engine"],
  ["in the namespace of the kernel", "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume1"],
  ["that leads up", `${place("ours")}\\..\\theirs`],
  ["that leads up beyond the root", "C:\\..\\..\\data"],
  ["in another form", "\\\\?\\C:\\mnt\\theirs"],
  ["with other separators", "C:/mnt/theirs"],
  ["with a closing separator", `${place("theirs")}\\`],
  ["with a dot at its end", `${place("theirs")}.`],
  ["with a space at its end", `${place("theirs")} `],
  ["that is a stream", "C:\\data\\theirs.txt:stream"],
  ["that is the stream of a mark", `${place("theirs")}:hcs-layers.created`],
  ["of a reserved name", "C:\\mnt\\NUL"],
  ["of a reserved name with an extension", "C:\\mnt\\con.txt"],
  ["with a NUL", "C:\\mnt\\ours\0C:\\data"],
  ["with wildcards", "C:\\mnt\\*"],
  ["that is relative", "mnt\\theirs"],
  ["that is empty", ""],
  ["of 40,000 characters", `C:\\mnt\\${"x".repeat(40_000)}`],
  ["of 40,000 folders", `C:${"\\x".repeat(40_000)}`],
  ["that is a number", 7],
  ["that is nothing", null],
  ["that is a list", [place("theirs")]],
  ["that is an object", { toString: 1 }],
];

/** Fields of the first line, on a host with an image if the last says so. */
export const PLANTED: readonly (readonly [what: string, fields: Fields, ofImage?: boolean])[] = [
  ...PLACES.map(([what, path]) => [`a mount folder ${what}`, { volumeMountPath: path }] as const),
  ...PLACES.map(([what, path]) => [`a scratch ${what}`, { scratch: path, scratchId: undefined }] as const),
  ["a mount folder in the volume of somebody else", ({ volumes }) => ({ volumeMountPath: volumes.theirs + "x" })],
  ["a mount folder that is the volume of somebody else", ({ volumes }) => ({ volumeMountPath: volumes.theirs })],
  [
    "the scratch of somebody else",
    ({ records }) => ({ ...JSON.parse(first(records.theirs.text)), isPermanent: false }),
  ],
  ["the scratch that another tool has", { scratch: FOREIGN, scratchId: undefined }],
  ["a scratch that nobody has mounted", { scratch: MINE }],
  ["a scratch with the id of somebody else's", ({ records }) => {
    const { scratchId } = JSON.parse(first(records.theirs.text));
    return { scratchId };
  }],
  ["a scratch with an id of zeros", { scratchId: "0".repeat(48) }],
  ["a scratch with an id of ones", { scratchId: "f".repeat(48) }],
  ["a scratch with an id that is short", { scratchId: "0" }],
  ["a scratch with an id in capitals", ({ records }) => {
    const { scratchId } = JSON.parse(first(records.ours.text));
    return { scratchId: scratchId.toUpperCase() };
  }],
  ["a scratch with an id that is a number", { scratchId: 7 }],
  ["a scratch without an id", { scratchId: undefined }],
  ["a scratch in capitals", { scratch: OURS.toUpperCase() }],
  ["a new scratch that isn't", { isNewScratch: true }],
  ["new by a text", { isNewScratch: "true" }],
  ["new by a number", { isNewScratch: 1 }],
  ["permanent", { isPermanent: true }],
  ["permanent by a number", { isPermanent: 1 }],
  ["permanent by nothing", { isPermanent: null }],
  ["no layers", { layers: [] }],
  ["layers that are nothing", { layers: null }],
  ["layers that are a text", { layers: "C:\\layers\\base" }],
  ["layers that only have a length", { layers: { length: 1e9 } }],
  ["layers that are numbers", { layers: [1, 2] }],
  ["layers that are empty", { layers: ["", ""] }],
  ["layers with a NUL", { layers: ["C:\\layers\0"] }],
  ["100,000 layers", { layers: Array.from({ length: 1e5 }, (_, i) => `C:\\layers\\${i}`) }],
  ["another id", { id: "00000000-0000-0000-0000-000000000000" }],
  ["the id of somebody else", ({ records }) => ({ id: JSON.parse(first(records.theirs.text)).id })],
  ["an id that is empty", { id: "" }],
  ["an id that is a path", { id: "..\\..\\x" }],
  ["an id with control characters", { id: "\u001b[2J\r\n" }],
  ["a container that is a path", { container: "..\\..\\Windows" }],
  ["a container with a NUL", { container: "a\0b" }],
  ["a container of a million characters", { container: "x".repeat(1e6) }],
  ["version 0", { version: 0 }],
  ["version 2", { version: 2 }],
  ["version 2^53", { version: 2 ** 53 }],
  ["version one by a text", { version: "1" }],
  ["no version", { version: undefined }],
  ["a field that nobody knows", { later: { added: true } }],
  ["the process 0", { process: { pid: 0, start: "0" } }],
  ["the process -1", { process: { pid: -1, start: "0" } }],
  ["a process of 2^32", { process: { pid: 2 ** 32, start: "0" } }],
  ["a process of 2^32 more than one that lives", { process: { pid: 2 ** 32 + 1, start: "0" } }],
  ["a process beyond 2^53", { process: { pid: 2 ** 60, start: "0" } }],
  ["a process of half a number", { process: { pid: 1.5, start: "0" } }],
  ["a process that is a text", { process: "1" }],
  ["a process without a start", { process: { pid: 1 } }],
  ["a process that started as a number", { process: { pid: 1, start: 5 } }],
  ["a process with more", { process: { pid: 1, start: "5", boot: "x" } }],
  ["a time that is none", { since: "yesterday" }],
  ["a time that is a number", { since: 0 }],
  ["a time of a million characters", { since: "9".repeat(1e6) }],
  ["an image of plain folders", { cim: { image: "C:\\x.cim", volume: NO_VOLUME } }],
  ["an image with the volume of somebody's scratch", ({ volumes }) => ({
    cim: { image: "C:\\x.cim", volume: volumes.theirs },
  })],
  ["the image of somebody else", ({ records }) => ({ cim: JSON.parse(first(records.theirs.text)).cim }), true],
  ["an image with the volume of another tool's scratch", ({ volumes }) => ({
    cim: { image: "C:\\x.cim", volume: volumes.foreign },
  }), true],
  [
    "an image with its own scratch's volume",
    ({ volumes }) => ({ cim: { image: "C:\\x.cim", volume: volumes.ours } }),
    true,
  ],
  ["an image whose volume is a drive", { cim: { image: "C:\\x.cim", volume: "C:\\" } }, true],
  [
    "an image whose volume has no closing separator",
    { cim: { image: "C:\\x.cim", volume: NO_VOLUME.slice(0, -1) } },
    true,
  ],
  ["an image whose volume is no GUID", { cim: { image: "C:\\x.cim", volume: "\\\\?\\Volume{x}\\" } }, true],
  ["an image without a volume", { cim: { image: "C:\\x.cim" } }, true],
  ["an image with more", { cim: { image: "C:\\x.cim", volume: NO_VOLUME, scratch: THEIRS } }, true],
  ["an image that is a list", { cim: [] }, true],
  ["an image that is nothing", { cim: null }, true],
];

type Change = (setting: Setting) => void;

function write(
  name: string,
  of: "ours" | "theirs" | "foreign",
  change: (text: string) => string = (text) => text,
): Change {
  return ({ host, world }) => host.writeTextFile(`${MOUNTS}\\${name}`, change(world.records[of].text));
}

function at(place: "ours" | "theirs" | "foreign", of: "ours" | "theirs" | "foreign"): Change {
  return ({ host, world }) => host.writeTextFile(world.records[place].path, world.records[of].text);
}

/** Changes the second line of our record, or gives it one. */
function mountedAs(volume: (world: World) => string, fields: Readonly<Record<string, unknown>>): Change {
  return ({ host, world }) => {
    const { path, text } = world.records.ours;
    const line = JSON.stringify({ ...JSON.parse(first(text)), ...fields });
    host.writeTextFile(path, `${line}\n${JSON.stringify({ mounted: true, volume: volume(world) })}\n`);
  };
}

/** Our record says that it is complete, or about its scratch, and says more. */
const LATER: readonly (readonly [string, Change])[] = [
  ["mounted as the volume of somebody else", mountedAs(({ volumes }) => volumes.theirs, {})],
  ["mounted as the volume of another tool", mountedAs(({ volumes }) => volumes.foreign, {})],
  [
    "mounted as the volume of somebody else, and where that is",
    mountedAs(({ volumes }) => volumes.theirs, { volumeMountPath: place("theirs") }),
  ],
  [
    "mounted as the volume of another tool, and where that is",
    mountedAs(({ volumes }) => volumes.foreign, { volumeMountPath: place("foreign") }),
  ],
  [
    "mounted as a volume that is gone, where somebody else is",
    mountedAs(() => NO_VOLUME, { volumeMountPath: place("theirs") }),
  ],
  ["a half one where somebody else is", ({ host, world: { records: { ours } } }) => {
    const fields = { ...JSON.parse(first(ours.text)), volumeMountPath: place("theirs") };
    host.writeTextFile(ours.path, `${JSON.stringify(fields)}\n`);
  }],
  ["a half one of a scratch that was there", ({ host, world: { records: { ours } } }) => {
    host.writeTextFile(ours.path, `${JSON.stringify({ ...JSON.parse(first(ours.text)), isNewScratch: true })}\n`);
  }],
];

/** Where records are, or what is there instead. */
export const FILES: readonly (readonly [what: string, change: Change])[] = [
  ...LATER,
  ["a copy under another name", write("x.jsonl", "ours")],
  ["a copy under an empty name", write(".jsonl", "ours")],
  ["a copy under a name in capitals", write("X.JSONL", "ours")],
  ["a copy under a name with spaces", write("a b.jsonl", "ours")],
  ["a copy under a long name", write(`${"x".repeat(200)}.jsonl`, "ours")],
  ["a copy with another extension", write("x.jsonl.bak", "ours")],
  ["a copy of somebody else's under another name", write("x.jsonl", "theirs", (text) => text.replace("true", "false"))],
  ["a record of another tool's mount under another name", write("x.jsonl", "foreign")],
  ["somebody else's in place of ours", at("ours", "theirs")],
  ["ours in place of somebody else's", at("theirs", "ours")],
  ["ours in place of another tool's", at("foreign", "ours")],
  ["another tool's in place of ours", at("ours", "foreign")],
  ["a record of what another tool has, of another folder", at("foreign", "foreign")],
  ["a hundred copies", (setting) => {
    for (let i = 0; i < 100; i++) write(`${i}.jsonl`, "ours")(setting);
  }],
  ["a file that is no record", ({ host }) => host.writeTextFile(`${MOUNTS}\\notes.txt`, "x")],
  ["a folder in place of a record", ({ host, world }) => {
    host.remove(world.records.ours.path);
    host.mkdir(world.records.ours.path);
  }],
  ["a folder with the extension of a record", ({ host }) => host.mkdir(`${MOUNTS}\\x.jsonl\\y`)],
  ["a junction in place of a record", ({ host, world }) => {
    host.remove(world.records.ours.path);
    host.addJunction(world.records.ours.path, "C:\\data");
  }],
  ["a link to a file of others in place of a record", ({ host, world }) => {
    host.remove(world.records.ours.path);
    host.addSymbolicLink(world.records.ours.path, "C:\\data\\theirs.txt");
  }],
  ["a link to nothing in place of a record", ({ host, world }) => {
    host.remove(world.records.ours.path);
    host.addSymbolicLink(world.records.ours.path, "C:\\nothing");
  }],
  ["no record", ({ host, world }) => host.remove(world.records.ours.path)],
];

function instead(path: string, make: (setting: Setting) => void): Change {
  return (setting) => {
    if (setting.host.exists(path)) setting.host.remove(path);
    make(setting);
  };
}

/** What the folder of records is. */
export const FOLDERS: readonly (readonly [what: string, change: Change])[] = [
  ["no folder", ({ host }) => host.remove(FOLDER)],
  ["no folder of mounts", ({ host }) => host.remove(MOUNTS)],
  ["a folder that users made", instead(FOLDER, ({ host }) => host.addFolder(MOUNTS))],
  ["a folder of mounts that users made", instead(MOUNTS, ({ host }) => host.addFolder(MOUNTS))],
  [
    "a folder with records that users made",
    instead(FOLDER, ({ host, world: { records: { theirs } } }) => {
      host.addFolder(MOUNTS);
      host.writeTextFile(theirs.path, theirs.text.replace('"isPermanent":true', '"isPermanent":false'));
    }),
  ],
  ["a file in place of the folder", instead(FOLDER, ({ host }) => host.addFile(FOLDER, "x"))],
  ["a file in place of the folder of mounts", instead(MOUNTS, ({ host }) => host.addFile(MOUNTS, "x"))],
  ["a junction in place of the folder", instead(FOLDER, ({ host }) => host.addJunction(FOLDER, "C:\\empty"))],
  ["a junction in place of the folder of mounts", instead(MOUNTS, ({ host }) => host.addJunction(MOUNTS, "C:\\empty"))],
  ["a folder in place of the locks", instead(`${FOLDER}\\locks`, ({ host }) => host.mkdir(`${FOLDER}\\locks`))],
  [
    "a junction in place of the locks",
    instead(
      `${FOLDER}\\locks`,
      ({ host }) => host.addJunction(`${FOLDER}\\locks`, "C:\\data"),
    ),
  ],
  [
    "a link to a file of others in place of the locks",
    instead(
      `${FOLDER}\\locks`,
      ({ host }) => host.addSymbolicLink(`${FOLDER}\\locks`, "C:\\data\\theirs.txt"),
    ),
  ],
  ["no locks", instead(`${FOLDER}\\locks`, () => {})],
];
