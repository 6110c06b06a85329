import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { DatabaseError } from "../../src/errors/state_errors.ts";
import { snapshotsIn } from "../../src/nodes/containerd.ts";
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
