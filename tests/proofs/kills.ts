/**
 * A process is killed before and after every native call of a mount and its release, the writes of the record among them; then
 * another one recovers. Nothing is left, and nothing of others is lost.
 *
 * `deno task test:kills` kills at all points in memory, and real processes at some, with `--full` at all.
 *
 * @module
 */

import { recover } from "../../mod.ts";
import type { Host } from "../../src/ffi/host.ts";
import type { CompletedCall, SimulatedHost } from "../../src/simulated/mod.ts";
import { withWrapped } from "../support/host.ts";
import { deno } from "../support/processes.ts";
import { difference, INFALLIBLE, isSame, type State, stateOf } from "./failures.ts";
import { drawn, type Findings, type ProofOptions, randomOf, report } from "./report.ts";
import { type Holder, IMPORT_SCENARIOS, KILL_SCENARIOS, type Scenario } from "./scenarios.ts";

// They change nothing, and tell nothing new: what is left after a kill at one of them is what is left after one before or after.
const IDLE = [...INFALLIBLE, "FormatMessageW", "WSAGetLastError", "WSAResetEvent", "WSAWaitForMultipleEvents"];

/**
 * Returns a host that calls `kill` at a point: before the first call at 0, after it at 1, before the second at 2. Calls that
 * change nothing have no points.
 */
export function killedAt<H extends Host>(host: H, point: number, kill: () => void): { host: H; points(): number } {
  let points = 0;
  const pass = () => {
    if (points++ === point) kill();
  };
  const wrapped = withWrapped(host, (name, call) => (...args) => {
    if (IDLE.includes(name)) return call(...args);
    pass();
    const result = call(...args);
    if (!(result instanceof Promise)) {
      pass();
      return result;
    }
    return result.then((value) => {
      pass();
      return value;
    });
  });
  return { host: wrapped, points: () => points };
}

/** Mounts and releases. */
export async function cycle({ acquire }: Scenario, host: SimulatedHost): Promise<void> {
  const holders: Holder[] = [];
  await acquire(host, holders);
  for (const holder of holders) await holder.release();
}

/** Returns after how many points a process of a scenario ends by itself. */
async function pointsOf(scenario: Scenario, run: (host: SimulatedHost) => Promise<unknown>): Promise<number> {
  const { host, points } = killedAt((await scenario.prepare()).otherProcess(), -1, () => {});
  await run(host);
  return points();
}

/** Runs until the process is killed, and says what is wrong with the machine once another process has recovered. */
async function killed(machine: SimulatedHost, point: number, run: (host: SimulatedHost) => Promise<unknown>) {
  const process = machine.otherProcess();
  const { host } = killedAt(process, point, () => {
    process.endProcess();
    throw new Error("killed");
  });
  // What a killed process would have made of that, nobody learns.
  await run(host).catch(() => {});
  process.endProcess();
  return process.calls.findLast(({ function: fn }) => !INFALLIBLE.includes(fn));
}

async function recovered(machine: SimulatedHost): Promise<string[]> {
  const host = machine.otherProcess();
  const failed = (await recover({ host })).filter(({ outcome }) => outcome === "failed");
  host.endProcess();
  return failed.map(({ error }) => `recover() fails: ${error}`);
}

// Whether the process was killed when it had just created a folder that nobody can know to be its own.
function isNobodys(last: CompletedCall | undefined, after: State, before: State): boolean {
  if (last?.function !== "CreateDirectoryW") return false;
  const left = [...after.held, ...after.paths].filter((what) => ![...before.held, ...before.paths].includes(what));
  const isLost = [...before.held, ...before.paths].some((what) => ![...after.held, ...after.paths].includes(what));
  const isFolder = left.every((what) => what.startsWith("folder ") || left.includes(`folder ${what}`));
  return !isLost && isFolder;
}

