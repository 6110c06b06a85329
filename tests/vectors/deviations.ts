/**
 * Where the library differs from the Go original on purpose: a table with a row for each difference, which says what must
 * hold instead.
 *
 * @module
 */

import { imageOf } from "./disk.ts";
import type { Expected, Outcome } from "./expected.ts";
import { repeatedNames } from "./injections.ts";
import { isBadInput } from "./input_oracle.ts";
import { UNSEEN } from "./machine.ts";
import { namedLayers } from "./named_layers.ts";
import { hasClosingSeparator } from "./plain_paths.ts";
import {
  addsLayer,
  callFor,
  changeOf,
  inWaves,
  isSCSI,
  MODIFY,
  removedDevice,
  removes,
  requestOf,
  withDiskPath,
} from "./requests.ts";
import { givesBack, isMountedAt, residualOf } from "./residual.ts";
import { type Call, GUEST, type Step, succeeded } from "./run.ts";
import { isSpared, shareNames, withShareNames } from "./shares.ts";
import type { Situation } from "./situation.ts";
import { mapTexts } from "./texts.ts";

/** One difference. */
export interface Deviation {
  /** What ours does instead. */
  readonly ours: string;
  /** What is expected of a step instead of `expected`; undefined if the difference doesn't concern the step. */
  readonly apply: (expected: Expected, situation: Situation) => Expected | undefined;
}

