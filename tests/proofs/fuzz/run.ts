/**
 * Goes through the cases of the parts of a proof by damage.
 *
 * @module
 */

import { sequence } from "../../support/random.ts";
import { drawn, type Findings, type ProofOptions } from "../report.ts";
import type { Case, Part } from "./case.ts";

/** How many cases are generated. */
export interface CaseCounts {
  /** Without an option. */
  readonly count: number;
  /** With `--full`. */
  readonly full: number;
}

// How often people are told how far it is.
const TOLD_EVERY = 20_000;

/** Tries the cases. A small `count` of generated ones also draws as many of those by hand, of each part. */
export async function tryCases(
  parts: readonly Part[],
  counts: CaseCounts,
  { full = false, count = full ? counts.full : counts.count, seed, progress }: ProofOptions,
): Promise<Findings> {
  const covered: string[] = [];
  const leaks: string[] = [];
  let stream = 0;
  for (const part of parts) {
    const byHand = count < counts.count ? drawn(part.byHand, count, sequence(seed, 0)) : part.byHand;
    for (const one of byHand) leaks.push(...await wrongsOf(one));
    const generated = Math.round(count * part.share / 100);
    for (let n = 0; n < generated; n++) {
      leaks.push(...(await wrongsOf(part.generated(sequence(seed, stream)))).map((wrong) => `#${stream} ${wrong}`));
      stream++;
      if (stream % TOLD_EVERY === 0) progress?.(`${part.name}: ${n + 1} of ${generated}, ${leaks.length} leaks`);
    }
    covered.push(`${part.name}: ${byHand.length} of ${part.byHand.length} by hand, ${generated} generated`);
  }
  return { covered, leaks };
}

async function wrongsOf({ what, run }: Case): Promise<string[]> {
  const wrongs = await Promise.resolve().then(run).catch((error) => [`${error?.stack ?? error}`]);
  return wrongs.map((wrong) => `${what}: ${wrong}`);
}
