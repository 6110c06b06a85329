/**
 * What the parts of the proof `test:fuzz` have in common.
 *
 * @module
 */

import { LayerError } from "../../../mod.ts";
import type { Random } from "../../support/random.ts";

/** Something odd that is tried. */
export interface Case {
  /** What it is, for people. */
  readonly what: string;
  /** Tries it. Returns what is wrong after it. */
  run(): Promise<readonly string[]> | readonly string[];
}

/** A part of the proof. */
export interface Part {
  /** Its name. */
  readonly name: string;
  /** The cases that somebody has thought of. */
  readonly byHand: readonly Case[];
  /** How many of a hundred generated cases are its. */
  readonly share: number;
  /** Returns a case that is drawn. */
  generated(random: Random): Case;
}

/** More calls than anything here needs. */
const MOST_CALLS = 20_000;

/** Thrown into what makes too many native calls. */
export class EndlessError extends Error {}

/** Returns a function to call before each native call. */
export function callLimit(): () => void {
  let calls = 0;
  return () => {
    if (++calls > MOST_CALLS) throw new EndlessError(`made more than ${MOST_CALLS} native calls`);
  };
}

/** Returns what is wrong with an error, if it isn't one of the library. */
export function complaintAbout(doing: string, error: unknown): string[] {
  if (error instanceof SuppressedError) {
    return [error.error, error.suppressed].flatMap((one) => complaintAbout(doing, one));
  }
  if (error instanceof LayerError) return [];
  return [`${doing} throws ${error instanceof Error ? error.stack?.split("\n").slice(0, 4).join(" ") : error}`];
}

/** Returns one of the items. */
export function pick<T>(items: readonly T[], random: Random): T {
  return items[random(items.length)]!;
}
