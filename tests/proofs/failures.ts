/**
 * Which failures there can be of the calls of a program, and what has to be there after them.
 *
 * @module
 */

import { ReleaseError } from "../../mod.ts";
import { type CompletedCall, type InjectedFailure, SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";

/** They return nothing that could be wrong, or only what another call has done. */
export const INFALLIBLE = [
  "GetLastError",
  "lstrlenW",
  "copyIn",
  "copyOut",
  "CoTaskMemFree",
  "LocalFree",
  "GetCurrentProcess",
  "GetCurrentProcessId",
  "GetSystemTimeAsFileTime",
  "CimCloseImage",
  "CimCloseStream",
];

const WAYS: readonly Omit<InjectedFailure, "function">[] = [
  { code: "ERROR_ACCESS_DENIED" },
  { code: "ERROR_TIMEOUT" },
  { code: "ERROR_TIMEOUT", effect: "partial" },
  { code: "ERROR_TIMEOUT", effect: "full" },
  { code: "ERROR_ACCESS_DENIED", effect: "full" },
  { code: 0 },
];

/** What is there on a host. */
export interface State {
  readonly held: readonly string[];
  readonly paths: readonly string[];
}

const RECORDS = "C:\\ProgramData\\hcs-layers\\mounts";

/** Returns what is there on a host. */
export const stateOf = (host: SimulatedHost): State => ({
  held: host.held().map(({ kind, target }) => `${kind} ${target}`).sort(),
  paths: [...host.paths(), ...recordsOf(host)].sort(),
});

function recordsOf(host: SimulatedHost): string[] {
  return host.exists(RECORDS) ? host.readDir(RECORDS).map(({ name }) => `record ${name}`) : [];
}

/** Returns whether two hosts have the same. */
export function isSame(one: State, other: State): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Returns what is left and lost, for people. */
export function difference({ held, paths }: State, before: State): string {
  const left = [
    ...held.filter((what) => !before.held.includes(what)),
    ...paths.filter((path) => !before.paths.includes(path)),
  ];
  const lost = [
    ...before.held.filter((what) => !held.includes(what)),
    ...before.paths.filter((path) => !paths.includes(path)),
  ];
  return `left ${left.join(", ") || "nothing"}, lost ${lost.join(", ") || "nothing"}`;
}

/** Returns whether what is there at the end is what should be: all, nothing, or a part that was reported as made. */
export function isRight(after: State, before: State, made: State, ...failures: InjectedFailure[]): boolean {
  if (isSame(after, before) || isSame(after, made)) return true;
  if (failures.every(({ code }) => code !== 0)) return false;
  const isPart = (part: readonly string[], ...wholes: readonly (readonly string[])[]) =>
    part.every((what) => wholes.some((whole) => whole.includes(what)));
  return isPart(before.held, after.held) && isPart(after.held, before.held, made.held) &&
    isPart(before.paths, after.paths) && isPart(after.paths, before.paths, made.paths);
}

/**
 * Returns whether the one that mounted can't release it after a failure. Nobody can look whether a filter is there. So the one
 * that mounted says what it couldn't release, and goes on saying so; another process, which asks for everything that a scratch
 * can have, releases it.
 */
export function isBeyondTheOwner({ function: fn, effect, code }: InjectedFailure): boolean {
  return fn === "HcsAttachOverlayFilter" && effect === "full" && code === "ERROR_ACCESS_DENIED" ||
    fn === "HcsDetachOverlayFilter" && code === 0;
}

const CREATING = ["CreateVirtualDisk", "HcsSetupBaseOSLayer"];

/**
 * Has a user remove what errors tell that a call left that was denied: it may be another's. Nothing else is left then, and the
 * errors can be released.
 */
export function removeTold(
  host: SimulatedHost,
  errors: readonly object[],
  { function: fn, code }: InjectedFailure,
): void {
  if (!CREATING.includes(fn) || code !== "ERROR_ACCESS_DENIED") return;
  const told = errors.flatMap((error) => error instanceof ReleaseError ? error.holds : []);
  for (const hold of told) {
    const paths = hold.kind === "newDisk"
      ? [hold.path]
      : hold.kind === "baseOSLayer"
      ? [`${hold.layer}\\Layout`, `${hold.layer}\\Hives`]
      : [];
    paths.filter((path) => host.exists(path)).forEach((path) => host.remove(path));
  }
}

const CLOSING = ["CloseHandle", "FindClose", "FindVolumeClose", "WSACloseEvent", "WSASetEvent", "closesocket"];
const CLOSING_SYSTEM = ["HcsUnregisterComputeSystemCallback", "HcsCloseComputeSystem"];

// Windows was never seen to leave a handle open that it was asked to close, nor to fail and register a callback
// nevertheless, nor to tell nothing of a socket that it was asked to tell of. Nothing could be done about it.
function isUnheardOf({ function: fn, effect, code }: InjectedFailure): boolean {
  return CLOSING.includes(fn) && effect !== "full" || CLOSING_SYSTEM.includes(fn) && code === 0 ||
    fn === "WSAEventSelect" && code === 0 ||
    fn === "HcsRegisterComputeSystemCallback" && effect === "full";
}

function isPossible(failure: InjectedFailure): boolean {
  try {
    new SimulatedHost().fail(failure);
    return true;
  } catch (error) {
    if (error instanceof SimulationError) return false;
    throw error;
  }
}

/** Returns all failures of the calls of a program: before their effects, in the middle of them, after them, and without them. */
export function failuresOf(calls: readonly CompletedCall[]): (InjectedFailure & { readonly nth: number })[] {
  const counts = new Map<string, number>();
  for (const { function: fn } of calls) counts.set(fn, (counts.get(fn) ?? 0) + 1);
  INFALLIBLE.forEach((fn) => counts.delete(fn));
  return [...counts].flatMap(([fn, count]) =>
    WAYS.map((way) => ({ ...way, function: fn })).filter((failure) => !isUnheardOf(failure) && isPossible(failure))
      .flatMap((failure) => Array.from({ length: count }, (_, i) => ({ ...failure, nth: i + 1 })))
  );
}

/** What is tried with failures. */
export interface Trial<Failure> {
  /** All failures that there can be. */
  readonly all: readonly Failure[];
  /** Whether a failure is one of a pair, too. Default: each is. */
  isPaired?(failure: Failure): boolean;
  /** Whether there are too many pairs to try them all, so that one of each failure is drawn. */
  readonly drawsPairs?: boolean;
  /** Tries it with some. Returns what is wrong then, and the failures that there can be after the last one. */
  attempt(
    failures: readonly Failure[],
  ): Promise<{ readonly complaints: readonly string[]; readonly later: () => readonly Failure[] }>;
}

/** Returns the number of the first call after the one that a failure is about. */
export function after(
  { function: name, nth }: InjectedFailure & { readonly nth: number },
  calls: readonly CompletedCall[],
): number {
  let count = 0;
  return calls.findIndex(({ function: fn }) => fn === name && ++count === nth) + 1;
}

/** Returns the failures of the calls of a program from one on. */
export function failuresFrom(from: number, calls: readonly CompletedCall[]): ReturnType<typeof failuresOf> {
  const before = new Map<string, number>();
  for (const { function: fn } of calls.slice(0, from)) before.set(fn, (before.get(fn) ?? 0) + 1);
  return failuresOf(calls).filter((second) => second.nth > (before.get(second.function) ?? 0));
}
