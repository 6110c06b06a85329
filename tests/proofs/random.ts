/**
 * Processes that mount and unmount at random, alone and side by side, on the seeded clock: containers that share layers, images and
 * folders, VMs, aborts, failures, kills and restarts. After each step, the machine has what a naive model says. At the end, what
 * lives is released and the rest recovered, and the machine is as it was.
 *
 * `deno task test:random` draws sequences of steps; a sequence that shows something wrong is made as short as possible.
 *
 * @module
 */

import fc from "npm:fast-check@4.10.2";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import type { Counts, Single, Step } from "./random_machine.ts";
import { AT_A_CALL, World } from "./random_machine.ts";
import { type Findings, type ProofOptions, report } from "./report.ts";

const some = <T>(weights: readonly (readonly [number, T])[]) =>
  fc.oneof(...weights.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));

const FAULT = fc.record({ how: some([[3, "failure"], [1, "abort"], [1, "kill"]] as const), at: fc.nat(9999) });

function single(kinds: readonly (readonly [number, Single["does"]])[]): fc.Arbitrary<Single> {
  return fc.record({
    does: some(kinds),
    by: fc.nat(5),
    on: fc.nat(11),
    image: fc.boolean(),
    place: fc.boolean(),
    permanent: some([[3, false], [1, true]]),
    recover: fc.boolean(),
    faults: fc.oneof(
      { weight: 6, arbitrary: fc.constant([]) },
      { weight: 3, arbitrary: fc.tuple(FAULT) },
      { weight: 1, arbitrary: fc.tuple(FAULT, FAULT) },
    ),
  });
}

const ON_HOST = [
  [8, "mount"],
  [5, "release"],
  [3, "unmount"],
  [1, "list"],
  [1, "find"],
  [2, "recover"],
  [1, "dry run"],
] as const;
const IN_VMS = [[2, "VM"], [4, "layers in a VM"], [4, "layers out of a VM"], [1, "close a VM"]] as const;

const STEP: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: single([...ON_HOST, ...IN_VMS]) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant("together"),
      all: fc.array(single(ON_HOST), { minLength: 2, maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("kill"), by: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("restart") }) },
) as fc.Arbitrary<Step>;

const STEPS = fc.array(STEP, { minLength: 1, maxLength: 60, size: "max" });

const COUNT = 10_000;
const FULL = 1_000_000;
// Sequences with one seed. What one round finds is one leak.
const ROUND = 100;
// Rounds after which people are told how far it is.
const TOLD_EVERY = 10;

/** Options of the proof. `count` is that of the operations. */
export interface RandomOptions extends ProofOptions {
  /** A bug to plant. */
  readonly plant?: (host: SimulatedHost) => SimulatedHost;
}

/** The proof. */
export async function random(
  { full, count = full ? FULL : COUNT, seed, path, plant, progress }: RandomOptions,
): Promise<Findings> {
  const counts: Counts = new Map();
  const leaks: string[] = [];
  const done = () => [...counts].reduce((sum, [what, n]) => sum + (what.endsWith(AT_A_CALL) ? 0 : n), 0);
  let sequences = 0;
  const property = fc.asyncProperty(fc.nat(), STEPS, async (order, steps) => {
    if (done() >= count && path === undefined) return;
    sequences++;
    const complaints = await play(steps, { seed: order, counts, ...plant && { plant } });
    if (complaints.length > 0) throw new Error(complaints.join("; "));
  });
  for (let round = seed; done() < count; round++) {
    const { counterexample, counterexamplePath, errorInstance } = await fc.check(property, {
      seed: round,
      numRuns: path === undefined ? ROUND : 1,
      ...path !== undefined && { path },
    });
    if (counterexample !== null) {
      const replay = `--seed=${round} --path=${counterexamplePath}`;
      const [order, given] = counterexample;
      const fails = (steps: readonly Step[]) => play(steps, { seed: order, counts: new Map(), ...plant && { plant } });
      const { steps, complaints } = await shortest(given, fails);
      const what = `${complaints.join("; ") || (errorInstance as Error).message}\n  repeat it with ${replay}`;
      leaks.push([what, ...steps.map((step) => `  ${textOf(step)}`)].join("\n"));
    }
    if (path !== undefined) break;
    if ((round - seed + 1) % TOLD_EVERY === 0) progress?.(`${done()} of ${count} operations, ${leaks.length} leaks`);
  }
  const times = [...counts].sort(([, one], [, other]) => other - one).map(([what, n]) => `${n} × ${what}`);
  return { covered: [`${done()} operations in ${sequences} sequences`, ...times], leaks };
}

// Leaves out what isn't needed. fast-check does so from the ends of a sequence; what is in the middle moves what numbers choose.
async function shortest(
  given: readonly Step[],
  play: (steps: readonly Step[]) => Promise<readonly string[]>,
): Promise<{ readonly steps: readonly Step[]; readonly complaints: readonly string[] }> {
  let found = { steps: given, complaints: await play(given) };
  const isShorter = async (steps: readonly Step[]) => {
    const complaints = await play(steps);
    if (complaints.length > 0) found = { steps, complaints };
    return complaints.length > 0;
  };
  for (let isDone = false; !isDone;) {
    isDone = true;
    for (let size = found.steps.length >> 1; size > 0; size >>= 1) {
      for (let at = 0; at < found.steps.length;) {
        if (await isShorter(found.steps.toSpliced(at, size))) isDone = false;
        else at += size;
      }
    }
    for (let at = 0; at < found.steps.length; at++) {
      for (const simpler of simplerThan(found.steps[at]!)) {
        if (!await isShorter(found.steps.with(at, simpler))) continue;
        isDone = false;
        break;
      }
    }
  }
  return found;
}

function simplerThan(step: Step): Step[] {
  if (step.does === "together") {
    return [
      ...step.all.length > 2 ? step.all.map((_, i) => ({ ...step, all: step.all.toSpliced(i, 1) })) : [],
      ...step.all.flatMap((one, i) =>
        simplerThan(one).map((simpler) => ({ ...step, all: step.all.with(i, simpler as Single) }))
      ),
      ...step.all,
    ];
  }
  if (!("faults" in step)) return [];
  return [
    ...step.faults.map((_, i) => ({ ...step, faults: step.faults.toSpliced(i, 1) })),
    ...(["image", "place", "permanent", "recover"] as const).filter((flag) => step[flag])
      .map((flag) => ({ ...step, [flag]: false })),
  ];
}

function textOf(step: Step): string {
  if (step.does === "together") return `together: ${step.all.map(textOf).join("; ")}`;
  if (!("on" in step)) return `${step.does} ${"by" in step ? step.by : ""}`;
  const { does, by, on, faults, ...flags } = step;
  const set = Object.entries(flags).filter(([, is]) => is).map(([name]) => name);
  const at = faults.map(({ how, at }) => `${how} at ${at}`);
  return [`${by}: ${does} ${on}`, ...set, ...at].join(", ");
}

async function play(steps: readonly Step[], options: Parameters<typeof World.open>[0]): Promise<readonly string[]> {
  const world = await World.open(options);
  for (const step of steps) {
    await world.step(step);
    if (world.complaints.length > 0) return world.complaints;
  }
  await world.end();
  return world.complaints;
}

if (import.meta.main) await report(random, "path");
