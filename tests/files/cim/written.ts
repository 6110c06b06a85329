// Random images that are written and read: what differs.
import { parseAttributes } from "../../../src/files/backup/extended_attributes.ts";
import { type CimEntry, openCim, streamOf } from "../../../src/files/mod.ts";
import { contentsOf, entriesOf, nodesOf, randomTree } from "../../support/cim_random.ts";
import { type CimNode, writeCim, type WrittenCim } from "../../support/cim_writer.ts";
import type { Random } from "../../support/random.ts";
import { faultsOf, hex, inMemory } from "./samples.ts";

const GUIDS = ["00112233-4455-6677-8899-0000000000f0", "00112233-4455-6677-8899-0000000000f1"] as const;

/** An image that is drawn, and made from another one or not. */
export function randomImage(random: Random): { readonly image: WrittenCim; readonly root: CimNode } {
  const first = randomTree(random);
  const options = { recordSize: [88, 96, 104][random(3)]!, countStreams: random(2) === 0 };
  const parent = writeCim(first, { guid: GUIDS[0], name: "parent.cim", ...options });
  if (random(3) > 0) return { image: withName(parent), root: first };
  const root = randomTree(random, nodesOf(first));
  return { image: writeCim(root, { guid: GUIDS[1], parent, ...options }), root };
}

// Its header under the name that images have here.
function withName(image: WrittenCim): WrittenCim {
  const files = new Map(image.files);
  files.set("image.cim", files.get("parent.cim")!);
  return { ...image, files };
}

/** What reading an image gives otherwise than it was written. */
export async function differences(random: Random): Promise<string[]> {
  const { image, root } = randomImage(random);
  const wrong: string[] = [];
  await using read = await openCim(inMemory(image.files));
  const expected = entriesOf(root);
  let index = 0;
  for await (const entry of read.walk()) {
    const one = expected[index++];
    if (one === undefined || one.path !== entry.path) return [`${entry.path} is read in place of ${one?.path}`];
    const facts = [await factsRead(entry), factsWritten(one.node, image)];
    const name = Object.keys(facts[0]!).find((key) => facts[0]![key] !== facts[1]![key]);
    if (name !== undefined) wrong.push(`${entry.path}: ${name} is ${facts[0]![name]}, and ${facts[1]![name]} written`);
    const found = await read.entry(largeAscii(entry.path));
    if (found?.id !== entry.id) wrong.push(`${entry.path} isn't found`);
  }
  if (index < expected.length) wrong.push(`${expected[index]!.path} isn't read`);
  const errors = (await faultsOf(image.files)).filter(({ severity }) => severity === "error");
  return [...wrong, ...errors.map(({ problem, entry }) => `${entry} ${problem}`)];
}

function largeAscii(path: string): string {
  return path.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase());
}

type Facts = Readonly<Record<string, string>>;

async function factsRead(entry: CimEntry): Promise<Facts> {
  const { creation, write, change, access } = entry.times;
  const streams = await Array.fromAsync(
    entry.streams(),
    async ({ name, size }) => [name, size, await bytesOf(entry, name)],
  );
  return {
    id: String(entry.id),
    folder: String(entry.isFolder),
    attributes: String(entry.attributes),
    size: String(entry.size),
    times: String([creation, write, change, access]),
    contents: entry.isFolder ? "" : await bytesOf(entry),
    security: hex(await entry.securityDescriptor() ?? new Uint8Array()),
    reparse: hex(await entry.reparseData() ?? new Uint8Array()),
    attributeList: JSON.stringify(
      (await entry.extendedAttributes()).map(({ name, flags, value }) => [name, flags, hex(value)]),
    ),
    streams: String(streams),
  };
}

function factsWritten(node: CimNode, { ids }: WrittenCim): Facts {
  const { children, extendedAttributes, flags = 0, reparse, securityDescriptor, streams, times } = node;
  const contents = contentsOf(node);
  const bits = [[1, 1], [2, 2], [4, 4], [8, 0x20], [16, 0x200]] as const;
  const attributes = bits.reduce((all, [flag, bit]) => all + (flags & flag && bit), 0);
  const list = extendedAttributes === undefined ? [] : parseAttributes(extendedAttributes);
  return {
    id: String(ids.get(node)),
    folder: String(children !== undefined),
    attributes: String(attributes + (children && 0x10 || 0) + (reparse && 0x400 || 0)),
    size: String(children === undefined ? contents.length : 0),
    times: String(times),
    contents: children === undefined ? hex(contents) : "",
    security: hex(securityDescriptor ?? new Uint8Array()),
    reparse: hex(reparse ?? new Uint8Array()),
    attributeList: JSON.stringify(list.map(({ name, flags, value }) => [name, flags, hex(value)])),
    streams: String([...streams ?? []].map(([name, bytes]) => [name, bytes.length, hex(bytes)])),
  };
}

async function bytesOf(entry: CimEntry, stream?: string): Promise<string> {
  return hex(await new Response(streamOf(await entry.contents(stream))).bytes());
}
