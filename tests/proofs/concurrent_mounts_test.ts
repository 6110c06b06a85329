// 100 mounts side by side on one host, half of them aborted at random moments.
import { assert, assertEquals, assertStrictEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers } from "../../mod.ts";
import type { NativeCall } from "../../src/simulated/mod.ts";
import { LAYERS, stackHost } from "../support/host.ts";
import { type Random, randomTest } from "../support/random.ts";

const MOUNTS = 100;

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

const SLOW_CALLS = 4;

/** `pace` is how many turns of the queue a slow call takes; none where it answers at once. */
async function mountMany(next: Random, pace: number): Promise<void> {
  const scratches = Array.from({ length: MOUNTS }, (_, i) => `C:\\scratch\\n${i}`);
  const reason = new Error("aborted");
  // Each is aborted in one of its slow calls, or between that and the next.
  const aborts = new Map<string, { controller: AbortController; inCall: number }>();
  while (aborts.size < MOUNTS / 2) {
    aborts.set(scratches[next(MOUNTS)]!, { controller: new AbortController(), inCall: next(SLOW_CALLS) });
  }
  const latency = ({ args }: NativeCall): Promise<void> | undefined => {
    const abort = aborts.get(args["id"] as string);
    if (abort !== undefined && abort.inCall-- === 0) {
      turns(next(2 * pace + 1)).then(() => abort.controller.abort(reason));
    }
    return pace === 0 ? undefined : turns(next(pace));
  };
  const host = stackHost({ latency });
  scratches.forEach((scratch) => host.addScratch(scratch));
  const before = host.paths();
  const mounts = await Promise.allSettled(scratches.map((scratch, i) =>
    mountWCOWLayers(`n${i}`, [...LAYERS, scratch], {
      host,
      signal: aborts.get(scratch)?.controller.signal,
      volumeMountPath: `C:\\mnt\\${i % 10}\\n${i}`,
    })
  ));
  const whole = mounts.filter((mount) => mount.status === "fulfilled").map((mount) => mount.value);
  mounts.forEach((mount, i) => {
    if (mount.status === "rejected") assertStrictEquals(mount.reason, reason, `mount ${i}`);
  });
  assert(whole.length >= MOUNTS / 2 && whole.length < MOUNTS);
  const kinds = host.held().map(({ kind }) => kind);
  for (const kind of ["activation", "filter", "mountPoint"]) {
    assertEquals(kinds.filter((other) => other === kind).length, whole.length, kind);
  }
  await Promise.all(whole.map((layers) => layers.release()));
  assertEquals([host.held(), host.paths(), host.allocations], [[], before, 1]);
}

for (let round = 1; round <= 4; round++) {
  for (const pace of [0, 20]) {
    randomTest(
      `100 mounts, half of them aborted at random moments, leave nothing: pace ${pace}, round ${round}`,
      (random) => mountMany(random(round), pace),
    );
  }
}
