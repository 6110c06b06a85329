/**
 * What a step is expected to do, and how that is compared with what it did.
 *
 * @module
 */

import { fromWin32, hex } from "../../src/errors/codes.ts";
import { GuestError } from "../../src/errors/vm_errors.ts";
import { InUseError, InvalidInputError, NativeError, UnwindError, VMStateError } from "../../mod.ts";
import { UNSEEN } from "./machine.ts";
import { attachesScratch, MODIFY, withDiskPath, withSortedWaves } from "./requests.ts";
import { isDocument } from "./texts.ts";
import { type Call, isPending, recordedCalls, type RecordedError, type Run, succeeded } from "./run.ts";

/** How a step is to end. */
export type Outcome =
  /** With this result, if the recording can tell. */
  | { readonly kind: "done"; readonly result?: Readonly<Record<string, unknown>> }
  /** With an error that says what has to be changed in the arguments. */
  | { readonly kind: "refused" }
  /** With an answer of Windows, or with one of a guest and its words; `operation` if the recording tells. */
  | { readonly kind: "native"; readonly code: number; readonly operation?: string; readonly words?: string }
  /** With an error of the library's own. */
  | { readonly kind: "own" }
  /** In a way that the recording doesn't tell. */
  | { readonly kind: "any" };

/** What a step is to do. */
export interface Expected {
  readonly calls: readonly Call[];
  readonly outcome: Outcome;
  /** Set if ours goes another way from here on, so that the calls can't be the same any more. */
  readonly diverges?: boolean;
  /** Set if ours makes other calls too, in an order of its own. */
  readonly among?: boolean;
  /** Set if ours makes more calls after these. */
  readonly begins?: boolean;
  /** Set if what was held before the step has to be held after it. */
  readonly rollsBack?: boolean;
}

/** What a step did. */
export interface Actual {
  readonly calls: readonly Call[];
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: unknown;
}

// How resolved paths of files on C: begin in the recordings.
const RECORDED_DRIVE = "\\\\?\\Volume{00000000-0000-0000-0000-000000000043}\\";

/** What the recorded step did, without Go's words. */
export function recordedStep(run: Run, step: number, resolvedDrive: string): Expected {
  const resolved = (path: string) =>
    path.startsWith(RECORDED_DRIVE) ? path.replace(RECORDED_DRIVE, resolvedDrive) : path;
  const calls = recordedCalls(run, step).map((call) => withDiskPath(call, resolved));
  const { err, panic, ...result } = run.result.steps[step]!;
  if (panic !== undefined) return { calls, outcome: { kind: "own" } };
  if (err === null || isOfRecorder(err) || result.op === "Stat") return { calls, outcome: { kind: "done", result } };
  const failed = calls.filter((call) => !succeeded(call) && call.hr !== UNSEEN);
  const code = codeIn(err.errno ?? err.text.match(/\((0x[0-9a-f]+)\)/i)?.[1]);
  const culprit = code === undefined ? failed[0] : failed.find(({ hr }) => Number(hr) === code);
  if (culprit !== undefined) {
    const { fn: operation, hr, words } = culprit;
    return { calls, outcome: { kind: "native", operation, code: Number(hr), ...(words && { words }) } };
  }
  if (code === undefined) return { calls, outcome: { kind: "own" } };
  // What it began failed later.
  const begun = calls.findLast(isPending);
  return { calls, outcome: { kind: "native", code, ...(begun && { operation: begun.fn }) } };
}

// Not from upstream: there was nothing to release.
function isOfRecorder({ text }: RecordedError): boolean {
  return text.startsWith("oracle:");
}

function codeIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const code = Number(text);
  return code <= 0xffff ? fromWin32(code) : code;
}

/** The first difference between two ends of a step, in words. */
export function outcomeDifference(expected: Outcome, actual: Actual): string | undefined {
  const errors = "error" in actual ? causesIn(actual.error) : [];
  if (matches(expected, errors)) {
    const result = expected.kind === "done" ? expected.result : undefined;
    return result && resultDifference(result, actual.result!);
  }
  return `expected ${describe(expected)}\nactual   ${"error" in actual ? errors.join("; ") : "success"}`;
}

