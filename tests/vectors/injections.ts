/**
 * The failures to inject into ours for those of a recording.
 *
 * @module
 */

import { fromWin32 } from "../../src/errors/codes.ts";
import { MODIFY, requestKey } from "./requests.ts";
import { type Call, recordsMountPoints, type Run, succeeded } from "./run.ts";
import { shareNames, withShareNames } from "./shares.ts";

/** A failure that a machine is to inject. */
export interface Injection {
  /** The function that fails. */
  readonly fn: string;
  /** Which call of it in the whole run, counted from 1; every call if not given. */
  readonly nth?: number;
  /** With it, `nth` counts only the requests to a VM that have this {@linkcode requestKey}. */
  readonly request?: string;
  /** The HRESULT. */
  readonly code: number;
}

/** A failure of a recording. */
interface RecordedFailure extends Injection {
  /** The call that it hit, and its step, from whose start `nth` counts. Not given if it hit none. */
  readonly hit?: { readonly call: Call; readonly step: number };
}

/**
 * The failures of a recording. Ours makes other calls than the original, so the number of a call in the whole run can mean
 * another call: a failure hits the same call of the same step, and of the requests to a VM the one about the same thing.
 * Of the calls of `NameToGuid`, those count that ours makes too. If the functions for mount points were Wine's, they fail
 * as Wine's do.
 */
export class RecordedFailures {
  readonly #run: Run;
  readonly #failures: readonly RecordedFailure[];

  constructor(run: Run) {
    this.#run = run;
    const injected = run.fail.split(",").filter((text) => text.trim() !== "").map(parse);
    const missing = recordsMountPoints(run) ? [] : ["SetVolumeMountPointW", "DeleteVolumeMountPointW"];
    this.#failures = [
      ...injected.flatMap((injection) => inStep(run, injection)),
      ...missing.map((fn) => ({ fn, code: fromWin32(CALL_NOT_IMPLEMENTED) })),
    ];
  }

  /** Whether a call failed because it was told to. */
  caused({ fn, hr }: Call): boolean {
    return this.#failures.some((failure) => failure.fn === fn && failure.code === Number(hr));
  }

  /** What to inject before a step. */
  at(step: number, made: readonly Call[]): Injection[] {
    return this.#failures.flatMap(({ hit, ...injection }): Injection[] => {
      if (hit === undefined) return [injection];
      if (hit.step !== step) return [];
      const names = shareNames(this.#run, step, made);
      const request = hit.call.fn === MODIFY ? requestKey(withShareNames(hit.call, names)) : undefined;
      const before = made.filter((call) =>
        call.fn === injection.fn && (request === undefined || requestKey(call) === request)
      );
      return [{ ...injection, nth: before.length + injection.nth!, ...(request !== undefined && { request }) }];
    });
  }
}

/**
 * Whether a request is to fail.
 *
 * @param before The keys of the requests before it.
 */
export function failsRequest(injection: Injection, before: readonly string[], key: string): boolean {
  return injection.request === key && injection.nth === before.filter((other) => other === key).length + 1;
}

const CALL_NOT_IMPLEMENTED = 120;

function parse(text: string): Injection {
  const [, fn, nth, code] = text.match(/^\s*([\w:]+)#(\d+|\*)=(0x[0-9a-f]+)\s*$/i) ?? [];
  if (fn === undefined) throw new TypeError(`not an injected failure: ${text}`);
  const hresult = /VolumeMountPointW$/.test(fn) ? fromWin32(Number(code)) : Number(code);
  return { fn, code: hresult, ...(nth !== "*" && { nth: Number(nth) }) };
}

function inStep(run: Run, { fn, nth, code }: Injection): RecordedFailure[] {
  if (nth === undefined) return [{ fn, code }];
  const at = run.trace.flatMap((call, i) => call.fn === fn ? [i] : [])[nth - 1];
  // Nobody can say what a request would have been about.
  if (at === undefined) return fn === MODIFY ? [] : [{ fn, code, nth }];
  const step = run.result.steps.findIndex(({ calls: [from, to] }) => from <= at && at < to);
  const hit = { call: run.trace[at]!, step };
  const [from] = run.result.steps[step]!.calls;
  const upTo = run.trace.slice(from, at + 1).filter((call) => call.fn === fn);
  if (fn === MODIFY) {
    const same = upTo.filter((call) => requestKey(call) === requestKey(hit.call));
    return [{ fn, code, hit, nth: same.length }];
  }
  const repeats = repeatedNames(upTo, run.trace.slice(0, from));
  if (repeats.at(-1)) return [];
  return [{ fn, code, hit, nth: repeats.filter((repeat) => !repeat).length }];
}

/**
 * Tells for each call whether it asks `NameToGuid` for a name that was answered before.
 *
 * @param before The calls before them.
 */
export function repeatedNames(calls: readonly Call[], before: readonly Call[] = []): boolean[] {
  const answered = new Set<unknown>();
  const repeats = (call: Call): boolean => {
    if (call.fn !== "NameToGuid") return false;
    const repeat = answered.has(call.args.name);
    if (succeeded(call)) answered.add(call.args.name);
    return repeat;
  };
  before.forEach(repeats);
  return calls.map(repeats);
}
