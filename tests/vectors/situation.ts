/**
 * Where a run stands before one of its steps.
 *
 * @module
 */

import type { Disk } from "./disk.ts";
import type { Call, Residual, Run, Step } from "./run.ts";

/** What is known before a step. */
export interface Situation {
  readonly run: Run;
  readonly step: Step;
  /** Number of the step, from 0. */
  readonly index: number;
  /** What was on disk before the run. */
  readonly disk: Disk;
  /** Our calls so far. */
  readonly made: readonly Call[];
  /** What they hold. */
  readonly held: Residual;
  /** What our steps have mounted, by name. */
  readonly mounts: ReadonlyMap<string, { readonly isReleased: boolean }>;
  /** How the path of a file on `C:` begins once Windows has resolved it. */
  readonly resolvedDrive: string;
}
