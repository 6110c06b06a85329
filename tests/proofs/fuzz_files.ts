/**
 * Damaged images and tars: reading and checking them ends, with typed errors only, and takes no more memory than the image has
 * bytes. And images that a writer from the documentation has made, and tars of layers, are read as they were written.
 *
 * `deno task test:fuzz:files` draws some; with `--full`, 1,000,000.
 *
 * @module
 */

import { imagesPart, writtenImagesPart } from "./fuzz/images.ts";
import { tryCases } from "./fuzz/run.ts";
import { tarsPart, writtenTarsPart } from "./fuzz/tars.ts";
import { type Findings, type ProofOptions, report } from "./report.ts";

/** The proof. `count` is that of the generated cases. */
export async function fuzzFiles(options: ProofOptions): Promise<Findings> {
  return await tryCases([imagesPart(), writtenImagesPart(), await tarsPart(), writtenTarsPart()], {
    count: 2_000,
    full: 1_000_000,
  }, options);
}

if (import.meta.main) await report(fuzzFiles);
