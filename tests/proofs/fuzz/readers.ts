/**
 * What is read of files and buffers that others have made: damaged databases, lists and descriptors.
 *
 * @module
 */

import { type Bucket, openDatabase } from "../../../src/nodes/bbolt.ts";
import { snapshotsIn } from "../../../src/nodes/containerd.ts";
import { parentsInChain } from "../../../src/nodes/docker.ts";
import { recordIn } from "../../../src/records/record.ts";
import type { Random } from "../../support/random.ts";
import { type Case, complaintAbout, type Part, pick } from "./case.ts";
import { LINES } from "./record_data.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const DATABASES = ["bbolt-branches", "containerd-windows", "containerd-cimfs", "containerd-nerdctl"]
  .map((name) => Deno.readFileSync(new URL(`../../nodes/data/${name}.metadata.db`, import.meta.url)));
const CHAIN = JSON.stringify(["C:\\docker\\windowsfilter\\a", "C:\\docker\\windowsfilter\\b"]);
const PAGE = 4096;

// More entries than any of the databases has.
const MOST_ENTRIES = 100_000;

function walk(bucket: Bucket): void {
  let left = MOST_ENTRIES;
  const into = (one: Bucket): void => {
    for (const [, value] of one.entries()) {
      if (--left === 0) throw new Error("has entries without an end");
      if (!(value instanceof Uint8Array)) into(value);
    }
  };
  into(bucket);
}

function reading(what: string, ...reads: readonly (() => unknown)[]): Case {
  return {
    what: `readers: ${what}`,
    run: () =>
      reads.flatMap((read) => {
        try {
          read();
          return [];
        } catch (error) {
          return complaintAbout("reading", error);
        }
      }),
  };
}

function ofDatabase(what: string, bytes: Bytes): Case {
  return reading(`a database, ${what}`, () => walk(openDatabase(bytes)), () => snapshotsIn(bytes));
}

function ofText(what: string, text: string): Case {
  return reading(what, () => parentsInChain(text), () => recordIn(`${text}\n`, "C:\\x"));
}

/** Changes a copy of a database. */
function changed(change: (view: DataView, bytes: Bytes) => void): Bytes {
  const bytes = DATABASES[0]!.slice();
  change(new DataView(bytes.buffer), bytes);
  return bytes;
}

const page = (i: number) => i * PAGE;

const BY_HAND: readonly Case[] = [
  ofDatabase("empty", new Uint8Array()),
  ofDatabase("zeros", new Uint8Array(16 * PAGE)),
  ofDatabase("ones", new Uint8Array(16 * PAGE).fill(0xff)),
  ...[1, 16, 79, 80, 4095, 4096, 8191, 8192, 12288].map((length) =>
    ofDatabase(`cut to ${length} bytes`, DATABASES[0]!.slice(0, length))
  ),
  ...[2, 3, 4, 5].flatMap((i) => [
    ofDatabase(`page ${i} with 65,535 entries`, changed((view) => view.setUint16(page(i) + 10, 0xffff, true))),
    ofDatabase(`page ${i} with 2^32 further pages`, changed((view) => view.setUint32(page(i) + 12, 0xffffffff, true))),
    ofDatabase(`page ${i} of a kind that nobody knows`, changed((view) => view.setUint16(page(i) + 8, 0xff, true))),
    ofDatabase(`page ${i} of both kinds`, changed((view) => view.setUint16(page(i) + 8, 3, true))),
    ofDatabase(`page ${i} with another number`, changed((view) => view.setBigUint64(page(i), 2n ** 63n, true))),
    ofDatabase(
      `page ${i} with a first entry of 4 GB`,
      changed((view) => view.setUint32(page(i) + 24, 0xffffffff, true)),
    ),
    ofDatabase(`page ${i} zeros`, changed((_, bytes) => bytes.fill(0, page(i), page(i + 1)))),
    ofDatabase(
      `page ${i} in place of the next`,
      changed((_, bytes) => bytes.copyWithin(page(i + 1), page(i), page(i + 1))),
    ),
  ]),
  ...[
    "",
    " ",
    "null",
    "[]",
    "{}",
    "[null]",
    "[1]",
    '"C:\\\\x"',
    '[["C:\\\\x"]]',
    "\0\0\0\0",
    "[",
    '["C:\\\\x",]',
    "\ufeff[]",
  ]
    .map((text) => ofText(`the chain ${JSON.stringify(text)}`, text)),
  ofText("a chain of 100,000 lists in lists", "[".repeat(1e5) + "]".repeat(1e5)),
  ofText("a chain of 100,000 layers", JSON.stringify(Array(1e5).fill("C:\\x"))),
  ofText("a chain of a layer of 10 MB", JSON.stringify(["x".repeat(1e7)])),
];

function damaged(bytes: Bytes, random: Random): { readonly bytes: Bytes; readonly what: string } {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const changes: string[] = [];
  for (let n = 1 + random(6); n > 0; n--) {
    const at = random(3) === 0 ? random(copy.byteLength) : page(random(copy.byteLength / PAGE)) + random(96);
    const [way, value] = [random(5), random(256)];
    changes.push(`${way} ${at} ${value}`);
    if (way === 0) copy[at]! ^= 1 << (value & 7);
    else if (way === 1) copy[at] = value;
    else if (way === 2 && at + 4 <= copy.byteLength) {
      view.setUint32(at, pick([0, 1, 0x7fffffff, 0xffffffff], random), true);
    } else if (way === 3) copy.copyWithin(page(random(8)), page(random(8)), page(random(8)) + PAGE);
    else copy.fill(value, at, at + random(64));
  }
  return { bytes: random(8) === 0 ? copy.slice(0, random(copy.byteLength)) : copy, what: changes.join(", ") };
}

/** The part of the proof. */
export function readersPart(): Part {
  return {
    name: "readers",
    byHand: BY_HAND,
    share: 55,
    generated(random) {
      if (random(2) === 0) {
        const i = random(DATABASES.length);
        const { bytes, what } = damaged(DATABASES[i]!, random);
        return ofDatabase(`${i}, ${what}`, bytes);
      }
      const text = [...random(2) === 0 ? CHAIN : pick(LINES, random)];
      for (let n = random(4); n >= 0; n--) {
        text.splice(random(text.length + 1), random(3), pick([...'[]{},:"\\0e-\0x'], random));
      }
      return ofText(`the text ${JSON.stringify(text.join(""))}`, text.join(""));
    },
  };
}
