/**
 * VSMB shares: their names, and those that stay in a VM. The names count the shares that were asked for, so they differ once
 * ours has asked for more or fewer of them.
 *
 * @module
 */

import { requestOf } from "./requests.ts";
import { type Call, recordedCalls, type Residual, type Run, succeeded } from "./run.ts";
import { mapTexts } from "./texts.ts";

/** The names that shares have in ours, by those in the recording, up to the end of a step. */
export function shareNames(run: Run, step: number, made: readonly Call[]): ReadonlyMap<string, string> {
  const ours = addedShares(made);
  const oursByPath = new Map(ours.map(({ path, name }) => [path, name]));
  const earlier = addedShares(run.trace.slice(0, run.result.steps[step]!.calls[0]));
  const added = addedShares(recordedCalls(run, step));
  const lasting = new Map(lastingShares(made).map(({ path, name }) => [path, name]));
  let count = ours.length;
  return new Map([
    ...earlier.map(({ path, name }) => [name, oursByPath.get(path) ?? name] as const),
    ...added.map(({ path, name }) => [name, lasting.get(path) ?? `s${(++count).toString(16)}`] as const),
  ]);
}

/** Whether a call adds a share that ours has already, or removes one that stays. */
export function isSpared(call: Call, run: Run, made: readonly Call[]): boolean {
  const { ResourcePath, RequestType, Settings } = requestOf(call) ?? {};
  if (!ResourcePath?.endsWith("/Shares")) return false;
  return RequestType === "Add"
    ? lastingShares(made).some(({ path }) => path === Settings!.Path)
    : addedShares(run.trace).some(({ name, direct }) => direct && name === Settings!.Name);
}

/** What is held, without the shares that stay until the VM ends: those that are mapped directly. */
export function withoutLasting({ device, ...others }: Residual, calls: readonly Call[]): Residual {
  const lasting = lastingShares(calls).map(({ name }) => `vsmb:${name}`);
  const devices = device?.filter((what) => !lasting.includes(what)) ?? [];
  return devices.length === 0 ? others : { ...others, device: devices };
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
  /** Whether its files may be mapped into the VM's memory. */
  readonly direct: boolean;
}

function lastingShares(calls: readonly Call[]): Share[] {
  return addedShares(calls.filter(succeeded)).filter(({ direct }) => direct);
}

function addedShares(calls: readonly Call[]): Share[] {
  return calls.flatMap((call): Share[] => {
    const { ResourcePath, RequestType, Settings } = requestOf(call) ?? {};
    if (!ResourcePath?.endsWith("/Shares") || RequestType !== "Add") return [];
    const { NoDirectmap } = Settings!.Options as { NoDirectmap?: boolean };
    return [{ path: String(Settings!.Path), name: String(Settings!.Name), direct: NoDirectmap !== true }];
  });
}
