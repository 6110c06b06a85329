/**
 * The differences from the Go original that are wanted, each with what must hold instead.
 *
 * @module
 */

import { fromWin32 } from "../../src/ffi/codes.ts";
import { type Disk, pathKey } from "./disk.ts";
import type { Expected } from "./expected.ts";
import type { Injection } from "./machine.ts";
import { RELEASING } from "./ops.ts";
import { givesBack } from "./residual.ts";
import { type Call, type Residual, type Run, type Step, succeeded } from "./run.ts";

/** Where a run is, before a step. */
export interface Situation {
  readonly run: Run;
  readonly step: Step;
  /** Number of the step, from 0. */
  readonly index: number;
  /** What was on disk before the run. */
  readonly disk: Disk;
  /** What our calls have been. */
  readonly made: readonly Call[];
  /** What they hold. */
  readonly held: Residual;
  /** Names of what our steps have mounted. */
  readonly mounts: ReadonlyMap<string, unknown>;
}

/** A difference that is wanted. */
export interface WantedDifference {
  /** What ours does instead. */
  readonly ours: string;
  /** What is expected of a step in place of `expected`; undefined where the difference isn't about it. */
  readonly apply: (expected: Expected, situation: Situation) => Expected | undefined;
}

const nothingDone: Expected = { calls: [], outcome: { kind: "done", result: {} } };

/** The table. */
export const WANTED: readonly WantedDifference[] = [
  {
    ours: "bad input is refused before any native call",
    apply: (_, situation) => isBadInput(situation) ? { calls: [], outcome: { kind: "refused" } } : undefined,
  },
  {
    ours: "what was never mounted is released without any native call",
    apply: ({ calls, outcome }, { step, mounts, held }) => {
      const missing = step.op === "Release" && !mounts.has(step.of!) ||
        step.op === "RemoveSandboxMountPoint" && !isMountedAt(held, step.hostPath!);
      return missing && (calls.length > 0 || outcome.kind !== "done") ? nothingDone : undefined;
    },
  },
  {
    ours: "a folder is removed with its mount point where it was created for it, with its parents, and never otherwise",
    apply: ({ outcome }, { step, disk, held }) => {
      if (step.op !== "Stat") return undefined;
      const kind = disk.kind(step.path!) ?? (isMountedAt(held, step.path!) ? "folder" : undefined);
      const isDir = kind && kind === "folder";
      if (outcome.kind === "done" && outcome.result.isDir === isDir) return undefined;
      return { calls: [], outcome: { kind: "done", result: { isDir } } };
    },
  },
  {
    ours: "an image that isn't mounted any more is reported as not mounted",
    apply: ({ outcome }, { step, disk, held }) => {
      if (step.op !== "ToHostHcsSchemaLayers" || disk.kind(imageOf(step.layers![0] ?? "")) !== "file") return undefined;
      const known = JSON.stringify(outcome.kind === "done" ? outcome.result.layers : []);
      const dead = known !== "[]" && !(held.cim ?? []).some((volume) => known.includes(volume));
      return dead ? { calls: [], outcome: { kind: "own" } } : undefined;
    },
  },
  {
    ours: "NameToGuid is asked once per name",
    apply: (expected, { made }) => {
      const known = new Set(made.filter((call) => isAnsweredName(call)).map(({ args }) => args.name));
      const repeats = expected.calls.map((call) => {
        const repeat = call.fn === "NameToGuid" && known.has(call.args.name);
        if (isAnsweredName(call)) known.add(call.args.name);
        return repeat;
      });
      if (!repeats.includes(true)) return undefined;
      const failed = expected.calls.findIndex((call, i) => repeats[i] && !succeeded(call));
      const calls = expected.calls.filter((_, i) => !repeats[i] && (failed < 0 || i < failed));
      // Where asking again failed, nothing fails in ours: so it goes on where the recording doesn't.
      return failed < 0 ? { ...expected, calls } : { calls, outcome: { kind: "any" }, departs: true };
    },
  },
  {
    ours: "what could not be given back ends a mount, and is told",
    apply: (expected, { step }) => {
      const failed = expected.calls.findIndex((call) => givesBack(call.fn) && !succeeded(call));
      const goesOn = step.as !== undefined && failed >= 0 && failed < expected.calls.length - 1;
      if (!goesOn) return undefined;
      return { calls: expected.calls.slice(0, failed + 1), outcome: { kind: "any" }, departs: true };
    },
  },
  {
    ours: "a release goes on with all that doesn't rest on what it could not give back",
    apply: (expected, { step }) => {
      const last = expected.calls.at(-1);
      const stops = step.op === "Release" && last !== undefined && !succeeded(last) && !FILTERS_OFF.includes(last.fn);
      return stops ? { ...expected, departs: true } : undefined;
    },
  },
  {
    ours: "volumes and mount folders have a closing \\",
    apply: (expected) => {
      const calls = expected.calls.map(withSeparators);
      return calls.some((call, i) => call !== expected.calls[i]) ? { ...expected, calls } : undefined;
    },
  },
];

function isMountedAt(held: Residual, path: string): boolean {
  const key = pathKey(path);
  return (held.mountpoint ?? []).map(pathKey).some((folder) => folder === key || folder.startsWith(`${key}\\`));
}

function isAnsweredName(call: Call): boolean {
  return call.fn === "NameToGuid" && succeeded(call);
}

