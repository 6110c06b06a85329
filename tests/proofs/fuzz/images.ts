/**
 * CIM images that are damaged, and images that are written and read.
 *
 * @module
 */

import { checkCim, type CimFolder, type CimImage, filesOfCim, fromBytes, openCim } from "../../../src/files/mod.ts";
import { FOLDERS, sample } from "../../files/cim/samples.ts";
import { differences, randomImage } from "../../files/cim/written.ts";
import { type Random, sequence } from "../../support/random.ts";
import { type Case, complaintAbout, type Part, pick } from "./case.ts";

type Files = ReadonlyMap<string, Uint8Array>;

interface Original {
  readonly files: Files;
  readonly name: string;
}

// Of what follows the table of upper case in the region that it is in, each byte matters.
const UPCASE_END = 40 + 2 * 65536;
const MOST_ENTRIES = 2_000;
// Those of a folder and a file of each entry, and of all checks.
const MOST_READS = 100_000;
const LARGEST_READ = 64 * 1024;
const DRAWN_IMAGES = 20;

/** Damaged images. */
export function imagesPart(): Part {
  const samples = FOLDERS.flatMap((folder) => {
    const files = sample(folder);
    return [...files.keys()].filter((name) => name.endsWith(".cim")).map((name) => ({ files, name }));
  });
  const drawn = Array.from({ length: DRAWN_IMAGES }, (_, stream) => ({
    files: randomImage(sequence(1, stream)).image.files,
    name: "image.cim",
  }));
  return {
    name: "damaged images",
    byHand: samples.flatMap(byHand),
    share: 59,
    generated: (random) => damaged(pick([...samples, ...drawn], random), random),
  };
}

/** Images that are drawn, written and read. */
export function writtenImagesPart(): Part {
  return {
    name: "images that are written and read",
    byHand: [],
    share: 1,
    generated: (random) => ({ what: "an image", run: () => differences(random) }),
  };
}

// Each file empty, cut in the middle, full of zeros, and of ones.
function byHand({ files, name }: Original): Case[] {
  return [...files].filter(([file]) => !file.endsWith(".json")).flatMap(([file, bytes]) => [
    reading(`${name}: ${file} empty`, with_(files, file, new Uint8Array()), name),
    reading(`${name}: ${file} cut`, with_(files, file, bytes.subarray(0, bytes.length >> 1)), name),
    reading(`${name}: ${file} of zeros`, with_(files, file, new Uint8Array(bytes.length)), name),
    reading(`${name}: ${file} of ones`, with_(files, file, new Uint8Array(bytes.length).fill(255)), name),
  ]);
}

function with_(files: Files, file: string, bytes: Uint8Array): Files {
  return new Map(files).set(file, bytes);
}

function damaged({ files, name }: Original, random: Random): Case {
  const changed = new Map(files);
  const names = [...files.keys()].filter((file) => file.startsWith("region_") || file === name);
  const what: string[] = [];
  for (let count = 1 + random(4); count > 0; count--) {
    // Most of what matters is in the first region.
    const file = random(4) === 0 ? pick(names, random) : pick(names.filter((file) => /_0$/.test(file)), random);
    const bytes = changed.get(file)!.slice();
    if (bytes.length === 0) continue;
    if (random(20) === 0) {
      const length = random(bytes.length);
      changed.set(file, bytes.subarray(0, length));
      what.push(`${file} cut to ${length}`);
      continue;
    }
    const begin = bytes.length > UPCASE_END && random(20) > 0 ? UPCASE_END : 0;
    const at = begin + random(bytes.length - begin);
    const value = damage(bytes, at, random);
    changed.set(file, bytes);
    what.push(`${file} at ${at}: ${value}`);
  }
  return reading(
    `${name} of ${[...files.keys()].find((file) => file.startsWith("region_"))}: ${what.join(", ")}`,
    changed,
    name,
  );
}

