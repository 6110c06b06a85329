/**
 * The failures that a test injects.
 *
 * @module
 */

import { fromWin32, hresult, win32 } from "../errors/codes.ts";
import { printable } from "../errors/printable.ts";
import { notification } from "../ffi/vmcompute_hcs.ts";
import type { SimulatedFunction } from "./call.ts";
import { type Injection, InjectionList } from "./injections.ts";
import { requireKnown, requireOptions } from "./known_names.ts";
import { hasMiddle } from "./partial_effects.ts";
import { SimulationError } from "./simulation_error.ts";
import type { NativeCall } from "./trace.ts";

/**
 * How much a call does that fails.
 *
 * - `"none"`: it fails before it has done anything.
 * - `"partial"`: it fails in the middle, and leaves what it has done so far. Not every function has a middle.
 * - `"full"`: it does all, and fails then. What it would have returned is lost: its handles are closed.
 *
 * @category Simulation
 */
export type Effect = "none" | "partial" | "full";

/**
 * A failure to inject.
 *
 * @category Simulation
 */
export interface InjectedFailure {
  /** The function that fails, or the notification that reports a failure, such as `SystemStartCompleted`. */
  function: string;
  /**
   * The HRESULT, a Win32 code, or a name in winerror.h, such as `ERROR_ACCESS_DENIED`. With 0 the function returns success
   * without having done anything; only for functions that return nothing but that.
   */
  code: number | string;
  /** The number of the call that fails, counted from 1 since the failure was injected. Default: every call. */
  nth?: number;
  /** An additional condition. */
  when?: (call: NativeCall) => boolean;
  /** The result document, for functions that return one. */
  result?: object;
  /** How much the call does. Default: `"none"`. */
  effect?: Effect;
  /** The call returns at once, and does everything so many milliseconds later, by the clock of the host. */
  effectAfter?: number;
}

/** What an injected failure does to a call. */
export interface CallFailure {
  /** An HRESULT. 0 is success. */
  readonly code: number;
  /** How much of its effect the call has. */
  readonly effect: Effect;
  /** When it has its effect, if not now. */
  readonly effectAfter: number | undefined;
  /** The result document. */
  readonly result: object | undefined;
}

interface Entry {
  readonly when: InjectedFailure["when"];
  readonly failure: CallFailure;
}

const FAILURE = {
  function: true,
  code: true,
  nth: true,
  when: true,
  result: true,
  effect: true,
  effectAfter: true,
} as const;

/** The injected failures of a host. */
export class FailureList {
  readonly #functions: ReadonlyMap<string, SimulatedFunction>;
  readonly #injections = new InjectionList<Entry>();

  /** A list for the functions of all DLLs, by their names. */
  constructor(functions: ReadonlyMap<string, SimulatedFunction>) {
    this.#functions = functions;
  }

  /** Adds a failure, or refuses one that can't occur. */
  add(given: InjectedFailure): Injection {
    requireOptions(given, FAILURE, "fail()");
    const failure = this.#checked(given);
    return this.#injections.add(given.function, given.nth, { when: given.when?.bind(given), failure });
  }

  /** Removes all failures. */
  clear(): void {
    this.#injections.clear();
  }

  /** Counts a call, and returns the failure that is injected for it. */
  of(call: NativeCall): CallFailure | undefined {
    const hit = this.#injections.at(call.function).find(({ value: { when } }) => when?.(call) ?? true);
    if (hit !== undefined) hit.fired++;
    return hit?.value.failure;
  }

  #checked({ function: name, code, effect = "none", effectAfter, result }: InjectedFailure): CallFailure {
    const fn = this.#functions.get(name);
    const known = [...this.#functions.keys(), ...Object.keys(notification)];
    requireKnown(name, known, "there is no function or notification");
    const status = codeOf(code);
    const has = `${name} can't have ${effectAfter === undefined ? `the effect "${effect}"` : "its effect later"}`;
    if (effectAfter !== undefined) {
      if (!(effectAfter >= 0 && effectAfter < Infinity)) refuse(`effectAfter is no number of milliseconds`);
      if (effect !== "none") refuse(`${has}, and also the effect "${effect}" now`);
      if (fn === undefined) refuse(`${has}: it is a notification`);
      if (!fn.hasOnlyStatus) refuse(`${has}: it returns more than success or failure`);
    }
    if (!["none", "partial", "full"].includes(effect)) {
      refuse(`the effect of ${name} is neither none, partial nor full, but ${printable(effect)}`);
    }
    if (effect !== "none" && fn === undefined) refuse(`${has}: it is a notification`);
    if (effect === "partial" && !hasMiddle(name)) refuse(`${has}: it is done in one step`);
    if (status === 0) {
      if (effect !== "none") {
        refuse(`${name} can't succeed with the effect "${effect}": use effect "none" or effectAfter`);
      }
      if (fn !== undefined && !fn.hasOnlyStatus) {
        refuse(`${name} can't succeed without an effect: it returns more than success or failure`);
      }
    }
    return { code: status, effect, effectAfter, result };
  }
}

/** Returns the HRESULT of a code: an HRESULT, a Win32 code, or a name in winerror.h. */
export function codeOf(code: number | string): number {
  if (typeof code === "number") {
    if (!Number.isInteger(code) || code < -(2 ** 31) || code >= 2 ** 32) {
      throw new SimulationError(`a code has 32 bits, which ${code} hasn't`);
    }
    return code >>> 0 > 0xffff ? code >>> 0 : fromWin32(code);
  }
  if (typeof code !== "string") throw new SimulationError(`a code is a number or a name, not ${printable(code)}`);
  if (/^-?\d/.test(code)) throw new SimulationError(`a code that is a number has no quotes: ${code}`);
  const named = Object.hasOwn(win32, code) ? fromWin32(win32[code as keyof typeof win32]) : undefined;
  const other = Object.hasOwn(hresult, code) ? hresult[code as keyof typeof hresult] : undefined;
  requireKnown(code, [...Object.keys(win32), ...Object.keys(hresult)], "there is no code");
  return (named ?? other)!;
}

function refuse(why: string): never {
  throw new SimulationError(`the failure can't be injected: ${why}`);
}