// The disk rests under its filter: what the original leaves alone after these, ours does too.
const FILTERS_OFF = ["UnprepareLayer", "HcsDetachOverlayFilter"];

function withSeparators(call: Call): Call {
  if (!/^(Set|Delete)VolumeMountPointW$/.test(call.fn)) return call;
  const args = Object.entries(call.args).map(([name, path]) => [name, String(path).replace(/\\?$/, "\\")]);
  return args.every(([name, path]) => call.args[name!] === path) ? call : { ...call, args: Object.fromEntries(args) };
}

/** Says by itself, without asking our code, whether the arguments of a step are bad. */
function isBadInput({ step, disk, held }: Situation): boolean {
  switch (step.op) {
    case "MountWCOWLayers":
      return isBadStack(step.layers!, disk, held) ||
        Boolean(step.volumeMountPath) && !isMountable(step.volumeMountPath!, disk, held);
    case "MountSandboxVolume":
      return !VOLUME.test(step.volumeName!) || !isMountable(step.hostPath!, disk, held);
    case "RemoveSandboxMountPoint":
      return !isAbsolute(step.hostPath!);
    case "ToHostHcsSchemaLayers":
      return step.layers!.length === 0 || !step.layers!.every(isAbsolute) || hasTwins(step.layers!);
    default:
      return false;
  }
}

const VOLUME = /^\\\\\?\\Volume\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}\\?$/i;

function isAbsolute(path: string): boolean {
  return /^([a-z]:\\+[^\\]|\\\\[^\\])/i.test(path) && !path.includes("\0");
}

function isBadStack(folders: readonly string[], disk: Disk, held: Residual): boolean {
  if (folders.length < 2 || !folders.every(isAbsolute)) return true;
  const layers = folders.slice(0, -1);
  const scratch = folders.at(-1)!;
  if (hasTwins(layers) || [...layers, ...held.active ?? []].some((other) => pathKey(other) === pathKey(scratch))) {
    return true;
  }
  // With an image of the topmost layer the folders play no part.
  const looked = disk.kind(imageOf(layers[0]!)) === "file" ? [scratch] : folders;
  return looked.some((folder) => disk.kind(folder) !== "folder");
}

function hasTwins(folders: readonly string[]): boolean {
  return new Set(folders.map((folder) => pathKey(folder).split("\\").at(-1))).size < folders.length;
}

function isMountable(folder: string, disk: Disk, held: Residual): boolean {
  return isAbsolute(folder) && disk.kind(folder) !== "file" && !disk.hasContent(folder) && !isMountedAt(held, folder);
}

/** Where the CIM image of a layer would be. */
export function imageOf(layer: string): string {
  return layer.replace(/\\+([^\\]+)\\*$/, "\\cim-layers\\$1.cim");
}

/**
 * The failures to inject into ours for those of a recording. Where Set/DeleteVolumeMountPointW were Wine's, they fail as
 * those do; of the calls of NameToGuid, those count that ours makes too.
 */
export function injectionsFor(run: Run): Injection[] {
  const injections = run.fail.split(",").filter((text) => text !== "").map((text) => {
    const [, fn, nth, code] = text.match(/^\s*(\w+)#(\d+|\*)=(0x[0-9a-f]+)\s*$/i) ?? [];
    if (fn === undefined) throw new TypeError(`not an injected failure: ${text}`);
    const hr = /VolumeMountPointW$/.test(fn) ? fromWin32(Number(code)) : Number(code);
    return { fn, code: hr, ...(nth !== "*" && { nth: Number(nth) }) };
  });
  if (!recordsMountPoints(run)) {
    injections.push(...MOUNT_POINT_FUNCTIONS.map((fn) => ({ fn, code: fromWin32(NOT_IMPLEMENTED) })));
  }
  return injections.flatMap((injection) => injection.fn === "NameToGuid" ? renumbered(run, injection) : [injection]);
}

const MOUNT_POINT_FUNCTIONS = ["SetVolumeMountPointW", "DeleteVolumeMountPointW"];
const NOT_IMPLEMENTED = 120;

function recordsMountPoints(run: Run): boolean {
  return run.variant === "fakekernel32";
}

function renumbered(run: Run, injection: Injection): Injection[] {
  const { nth } = injection;
  if (nth === undefined) return [injection];
  const known = new Set<unknown>();
  const repeats = run.trace.filter(({ fn }) => fn === "NameToGuid").map((call) => {
    const repeat = known.has(call.args.name);
    if (succeeded(call)) known.add(call.args.name);
    return repeat;
  });
  if (repeats[nth - 1]) return [];
  return [{ ...injection, nth: nth - repeats.slice(0, nth).filter((repeat) => repeat).length }];
}

/** Those of our calls that would be in the recording. */
export function recordable(run: Run, calls: readonly Call[]): Call[] {
  return calls.filter(({ dll, fn }) =>
    dll === "kernel32" ? MOUNT_POINT_FUNCTIONS.includes(fn) && recordsMountPoints(run) : RECORDED_DLLS.includes(dll)
  );
}

const RECORDED_DLLS = ["vmcompute", "computestorage", "cimfs"];

/** Whether giving back what isn't held is all right in a step: one that goes by names, and not by what was mounted. */
export function mayStray(step: Step): boolean {
  return RELEASING.has(step.op) && step.of === undefined;
}