// A byte, a bit, a number that is small, huge or close to what it was, or what is elsewhere.
function damage(bytes: Uint8Array, at: number, random: Random): string {
  const view = new DataView(bytes.buffer);
  const even = at - at % 4;
  switch (even + 8 <= bytes.length ? random(6) : random(2)) {
    case 0:
      bytes[at] = random(256);
      return `${bytes[at]}`;
    case 1:
      bytes[at]! ^= 1 << random(8);
      return `${bytes[at]}`;
    case 2: {
      const value = pick([0, 1, 2, 7, 8, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 0x10000000], random);
      view.setUint32(even, value, true);
      return `u32 ${value}`;
    }
    case 3: {
      const value = view.getUint32(even, true) + random(9) - 4;
      view.setUint32(even, value, true);
      return `u32 ${value}`;
    }
    case 4: {
      const from = random(bytes.length >> 2) * 4;
      bytes.copyWithin(even, from, from + 8);
      return `what is at ${from}`;
    }
    default: {
      const value = pick([2n ** 64n - 1n, 2n ** 48n, 2n ** 47n, 2n ** 48n - 1n, 40n, 1n << 56n], random);
      view.setBigUint64(even, value, true);
      return `u64 ${value}`;
    }
  }
}

class EndlessError extends Error {}

/** A folder that tells how much is read of its files, and ends what reads without end. */
class CountingFolder implements CimFolder {
  readonly #files: Files;
  open_ = 0;
  reads = 0;
  largest = 0;

  constructor(files: Files) {
    this.#files = files;
  }

  open(name: string) {
    const bytes = this.#files.get(name);
    if (bytes === undefined) return Promise.resolve(undefined);
    const source = fromBytes(bytes, name);
    this.open_++;
    return Promise.resolve({
      name,
      size: source.size,
      read: (at: number, into: Uint8Array) => {
        if (++this.reads > MOST_READS) throw new EndlessError(`more than ${MOST_READS} reads`);
        this.largest = Math.max(this.largest, into.byteLength);
        return source.read(at, into);
      },
      [Symbol.dispose]: () => void this.open_--,
    });
  }

  names(): Promise<string[]> {
    return Promise.resolve([...this.#files.keys()]);
  }
}

function reading(what: string, files: Files, name: string): Case {
  return {
    what,
    async run() {
      const folder = new CountingFolder(files);
      const doings = {
        list: () => filesOfCim({ folder, name }),
        check: () => check(folder, name),
        read: () => read(folder, name),
      };
      const wrong: string[] = [];
      for (const [doing, work] of Object.entries(doings)) {
        try {
          await work();
        } catch (error) {
          wrong.push(...complaintAbout(doing, error));
        }
      }
      if (folder.largest > LARGEST_READ) wrong.push(`${folder.largest} bytes are read at a time`);
      if (folder.open_ > 0) wrong.push(`${folder.open_} files stay open`);
      return wrong;
    },
  };
}

async function check(folder: CimFolder, name: string): Promise<void> {
  let left = 20 * MOST_ENTRIES;
  for await (const _ of checkCim({ folder, name }, { mostEntries: MOST_ENTRIES })) {
    if (--left === 0) throw new EndlessError("it tells without end");
  }
}

async function read(folder: CimFolder, name: string): Promise<void> {
  await using image = await openCim({ folder, name });
  await walk(image);
}

// What is wrong with one entry isn't in the way of the next one.
async function walk(image: CimImage): Promise<void> {
  const into = new Uint8Array(4096);
  for await (const entry of image.walk({ mostEntries: MOST_ENTRIES })) {
    const reads = [
      () => entry.securityDescriptor(),
      () => entry.reparseData(),
      () => entry.extendedAttributes(),
      async () => {
        let left = MOST_ENTRIES;
        for await (const _ of entry.streams()) if (--left === 0) break;
      },
      async () => {
        const contents = await entry.contents();
        await contents.read(0, into);
        await contents.read(Math.max(contents.size - 10, 0), into);
      },
    ];
    for (const one of reads) {
      try {
        await one();
      } catch (error) {
        if (complaintAbout("", error).length > 0) throw error;
      }
    }
  }
}
