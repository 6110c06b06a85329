/**
 * Mounts and releases, 64 at a time, in two processes that take turns at each scratch, with failures at random: before the
 * effects of calls, in the middle of them, after them, and successes without them. What the processes and the machine need
 * stays the same, and nothing is held at the end.
 *
 * `deno task test:soak` does it 2,000 times, with `--full` 100,000 times.
 *
 * @module
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { LayerError, type Mounted, recover, unmountWCOWLayers } from "../../mod.ts";
import type { InjectedFailure, SimulatedHost } from "../../src/simulated/mod.ts";
import type { Random } from "../support/random.ts";
import { failuresOf, stateOf } from "./failures.ts";
import { type Findings, type ProofOptions, randomOf, report } from "./report.ts";
import { mountSlot, type Slot, slotsHost, slotsOf } from "./slots.ts";

const CYCLES = 2_000;
const FULL_CYCLES = 100_000;
const PARTS = 10;
// One call in so many fails in one of its ways.
const ODDS = 2_000;

const SLOTS = slotsOf(64);

/** Returns the failures of the calls of mounts and their releases, each for any of the calls. */
async function failures(): Promise<InjectedFailure[]> {
  const host = slotsHost(SLOTS);
  for (const slot of SLOTS.slice(0, 2)) await (await mountSlot(slot, host)).release();
  return failuresOf(host.calls).filter(({ nth }) => nth === 1).map(({ nth: _, ...failure }) => failure);
}

/** A process whose calls fail at random. */
interface Process {
  readonly host: SimulatedHost;
  /** How many of its calls have failed. */
  failed(): number;
  /** How many of its calls have succeeded without doing anything. */
  untrue(): number;
}

function failing(host: SimulatedHost, failures: readonly InjectedFailure[], random: Random): Process {
  const injected = failures.map((failure) => ({
    isUntrue: failure.code === 0,
    injection: host.fail({ ...failure, when: () => random(ODDS) === 0 }),
  }));
  const fired = (which: typeof injected) => which.reduce((sum, { injection }) => sum + injection.fired, 0);
  const untrue = injected.filter(({ isUntrue }) => isUntrue);
  return { host, failed: () => fired(injected), untrue: () => fired(untrue) };
}

const TRIES = 5;

/** Mounts a slot in one process and releases it. What that can't release, as its calls fail, another process does. */
async function cycle(slot: Slot, { host, untrue }: Process, other: SimulatedHost): Promise<string[]> {
  const complaints: string[] = [];
  const before = untrue();
  const note = (error: unknown): void => {
    if (!(error instanceof LayerError)) complaints.push(`throws ${error}`);
  };
  let holder: Pick<Mounted, "release"> | undefined;
  try {
    holder = await mountSlot(slot, host);
  } catch (error) {
    note(error);
    if (error instanceof LayerError && "release" in error) holder = error as unknown as typeof holder;
  }
  const release = async () => {
    for (let tries = 0; tries < TRIES && holder !== undefined; tries++) {
      await holder.release().then(() => holder = undefined, note);
    }
  };
  await release();
  if (holder !== undefined || untrue() > before) {
    await unmountWCOWLayers(slot.scratch, { host: other, volumeMountPath: slot.volumeMountPath }).catch((error) =>
      complaints.push(`unmount without failures throws ${error}`)
    );
    // The owner learns of that.
    await release();
  }
  return complaints;
}

const expose = () => {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
};

/** What grows if something isn't given back. */
interface Needs {
  readonly heap: number;
  readonly external: number;
  /** Handles that are open on the machine, and blocks of memory of its processes. */
  readonly handles: number;
  readonly blocks: number;
  /** Bytes that describe the machine. */
  readonly machine: number;
  /** Files in the folder of records of mounts. */
  readonly records: number;
  /** The most calls that a process has kept. */
  readonly calls: number;
}

/** How much each may be more at the end: the heap by what is compiled meanwhile, the machine by the digits of its numbers. */
const SLACK: Needs = { heap: 2 ** 20, external: 2 ** 16, handles: 0, blocks: 0, machine: 1024, records: 0, calls: 0 };
// All that `calls` promises to keep, and as many until they are forgotten.
const MOST_CALLS = 200_000;

