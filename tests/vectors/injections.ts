/**
 * The failures to inject into ours for those of a recording.
 *
 * @module
 */

import { fromWin32 } from "../../src/errors/codes.ts";
import { MODIFY, requestKey } from "./requests.ts";
import { type Call, recordsMountPoints, type Run, succeeded } from "./run.ts";

/** An injected failure. */
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

/**
 * Translates the failures of a recording. Ours makes other calls than the original, so a number can mean another call:
 * a request to a VM fails if it is about the same thing, and of the calls of `NameToGuid` only those count that ours makes
 * too. If the functions for mount points were Wine's, they fail as Wine's do.
 */
export function injectionsFor(run: Run): Injection[] {
  const injections = run.fail.split(",").filter((text) => text.trim() !== "").map(parse);
  if (!recordsMountPoints(run)) {
    const code = fromWin32(CALL_NOT_IMPLEMENTED);
    injections.push({ fn: "SetVolumeMountPointW", code }, { fn: "DeleteVolumeMountPointW", code });
  }
  return injections.flatMap((injection) => {
    if (injection.nth === undefined) return [injection];
    if (injection.fn === "NameToGuid") return withoutRepeats(run, injection, injection.nth);
    return injection.fn === MODIFY ? forRequest(run, injection, injection.nth) : [injection];
  });
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
  const [, fn, nth, code] = text.match(/^\s*(\w+)#(\d+|\*)=(0x[0-9a-f]+)\s*$/i) ?? [];
  if (fn === undefined) throw new TypeError(`not an injected failure: ${text}`);
  const hresult = /VolumeMountPointW$/.test(fn) ? fromWin32(Number(code)) : Number(code);
  return { fn, code: hresult, ...(nth !== "*" && { nth: Number(nth) }) };
}

function forRequest(run: Run, injection: Injection, nth: number): Injection[] {
  const keys = run.trace.filter(({ fn }) => fn === MODIFY).map(requestKey);
  const request = keys[nth - 1];
  if (request === undefined) return [];
  return [{ ...injection, request, nth: keys.slice(0, nth).filter((key) => key === request).length }];
}

function withoutRepeats(run: Run, injection: Injection, nth: number): Injection[] {
  const repeats = repeatedNames(run.trace.filter(({ fn }) => fn === "NameToGuid"));
  if (repeats[nth - 1]) return [];
  return [{ ...injection, nth: nth - repeats.slice(0, nth).filter((repeat) => repeat).length }];
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
