/**
 * Names of VSMB shares. They count the shares that were asked for, so they differ once ours has asked for more of them.
 *
 * @module
 */

import { requestOf } from "./requests.ts";
import { type Call, recordedCalls, type Run } from "./run.ts";
import { mapTexts } from "./texts.ts";

/** The names that shares have in ours, by those in the recording, up to the end of a step. */
export function shareNames(run: Run, step: number, made: readonly Call[]): ReadonlyMap<string, string> {
  const ours = addedShares(made);
  const oursByPath = new Map(ours.map(({ path, name }) => [path, name]));
  const earlier = addedShares(run.trace.slice(0, run.result.steps[step]!.calls[0]));
  const added = addedShares(recordedCalls(run, step));
  return new Map([
    ...earlier.map(({ path, name }) => [name, oursByPath.get(path) ?? name] as const),
    ...added.map(({ name }, i) => [name, `s${(ours.length + 1 + i).toString(16)}`] as const),
  ]);
}

/** A copy of what was recorded, with other names of shares. */
export function withShareNames<T>(recorded: T, names: ReadonlyMap<string, string>): T {
  const renamed = (name: string) => names.get(name) ?? name;
  return mapTexts(recorded, (text, { key }) => key === "Name" ? renamed(text) : text.replace(GUEST_NAME, renamed));
}

const GUEST_NAME = /(?<=^\\\\\?\\VMSMB\\VSMB-\{[^}]*\}\\)s[0-9a-f]+/;

interface Share {
  readonly path: string;
  readonly name: string;
}

function addedShares(calls: readonly Call[]): Share[] {
  return calls.flatMap((call): Share[] => {
    const { ResourcePath, RequestType, Settings } = requestOf(call) ?? {};
    if (!ResourcePath?.endsWith("/Shares") || RequestType !== "Add") return [];
    return [{ path: String(Settings!.Path), name: String(Settings!.Name) }];
  });
}
