/**
 * What a rule is, and how it is played: what a host returns in a situation. The same rules are played on a real host, on
 * the simulated host beside it, and by the tests of the simulated host.
 *
 * @module
 */

import { LayerError, NativeError } from "../../mod.ts";
import { hex } from "../../src/errors/codes.ts";
import type { Bench } from "./bench.ts";

/** A part of a rule: one call, or one look. What it returns has a form that can be compared. */
export type Step = (bench: Bench) => unknown;

/** What is known of Windows by its documentation, or by what was seen on real hosts. */
export type Known =
  /** A success, and what it returned. */
  | { readonly value?: Comparable }
  /** The HRESULT of a failure. */
  | number
  /** Nobody knows, or the process would end. */
  | "nobody knows"
  | "ends the process";

/** A value without paths, times and ids, which are others on each host. */
export type Comparable = string | boolean;

/** One question to a host. */
export interface Rule {
  /** Its name: a function, a dot, and the situation. */
  readonly id: string;
  /** What it asks, in one sentence. */
  readonly asks: string;
  /** Calls that bring about the situation. If one fails, the question can't be asked. */
  readonly given?: readonly Step[];
  /** The calls in question. What the last one returns is looked at, or the one that fails. */
  readonly ask: readonly Step[];
  /** What is known, by the first build for which it holds. The tests hold the simulated host to it. */
  readonly known?: Readonly<Record<number, Known>>;
  /** Why it isn't asked of a real host, and only played on the simulated one. */
  readonly never?: string;
}

/** What is known on the builds that are common today. */
export function known(what: Known): Readonly<Record<number, Known>> {
  return { 20348: what };
}

/** What a host returned. */
export interface Outcome {
  /** The HRESULT, as `0x` and eight digits. Undefined if the question wasn't answered. */
  readonly code?: string;
  /** What the last call returned, if it returns something. */
  readonly value?: Comparable;
  /** The simulated host doesn't know. */
  readonly unknown?: string;
  /** Why the question couldn't be asked. */
  readonly notAsked?: string;
}

/** Plays a rule. Cleaning up is left to the caller. */
export async function play({ given = [], ask }: Rule, bench: Bench): Promise<Outcome> {
  try {
    for (const step of given) {
      bench.signal?.throwIfAborted();
      await step(bench);
    }
  } catch (error) {
    if (isUnknown(error)) return { unknown: error.message };
    if (!(error instanceof LayerError) && !(error instanceof CantBeAsked)) throw error;
    return { notAsked: error.message };
  }
  await bench.asking();
  const start = performance.now();
  try {
    let value: unknown;
    for (const step of ask) {
      bench.signal?.throwIfAborted();
      value = await step(bench);
    }
    return { code: hex(0), ...(value !== undefined && { value: value as Comparable }) };
  } catch (error) {
    if (error instanceof NativeError) return { code: hex(error.code) };
    if (isUnknown(error)) return { unknown: error.message };
    if (!(error instanceof LayerError) && !(error instanceof CantBeAsked)) throw error;
    return { notAsked: error.message };
  } finally {
    bench.took("all calls in question", performance.now() - start);
  }
}

/** A question can't be asked on this host. */
export class CantBeAsked extends Error {}

// By name, so that bundles for real hosts load the simulated one only when it is needed.
function isUnknown(error: unknown): error is LayerError {
  return error instanceof LayerError && error.name === "SimulationError";
}
