/**
 * Closing separators. The original hands the path of a layer to Windows as it was given, and asks for the id of the empty
 * name if it ends with `\`; ours goes by the folder that is meant.
 *
 * @module
 */

import { standInGuid } from "../../src/simulated/name_to_guid.ts";
import type { Call, Run, Step, StepResult } from "./run.ts";

/** Whether a path has a separator at its end. */
export function hasClosingSeparator(path: string): boolean {
  return /[\\/]$/.test(path);
}

/** The run as it would have been without closing separators in the paths of layers. */
export function withPlainPaths(run: Run): Run {
  if (!run.steps.some(({ layers, scratch }) => [...layers ?? [], scratch ?? ""].some(hasClosingSeparator))) return run;
  const plain = new PlainPaths(run.steps);
  const trace = [...run.trace];
  const steps = run.steps.map((step, i): StepResult => {
    const { calls, ...result } = run.result.steps[i]!;
    const names = (step.layers ?? []).map(nameOf);
    trace.splice(calls[0], calls[1] - calls[0], ...plain.calls(trace.slice(...calls), names));
    return { ...plain.value(result, names) as StepResult, calls };
  });
  return { ...run, trace, result: { ...run.result, steps } };
}

const NO_NAME = standInGuid("");

/** Rewrites what was recorded. */
class PlainPaths {
  // The volume of a scratch, whose name comes from the path that the recorder got.
  readonly #volumes: ReadonlyMap<string, string>;

  constructor(steps: readonly Step[]) {
    const folders = steps.flatMap(({ layers, scratch }) => [...layers ?? [], scratch ?? ""]).filter(
      hasClosingSeparator,
    );
    this.#volumes = new Map(folders.map((folder) => [volumeOf(folder), volumeOf(withoutSeparator(folder))]));
  }

  /** The calls of a step whose layers have these names. Ids are asked for in order, and again in each attempt. */
  calls(calls: readonly Call[], names: readonly string[]): Call[] {
    let asked = 0;
    return calls.map((call) => {
      if (call.fn === "ActivateLayer") asked = 0;
      const args = this.value(call.args, names) as Call["args"];
      if (call.fn !== "NameToGuid") return { ...call, args };
      const name = names[asked++];
      return { ...call, args: { ...args, name: call.args.name || name } };
    });
  }

  /** A value in which the `i`-th of a list of layers may have the id of the empty name. */
  value(value: unknown, names: readonly string[], name?: string): unknown {
    if (typeof value === "string") return this.#text(value, names, name);
    if (Array.isArray(value)) return value.map((one, i) => this.value(one, names, names[i]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.value(one, names, name)]));
  }

  #text(text: string, names: readonly string[], name: string | undefined): string {
    if (/^[{[]/.test(text)) return JSON.stringify(this.value(JSON.parse(text), names));
    if (text === NO_NAME && name !== undefined) return standInGuid(name);
    const inVolume = text.replace(
      /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/,
      (guid) => this.#volumes.get(guid) ?? guid,
    );
    return /^[a-z]:/i.test(inVolume) ? withoutSeparator(inVolume) : inVolume;
  }
}

function volumeOf(scratch: string): string {
  return standInGuid(`volume:${scratch}`);
}

function nameOf(folder: string): string {
  return withoutSeparator(folder).split("\\").at(-1)!;
}

function withoutSeparator(path: string): string {
  return path.replace(/[\\/]+$/, "");
}
