import { assert, assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { DatabaseError } from "../../src/errors/state_errors.ts";
import { type Bucket, openDatabase } from "../../src/nodes/bbolt.ts";
import { randomTest } from "../support/random.ts";

const read = (name: string) => Deno.readFileSync(new URL(`data/${name}.metadata.db`, import.meta.url));
const BRANCHES = read("bbolt-branches");
const WINDOWS = read("containerd-windows");
const META_1 = 4096;

type Tree = { [key: string]: string | Tree };

function treeOf(bucket: Bucket): Tree {
  return Object.fromEntries([...bucket.entries()].map(([key, value]) => [
    new TextDecoder().decode(key),
    value instanceof Uint8Array ? value.toHex() : treeOf(value),
  ]));
}

const at = (tree: Tree, ...path: string[]) => path.reduce((node, key) => node[key] as Tree, tree);

Deno.test("openDatabase() reads branch pages, inline buckets and values longer than a page", () => {
  const snapshots = at(treeOf(openDatabase(BRANCHES)), "v1", "snapshots");
  const ids = Object.values(snapshots).map((snapshot) => parseInt((snapshot as Tree).id as string, 16));
  const given = Array.from({ length: 26 }, (_, i) => i + 1).filter((id) => ![2, 12, 22].includes(id));
  assertEquals(ids.sort((a, b) => a - b), given);
  const labels = Object.values(snapshots).flatMap((snapshot) => Object.values((snapshot as Tree).labels ?? {}));
  assertEquals(Math.max(...labels.map((hex) => (hex as string).length / 2)), 4200);
});

Deno.test("openDatabase() returns the transaction before if the last one is torn, whichever page that is on", () => {
  const whole = treeOf(openDatabase(WINDOWS));
  for (const page of [0, META_1]) {
    const torn = WINDOWS.slice();
    torn[page + 32]! ^= 1;
    assertEquals(treeOf(openDatabase(torn)), whole);
  }
});

Deno.test("openDatabase() refuses what has no valid beginning, and a file that is cut off", () => {
  const torn = WINDOWS.slice();
  torn[40]! ^= 1;
  torn[META_1 + 40]! ^= 1;
  for (const bytes of [new Uint8Array(), new Uint8Array(65536), torn, WINDOWS.slice(0, 79)]) {
    assertThrows(() => openDatabase(bytes), DatabaseError, "no valid beginning");
  }
  assertThrows(() => treeOf(openDatabase(WINDOWS.slice(0, 8192))), DatabaseError, "cut off");
});

Deno.test("a bucket whose page is one that led to it is refused, not read for ever", () => {
  const looped = WINDOWS.slice();
  const view = new DataView(looped.buffer);
  const root = view.getBigUint64(
    (view.getBigUint64(64, true) > view.getBigUint64(META_1 + 64, true) ? 0 : META_1) + 32,
    true,
  );
  const element = Number(root) * META_1 + 16;
  const value = element + view.getUint32(element + 4, true) + view.getUint32(element + 8, true);
  view.setBigUint64(value, root, true);
  assertThrows(() => treeOf(openDatabase(looped)), DatabaseError, "a page twice");
});

randomTest("a damaged database is read or refused, and never fails otherwise", (random) => {
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const next = random(i);
    const damaged = (i % 2 === 0 ? WINDOWS : BRANCHES).slice();
    for (let n = 1 + next(8); n > 0; n--) damaged[next(damaged.byteLength)] = next(256);
    // The headers and elements of pages are where damage tells most.
    for (let n = next(4); n > 0; n--) damaged[next(16) * META_1 + next(80)] = next(256);
    try {
      treeOf(openDatabase(damaged));
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      refused++;
    }
  }
  assert(refused > 100, `${refused} were refused`);
});