/** Kills in memory at every point of a mount and its release, and at those of recover() after a mount that was killed. */
async function inMemory(name: string, scenario: Scenario): Promise<Findings & { readonly nobodys: readonly number[] }> {
  const nobodys: number[] = [];
  const leaks: string[] = [];
  const before = stateOf(await scenario.prepare());
  const released = await scenario.prepare();
  await cycle(scenario, released);
  const atEnd = stateOf(released);
  const leftMounted = async () => {
    const machine = await scenario.prepare();
    const process = machine.otherProcess();
    await scenario.acquire(process, []);
    process.endProcess();
    return machine;
  };
  const complete = await leftMounted();
  await recovered(complete);
  const right = [before, atEnd, ...scenario.lasts ? [stateOf(complete)] : []];
  const isLeft = (after: State) => !right.some((state) => isSame(after, state));
  const points = await pointsOf(scenario, (host) => cycle(scenario, host));
  for (let point = 0; point < points; point++) {
    const machine = await scenario.prepare();
    const last = await killed(machine, point, (host) => cycle(scenario, host));
    const complaints = await recovered(machine);
    const after = stateOf(machine);
    if (isLeft(after) && isNobodys(last, after, before)) nobodys.push(point);
    else if (isLeft(after)) complaints.push(difference(after, before));
    leaks.push(...complaints.map((complaint) => `${name}, killed at ${point} of ${points}: ${complaint}`));
  }
  const counted = killedAt((await leftMounted()).otherProcess(), -1, () => {});
  await recover({ host: counted.host });
  for (let point = 0; point < counted.points(); point++) {
    const machine = await leftMounted();
    await killed(machine, point, (host) => recover({ host }));
    const complaints = await recovered(machine);
    const after = stateOf(machine);
    if (isLeft(after)) complaints.push(difference(after, before));
    leaks.push(...complaints.map((complaint) => `${name}, recover() killed at ${point}: ${complaint}`));
  }
  return {
    covered: [
      `${name}: killed at ${points} points of a mount and its release, and at ${counted.points()} of recover(); at ` +
      `${nobodys.length}, an empty folder stays that nobody can know to be ours`,
    ],
    leaks,
    nobodys,
  };
}

/** Kills real processes, with the machine in a file. */
async function realProcesses(
  name: string,
  scenario: Scenario,
  nobodys: readonly number[],
  options: ProofOptions,
): Promise<Findings> {
  const leaks: string[] = [];
  const points = Array.from(
    { length: await pointsOf(scenario, (host) => cycle(scenario, host)) },
    (_, point) => point,
  ).filter((point) => !nobodys.includes(point));
  const chosen = options.full ? points : drawn(points, options.count ?? 5, randomOf(options));
  for (const point of chosen) {
    const file = await Deno.makeTempFile();
    try {
      const machine = await scenario.prepare({ file });
      const before = stateOf(machine);
      // To see that the killed process is gone.
      const grants = ["-A"];
      const mounting = await deno(grants, "proofs/killed.ts", file, name, `${point}`).output();
      const complaints: string[] = [];
      if (mounting.signal !== "SIGKILL") complaints.push(`wasn't killed: ${new TextDecoder().decode(mounting.stderr)}`);
      const recovering = await deno(grants, "proofs/recover.ts", file).output();
      if (!recovering.success) complaints.push(new TextDecoder().decode(recovering.stderr));
      const after = stateOf(machine);
      // The disk of a new scratch is the caller's once it is mounted.
      const own = scenario.made ?? [];
      const paths = after.paths.every((path) => own.includes(path) || before.paths.includes(path));
      const isLost = before.paths.some((path) => !after.paths.includes(path));
      const held = [before, after].map((state) =>
        state.held.filter((what) => !own.some((path) => what.endsWith(path)))
      );
      if (!paths || isLost || `${held[0]}` !== `${held[1]}`) complaints.push(difference(after, before));
      leaks.push(...complaints.map((complaint) => `${name}, a real process killed at ${point}: ${complaint}`));
    } finally {
      await Deno.remove(file);
    }
  }
  return { covered: [`${name}: real processes killed at ${chosen.length} of ${points.length} points`], leaks };
}

/** The proof. With `count` 0, no real process is killed. */
export async function kills(options: ProofOptions): Promise<Findings> {
  const found: Findings[] = [];
  for (const [name, scenario] of Object.entries({ ...KILL_SCENARIOS, ...options.full && IMPORT_SCENARIOS })) {
    const memory = await inMemory(name, scenario);
    found.push(memory, await realProcesses(name, scenario, memory.nobodys, options));
  }
  return { covered: found.flatMap(({ covered }) => covered), leaks: found.flatMap(({ leaks }) => leaks) };
}

if (import.meta.main) await report(kills);
