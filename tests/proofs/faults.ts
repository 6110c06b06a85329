/**
 * Every single failure, and every pair of failures, of the native calls of a mount and its release, the writes of the record
 * among them: before their effects, in the middle of them, after them, and a success without them. Then what was acquired is
 * released, the process ends, and another one recovers. Nothing is left, and nothing of others is lost. In VMs, the connection
 * with the guest fails as well.
 *
 * `deno task test:faults` draws failures and pairs, with `--full` it tries all, or with `--shard=K/N` too the Kth of N parts.
 * Of two containers in a VM there are millions of pairs: of these it draws one of each failure, and tries those of one container.
 *
 * @module
 */

import { LayerError, recover } from "../../mod.ts";
import type { CompletedCall, InjectedFailure } from "../../src/simulated/mod.ts";
import {
  after,
  difference,
  failuresFrom,
  failuresOf,
  isBeyondTheOwner,
  isRight,
  type State,
  stateOf,
  type Trial,
} from "./failures.ts";
import type { Random } from "../support/random.ts";
import { drawn, type Findings, type ProofOptions, randomOf, report } from "./report.ts";
import { type Holder, HOST_SCENARIOS, IMPORT_SCENARIOS, type Scenario } from "./scenarios.ts";
import { VM_SCENARIOS, vmPairsTrial, vmTrial } from "./vm_faults.ts";

interface Played {
  readonly before: State;
  readonly after: State;
  /** The calls by which it was acquired and released, with the failures. */
  readonly calls: readonly CompletedCall[];
  readonly complaints: readonly string[];
}

async function play(scenario: Scenario, failures: readonly InjectedFailure[]): Promise<Played> {
  const machine = await scenario.prepare();
  const before = stateOf(machine);
  const process = machine.otherProcess();
  failures.forEach((failure) => process.fail(failure));
  const holders: Holder[] = [];
  const complaints: string[] = [];
  const note = (error: unknown): void => {
    if (!(error instanceof LayerError)) complaints.push(`throws ${error}`);
    if (error instanceof Error && "release" in error) holders.push(error as unknown as Holder);
  };
  await scenario.acquire(process, holders).catch(note);
  for (const holder of holders.toReversed()) await holder.release().catch(note);
  const calls = [...process.calls];
  process.failNothing();
  for (const holder of holders.toReversed()) {
    await holder.release().catch((error) => {
      if (!failures.some(isBeyondTheOwner)) complaints.push(`release() without failures throws ${error}`);
    });
  }
  process.endProcess();
  const host = machine.otherProcess();
  for (const { outcome, error } of await recover({ host })) {
    if (outcome === "failed") complaints.push(`recover() fails: ${error}`);
  }
  // What Windows reports as released without having done it has no record: only who knows the scratch finds it.
  if (failures.some(({ code }) => code === 0)) {
    await scenario.unmount?.(host).catch((error) => complaints.push(`${error}`));
  }
  host.endProcess();
  return { before, after: stateOf(machine), calls, complaints };
}

async function hostTrial(scenario: Scenario): Promise<Trial<ReturnType<typeof failuresOf>[number]>> {
  const clean = await play(scenario, []);
  return {
    all: failuresOf(clean.calls),
    async attempt(failures) {
      const { before, after: left, calls, complaints } = await play(scenario, failures);
      const isWrong = !isRight(left, before, clean.after, ...failures);
      return {
        complaints: isWrong ? [...complaints, difference(left, before)] : complaints,
        later: () => failuresFrom(after(failures.at(-1)!, calls), calls),
      };
    },
  };
}

const COUNT = 150;
// A line each so often.
const PROGRESS = 10;

/**
 * The proof. `count` is that of the single failures of each scenario, and each of them is also the first one of a pair. With
 * `full`, `shard` is which part of the single failures it is, and of the pairs that begin with them.
 */
export async function faults(options: ProofOptions): Promise<Findings> {
  const random = randomOf(options);
  const found: Findings[] = [];
  for (const [name, scenario] of Object.entries({ ...HOST_SCENARIOS, ...options.full && IMPORT_SCENARIOS })) {
    found.push(await tried(name, await hostTrial(scenario), options, random));
  }
  for (const [name, scenario] of Object.entries(VM_SCENARIOS)) {
    found.push(await tried(name, await vmTrial(scenario), options, random));
    if (options.full) {
      found.push(await tried(`${name}, one container`, await vmPairsTrial(scenario), options, random));
    }
  }
  return { covered: found.flatMap(({ covered }) => covered), leaks: found.flatMap(({ leaks }) => leaks) };
}

async function tried<Failure>(
  name: string,
  { all, isPaired = () => true, drawsPairs, attempt }: Trial<Failure>,
  { full, count = COUNT, shard: [part, parts] = [1, 1], progress }: ProofOptions,
  random: Random,
): Promise<Findings> {
  const leaks: string[] = [];
  const check = async (failures: readonly Failure[]) => {
    const { complaints, later } = await attempt(failures);
    const what = `${name}, ${failures.map((failure) => JSON.stringify(failure)).join(" and ")}`;
    leaks.push(...complaints.map((complaint) => `${what}: ${complaint}`));
    return later;
  };
  await check([]);
  // Half of what is drawn can be one of a pair.
  const alone = full ? [] : drawn(all.filter((failure) => !isPaired(failure)), Math.floor(count / 2), random);
  const firsts = full
    ? all.filter((_, i) => i % parts === part - 1)
    : [...alone, ...drawn(all.filter(isPaired), count - alone.length, random)];
  let pairs = 0;
  for (const [done, first] of firsts.entries()) {
    const later = await check([first]);
    const seconds = !isPaired(first) ? [] : later().filter(isPaired);
    for (const second of full && !drawsPairs ? seconds : drawn(seconds, 1, random)) {
      await check([first, second]);
      pairs++;
    }
    if ((done + 1) % PROGRESS === 0) {
      progress?.(`${name}: ${done + 1} of ${firsts.length} single failures, ${pairs} pairs, ${leaks.length} leaks`);
    }
  }
  return { covered: [`${name}: ${firsts.length} of ${all.length} single failures, ${pairs} pairs`], leaks };
}

if (import.meta.main) {
  // Nobody reads the stacks of so many errors.
  Error.stackTraceLimit = 0;
  await report(faults, "shard");
}
