/**
 * The differences from the Go original that are wanted, each with what must hold instead.
 *
 * @module
 */

import { fromWin32 } from "../../src/errors/codes.ts";
import { type Disk, pathKey } from "./disk.ts";
import type { Expected } from "./expected.ts";
import { type Injection, UNSEEN } from "./machine.ts";
import { RELEASING } from "./ops.ts";
import {
  addsLayer,
  callFor,
  changeOf,
  isSCSI,
  MODIFY,
  removedDevice,
  removes,
  requestOf,
  subjectOf,
  withDiskPath,
} from "./requests.ts";
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
  /** How the path of a file on `C:` begins once Windows has resolved it. */
  readonly resolvedDrive: string;
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
      const failed = expected.calls.findIndex((call) => givesBack(call) && !succeeded(call));
      const goesOn = step.as !== undefined && step.vm === undefined && failed >= 0 &&
        failed < expected.calls.length - 1;
      if (!goesOn) return undefined;
      return { calls: expected.calls.slice(0, failed + 1), outcome: { kind: "any" }, departs: true };
    },
  },
  {
    ours: "a release goes on with all that doesn't rest on what it could not give back",
    apply: (expected, { step }) => {
      const last = expected.calls.at(-1);
      const stops = step.op === "Release" && last !== undefined && !succeeded(last) && !STOPPING.includes(last.fn);
      return stops ? { ...expected, departs: true } : undefined;
    },
  },
  {
    ours: "the properties of a new VM are asked for once",
    apply: (expected, { step }) => {
      if (!/^Create/.test(step.op)) return undefined;
      const calls = expected.calls.filter(({ fn }, i) =>
        fn !== "HcsGetComputeSystemProperties" || fn !== expected.calls[i - 1]!.fn
      );
      return calls.length < expected.calls.length ? { ...expected, calls } : undefined;
    },
  },
  {
    ours: "the places of all devices are found before the VM is touched",
    apply: (expected, { run, index }) => {
      const full = run.result.steps[index]!.err?.text.includes("no available location");
      return full && expected.calls.length > 0 ? { ...expected, calls: [] } : undefined;
    },
  },
  {
    ours: "a VM gets access to a disk with the attachment, and not with each use of it",
    apply: (expected, { step }) => {
      if (step.as === undefined) return undefined;
      const calls = expected.calls.filter((call, i) =>
        call.fn !== "GrantVmAccess" || !succeeded(call) || isAttachment(expected.calls[i + 1])
      );
      return calls.length < expected.calls.length ? { ...expected, calls } : undefined;
    },
  },
  {
    ours: "the path of a Linux container's scratch is resolved as that of a Windows container",
    apply: (expected, { step, resolvedDrive }) => {
      if (step.op !== "MountLCOWLayers" || resolvedDrive === "C:\\") return undefined;
      const resolved = (path: string) => path.replace("C:\\", resolvedDrive);
      const calls = expected.calls.map((call) => withDiskPath(call, resolved));
      return calls.some((call, i) => call !== expected.calls[i]) ? { ...expected, calls } : undefined;
    },
  },
  {
    ours: "where adding one of several layers fails, the others are added as well, and removed",
    apply: (expected, { step }) => {
      const at = expected.calls.findIndex((call) => addsLayer(call) && !succeeded(call));
      if (at < 0 || step.as === undefined) return undefined;
      // No disk is mounted before all are attached.
      const mounts = changeOf(expected.calls[at]!)!.kind === "guest";
      const calls = expected.calls.slice(0, at + 1).filter((call) => mounts || changeOf(call)!.kind === "device");
      return { ...expected, calls, undone: true };
    },
  },
  {
    ours: "layers that the guest refused to combine are taken apart, as far as they go",
    apply: (expected) => {
      const failed = expected.calls.findIndex((call) => combines(call) && !succeeded(call));
      if (failed < 0) return undefined;
      const { ContainerRootPath } = requestOf(expected.calls[failed]!)!.GuestRequest!.Settings!;
      const apart = callFor(expected.calls[failed]!, {
        GuestRequest: { RequestType: "Remove", ResourceType: "CombinedLayers", Settings: { ContainerRootPath } },
      });
      return { ...expected, calls: expected.calls.toSpliced(failed + 1, 0, { ...apart, hr: UNSEEN }) };
    },
  },
  {
    ours: "layers are removed last first, and a disk after all that is mounted of the disks",
    apply: (expected, { run, index }) => {
      const isLayer = layerRemovals(run, index);
      const layers = Map.groupBy(expected.calls.filter(isLayer), removedDevice).entries().toArray().reverse();
      const [disks, others] = [true, false].map((is) => layers.filter(([device]) => isSCSI(device) === is));
      const reversed = [...others!, ...disks!].flatMap(([, calls]) => calls);
      const calls = expected.calls.map((call) => isLayer(call) ? reversed.shift()! : call);
      return calls.some((call, i) => call !== expected.calls[i]) ? { ...expected, calls } : undefined;
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

function isAttachment(call: Call | undefined): boolean {
  const change = call && changeOf(call);
  return change !== undefined && change.takes && isSCSI(change.what);
}

function combines(call: Call): boolean {
  return changeOf(call)?.takes === true && requestOf(call)!.GuestRequest?.ResourceType === "CombinedLayers";
}

/** Tells calls that remove what the recording had added as a layer, until the end of a step. */
export function layerRemovals(run: Run, index: number): (call: Call) => boolean {
  const before = run.trace.slice(0, run.result.steps[index]!.calls[1]);
  return (call) => {
    if (!removes(call)) return false;
    const device = removedDevice(call);
    const added = before.findLast((other) => changeOf(other)?.takes === true && changeOf(other)!.what === device);
    return added !== undefined && addsLayer(added);
  };
}

function isAnsweredName(call: Call): boolean {
  return call.fn === "NameToGuid" && succeeded(call);
}

// The disk rests under its filter: what the original leaves alone after these, ours does too. With a VM it goes on.
const STOPPING = ["UnprepareLayer", "HcsDetachOverlayFilter", MODIFY];

function withSeparators(call: Call): Call {
  if (!/^(Set|Delete)VolumeMountPointW$/.test(call.fn)) return call;
  const args = Object.entries(call.args).map(([name, path]) => [name, String(path).replace(/\\?$/, "\\")]);
  return args.every(([name, path]) => call.args[name!] === path) ? call : { ...call, args: Object.fromEntries(args) };
}

/** Says by itself, without asking our code, whether the arguments of a step are bad. */
function isBadInput(situation: Situation): boolean {
  const { step, disk, held } = situation;
  switch (step.op) {
    case "MountWCOWLayers":
      return isBadStack(step.layers!, disk, held) ||
        Boolean(step.volumeMountPath) && !isMountable(step.volumeMountPath!, disk, held) ||
        step.vm !== undefined && (!isRunning(situation, "CreateWCOW") || isScratchInVM(situation));
    case "MountLCOWLayers":
      return step.lcowLayers!.length === 0 || !isRunning(situation, "CreateLCOW") ||
        [...step.lcowLayers!.map(({ vhd }) => vhd), step.scratch!].some((path) => disk.kind(path) !== "file");
    case "GetHCSLayers":
      return !step.layers!.every(isAbsolute);
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

function isRunning({ run, step, index }: Situation, as: string): boolean {
  const before = run.steps.slice(0, index).filter(({ vm }) => vm === step.vm).map(({ op }) => op);
  return before.includes(as) && before.includes("StartVM") && !before.includes("CloseVM");
}

// A Windows guest shows the layers at the root of the scratch: there is room for one container.
function isScratchInVM({ run, step, index }: Situation): boolean {
  return run.steps.slice(0, index).some((other, i) =>
    other.op === step.op && other.vm === step.vm && other.layers!.at(-1) === step.layers!.at(-1) &&
    run.result.steps[i]!.err === null &&
    !run.steps.slice(i + 1, index).some(({ op, of }) => op === "Release" && of === other.as)
  );
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
 * those do; of the calls of NameToGuid, those count that ours makes too; a request to a VM fails that is about the same.
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
  return injections.flatMap((injection) => {
    if (injection.fn === "NameToGuid") return renumbered(run, injection);
    return injection.fn === MODIFY ? bySubject(run, injection) : [injection];
  });
}

// Ours makes other requests than the recording: a failure goes to the one about the same thing.
function bySubject(run: Run, injection: Injection): Injection[] {
  const subjects = run.trace.filter(({ fn }) => fn === MODIFY).slice(0, injection.nth).map(subjectOf);
  const subject = subjects.at(-1)!;
  if (subjects.length < injection.nth!) return [];
  return [{ ...injection, subject, nth: subjects.filter((other) => other === subject).length }];
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
    dll === "kernel32"
      ? MOUNT_POINT_FUNCTIONS.includes(fn) && recordsMountPoints(run)
      : RECORDED_DLLS.includes(dll) && fn !== NEVER_RECORDED
  );
}

// The original never takes back what a VM may open.
const NEVER_RECORDED = "RevokeVmAccess";
const RECORDED_DLLS = ["vmcompute", "computestorage", "cimfs"];

/** Whether giving back what isn't held is all right in a step: one that goes by names, and not by what was mounted. */
export function mayStray(step: Step): boolean {
  return RELEASING.has(step.op) && step.of === undefined;
}
