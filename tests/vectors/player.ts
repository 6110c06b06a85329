/**
 * Plays one recorded run on a machine, and compares.
 *
 * In runs that the original does right, each step has to end as recorded, with the same native calls, but for the
 * differences in {@linkcode DEVIATIONS}. In runs that it does wrong, and after a difference that sends ours another way,
 * the steps have to take what was recorded, and to report what they could not give back. In all runs nothing is held at
 * the end, and nothing of a VM before it is closed, and nothing is lost that was on disk. If something could not be given
 * back, that holds after one more release of all that was mounted: of the mount, or of the error of unwinding.
 *
 * @module
 */

import { ReleaseError, UnwindError } from "../../mod.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { attribute, fileAttributes } from "../../src/ffi/kernel32.ts";
import { SimulationError } from "../../src/simulated/mod.ts";
import { DEVIATIONS } from "./deviations.ts";
import { Disk, imageOf } from "./disk.ts";
import {
  type Actual,
  callDifference,
  callsDifference,
  errorsIn,
  type Expected,
  operationOf,
  outcomeDifference,
  recordedStep,
  show,
} from "./expected.ts";
import { withRecordedVolumes } from "./guest_volumes.ts";
import { RecordedFailures } from "./injections.ts";
import type { Machine, MachineMaker, MachineOptions } from "./machine.ts";
import { namedLayers } from "./named_layers.ts";
import { notSupported, OPS, releasesByName, RELEASING, type Stage } from "./ops.ts";
import { withPlainPaths } from "./plain_paths.ts";
import { givesBack, isMountedAt, listed, NEVER_ADDED, residualOf } from "./residual.ts";
import { type Call, isLate, recordable, type Residual, type Run, type Step, succeeded } from "./run.ts";
import { withoutLasting } from "./shares.ts";
import type { Situation } from "./situation.ts";

/** What came of a run. */
export interface Verdict {
  readonly outcome: "passed" | "failed" | "skipped";
  /** The first difference, or why the run was skipped. */
  readonly reason?: string;
  /** The deviations that were met. */
  readonly deviations: readonly string[];
}

/** Plays a run on a new machine. */
export async function play(run: Run, newMachine: MachineMaker): Promise<Verdict> {
  const reason = notSupported(run);
  if (reason !== undefined) return { outcome: "skipped", reason, deviations: [] };
  using machine = newMachine(machineFor(run));
  const playback = new Playback(withPlainPaths(run), machine);
  const difference = await playback.play().catch((error) => `could not be played: ${error}`);
  return difference === undefined
    ? { outcome: "passed", deviations: [...playback.deviations] }
    : { outcome: "failed", reason: difference, deviations: [] };
}

// The original asks no build for CIM images; ours wants one that can run containers on them.
function machineFor(run: Run): MachineOptions {
  const windows = usesImages(run) ? { build: 20348, revision: 2031 } : { build: run.result.osBuild, revision: 0 };
  return { ...windows, late: isLate(run), ...(run.guest && { guest: run.guest }) };
}

function usesImages(run: Run): boolean {
  const disk = new Disk(run);
  return run.steps.some((step) =>
    namedLayers(step)?.kind === "images" ||
    step.layers?.[0] !== undefined && disk.kind(imageOf(step.layers[0])) === "file"
  );
}

class Playback {
  readonly deviations = new Set<string>();
  readonly #run: Run;
  readonly #machine: Machine;
  readonly #disk: Disk;
  readonly #failures: RecordedFailures;
  readonly #stage: Stage;
  /** Whether a step reported something that it could not give back. */
  #reportedHeld = false;
  /** Calls of steps that may give back what isn't held. */
  readonly #byName = new Set<number>();
  /** Whether ours has gone another way than the recording. */
  #diverged = false;

  constructor(run: Run, machine: Machine) {
    this.#run = run;
    this.#machine = machine;
    this.#disk = new Disk(run);
    this.#failures = new RecordedFailures(run);
    const { isHead, guest } = run;
    const shared = { mounts: new Map(), leftovers: [], vms: new Map() };
    this.#stage = { host: machine.host, isHead, isDirect: guest !== undefined, ...shared };
  }

