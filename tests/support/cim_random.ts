/**
 * Random trees for images, and what reading them has to give.
 *
 * @module
 */

import type { CimNode } from "./cim_writer.ts";
import { Bytes, compareNames, numbers, UPCASE } from "./cim_writer.ts";
import type { Random } from "./random.ts";

const LETTERS = ["a", "B", "z", "Z", "é", "ß", "ı", " x", "-", "\ue000", "\uff21", "\ud800", "\u{1f600}", "日", "9"];
const MOST_ENTRIES = 60;

/** What an entry of an image is, as the writer was told. */
export interface ExpectedEntry {
  readonly path: string;
  readonly node: CimNode;
}

/** A tree that is drawn: some of its files have several names. `old` are nodes of the image that it is made from. */
export function randomTree(random: Random, old: readonly CimNode[] = []): CimNode {
  const files: CimNode[] = old.filter(({ children }) => children === undefined);
  // None of these is in another one.
  const folders = old.filter(({ children }) => children && ![...children.values()].some(({ children }) => children));
  let left = random(MOST_ENTRIES);
  const folder = (depth: number): CimNode => {
    const children = new Map<string, CimNode>();
    const names = new Set<string>();
    for (let count = random(8); count > 0 && left > 0; count--) {
      const name = randomName(random);
      if (names.has(upcase(name))) continue;
      names.add(upcase(name));
      left--;
      const kept = folders.length > 0 && random(4) === 0 ? folders.pop() : undefined;
      if (kept !== undefined) children.set(name, kept);
      else if (depth < 12 && random(3) === 0) children.set(name, folder(depth + 1));
      else if (files.length > 0 && random(6) === 0) children.set(name, files[random(files.length)]!);
      else children.set(name, randomFile(random, files));
    }
    return { children, ...randomMetadata(random) };
  };
  return folder(0);
}

/** All that is in a tree, in the order in which an image has it. */
export function entriesOf(root: CimNode): ExpectedEntry[] {
  const all: ExpectedEntry[] = [];
  const add = (node: CimNode, path: string): void => {
    for (const [name, child] of [...node.children ?? []].sort(([a], [b]) => compareNames(a, b))) {
      all.push({ path: `${path}\\${name}`, node: child });
      add(child, `${path}\\${name}`);
    }
  };
  add(root, "");
  return all;
}

/** All nodes of a tree but the root. */
export function nodesOf(root: CimNode): CimNode[] {
  return entriesOf(root).map(({ node }) => node);
}

/** Contents of a node. */
export function contentsOf({ contents, zeros }: CimNode): Uint8Array {
  return zeros === undefined ? contents ?? new Uint8Array() : new Uint8Array(zeros);
}

function randomName(random: Random): string {
  return Array.from({ length: 1 + random(5) }, () => LETTERS[random(LETTERS.length)]).join("");
}

function upcase(name: string): string {
  return Array.from({ length: name.length }, (_, i) => String.fromCharCode(UPCASE[name.charCodeAt(i)]!)).join("");
}

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

const SIZES = [0, 1, 5, 100, 4095, 4096, 5000];

function randomFile(random: Random, files: CimNode[]): CimNode {
  const contents = randomBytes(random, SIZES[random(SIZES.length)]!);
  const kind = random(8);
  const file = {
    ...randomMetadata(random),
    ...(kind === 0 && { zeros: random(2) === 0 ? 0 : random(100_000) }),
    ...(kind === 1 && contents.length > 0 ? randomExecutable(random, contents) : kind > 0 && { contents }),
  };
  files.push(file);
  return file;
}

// The parts of a file, apart from each other as in memory.
function randomExecutable(random: Random, contents: Uint8Array): CimNode {
  const image = new Bytes();
  const mappings: [number, number][] = [];
  const starts = [...new Set([0, ...Array.from({ length: random(4) }, () => random(contents.length))])].sort((a, b) =>
    a - b
  );
  starts.forEach((start, n) => {
    image.add(new Uint8Array(n === 0 ? 0 : random(3) * 512));
    if (start > 0) mappings.push([start, image.length - start]);
    image.add(contents.subarray(start, starts[n + 1]));
  });
  return { contents, executable: { image: image.bytes, length: contents.length, mappings } };
}

function randomMetadata(random: Random): CimNode {
  return {
    flags: random(32),
    times: [BigInt(random(2 ** 31)) << 32n, BigInt(random(2 ** 31)), 0n, 2n ** 63n - 1n],
    ...(random(2) === 0 && { securityDescriptor: SECURITIES[random(SECURITIES.length)]! }),
    ...(random(6) === 0 && { extendedAttributes: randomAttributes(random) }),
    ...(random(6) === 0 && { reparse: randomReparse(random) }),
    ...(random(6) === 0 && {
      streams: new Map(
        Array.from({ length: random(3) }, (_, n) => [`${n}${randomName(random)}`, randomBytes(random, random(5000))]),
      ),
    }),
  };
}

const NULL_SECURITY = numbers([1, 1], [1, 0], [2, 0x8004], [8, 0], [8, 0]);
const SYSTEM = numbers([1, 1], [1, 1], [2, 0], [4, 0x05000000], [4, 18]);
const SECURITIES = [
  NULL_SECURITY,
  new Bytes().add(numbers([1, 1], [1, 0], [2, 0x8000], [4, 20], [4, 32], [8, 0]), SYSTEM, SYSTEM).bytes,
];

function randomAttributes(random: Random): Uint8Array {
  const count = 1 + random(3);
  const list = new Bytes();
  for (let n = 0; n < count; n++) {
    const [name, value] = [new TextEncoder().encode(`NAME${n}`), randomBytes(random, random(40))];
    const length = 8 + name.length + 1 + value.length;
    const aligned = Math.ceil(length / 4) * 4;
    list.add(numbers([4, n === count - 1 ? 0 : aligned], [1, 0x80 * random(2)], [1, name.length], [2, value.length]));
    list.add(name, new Uint8Array(1), value, new Uint8Array(aligned - length));
  }
  return list.bytes;
}

function randomReparse(random: Random): Uint8Array {
  const data = randomBytes(random, random(30));
  return new Bytes().add(numbers([4, 0x80000018], [2, data.length], [2, 0]), data).bytes;
}
