// The layer in an image: its entries, as those of tars and folders are.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  type CimSource,
  FormatError,
  type LayerEntry,
  layerOfCim,
  lintLayer,
  openCim,
  readLayerTar,
} from "../../../src/files/mod.ts";
import { SYMLINK_TAG, writeLayerTar } from "../../../src/files/mod.ts";
import { Bytes, type CimNode, numbers, writeCim } from "../../support/cim_writer.ts";
import { hex, inMemory, patch, sample } from "./samples.ts";

const GUID = "00112233-4455-6677-8899-0000000000d0";

function image(children: Readonly<Record<string, CimNode>>): CimSource {
  return inMemory(writeCim({ children: new Map(Object.entries(children)) }, { guid: GUID, countStreams: true }).files);
}

const bytes = (text: string) => new TextEncoder().encode(text);
const units = (text: string) => numbers(...[...text].map((char) => [2, char.charCodeAt(0)] as const));

function symlink(target: string): Uint8Array {
  const names = new Bytes().add(units(target), units(target)).bytes;
  const half = names.length / 2;
  const head = numbers([4, SYMLINK_TAG], [2, names.length + 12], [2, 0], [2, 0], [2, half], [2, half], [2, half], [
    4,
    1,
  ]);
  return new Bytes().add(head, names).bytes;
}

async function entriesOf(source: CimSource): Promise<[LayerEntry, contents: string][]> {
  await using open = await openCim(source);
  return await Array.fromAsync(layerOfCim(open).entries(), async (entry): Promise<[LayerEntry, string]> => [
    entry,
    await new Response(entry.contents() as ReadableStream<Uint8Array<ArrayBuffer>>).text(),
  ]);
}

const LAYER: Readonly<Record<string, CimNode>> = (() => {
  const shared = { contents: bytes("shared"), flags: 8, times: [5n, 6n, 7n, 8n] } as const;
  const security = numbers([1, 1], [1, 0], [2, 0x8004], [8, 0], [8, 0]);
  const attributes = new Bytes().add(numbers([4, 0], [1, 0x80], [1, 2], [2, 1]), bytes("EA\0v")).bytes;
  return {
    Files: {
      children: new Map<string, CimNode>([
        ["a.txt", shared],
        ["b", { children: new Map([["again.txt", shared]]), flags: 2, securityDescriptor: security }],
        ["link", { reparse: symlink("b\\again.txt") }],
        ["with", { contents: bytes("x"), extendedAttributes: attributes, streams: new Map([["s", bytes("stream")]]) }],
      ]),
    },
  };
})();

Deno.test("layerOfCim() gives files, folders, links, streams and reparse points", async () => {
  const entries = await entriesOf(image(LAYER));
  const facts = entries.map(([{ type, path, size, target, reparse, attributes }, contents]) => [
    type,
    path,
    size,
    attributes,
    target ?? reparse?.target,
    contents,
  ]);
  assertEquals(facts, [
    ["folder", "Files", 0, 0x10, undefined, ""],
    ["file", "Files/a.txt", 6, 0x20, undefined, "shared"],
    ["folder", "Files/b", 0, 0x12, undefined, ""],
    ["link", "Files/b/again.txt", 0, undefined, "Files/a.txt", ""],
    ["reparse", "Files/link", 0, 0x400, "b\\again.txt", ""],
    ["file", "Files/with", 1, 0, undefined, "x"],
    ["stream", "Files/with:s", 6, undefined, undefined, "stream"],
  ]);
  const [file, folder, last] = [1, 2, 5].map((n) => entries[n]![0]);
  assertEquals(file!.times, { creation: 5n, write: 6n, change: 7n, access: 8n });
  assertEquals(hex(folder!.securityDescriptor!), "0100048000000000000000000000000000000000");
  assertEquals(last!.extendedAttributes, [{ name: "EA", flags: 0x80, value: bytes("v") }]);
});

Deno.test("the layer in an image can be written as a tar, and is the same read from there", async () => {
  await using open = await openCim(image(LAYER));
  const tar = await new Response(
    writeLayerTar(layerOfCim(open).entries()) as ReadableStream<Uint8Array<ArrayBuffer>>,
  ).bytes();
  const facts = ({ type, path, size, attributes, target }: LayerEntry) => [type, path, size, attributes, target];
  const read = await Array.fromAsync(readLayerTar(new Blob([tar]).stream()), facts);
  const links = (list: unknown[][]) => list.filter(([type]) => type !== "link" && type !== "stream");
  assertEquals(links(read), links((await entriesOf(image(LAYER))).map(([entry]) => facts(entry))));
});

Deno.test("layerOfCim() tells of what is wrong, or ends with it", async () => {
  const files = sample("tiny");
  patch(files, "region_00112233-4455-6677-8899-000000000001_0", 131176, [0xe7, 3]);
  await using open = await openCim(inMemory(files));
  const error = await assertRejects(() => Array.fromAsync(layerOfCim(open).entries()), FormatError);
  assertEquals([error.entry, error.offset], ["\\dir", 131176]);
  const findings: unknown[] = [];
  await Array.fromAsync(layerOfCim(open).entries({ onFinding: (finding) => findings.push(finding) }));
  assertEquals(findings, [
    { severity: "error", rule: "format", problem: error.message, path: "\\dir", offset: 131176 },
  ]);
});

Deno.test("lintLayer() finds names in an image that Windows can't have", async () => {
  const contents = new Uint8Array();
  const names = ["a.", "con", "good", "x\u001by"].map((name) => [name, { contents }] as const);
  await using open = await openCim(image({ Files: { children: new Map(names) }, Hives: { children: new Map() } }));
  const found = await Array.fromAsync(lintLayer(layerOfCim(open)));
  assertEquals(found.filter(({ rule }) => rule === "path").map(({ path, problem }) => [path, problem]), [
    ["Files/a.", "its path has a name that ends in a dot or space"],
    ["Files/con", "its path has the name of a device"],
    ["Files/x\u001by", "its path has a character that Windows doesn't allow"],
  ]);
});

Deno.test("an image whose paths fill the memory is refused", async () => {
  const contents = new Uint8Array();
  const files = Array.from({ length: 8500 }, (_, i) => [`${10_000 + i}`, { contents }] as const);
  let node: CimNode = { children: new Map(files) };
  for (let depth = 0; depth < 125; depth++) node = { children: new Map([["x".repeat(255), node]]) };
  await using open = await openCim(inMemory(writeCim(node, { guid: GUID }).files));
  const error = await assertRejects(
    async () => {
      for await (const _ of layerOfCim(open).entries());
    },
    FormatError,
    `its paths have more than ${2 ** 28} characters`,
  );
  assertEquals(error.reason, "limit");
});

Deno.test("layerOfCim() ends once it is aborted", async () => {
  await using open = await openCim(image(LAYER));
  const signal = AbortSignal.abort();
  await assertRejects(() => Array.fromAsync(layerOfCim(open).entries({ signal })), DOMException);
});
