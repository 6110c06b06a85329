/**
 * Closing separators. The original hands the path of a layer to Windows as it was given, and asks for the id of the empty
 * name if it ends with `\`; ours goes by the folder that is meant.
 *
 * @module
 */

import { standInGuid } from "../../src/simulated/name_to_guid.ts";
import { type Call, recordedCalls, type Run, type Step, type StepResult } from "./run.ts";
import { mapTexts } from "./texts.ts";

/** Whether a path has a separator at its end. */
export function hasClosingSeparator(path: string): boolean {
  return /[\\/]$/.test(path);
}

/** The run as it would have been without closing separators in the paths of layers. */
export function withPlainPaths(run: Run): Run {
  const volumes = volumesOf(run.steps);
  if (volumes.size === 0) return run;
  const trace = [...run.trace];
  const steps = run.steps.map((step, i): StepResult => {
    const { calls, ...result } = run.result.steps[i]!;
    const plain = new PlainPaths(step, volumes);
    trace.splice(calls[0], calls[1] - calls[0], ...plain.calls(recordedCalls(run, i)));
    return { ...plain.rewrite(result) as StepResult, calls };
  });
  return { ...run, trace, result: { ...run.result, steps } };
}

const NO_NAME = standInGuid("");
const GUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/** What one step recorded. */
class PlainPaths {
  readonly #names: readonly string[];
  readonly #volumes: ReadonlyMap<string, string>;

  constructor({ layers = [] }: Step, volumes: ReadonlyMap<string, string>) {
    this.#names = layers.map((layer) => withoutSeparator(layer).split("\\").at(-1)!);
    this.#volumes = volumes;
  }

  /** The calls. Ids are asked for in the order of the layers, and again in each attempt. */
  calls(calls: readonly Call[]): Call[] {
    let asked = 0;
    return this.rewrite(calls).map((call) => {
      if (call.fn === "ActivateLayer") asked = 0;
      if (call.fn !== "NameToGuid") return call;
      const name = this.#names[asked++];
      return { ...call, args: { ...call.args, name: call.args.name || name } };
    });
  }

  /** Anything else. In a list of layers, the id of the empty name is that of the layer at the same place. */
  rewrite<T>(recorded: T): T {
    return mapTexts(recorded, (text, { index = -1 }) => {
      if (text === NO_NAME) return standInGuid(this.#names[index] ?? "");
      const inVolume = text.replace(GUID, (guid) => this.#volumes.get(guid) ?? guid);
      return /^[a-z]:/i.test(inVolume) ? withoutSeparator(inVolume) : inVolume;
    });
  }
}

// The recorder made the name of a scratch's volume of the path that it got.
function volumesOf(steps: readonly Step[]): ReadonlyMap<string, string> {
  const folders = steps.flatMap(({ layers = [], scratch = "" }) => [...layers, scratch]).filter(hasClosingSeparator);
  return new Map(folders.map((folder) => [volumeOf(folder), volumeOf(withoutSeparator(folder))]));
}

function volumeOf(scratch: string): string {
  return standInGuid(`volume:${scratch}`);
}

function withoutSeparator(path: string): string {
  return path.replace(/[\\/]+$/, "");
}
