/**
 * Every single failure, and every end of the process, of what a test does.
 *
 * @module
 */

import { recover } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { INFALLIBLE } from "../proofs/failures.ts";
import { killedAt } from "../proofs/kills.ts";

// And those that change privileges, which end with the process.
const CANNOT_FAIL = [...INFALLIBLE, "OpenProcessToken", "AdjustTokenPrivileges"];

/** A call, with the number that it has among those of its name. */
export interface OneCall {
  readonly function: string;
  readonly nth: number;
}

/** What is done, and on which machine. */
export interface Work {
  readonly machine: () => SimulatedHost;
  readonly work: (host: SimulatedHost) => Promise<unknown>;
}

// `deno task test:transfers` tries all.
function stepOf(step: number): number {
  return Deno.args.includes("--full") ? 1 : step;
}

/** Returns every call of some work. */
export async function callsOf({ machine, work }: Work): Promise<OneCall[]> {
  const host = machine();
  const before = host.calls.length;
  await work(host);
  const counts = new Map<string, number>();
  return host.calls.slice(before).map(({ function: fn }) => fn).filter((fn) => !CANNOT_FAIL.includes(fn)).map((fn) => {
    counts.set(fn, (counts.get(fn) ?? 0) + 1);
    return { function: fn, nth: counts.get(fn)! };
  });
}

/** Lets each call, or every `step`th, fail before its effect and after it, and recovers. Calls `check` with the machine after that. */
export async function withEachFailure(
  work: Work,
  check: (host: SimulatedHost, situation: string, error: unknown) => Promise<void> | void,
  step = 1,
): Promise<void> {
  for (const call of (await callsOf(work)).filter((_, i) => i % stepOf(step) === 0)) {
    // A handle that can't be closed is nobody's fault.
    const effects = /Close/.test(call.function) ? ["full"] as const : ["none", "full"] as const;
    for (const effect of effects) {
      const host = work.machine();
      host.fail({ ...call, code: 0x80070005, effect });
      const error = await work.work(host).then(() => undefined, (error) => error);
      host.failNothing();
      await recover({ host });
      await check(host, `${call.function} ${call.nth}, effect ${effect}`, error);
    }
  }
}

/** Ends the process before and after each call, at every `step`th of these points, and recovers in another one. */
export async function withEachEnd(
  { machine, work }: Work,
  check: (host: SimulatedHost, situation: string) => Promise<void> | void,
  step = 1,
): Promise<void> {
  const { host, points } = killedAt(machine(), -1, () => {});
  await work(host);
  for (let point = 0; point < points(); point += stepOf(step)) {
    const host = machine();
    const process = host.otherProcess();
    const doomed = killedAt(process, point, () => {
      process.endProcess();
      throw new Error("killed");
    });
    await work(doomed.host).catch(() => {});
    await recover({ host });
    await check(host, `killed at ${point}`);
  }
}
