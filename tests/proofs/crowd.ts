/**
 * Two and eight processes mount, release, unmount, list and recover at random on one host, the simulated one in a file. They are
 * killed at random moments, and replaced. Nobody touches what a living process has mounted, and nothing is left once all have
 * ended and one has recovered.
 *
 * `deno task test:crowd` kills 10 processes of each crowd, or with `--minutes=N` as many as it can in this time; with `--full`
 * in 10 minutes for each crowd.
 *
 * @module
 */

import { listMounts, recover } from "../../mod.ts";
import { isMarked } from "../../src/host_holds/mount_folder.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { deno } from "../support/processes.ts";
import type { Random } from "../support/random.ts";
import { difference, stateOf } from "./failures.ts";
import { type Findings, type ProofOptions, randomOf, report } from "./report.ts";
import { mountSlot, slotsHost, slotsOf } from "./slots.ts";

const SIZES = [2, 8];
const KILLS = 10;
const FULL_MINUTES = 10;
const STEPS = 12;
// A step takes about as long.
const MOST_MS = 30;

/** The lines that a process prints. */
async function* linesOf(output: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** How a process came to its end. */
interface Life {
  readonly steps: number;
  readonly wrong: readonly string[];
  readonly wasKilled: boolean;
}

// It may have ended by itself.
function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

/** Runs a process, and kills it some time after it has made so many steps. */
async function live(args: readonly string[], killAfter: number, delay: number): Promise<Life> {
  // To see who has been killed.
  const child = deno(["-A"], "proofs/crowding.ts", ...args).spawn();
  const errors = new Response(child.stderr).text();
  const wrong: string[] = [];
  let steps = 0;
  for await (const line of linesOf(child.stdout)) {
    if (line.startsWith("WRONG ")) wrong.push(line.slice(6));
    else if (line.startsWith("step ") && ++steps === killAfter) {
      setTimeout(() => kill(child), delay);
    }
  }
  const { success, signal } = await child.status;
  const wasKilled = signal === "SIGKILL";
  if (!success && !wasKilled) wrong.push(`a process ends with ${await errors}`);
  else await errors;
  return { steps, wrong, wasKilled };
}

/** Runs a crowd of a size, in which those that are killed are replaced as long as `goesOn`. */
async function crowdOf(
  size: number,
  random: Random,
  goesOn: () => boolean,
  isRogue: boolean,
): Promise<Findings> {
  const file = await Deno.makeTempFile();
  try {
    const slots = slotsOf(size + 2);
    const machine = slotsHost(slots, { file });
    machine.addFolder("C:\\mnt");
    // Creates the folder of records.
    await (await mountSlot(slots[0]!, machine)).release();
    const before = stateOf(machine);
    const lives: Life[] = [];
    const leaks: string[] = [];
    const work = async (number: number) => {
      for (let isLast = false; !isLast;) {
        isLast = !goesOn();
        const args = [
          file,
          `${random(2 ** 31)}`,
          `${STEPS}`,
          `${slots.length}`,
          ...(isRogue && number === 0 ? ["rogue"] : []),
        ];
        lives.push(await live(args, isLast && number % 2 === 0 ? Infinity : 1 + random(STEPS - 1), random(MOST_MS)));
        try {
          new SimulatedHost({ file }).endProcess();
        } catch (error) {
          leaks.push(`the machine can't be read after a kill: ${error}`);
        }
      }
    };
    await Promise.all(Array.from({ length: size }, (_, number) => work(number)));
    leaks.push(...lives.flatMap(({ wrong }) => wrong));
    const recovered = await recover({ host: machine });
    for (const { outcome, error, mount } of recovered) {
      if (outcome !== "released") leaks.push(`recover() says ${outcome} for ${mount.scratch}: ${error}`);
    }
    const listed = await listMounts({ host: machine });
    if (listed.length > 0) leaks.push(`is listed: ${JSON.stringify(listed)}`);
    // Killed between its creation and its mark, so that nobody knows whose it is.
    const nobodys = slots.map(({ volumeMountPath }) => volumeMountPath).filter((path) =>
      machine.exists(path) && machine.readDir(path).length === 0 && !isMarked(machine, path)
    );
    nobodys.forEach((path) => machine.remove(path));
    const after = stateOf(machine);
    if (JSON.stringify(after) !== JSON.stringify(before)) leaks.push(difference(after, before));
    const killed = lives.filter(({ wasKilled }) => wasKilled).length;
    const steps = lives.reduce((sum, life) => sum + life.steps, 0);
    return {
      covered: [
        `${size} processes at a time, ${killed} of ${lives.length} killed, ${steps} steps; at the end, ${recovered.length} mounts ` +
        `are recovered, and ${nobodys.length} empty folders stay that nobody can know to be ours`,
      ],
      leaks: leaks.map((leak) => `${size} processes: ${leak}`),
    };
  } finally {
    await Deno.remove(file);
  }
}

/**
 * The proof. `count` is how many processes of each crowd are killed.
 *
 * @param isRogue Whether a process of each crowd unmounts what others have mounted, to show that the proof notices it.
 */
export async function crowd(
  { full, minutes = full ? FULL_MINUTES : undefined, count = KILLS, progress, ...options }: ProofOptions,
  isRogue = false,
): Promise<Findings> {
  const random = randomOf(options);
  const found: Findings[] = [];
  for (const size of SIZES) {
    const end = minutes === undefined ? undefined : performance.now() + minutes * 60_000;
    let kills = 0;
    const goesOn = () => end === undefined ? kills++ < count : performance.now() < end;
    const findings = await crowdOf(size, random, goesOn, isRogue);
    findings.covered.forEach((line) => progress?.(line));
    found.push(findings);
  }
  return { covered: found.flatMap(({ covered }) => covered), leaks: found.flatMap(({ leaks }) => leaks) };
}

if (import.meta.main) await report(crowd, "minutes");