  /** Plays all, and returns the first difference. */
  async play(): Promise<string | undefined> {
    this.#setUp();
    for (const [index, step] of this.#run.steps.entries()) {
      const difference = await this.#playStep(step, index);
      if (difference !== undefined) return `step ${index + 1}, ${step.op}: ${difference}`;
    }
    const difference = await this.#end();
    return difference && `at the end: ${difference}`;
  }

  #setUp(): void {
    for (const path of this.#disk.folders) this.#machine.addFolder(path);
    for (const { path, size } of this.#disk.files) this.#machine.addFile(path, size);
    const volumes = this.#run.steps.flatMap(({ volumeName }) => volumeName?.match(/\{([0-9a-f-]{36})\}/i)?.[1] ?? []);
    for (const guid of new Set(volumes)) this.#machine.addVolume(guid);
  }

  async #playStep(step: Step, index: number): Promise<string | undefined> {
    if (step.op === "CloseVM") {
      const difference = await this.#leftDifference();
      if (difference !== undefined) return `before it: ${difference}`;
    }
    const before = this.#machine.trace();
    const situation = this.#situation(step, index, before);
    const expected = this.#expected(situation);
    this.#machine.fail(this.#failures.at(index, before));
    const cancelling = step.isCancelled ? new AbortController() : undefined;
    this.#stage.signal = cancelling?.signal;
    await this.#machine.beforeStep?.(cancelling && (() => cancelling.abort(new Error("cancelled"))));
    const outcome = await this.#perform(step);
    const made = this.#machine.trace().slice(before.length);
    if (releasesByName(step)) made.forEach((_, i) => this.#byName.add(before.length + i));
    const recorded = <T>(ours: T): T => withRecordedVolumes(ours, this.#machine.trace(), this.#run.trace);
    const actual = {
      ...outcome,
      ...("result" in outcome && { result: recorded(outcome.result) }),
      calls: recorded(recordable(this.#run, made)),
    };
    this.#diverged ||= expected.diverges ?? this.#run.upstream === "defect";
    if (expected.begins) {
      return outcomeDifference(expected.outcome, actual) ??
        callsDifference(expected.calls, actual.calls, { prefix: true });
    }
    if (expected.among) return this.#amongDifference(expected, actual, situation.held);
    if (!this.#diverged || expected.outcome.kind === "refused" || step.op === "Stat") {
      return outcomeDifference(expected.outcome, actual) ??
        callsDifference(expected.calls, actual.calls);
    }
    return RELEASING.has(step.op) ? this.#reportDifference(actual, made) : takingDifference(expected, actual);
  }

  #situation(step: Step, index: number, made: readonly Call[]): Situation {
    const { resolvedDrive } = this.#machine;
    const { mounts } = this.#stage;
    return {
      run: this.#run,
      disk: this.#disk,
      step,
      index,
      made,
      held: this.#held(),
      mounts,
      resolvedDrive,
    };
  }

  #expected(situation: Situation): Expected {
    return DEVIATIONS.reduce((expected, { ours, apply }) => {
      const instead = apply(expected, situation);
      if (instead !== undefined) this.deviations.add(ours);
      return instead ?? expected;
    }, recordedStep(this.#run, situation.index, situation.resolvedDrive));
  }

  async #perform(step: Step): Promise<Omit<Actual, "calls">> {
    try {
      return { result: await OPS[step.op]!(step, this.#stage) };
    } catch (error) {
      this.#reportedHeld ||= error instanceof ReleaseError || error instanceof UnwindError;
      return { error };
    }
  }

  // A release has to report what it couldn't remove, and succeeds if nothing failed.
  #reportDifference(actual: Actual, made: readonly Call[]): string | undefined {
    const met = made.filter((call) => !succeeded(call) && this.#failures.caused(call));
    const reported = "error" in actual ? errorsIn(actual.error) : [];
    const isReported = ({ fn, hr }: Call) =>
      reported.some((error) => error instanceof NativeError && operationOf(error) === fn && error.code === Number(hr));
    const missing = met.find((call) => givesBack(call) && !isReported(call) && !this.#isRemovedLink(call));
    if (missing !== undefined) return `the failure of ${missing.fn} was not reported`;
    const surplus = met.length === 0 ? reported[0] : reported.find((error) => error instanceof SimulationError);
    return surplus === undefined ? undefined : `expected no other failure\nactual   ${surplus}`;
  }

  // Once its volume is gone, a mount point is removed as the link that it is.
  #isRemovedLink({ fn, args }: Call): boolean {
    if (fn !== "DeleteVolumeMountPointW" || isMountedAt(this.#held(), String(args.volumeMountPoint))) return false;
    const mounted = this.#machine.trace().findLast((call) =>
      call.fn === "SetVolumeMountPointW" && call.args.volumeMountPoint === args.volumeMountPoint
    );
    return mounted !== undefined && fileAttributes(this.#machine.host, String(mounted.args.volumeName)) === undefined;
  }

  #amongDifference({ outcome, calls, rollsBack }: Expected, actual: Actual, before: Residual): string | undefined {
    const missing = calls.find((call) =>
      !actual.calls.some((made) => made.fn === call.fn && callDifference(call, made) === undefined)
    );
    return outcomeDifference(outcome, actual) ?? (missing && `expected, among others, ${show(missing)}`) ??
      (rollsBack ? this.#heldDifference(before) : undefined);
  }

  async #end(): Promise<string | undefined> {
    return await this.#leftDifference() ?? this.#strayDifference() ?? this.#accessDifference() ?? this.#left() ??
      this.#loss() ?? this.#machine.guestDifference?.();
  }

  // What is held, and should not be.
  async #leftDifference(): Promise<string | undefined> {
    if (!this.#diverged && !this.#reportedHeld) {
      return this.#heldDifference(withoutLasting(this.#run.result.residual, this.#run.trace));
    }
    // What could not be removed can be now.
    this.#machine.fail([]);
    // What was mounted last may rest on what is left of what was mounted before.
    for (const mount of this.#stage.leftovers.toReversed()) {
      if (this.#reportedHeld || !mount.isAskedFor) await mount.releaseAgain();
    }
    return this.#heldDifference({});
  }

  #held(): Residual {
    const trace = this.#machine.trace();
    const { mountpoint, access: _, guest, device, ...held } = residualOf(trace);
    const { lostAt, crash } = this.#run.guest ?? {};
    const hasEnded = lostAt !== undefined && crash !== undefined;
    // A mount point of a volume that is gone is taken off as the link that it is, and that isn't in the trace.
    const links = mountpoint?.filter((folder) => {
      return ((fileAttributes(this.#machine.host, folder) ?? 0) & attribute.REPARSE_POINT) !== 0;
    });
    const all = {
      ...held,
      ...(links && links.length > 0 && { mountpoint: links }),
      ...(device && !hasEnded && { device }),
      // What a guest has that is lost, it keeps for itself.
      ...(guest && !hasEnded && !lostAt && { guest }),
    };
    return withoutLasting(all, trace);
  }

  #heldDifference(expected: Residual): string | undefined {
    const [wanted, actual] = [expected, this.#held()].map(listed);
    return wanted === actual ? undefined : `held: ${actual || "nothing"}, expected: ${wanted || "nothing"}`;
  }

  #strayDifference(): string | undefined {
    const made = this.#machine.trace().filter((_, i) => !this.#byName.has(i));
    const strays = residualOf(made, { isMaybe: true })[NEVER_ADDED];
    return strays && `given back without having been taken: ${strays.join(", ")}`;
  }

  #accessDifference(): string | undefined {
    const { access } = residualOf(this.#machine.trace());
    return access && `the VM may still open ${access.join(", ")}`;
  }

  #left(): string | undefined {
    if (listed(this.#held()) !== "") return undefined;
    const left = this.#machine.held().filter((thing) => !this.#disk.stays.some((path) => thing.endsWith(` ${path}`)));
    return left.length === 0 ? undefined : `left behind: ${left.join(", ")}`;
  }

  #loss(): string | undefined {
    const lost = this.#disk.paths().find((path) => fileAttributes(this.#machine.host, path) === undefined);
    return lost && `${lost} is gone`;
  }
}

// If a step of the original failed, it may have gone wrong after its first failure.
function takingDifference({ outcome, calls }: Expected, actual: Actual): string | undefined {
  const isDone = outcome.kind === "done";
  const failure = isDone ? -1 : calls.findIndex((call) => !succeeded(call));
  const certain = failure < 0 ? calls : calls.slice(0, failure + 1);
  return outcomeDifference(outcome, actual) ?? callsDifference(certain, actual.calls, { prefix: !isDone });
}