/** All differences, in the order in which they apply. */
export const DEVIATIONS: readonly Deviation[] = [
  {
    ours: "the compute service is called by vmcompute.dll (head: by computecore.dll)",
    apply: (expected) => withCalls(expected, expected.calls.flatMap((call) => byVmcompute(call))),
  },
  {
    ours: "a Linux VM boots and starts as with v0.12.3 (head: another command line, no security policy)",
    apply: (expected, { run, step }) => {
      if (!run.isHead || !/^(CreateLCOW|StartVM)$/.test(step.op)) return undefined;
      if (step.op === "CreateLCOW") return withCalls(expected, expected.calls.map(withoutBlacklist));
      const isLinux = run.steps.some(({ op, vm }) => op === "CreateLCOW" && vm === step.vm);
      const last = expected.calls.at(-1);
      if (!isLinux || last === undefined) return undefined;
      const policy = { RequestType: "Add", ResourceType: "SecurityPolicy", Settings: {} };
      const request = callFor(
        { ...last, fn: MODIFY, args: { computeSystem: UNSEEN, computeSystemId: UNSEEN } },
        { RequestType: "Add", GuestRequest: policy },
      );
      return { ...expected, calls: [...expected.calls, request] };
    },
  },
  {
    ours:
      "a VM gets the disk of a scratch by the path that v0.12.3 takes: Windows the real one, Linux the one that was named",
    apply: (expected, { run, step, resolvedDrive }) => {
      if (!run.isHead || step.as === undefined || step.vm === undefined) return undefined;
      const other = (path: string) =>
        step.op === "MountLCOWLayers"
          ? path.replace(resolvedDrive, "C:\\")
          : path.replace(/^C:\\(?=.*\\sandbox\.vhdx$)/, resolvedDrive);
      return { ...expected, calls: expected.calls.map((call) => withDiskPath(call, other)) };
    },
  },
  {
    ours: "a disk is unmounted as with v0.12.3 (head: also told that it is read-only)",
    apply: (expected) => withCalls(expected, expected.calls.map(withoutReadOnly)),
  },
  {
    ours: "the volume of a scratch is asked for before its filter is detached (head: remembered)",
    apply: (expected, { run, index }) => {
      const detach = expected.calls.findIndex(({ fn }) => fn === "HcsDetachOverlayFilter");
      if (!run.isHead || detach < 0) return undefined;
      const before = run.trace.slice(0, run.result.steps[index]!.calls[0]);
      const asked = before.filter(({ fn }) => fn === "GetLayerMountPath").slice(-2);
      return { ...expected, calls: expected.calls.toSpliced(detach, 0, ...asked) };
    },
  },
  {
    ours: "bad input is refused before any native call",
    apply: (_, situation) => isBadInput(situation) ? { calls: [], outcome: { kind: "refused" } } : undefined,
  },
  {
    ours: "what isn't mounted is released without any native call",
    apply: ({ calls, outcome }, situation) => {
      const didSomething = calls.length > 0 || outcome.kind !== "done";
      return didSomething && releasesNothing(situation) ? { calls: [], outcome: done({}) } : undefined;
    },
  },
  {
    ours: "a folder is removed with its mount point if it was created for it, with its parents, and never otherwise",
    apply: ({ outcome }, { step, disk, held }) => {
      if (step.op !== "Stat") return undefined;
      const kind = disk.kind(step.path!) ?? (isMountedAt(held, step.path!) ? "folder" : undefined);
      const isDir = kind && kind === "folder";
      if (outcome.kind === "done" && outcome.result?.isDir === isDir) return undefined;
      return { calls: [], outcome: done({ isDir }) };
    },
  },
  {
    ours: "an image that isn't mounted any more is reported as not mounted",
    apply: ({ outcome }, { step, disk, held }) => {
      if (step.op !== "ToHostHcsSchemaLayers" || disk.kind(imageOf(step.layers![0] ?? "")) !== "file") return undefined;
      const known = JSON.stringify(outcome.kind === "done" ? outcome.result?.layers : []);
      const isDead = known !== "[]" && !(held.cim ?? []).some((volume) => known.includes(volume));
      return isDead ? { calls: [], outcome: { kind: "own" } } : undefined;
    },
  },
  {
    ours: "the image of a layer is found if the path of the layer has a closing \\",
    apply: ({ outcome }, { step, disk }) => {
      const top = step.layers?.[0] ?? "";
      if (step.vm !== undefined || !hasClosingSeparator(top) || disk.kind(imageOf(top)) !== "file") return undefined;
      const isMounted = step.as !== undefined && outcome.kind === "done";
      return isMounted
        ? { calls: [imageMount(top)], outcome: { kind: "done" }, among: true, diverges: true }
        : { calls: [], outcome: { kind: "any" }, among: true, diverges: true };
    },
  },
  {
    ours: "NameToGuid is asked once per name",
    apply: (expected, { made }) => {
      const repeats = repeatedNames(expected.calls, made);
      if (!repeats.includes(true)) return undefined;
      const failed = expected.calls.findIndex((call, i) => repeats[i] && !succeeded(call));
      if (failed < 0) return { ...expected, calls: expected.calls.filter((_, i) => !repeats[i]) };
      // Ours doesn't ask again, so nothing fails, and it goes on.
      const calls = expected.calls.filter((_, i) => !repeats[i] && i < failed);
      return { calls, outcome: { kind: "any" }, diverges: true };
    },
  },
  {
    ours: "a mount ends with what it could not give back, and reports it",
    apply: (expected, { step }) => {
      if (step.as === undefined || step.vm !== undefined) return undefined;
      const failed = expected.calls.findIndex(failsToRemove);
      const goesOn = failed >= 0 && failed < expected.calls.length - 1;
      return goesOn
        ? { calls: expected.calls.slice(0, failed + 1), outcome: { kind: "any" }, diverges: true }
        : undefined;
    },
  },
  {
    ours: "a release goes on with all that doesn't rest on what it could not give back",
    apply: (expected, { step }) => {
      const last = expected.calls.at(-1);
      const stops = last !== undefined && !succeeded(last) && !STOPPING.includes(last.fn);
      // The original goes on with the disks of a tree that it could not take apart.
      const undermines = expected.calls.some((call) => isCombinedLayers(call) && !succeeded(call));
      return step.op === "Release" && (stops || undermines) ? { ...expected, diverges: true } : undefined;
    },
  },
  {
    ours: "a release that failed goes on when it is asked for again",
    apply: (expected, { run, index }) => {
      const isGivenUp = run.result.steps[index]!.err?.text.includes("mount was already released");
      return isGivenUp ? { ...expected, diverges: true } : undefined;
    },
  },
  {
    ours: "the properties of a new VM are asked for once",
    apply: (expected, { step }) => {
      if (!step.op.startsWith("Create")) return undefined;
      const isRepeated = ({ fn }: Call, i: number) =>
        fn === "HcsGetComputeSystemProperties" && fn === expected.calls[i + 1]?.fn;
      return withCalls(expected, expected.calls.filter((call, i) => !isRepeated(call, i)));
    },
  },
  {
    ours: "a VM that was not created is let go of, once it is terminated",
    apply: (expected, { step }) => {
      const last = expected.calls.at(-1);
      if (!step.op.startsWith("Create") || last?.fn !== "HcsTerminateComputeSystem") return undefined;
      const { computeSystem, computeSystemId } = last.args;
      const unregister = { ...last, fn: "HcsUnregisterComputeSystemCallback", args: { callbackHandle: UNSEEN } };
      const close = { ...last, fn: "HcsCloseComputeSystem", args: { computeSystem, computeSystemId } };
      return { ...expected, calls: [...expected.calls, unregister, close] };
    },
  },
  {
    ours: "of a VM that ended while it started, the library says so itself",
    apply: (expected, { run, step }) =>
      step.op === "StartVM" && run.guest?.crash !== undefined && !succeeds(expected)
        ? { ...expected, outcome: { kind: "own" } }
        : undefined,
  },
  {
    ours: "the places of all devices are found before the VM is touched",
    apply: (expected, { run, index }) => {
      const isFull = run.result.steps[index]!.err?.text.includes("no available location");
      return isFull ? withCalls(expected, []) : undefined;
    },
  },
  {
    ours: "a VM gets access to a disk with the attachment, and not with each use of it",
    apply: (expected, { step }) => {
      if (step.as === undefined) return undefined;
      const isNeeded = (call: Call, i: number) =>
        call.fn !== "GrantVmAccess" || !succeeded(call) || isAttachment(expected.calls[i + 1]);
      return withCalls(expected, expected.calls.filter(isNeeded));
    },
  },
  {
    ours: "a share that is mapped directly stays until the VM ends, and is used again, as with head",
    apply: (expected, { run, made, step }) => {
      const spared = (call: Call) => isSpared(call, run, made);
      if (!expected.calls.some(spared)) return undefined;
      const calls = expected.calls.filter((call) => !spared(call));
      // What isn't asked for can't fail.
      const diverges = expected.calls.some((call) => spared(call) && !succeeded(call));
      if (!diverges) return { ...expected, calls };
      return step.op === "Release"
        ? { ...expected, calls, diverges }
        : { calls: [], outcome: { kind: "any" }, among: true, diverges };
    },
  },
  {
    ours: "a VM that has access to a disk isn't given it again, so that can't fail",
    apply: (expected, { step, made }) => {
      const { access = [] } = residualOf(made);
      const fails = ({ fn, args }: Call) => fn === "GrantVmAccess" && access.includes(String(args.filepath));
      const isAsked = step.as !== undefined && expected.calls.some((call) => !succeeded(call) && fails(call));
      return isAsked ? { calls: [], outcome: { kind: "any" }, among: true, diverges: true } : undefined;
    },
  },
  {
    ours: "if adding one of several layers fails, the others are added as well, and removed",
    apply: (expected, { step, made }) => {
      const failed = expected.calls.findIndex((call) => addsLayer(call) && !succeeded(call));
      // Images are added one after another.
      if (failed < 0 || step.as === undefined || namedLayers(step)?.kind === "blockImages") return undefined;
      // No disk is mounted in the guest before all are attached.
      const isMount = changeOf(expected.calls[failed]!)!.kind === "guest";
      const calls = expected.calls.slice(0, failed + 1).filter((call) => isMount || changeOf(call)!.kind === "device");
      const isStuck = [...made, ...expected.calls].some(failsToRemove);
      return { ...expected, calls, among: true, ...(isStuck ? { diverges: true } : { rollsBack: true }) };
    },
  },
  {
    ours: "what a release could not give back is used by a later mount, once its removal is tried again",
    apply: (expected, situation) => {
      if (!findsLeftovers(situation)) return undefined;
      const outcome: Outcome = { kind: expected.outcome.kind === "done" ? "done" : "any" };
      return { calls: [], outcome, among: true, diverges: true };
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
    ours: "images that the guest refused to mount are unmounted, as they may be mounted nevertheless",
    apply: (expected) => {
      const failed = expected.calls.findIndex((call) => mountsImages(call) && !succeeded(call));
      if (failed < 0) return undefined;
      const { VolumeGUID } = requestOf(expected.calls[failed]!)!.GuestRequest!.Settings!;
      const unmount = callFor(expected.calls[failed]!, {
        GuestRequest: { RequestType: "Remove", ResourceType: "WCOWBlockCims", Settings: { VolumeGUID } },
      });
      return { ...expected, calls: expected.calls.toSpliced(failed + 1, 0, { ...unmount, hr: UNSEEN }) };
    },
  },
  {
    ours: "files are mapped into a vPMem device as far as it goes, and are SCSI disks otherwise",
    apply: (expected, { run, step }) => {
      const isCreation = ({ op, vm }: Step) => op === "CreateLCOW" && vm === step.vm;
      const bytes = Number(run.steps.find(isCreation)?.options?.vpmemSizeBytes);
      if (step.as === undefined || !expected.calls.some((call) => mappedUpTo(call) > bytes)) return undefined;
      return { calls: [], outcome: { kind: "any" }, among: true, diverges: true };
    },
  },
  {
    ours: "a layer that is a VHDX is a SCSI disk, and no vPMem, which the original says is a VHD",
    apply: (expected, { step }) => {
      if (step.as === undefined || !expected.calls.some(hasVHDXAsMemory)) return undefined;
      return { calls: [], outcome: { kind: "any" }, among: true, diverges: true };
    },
  },
  {
    ours: "a scratch disk that the guest refused to mount is unmounted, as it may be mounted nevertheless",
    apply: (expected) => {
      const failed = expected.calls.findIndex((call) => mountsScratch(call) && !succeeded(call));
      if (failed < 0) return undefined;
      const { ContainerPath, MountPath, Lun, Controller, Partition } = requestOf(expected.calls[failed]!)!.GuestRequest!
        .Settings!;
      const unmount = callFor(expected.calls[failed]!, {
        GuestRequest: {
          RequestType: "Remove",
          ResourceType: "MappedVirtualDisk",
          Settings: { ContainerPath, MountPath, Lun, Controller, Partition },
        },
      });
      return { ...expected, calls: expected.calls.toSpliced(failed + 1, 0, { ...unmount, hr: UNSEEN }) };
    },
  },
  {
    ours: "after a PrepareLayer that failed, a filter that it may have left is taken off before the disk is detached",
    apply: (expected) => {
      const calls = expected.calls.flatMap((call, i) => {
        const { fn, args: { info, id } } = call;
        const isUndone = expected.calls[i + 1]?.fn === "DeactivateLayer";
        if (fn !== "PrepareLayer" || succeeded(call) || !isUndone) return [call];
        return [call, { ...call, fn: "UnprepareLayer", args: { info, id }, hr: UNSEEN }];
      });
      return withCalls(expected, calls);
    },
  },
  {
    ours: "persistent memory that is taken back is named by its place alone",
    apply: (expected) => withCalls(expected, expected.calls.map(withoutSettings)),
  },
  {
    ours:
      "what of a mount doesn't rest on each other is added to a VM and removed from it side by side, with the scratch",
    apply: (expected) => withCalls(expected, inWaves(expected.calls)),
  },
  {
    ours: "a VM listens for its guest from its start on, and not from its creation",
    apply: (expected, { run, step }) => {
      const isDifferent = run.guest !== undefined && (!run.guest.isStarted || run.fail.startsWith("socket"));
      return isDifferent && step.op.startsWith("Create") && succeeds(expected) ? { ...expected } : undefined;
    },
  },
  {
    ours: "what a mount has added that is cancelled is removed, and nothing more is added",
    apply: (expected, { run, step }) => {
      const { cancelledAt } = run.guest ?? {};
      if (!step.isCancelled || cancelledAt === undefined) return undefined;
      const request = run.trace.filter(({ dll }) => dll === GUEST)[cancelledAt - 1]!;
      const calls = expected.calls.slice(0, expected.calls.indexOf(request) + 1);
      return { calls, outcome: { kind: "own" }, diverges: true };
    },
  },
  {
    ours: "a VM whose state forbids a removal is asked whether it has ended",
    apply: (expected) =>
      withCalls(
        expected,
        expected.calls.flatMap((call) => {
          if (!removes(call) || Number(call.hr) !== INVALID_STATE) return [call];
          return [call, { ...call, fn: "HcsGetComputeSystemProperties", args: PROPERTIES, hr: UNSEEN }];
        }),
      ),
  },
  {
    ours: "mounts that are made at once go on in any order, once all of their layers in vPMem are there",
    apply: (expected, { step }) => {
      if (step.op !== "Parallel") return undefined;
      const grant = expected.calls.findIndex(({ fn }) => fn === "GrantVmAccess");
      return { calls: expected.calls.slice(0, grant), outcome: { kind: "done" }, begins: true, diverges: true };
    },
  },
  {
    ours: "once a guest is lost, nothing is added to its VM, and what is on the host is removed",
    apply: (expected, { run: { guest }, index, step }) => {
      const { step: lost = Infinity, isIdle } = guest?.lostAt ?? {};
      if (index < lost || step.as === undefined && step.op !== "Release") return undefined;
      if (index > lost || isIdle) return { calls: [], outcome: { kind: "own" }, diverges: true };
      const unanswered = expected.calls.findIndex(({ dll, hr }) => dll === GUEST && hr === UNSEEN);
      return { calls: expected.calls.slice(0, unanswered + 1), outcome: { kind: "own" }, diverges: true };
    },
  },
  {
    ours: "volumes and mount folders have a closing \\",
    apply: (expected) => withCalls(expected, expected.calls.map(withSeparators)),
  },
  {
    ours: "the names of shares count those that were added although adding another one failed",
    apply: (expected, { run, index, made }) => {
      const names = shareNames(run, index, made);
      if ([...names].every(([recorded, ours]) => recorded === ours)) return undefined;
      return withShareNames(expected, names);
    },
  },
];

// What the original leaves alone after a failure of these, ours does too: the disk rests under its filter. In a VM the
// original goes on.
const STOPPING = ["UnprepareLayer", "HcsDetachOverlayFilter", MODIFY];

const INVALID_STATE = 0xc0370105;
const PROPERTIES = { computeSystem: UNSEEN, computeSystemId: UNSEEN, propertyQuery: "{}" };

function succeeds({ outcome }: Expected): boolean {
  return outcome.kind === "done";
}

function done(result: Readonly<Record<string, unknown>>): Outcome {
  return { kind: "done", result };
}

// `expected` with other calls; undefined if they are the same.
function withCalls(expected: Expected, calls: readonly Call[]): Expected | undefined {
  const same = calls.length === expected.calls.length && calls.every((call, i) => call === expected.calls[i]);
  return same ? undefined : { ...expected, calls };
}

function byVmcompute(call: Call): Call[] {
  if (call.dll !== "computecore") return [call];
  const { securityDescriptor: _, identity: __, callbackOptions: ___, ...args } = call.args;
  const same = { ...call, dll: "vmcompute", args };
  switch (call.fn) {
    case "HcsSetComputeSystemCallback":
      return [{ ...same, fn: "HcsRegisterComputeSystemCallback" }];
    case "HcsCreateComputeSystem":
      return [{ ...same, args: { ...args, identity: null } }];
    case "HcsCloseComputeSystem":
      return [{ ...same, fn: "HcsUnregisterComputeSystemCallback", args: { callbackHandle: UNSEEN } }, same];
    default:
      return [same];
  }
}

function withoutBlacklist(call: Call): Call {
  return mapTexts(call, (text) => text.replace(" initcall_blacklist=virtio_vsock_init", ""));
}

function withoutReadOnly(call: Call): Call {
  const { GuestRequest } = requestOf(call) ?? {};
  if (GuestRequest?.ResourceType !== "MappedVirtualDisk" || GuestRequest.RequestType !== "Remove") return call;
  const { ReadOnly, ...Settings } = GuestRequest.Settings!;
  return ReadOnly === undefined ? call : callFor(call, { GuestRequest: { ...GuestRequest, Settings } });
}

function releasesNothing({ step, mounts, held }: Situation): boolean {
  switch (step.op) {
    case "Release":
      return mounts.get(step.of!)?.isReleased ?? true;
    case "RemoveSandboxMountPoint":
      return !isMountedAt(held, step.hostPath!);
    default:
      return false;
  }
}

function findsLeftovers({ run, index, step, disk, made, held }: Situation): boolean {
  if (step.as === undefined) return false;
  const recorded = run.trace.slice(0, run.result.steps[index]!.calls[0]);
  if (![...made, ...recorded].some(failsToRemove)) return false;
  if (step.vm !== undefined) {
    // It leaves to the VM what it found there when it fails; ours has taken it over.
    const isUnwound = run.result.steps[index]!.err !== null;
    const names = Object.values(held).flat();
    return isUnwound ||
      made.some((call) => failsToRemove(call) && removes(call) && names.includes(removedDevice(call)));
  }
  // On the host only an image has a name that a later mount meets again.
  return held.cim !== undefined && (step.mounts !== undefined || disk.kind(imageOf(step.layers![0]!)) === "file");
}

function failsToRemove(call: Call): boolean {
  return givesBack(call) && !succeeded(call);
}

function imageMount(layer: string): Call {
  const [, imagePath, fsName] = imageOf(layer).match(/^(.*)\\(.*)$/)!;
  return {
    dll: "cimfs",
    fn: "CimMountImage",
    args: { imagePath, fsName, flags: UNSEEN, volumeId: UNSEEN },
    hr: UNSEEN,
  };
}

function isAttachment(call: Call | undefined): boolean {
  const change = call && changeOf(call);
  return change !== undefined && change.takes && isSCSI(change.what);
}

function isCombinedLayers(call: Call): boolean {
  return requestOf(call)?.GuestRequest?.ResourceType === "CombinedLayers";
}

function combines(call: Call): boolean {
  return isCombinedLayers(call) && changeOf(call)!.takes;
}

function mountsImages(call: Call): boolean {
  return requestOf(call)?.GuestRequest?.ResourceType === "WCOWBlockCims" && changeOf(call)!.takes;
}

// The end of the file that a call maps into a vPMem device, or 0.
function mappedUpTo(call: Call): number {
  const { MappingInfo } = requestOf(call)?.GuestRequest?.Settings ?? {};
  const { DeviceOffsetInBytes = 0, DeviceSizeInBytes = 0 } = MappingInfo as Record<string, number> | undefined ?? {};
  return DeviceOffsetInBytes + DeviceSizeInBytes;
}

function hasVHDXAsMemory(call: Call): boolean {
  const { ResourcePath = "", Settings } = requestOf(call) ?? {};
  return ResourcePath.startsWith("VirtualMachine/Devices/VirtualPMem/") && /\.vhdx$/i.test(String(Settings?.HostPath));
}

function mountsScratch(call: Call): boolean {
  return requestOf(call)?.GuestRequest?.ResourceType === "MappedVirtualDisk" && changeOf(call)!.takes &&
    !addsLayer(call);
}

function withoutSettings(call: Call): Call {
  const { Settings, ...request } = requestOf(call) ?? {};
  const isMemory = request.ResourcePath?.startsWith("VirtualMachine/Devices/VirtualPMem/") ?? false;
  return isMemory && removes(call) && Settings !== undefined ? callFor(call, request) : call;
}

function withSeparators(call: Call): Call {
  if (!/^(Set|Delete)VolumeMountPointW$/.test(call.fn)) return call;
  const args = Object.entries(call.args).map(([name, path]) => [name, String(path).replace(/\\?$/, "\\")]);
  return args.every(([name, path]) => call.args[name!] === path) ? call : { ...call, args: Object.fromEntries(args) };
}
