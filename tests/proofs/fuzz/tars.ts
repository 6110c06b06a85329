/**
 * Tars of layers that are damaged, and tars that are written and read.
 *
 * @module
 */

import {
  fromBytes,
  layerOfTar,
  lintLayer,
  mergeLayers,
  type RandomAccess,
  readTar,
  wrapFiles,
} from "../../../src/files/mod.ts";
import { HOSTILE_TARS } from "../../files/tar/hostile_tars.ts";
import { randomLayer, roundTripFaults } from "../../files/tar/random_layer.ts";
import { bytesOf, gzip } from "../../files/tar/tars.ts";
import { writeLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { type Random, sequence } from "../../support/random.ts";
import { type Case, complaintAbout, EndlessError, type Part, pick } from "./case.ts";

const BLOCK = 512;
const DRAWN_TARS = 20;
const LIMITS = { maxEntries: 2_000, maxTotalSize: 10_000_000 };
// All that reading any of these tars in all ways needs.
const MOST_READS = 2_000;

/** Damaged tars. */
export async function tarsPart(): Promise<Part> {
  const tars = await Promise.all(Array.from({ length: DRAWN_TARS }, async (_, stream) => ({
    name: `tar ${stream}`,
    bytes: await bytesOf(writeLayerTar(randomLayer(sequence(1, stream)))),
  })));
  const packed = await Promise.all(
    tars.map(async ({ name, bytes }) => ({ name: `packed ${name}`, bytes: await gzip(bytes) })),
  );
  const byHand = HOSTILE_TARS.map(({ name, bytes }): Case => ({
    what: name,
    async run() {
      const tar = await bytes();
      return tar instanceof ReadableStream ? [] : await reading(name, tar).run();
    },
  }));
  return {
    name: "damaged tars",
    byHand,
    share: 39,
    generated: (random) => damaged(pick(random(8) === 0 ? packed : tars, random), random),
  };
}

/** Tars that are drawn, written and read. */
export function writtenTarsPart(): Part {
  return {
    name: "tars that are written and read",
    byHand: [],
    share: 1,
    generated: (random) => ({ what: "a tar", run: () => roundTripFaults(random) }),
  };
}

interface Original {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function damaged({ name, bytes }: Original, random: Random): Case {
  if (random(20) === 0) {
    const length = random(bytes.length);
    return reading(`${name} cut to ${length}`, bytes.subarray(0, length));
  }
  const changed = bytes.slice();
  const what = Array.from({ length: 1 + random(4) }, () => damage(changed, random));
  return reading(`${name}: ${what.join(", ")}`, changed);
}

// A byte, a digit, a text or a block of another place. Most headers get the right sum, so that they are looked at.
function damage(bytes: Uint8Array<ArrayBuffer>, random: Random): string {
  const block = random(Math.ceil(bytes.length / BLOCK)) * BLOCK;
  const at = Math.min(block + random(BLOCK), bytes.length - 1);
  let what: string;
  switch (random(4)) {
    case 0:
      bytes[at] = random(256);
      what = `${at} is ${bytes[at]}`;
      break;
    case 1:
      bytes[at] = 0x30 + random(10);
      what = `${at} is ${bytes[at]}`;
      break;
    case 2: {
      const text = pick(
        ["../", ":", "\\", "\0", "Files/", "9999999", ".wh.", "path=", "size=9\n", "-1.", "\xff\xff"],
        random,
      );
      for (let i = 0; i < text.length && at + i < bytes.length; i++) bytes[at + i] = text.charCodeAt(i);
      what = `${at} is ${JSON.stringify(text)}`;
      break;
    }
    default: {
      const from = random(Math.ceil(bytes.length / BLOCK)) * BLOCK;
      bytes.copyWithin(block, from, from + BLOCK);
      what = `${block} is the block at ${from}`;
    }
  }
  const header = bytes.subarray(block, block + BLOCK);
  if (random(10) > 0 && String.fromCharCode(...header.subarray(257, 262)) === "ustar") {
    header.fill(0x20, 148, 156);
    const sum = header.reduce((sum, byte) => sum + byte, 0);
    header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  }
  return what;
}

function reading(what: string, bytes: Uint8Array): Case {
  return {
    what,
    async run() {
      let reads = 0;
      const source = fromBytes(bytes);
      const counting: RandomAccess = {
        ...source,
        read(at, into) {
          if (++reads > MOST_READS) throw new EndlessError(`more than ${MOST_READS} reads`);
          return source.read(at, into);
        },
      };
      const layer = layerOfTar(counting, LIMITS);
      const doings = {
        lint: () => exhaust(lintLayer(layer)),
        read: async () => {
          for await (const entry of readTar(counting, LIMITS)) await exhaust(entry.contents());
        },
        merge: () => exhaust(mergeLayers([layer, layer])),
        wrap: () => exhaust(wrapFiles(counting, LIMITS)),
      };
      const wrong: string[] = [];
      for (const [doing, work] of Object.entries(doings)) {
        try {
          await work();
        } catch (error) {
          wrong.push(...complaintAbout(doing, error));
        }
      }
      return wrong;
    },
  };
}

async function exhaust(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}
