/**
 * Records that are torn, damaged and planted, answers of Windows that make no sense, damaged files of other tools, and bad
 * input: typed errors only, nothing of others is lost, nothing of ours is left, and nothing is without an end.
 *
 * `deno task test:fuzz` tries what somebody has thought of, and draws more; with `--full`, 100,000.
 *
 * @module
 */

import { answersPart } from "./fuzz/answers.ts";
import { inputPart } from "./fuzz/input.ts";
import { readersPart } from "./fuzz/readers.ts";
import { recordsPart } from "./fuzz/records.ts";
import { tryCases } from "./fuzz/run.ts";
import { type Findings, type ProofOptions, report } from "./report.ts";

/** The proof. `count` is that of the generated cases; a small one also draws as many of those by hand, of each part. */
export async function fuzz(options: ProofOptions): Promise<Findings> {
  const parts = [await recordsPart(), await answersPart(), readersPart(), await inputPart()];
  return await tryCases(parts, { count: 2_000, full: 100_000 }, options);
}

if (import.meta.main) await report(fuzz);