function needs(machine: SimulatedHost, processes: readonly SimulatedHost[], gc: () => void): Needs {
  const calls = Math.max(...processes.map((process) => process.calls.length));
  processes.forEach((process) => process.clearCalls());
  const { state } = machine.snapshot() as { state: { open?: Record<string, unknown[]> } };
  gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return {
    heap: heapUsed,
    external,
    handles: Object.values(state.open ?? {}).flat().length,
    blocks: processes.reduce((sum, { allocations }) => sum + allocations, 0),
    machine: JSON.stringify(state).length,
    records: stateOf(machine).paths.filter((path) => path.startsWith("record ")).length,
    calls: Math.max(0, calls - MOST_CALLS),
  };
}

/**
 * The proof. `count` is how many mounts there are.
 *
 * @param spoil Gets each process before it begins, to show that the proof notices what it does.
 */
export async function soak(
  { full, count = full ? FULL_CYCLES : CYCLES, seed, progress }: ProofOptions,
  spoil: (process: SimulatedHost) => void = () => {},
): Promise<Findings> {
  const random = randomOf({ seed });
  const gc = expose();
  const machine = slotsHost(SLOTS, { seed });
  const [other, ...hosts] = [machine, machine.otherProcess(), machine.otherProcess()] as const;
  // What a process and the machine need once, they have from here on.
  for (const host of [other, ...hosts]) await (await mountSlot(SLOTS[0]!, host)).release();
  const before = stateOf(machine);
  const possible = await failures();
  const processes = hosts.map((host) => failing(host, possible, random));
  hosts.forEach(spoil);
  const leaks: string[] = [];
  const measured: Needs[] = [];
  let done = 0;
  const work = async (slot: Slot, end: number) => {
    // Each slot is next in the other process.
    while (done < end) {
      const number = done++;
      const process = processes[Math.floor(number / SLOTS.length) % processes.length]!;
      const complaints = await cycle(slot, process, other);
      leaks.push(...complaints.map((complaint) => `mount ${number} of ${slot.scratch}: ${complaint}`));
    }
  };
  for (let part = 1; part <= PARTS; part++) {
    await Promise.all(SLOTS.map((slot) => work(slot, Math.ceil(count * part / PARTS))));
    for (const { outcome, error } of await recover({ host: other })) {
      leaks.push(
        `${outcome === "failed" ? `recover() fails: ${error}` : "recover() finds a record of what is released"}`,
      );
    }
    measured.push(needs(machine, [other, ...hosts], gc));
    progress?.(`${done} mounts: ${JSON.stringify(measured.at(-1))}`);
  }
  const [first, last] = [measured[0]!, measured.at(-1)!];
  for (const what of Object.keys(SLACK) as (keyof Needs)[]) {
    if (last[what] > first[what] + SLACK[what]) leaks.push(`${what} grows from ${first[what]} to ${last[what]}`);
  }
  // All that can be mounted at first still can.
  for (const host of hosts) {
    host.failNothing();
    for (const slot of SLOTS) {
      await mountSlot(slot, host).then((mounted) => mounted.release()).catch((error) =>
        leaks.push(`${slot.scratch} can't be mounted any more: ${error}`)
      );
    }
  }
  const after = stateOf(machine);
  if (after.held.length > 0) leaks.push(`is held: ${after.held.join(", ")}`);
  const paths = after.paths.filter((path) => !before.paths.includes(path));
  if (paths.length > 0) leaks.push(`is left: ${paths.join(", ")}`);
  const failed = processes.map((process) => process.failed()).join(" and ");
  return {
    covered: [
      `${done} mounts and releases, ${SLOTS.length} at a time, in ${processes.length} processes, with ${failed} failures`,
      ...(["heap", "external", "handles", "blocks", "machine", "records"] as const).map((what) =>
        `${what} after each tenth: ${measured.map((needs) => needs[what]).join(", ")}`
      ),
    ],
    leaks,
  };
}

if (import.meta.main) await report(soak);
