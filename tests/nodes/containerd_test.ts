import { assert, assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { DatabaseError } from "../../src/errors/state_errors.ts";
import { containersIn, snapshotsIn } from "../../src/nodes/containerd.ts";
import { randomTest } from "../support/random.ts";
import EXPECTED from "./data/expected.json" with { type: "json" };

interface Expected {
  readonly folder: string;
  readonly class: string;
  readonly record?: boolean;
  readonly key?: string;
  readonly container?: string;
  readonly chain?: readonly string[];
}

const HOSTS = Object.entries(EXPECTED) as [string, readonly Expected[]][];
const read = (host: string) => Deno.readFileSync(new URL(`data/${host}.metadata.db`, import.meta.url));
const readContainers = async (host: string) => {
  const file = Deno.readFileSync(new URL(`data/${host}.meta.db.gz`, import.meta.url));
  const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const KINDS: Readonly<Record<string, string>> = {
  "image-layer": "committed",
  "scratch": "active",
  // A build context is an active snapshot that rests on nothing, so an active one need not be a scratch.
  "build-source": "active",
  "being-extracted": "active",
  "rename-without-commit": "active",
};

for (const [host, folders] of HOSTS) {
  Deno.test(`snapshotsIn() tells what each folder of ${host} is`, () => {
    const snapshots = snapshotsIn(read(host));
    // A folder that is being removed keeps its number, and its record if the removal wasn't committed.
    const recorded = folders.filter(({ class: is, record }) => is in KINDS && record !== false)
      .map((folder) => ({ ...folder, folder: folder.folder.replace("rm-", "") }));
    const byNumber = (a: { folder: string }, b: { folder: string }) => Number(a.folder) - Number(b.folder);
    snapshots.sort(byNumber);
    assertEquals(snapshots.map(({ folder }) => folder), recorded.sort(byNumber).map(({ folder }) => folder));
    recorded.forEach((expected, i) => {
      const found = snapshots[i]!;
      assertEquals(found.kind, KINDS[expected.class], expected.folder);
      const key = expected.key ?? expected.container;
      if (key !== undefined) assertEquals(found.key, key);
      if (expected.chain !== undefined) assertEquals(found.parents, expected.chain);
    });
  });
}

/** Replaces bytes wherever they are by others of the same length. */
function patched(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("").replaceAll(from, to);
  return latin1(text);
}

Deno.test("snapshotsIn() refuses a snapshot that is its own parent", () => {
  const bytes = read("containerd-windows");
  const snapshots = snapshotsIn(bytes);
  const nameOf = (folder: string) => snapshots.find((snapshot) => snapshot.folder === folder)!.name;
  const pairs = snapshots.filter(({ parents }) => parents.length > 0)
    .map(({ name, parents }) => [name, nameOf(parents[0]!)] as const);
  const [own, parent] = pairs.find(([name, parent]) => name.length === parent.length)!;
  const looped = patched(bytes, `parent${parent}`, `parent${own}`);
  assert(snapshots.length > 0 && looped.length === bytes.length);
  assertThrows(() => snapshotsIn(looped), DatabaseError, "is its own parent");
});

randomTest("snapshotsIn() refuses a damaged database by its own error, or reads it", (random) => {
  const whole = read("containerd-windows");
  for (let i = 0; i < 2000; i++) {
    const next = random(i);
    const damaged = whole.slice();
    for (let n = 1 + next(200); n > 0; n--) damaged[next(damaged.byteLength)] = next(256);
    try {
      snapshotsIn(damaged);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
    }
  }
});

Deno.test("containersIn() tells the containers of a snapshotter by the names of their snapshots, in each namespace", async () => {
  const bytes = await readContainers("containerd-nerdctl");
  const names = new Map(snapshotsIn(read("containerd-nerdctl")).map(({ name, folder }) => [name, folder]));
  const containers = [...containersIn(bytes, "windows")].map(([name, { id, namespace }]) => [
    names.get(name),
    namespace,
    id,
  ]);
  assertEquals(containers.sort(), [
    ["2", "default", "d10be6067be0e6dc079be74673ca4127b6038687b0c74ba36f47c5f0f3076de0"],
    ["3", "default", "b894cef16b4339fd4f70faebdbab758f91e3d37c035bd3495cb08d625e94dc94"],
  ]);
  assertEquals([...containersIn(bytes, "cimfs")], []);
});

const META = await readContainers("containerd-windows");

randomTest("containersIn() refuses a damaged database by its own error, or reads it", (random) => {
  for (let i = 0; i < 500; i++) {
    const next = random(i);
    const damaged = META.slice();
    for (let n = 1 + next(200); n > 0; n--) damaged[next(damaged.byteLength)] = next(256);
    try {
      containersIn(damaged, "windows");
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
    }
  }
});
