/**
 * Records that are torn, damaged and planted, answers of Windows that make no sense, damaged files of other tools, and bad
 * input: typed errors only, nothing of others is lost, nothing of ours is left, and nothing is without an end.
 *
 * `deno task test:fuzz` tries what somebody has thought of, and draws more; with `--full`, 100,000.
 *
 * @module
 */

import { sequence } from "../support/random.ts";
import { answersPart } from "./fuzz/answers.ts";
import type { Case } from "./fuzz/case.ts";
import { inputPart } from "./fuzz/input.ts";
import { readersPart } from "./fuzz/readers.ts";
import { recordsPart } from "./fuzz/records.ts";
import { drawn, type Findings, type ProofOptions, report } from "./report.ts";

const COUNT = 2_000;
const FULL = 100_000;

async function wrongsOf({ what, run }: Case): Promise<string[]> {
  const wrongs = await Promise.resolve().then(run).catch((error) => [`${error?.stack ?? error}`]);
  return wrongs.map((wrong) => `${what}: ${wrong}`);
}

/** The proof. `count` is that of the generated cases; a small one also draws as many of those by hand, of each part. */
export async function fuzz({ full = false, count = full ? FULL : COUNT, seed }: ProofOptions): Promise<Findings> {
  const covered: string[] = [];
  const leaks: string[] = [];
  let stream = 0;
  for (const part of [await recordsPart(), await answersPart(), readersPart(), await inputPart()]) {
    const byHand = count < COUNT ? drawn(part.byHand, count, sequence(seed, 0)) : part.byHand;
    for (const one of byHand) leaks.push(...await wrongsOf(one));
    const generated = Math.round(count * part.share / 100);
    for (let n = 0; n < generated; n++) {
      leaks.push(...(await wrongsOf(part.generated(sequence(seed, stream)))).map((wrong) => `#${stream} ${wrong}`));
      stream++;
    }
    covered.push(`${part.name}: ${byHand.length} of ${part.byHand.length} by hand, ${generated} generated`);
  }
  return { covered, leaks };
}

if (import.meta.main) await report(fuzz);