function matches(expected: Outcome, errors: readonly unknown[]): boolean {
  switch (expected.kind) {
    case "done":
      return errors.length === 0;
    case "refused":
      return [InvalidInputError, InUseError, VMStateError].some((refusal) => errors[0] instanceof refusal);
    case "native":
      return errors.some((error) =>
        error instanceof NativeError && error.code === expected.code &&
        (expected.operation === undefined || operationOf(error) === expected.operation) &&
        error.message.includes(expected.words ?? "")
      );
    case "own":
      return errors.length > 0 && !(errors[0] instanceof NativeError);
    case "any":
      return true;
  }
}

/** The name of the call that failed. What a guest was asked for stands among the native calls. */
export function operationOf(error: NativeError): string {
  if (!(error instanceof GuestError)) return error.operation;
  return error.operation === "ModifySettings" ? MODIFY : `guest:${error.operation}`;
}

function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case "done":
      return "success";
    case "refused":
      return "an InvalidInputError, InUseError or VMStateError";
    case "native":
      return `a NativeError of ${outcome.operation ?? "any function"} with ${hex(outcome.code)}${
        outcome.words ? ` and ${JSON.stringify(outcome.words)}` : ""
      }`;
    case "own":
      return "an error that is no NativeError";
    case "any":
      return "anything";
  }
}

// What went wrong: why a step was unwound, or all that a release met. The original tells the first, in its own order.
function causesIn(error: unknown): unknown[] {
  return error instanceof UnwindError ? causesIn(error.cause) : errorsIn(error);
}

/** All errors in an error. */
export function errorsIn(error: unknown): unknown[] {
  const errors = error instanceof Error && "errors" in error ? error.errors : undefined;
  return Array.isArray(errors) ? errors.flatMap(errorsIn) : [error];
}

function resultDifference(
  expected: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const [name, value] of Object.entries(actual)) {
    const difference = valueDifference(expected[name], value, name);
    if (difference !== undefined) return `result ${difference}`;
  }
  return undefined;
}

/** The first difference between two lists of calls, in words. With `prefix`, there may be more of the actual ones. */
export function callsDifference(
  expectedCalls: readonly Call[],
  actualCalls: readonly Call[],
  { prefix = false }: { readonly prefix?: boolean } = {},
): string | undefined {
  // Where the original ended before its scratch, ours has begun with that beside the layers.
  const isBeside = (call: Call) => prefix && attachesScratch(call) && !expectedCalls.some(attachesScratch);
  const expected = withSortedWaves(expectedCalls);
  const actual = withSortedWaves(actualCalls.filter((call) => !isBeside(call)));
  const length = prefix ? expected.length : Math.max(expected.length, actual.length);
  for (let i = 0; i < length; i++) {
    const [wanted, made] = [expected[i], actual[i]];
    const difference = wanted?.fn === made?.fn && wanted?.dll === made?.dll ? callDifference(wanted!, made!) : "";
    if (difference === undefined) continue;
    return `call ${i + 1}${difference && `: ${difference}`}\nexpected ${show(wanted)}\nactual   ${show(made)}`;
  }
  return undefined;
}

/** The first difference between two calls of one function, in words. */
export function callDifference(expected: Call, actual: Call): string | undefined {
  return valueDifference(expected.args, actual.args, "args") ?? valueDifference(expected.hr, actual.hr, "answer");
}

/** A call in words. */
export function show(call: Call | undefined): string {
  return call === undefined ? "no further call" : `${call.fn} ${JSON.stringify(call.args)} -> ${call.hr}`;
}

function valueDifference(expected: unknown, actual: unknown, path: string): string | undefined {
  if (expected === UNSEEN || actual === UNSEEN) return undefined;
  const [wanted, made] = [parsed(expected), parsed(actual)];
  if (isObject(wanted) && isObject(made) && Array.isArray(wanted) === Array.isArray(made)) {
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(made)])) {
      const difference = valueDifference(wanted[key], made[key], `${path}.${key}`);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }
  if (Object.is(wanted, made)) return undefined;
  return `${path} is ${JSON.stringify(made)} instead of ${JSON.stringify(wanted)}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** HCS documents are compared as values. */
function parsed(value: unknown): unknown {
  return typeof value === "string" && isDocument(value) ? JSON.parse(value) : value;
}
