/**
 * A simulated machine on which several processes mount and unmount, side by side and at random, and a naive model of it: who has
 * which scratch, and what has to be held for that.
 *
 * @module
 */

import {
  createUtilityVM,
  findMounts,
  type Hold,
  InUseError,
  InvalidInputError,
  LayerError,
  listMounts,
  type MountInfo,
  mountLCOWLayers,
  mountWCOWLayers,
  recover,
  type RecoveredMount,
  unmountWCOWLayers,
  type UtilityVM,
} from "../../mod.ts";
import { kernel32 } from "../../src/ffi/kernel32.ts";
import type { CompletedCall, HeldResource, InjectedFailure, SimulatedHost } from "../../src/simulated/mod.ts";
import { hostInFront, hostWith } from "../support/host.ts";
import { difference, failuresOf, isBeyondTheOwner, isSame, type State, stateOf } from "./failures.ts";
import { WHEN_UNKNOWN } from "./scenarios.ts";

/** What happens to a process at one of its native calls, which `at` chooses. */
export interface Fault {
  readonly how: "failure" | "abort" | "kill";
  readonly at: number;
}

/** What one process does. Numbers choose among what there is. */
export interface Single {
  readonly does:
    | "mount"
    | "release"
    | "unmount"
    | "list"
    | "find"
    | "recover"
    | "dry run"
    | "VM"
    | "layers in a VM"
    | "layers out of a VM"
    | "close a VM";
  /** The process. */
  readonly by: number;
  /** The scratch, the VM or the handle. */
  readonly on: number;
  readonly image: boolean;
  readonly place: boolean;
  readonly permanent: boolean;
  readonly recover: boolean;
  readonly faults: readonly Fault[];
}

/** A step of a sequence. */
export type Step = Single | { readonly does: "kill"; readonly by: number } | { readonly does: "restart" } | {
  readonly does: "together";
  readonly all: readonly Single[];
};

/** What the names of what happened to a process end with: these are no operations. */
export const AT_A_CALL = "at a call";

/** How often something was done. */
export type Counts = Map<string, number>;

/** What a machine is made with. */
export interface WorldOptions {
  readonly seed: number;
  readonly counts: Counts;
  /** A bug to plant: replaces the hosts of processes. */
  readonly plant?: (host: SimulatedHost) => SimulatedHost;
  /** Gets the calls of each step of a process. */
  readonly onCalls?: (does: Single["does"], calls: readonly CompletedCall[]) => void;
}

const LAYERS = ["C:\\l\\a", "C:\\l\\b"];
const IMAGE = ["C:\\l\\i"];
const BOOT = "C:\\l\\boot";
const LINUX_BOOT = "C:\\lcow";
const LINUX_LAYERS = ["C:\\x\\a.vhd", "C:\\x\\b.vhd"];
const THEIRS = "C:\\s\\theirs";
const SCRATCHES = ["C:\\s\\0", "C:\\s\\1", "C:\\s\\2", "C:\\new\\3"];
// The scratch that is created when it is mounted.
const NEW = 3;
const NEW_FILES = ["folder C:\\new", "folder C:\\new\\3", "file C:\\new\\3\\sandbox.vhdx"];
const PARENT = "C:\\mnt\\both";
const PROCESSES = 3;
const VMS = 2;

const placeOf = (scratch: number) => `${PARENT}\\${scratch}`;
const vmScratchOf = (slot: number) => `C:\\s\\vm${slot}`;

const KILLED = new Error("killed");
const ABORTED = new Error("aborted");

interface Running {
  readonly host: SimulatedHost;
  readonly pid: number;
  isAlive: boolean;
}

interface Holder {
  readonly holds?: readonly Hold[];
  release(options?: { signal?: AbortSignal }): Promise<unknown>;
}

/** What a process has to release a mount with. */
interface Handle {
  readonly scratch: number;
  readonly process: Running;
  readonly holder: Holder;
}

interface Mount {
  /** Number of the process. */
  readonly by: number;
  readonly image: boolean;
  readonly place: boolean;
  readonly permanent: boolean;
  /** Undefined if the process can't release it any more. */
  readonly handle: Handle | undefined;
}

/** What the model knows of a scratch. */
interface Scratch {
  readonly mount: Mount | undefined;
  /** `exact`: all of the mount is there; `gone`: what a restart leaves of it; `blurred`: any part, as something failed. */
  readonly state: "exact" | "gone" | "blurred";
}

const FREE: Scratch = { mount: undefined, state: "exact" };

/** What the model knows of a VM. */
interface Machine {
  readonly id: string;
  readonly slot: number;
  readonly windows: boolean;
  readonly process: Running;
  readonly holder: Holder;
  /** Undefined if it could neither be created nor removed. */
  readonly vm: UtilityVM | undefined;
  /** What is mounted in it. */
  readonly layers: { readonly scratch: string; readonly layers: readonly string[]; readonly holder: Holder }[];
  /** Whether something failed, so that any part of a mount can be there. */
  isBlurred: boolean;
}

/** What became of what one process did. */
interface Outcome {
  readonly step: Single;
  readonly process: Running;
  /** The scratch that it was about; undefined if it was about all, or a VM. */
  readonly scratch: number | undefined;
  readonly value: unknown;
  readonly error: unknown;
  /** What a mount made, or a release released. */
  readonly handle: Handle | undefined;
  /** Whether something that was injected came. */
  readonly isFaulty: boolean;
}

interface Action {
  readonly process: Running;
  readonly scratch?: number;
  readonly handle?: Handle | undefined;
  run(signal: AbortSignal): Promise<unknown>;
  /** Tells the model what became of it. */
  then?(value: unknown, error: unknown, isFaulty: boolean): void;
}

/** The machine, and the model. */
export class World {
  /** What is wrong. */
  readonly complaints: string[] = [];
  readonly #options: WorldOptions;
  readonly #machine: SimulatedHost;
  readonly #begin: State;
  readonly #theirs: readonly string[];
  readonly #processes: (Running | undefined)[] = [];
  readonly #scratches: Scratch[] = SCRATCHES.map(() => FREE);
  readonly #handles: Handle[] = [];
  #vms: Machine[] = [];
  #vmsSoFar = 0;
  // Whether the new scratch has been created; undefined if it can have been.
  #isNewMade: boolean | undefined = false;
  // Folders that nobody can know to be ours, as a process was killed right after it had created them.
  readonly #nobodys = new Set<string>();
  // Whether something failed that only another process can release.
  #isBeyond = false;

  private constructor(options: WorldOptions, machine: SimulatedHost) {
    this.#options = options;
    this.#machine = machine;
    this.#begin = stateOf(machine);
    this.#theirs = machine.held().map((held) => this.#tokenOf(held));
  }

  /** Returns a new machine, on which another tool has mounted a scratch. */
  static async open(options: WorldOptions): Promise<World> {
    const machine = hostWith({
      layers: LAYERS,
      cimLayers: IMAGE,
      scratches: [...SCRATCHES.slice(0, NEW), THEIRS, ...Array.from({ length: VMS }, (_, slot) => vmScratchOf(slot))],
      folders: ["C:\\mnt"],
      linuxBoot: { [LINUX_BOOT]: "initrd.img" },
      windowsBoot: [BOOT],
      files: Object.fromEntries(Array.from({ length: 2 * VMS }, (_, n) => [`C:\\x\\${n}.vhdx`, 2 ** 20])),
    }, { build: 26100, seed: options.seed, whenUnknown: WHEN_UNKNOWN });
    LINUX_LAYERS.forEach((path) => machine.addLinuxLayer(path, 2 ** 20));
    await mountTheirs(machine);
    return new World(options, machine);
  }

  /** Does one step, and looks at what is there. */
  async step(step: Step): Promise<void> {
    if (step.does === "kill") {
      this.#count("kill");
      this.#end(this.#processes[step.by % PROCESSES]);
    } else if (step.does === "restart") {
      this.#count("restart");
      await this.#restart();
    } else {
      await this.#together(step.does === "together" ? step.all : [step]);
    }
    this.#look(step);
  }

  /** Releases everything as far as its processes live, ends them, recovers, and looks whether the machine is as it was. */
  async end(): Promise<void> {
    const complain = (what: string) => (error: unknown) => {
      if (!this.#isBeyond) this.complaints.push(`${what} without failures throws ${error}`);
    };
    const inVMs: Holder[] = [];
    for (const { holder, scratch } of this.#handles) {
      // If a VM uses the disk, nobody can tell whether the mount is lost.
      const isInVM = this.#vmsOf(scratch).length > 0;
      await holder.release().catch(isInVM ? () => inVMs.push(holder) : complain("release()"));
    }
    for (const vm of this.#vms) {
      for (const { holder, layers } of vm.layers) {
        // If another VM uses the file, nobody can tell whether a failed change has mapped it.
        const isUnknown = vm.isBlurred && this.#vms.some((other) => other !== vm && usesOneOf(other, layers));
        await holder.release().catch(isUnknown ? () => {} : complain("release() in a VM"));
      }
      await vm.holder.release().catch(complain("close()"));
    }
    for (const holder of inVMs) await holder.release().catch(complain("release()"));
    for (const process of [...this.#processes]) {
      if (process === undefined) continue;
      const left = process.host.held().filter(({ kind }) => kind === "handle" || kind === "callback");
      if (left.length > 0) this.complaints.push(`a process has ${left.map(({ kind, target }) => `${kind} ${target}`)}`);
      if (process.host.allocations > 1) this.complaints.push(`${process.host.allocations} blocks of memory are left`);
      this.#end(process);
    }
    const host = this.#machine;
    for (const { outcome, error } of await recover({ host })) {
      if (outcome === "failed") complain("recover() at the end")(error);
    }
    for (const { scratch, permanent, state, owner } of await listMounts({ host })) {
      if (owner.tool !== "hcs-layers") continue;
      if (!permanent || state !== "mounted") this.complaints.push(`recover() left ${scratch}`);
      await unmountWCOWLayers(scratch, { host });
    }
    if (this.#isNewMade !== false && host.exists("C:\\new")) host.remove("C:\\new");
    for (const folder of this.#nobodys) if (host.exists(folder)) host.remove(folder);
    const after = stateOf(host);
    if (!isSame(after, this.#begin)) this.complaints.push(`at the end: ${difference(after, this.#begin)}`);
    host.endProcess();
  }

  #count(what: string): void {
    this.#options.counts.set(what, (this.#options.counts.get(what) ?? 0) + 1);
  }

  #process(by: number): Running {
    return this.#processes[by % PROCESSES] ??= this.#newProcess();
  }

  #newProcess(): Running {
    const host = this.#machine.otherProcess();
    const pid = host.symbols(kernel32).GetCurrentProcessId();
    return { host: this.#options.plant?.(host) ?? host, pid, isAlive: true };
  }

  #end(process: Running | undefined): void {
    if (!process?.isAlive) return;
    process.host.endProcess();
    this.#ended(process);
  }

  #ended(process: Running): void {
    process.isAlive = false;
    for (const folder of unmarkedFolders(process.host.calls)) {
      // It keeps the folder that it is in.
      this.#nobodys.add(folder);
      if (folder.startsWith(`${PARENT}\\`)) this.#nobodys.add(PARENT);
      if (folder === SCRATCHES[NEW]) this.#nobodys.add("C:\\new");
    }
    this.#processes[this.#processes.indexOf(process)] = undefined;
    this.#handles.splice(0, Infinity, ...this.#handles.filter((handle) => handle.process !== process));
    this.#vms = this.#vms.filter((vm) => vm.process !== process);
  }

  async #restart(): Promise<void> {
    this.#machine.restart();
    for (const process of [...this.#processes]) if (process !== undefined) this.#ended(process);
    this.#scratches.forEach(({ mount, state }, i) => {
      if (mount !== undefined && state === "exact") this.#scratches[i] = { mount, state: "gone" };
    });
    await mountTheirs(this.#machine);
  }

  // Does something in processes, side by side.
  async #together(steps: readonly Single[]): Promise<void> {
    const before = [...this.#scratches];
    const actions = steps.map((step) => ({ step, action: this.#action(step) }));
    const outcomes = (await Promise.all(
      actions.map(({ step, action }) => action === undefined ? undefined : this.#run(step, action)),
    )).filter((outcome) => outcome !== undefined);
    const isFaulty = outcomes.some((outcome) => outcome.isFaulty);
    for (const { step, error, process, isFaulty } of outcomes) {
      const isKnown = error === undefined || error instanceof LayerError || !process.isAlive ||
        isFaulty && (error === ABORTED || error instanceof SuppressedError);
      if (!isKnown) this.complaints.push(`${step.does} throws ${error}`);
    }
    for (const { step, value, error } of isFaulty || outcomes.length > 1 ? [] : outcomes) {
      if (error === undefined) this.#compare(step, value);
      else if (LOOKS.includes(step.does)) this.complaints.push(`${step.does} throws ${error}`);
    }
    const isAboutAll = outcomes.some(({ step }) => step.does === "recover");
    let mounts: readonly MountInfo[] | undefined;
    for (const [i, scratch] of before.entries()) {
      const about = outcomes.filter((outcome) => outcome.scratch === i);
      if (about.length === 0 && !isAboutAll) continue;
      const isSure = scratch.state !== "blurred" && !isFaulty && !this.#vmsOf(i).some((vm) => vm.isBlurred);
      const expected = isSure ? this.#expected(i, outcomes) : [];
      if (isSure && expected.length === 0) {
        const what = outcomes.map(({ step, error }) => `${step.does} ${error ?? "succeeds"}`);
        this.complaints.push(`${SCRATCHES[i]}, which is ${textOf(scratch)}: ${what.join(" and ")}`);
      }
      let now = expected[0];
      if (expected.length !== 1) {
        mounts ??= await listMounts({ host: this.#machine });
        const seen = this.#seen(i, mounts);
        now = expected.find((one) => one.mount?.by === seen.mount?.by && one.mount?.handle === seen.mount?.handle) ??
          seen;
        if (expected.length > 1 && now === seen) this.complaints.push(`${SCRATCHES[i]} ends as ${textOf(seen)}`);
      }
      this.#scratches[i] = now!;
      if (i !== NEW) continue;
      if (now!.state === "blurred" || scratch.state === "blurred") this.#isNewMade = this.#isNewMade && undefined;
      if (about.some(({ step, error }) => step.does === "mount" && error === undefined)) this.#isNewMade = true;
      else if (now!.state === "blurred" && this.#isNewMade === false) this.#isNewMade = undefined;
    }
  }

  // Does something, with what is to happen to its process meanwhile.
  async #run(step: Single, { process, scratch, handle, run, then }: Action): Promise<Outcome> {
    this.#count(step.does);
    const abort = new AbortController();
    const list = failures.get(step.does) ?? [];
    const injected = (list.length === 0 ? [] : step.faults).map(({ how, at }) => {
      const failure = list[at % list.length]!;
      const happen = () => {
        if (how === "abort") return abort.abort(ABORTED);
        this.#end(process);
        throw KILLED;
      };
      const injection = how === "failure"
        ? process.host.fail(failure)
        : process.host.before(failure.function, happen, { nth: failure.nth! });
      return { how, failure, injection };
    });
    const from = process.host.calls.length;
    let value: unknown;
    let error: unknown;
    try {
      value = await run(abort.signal);
    } catch (thrown) {
      error = thrown;
    }
    this.#options.onCalls?.(step.does, process.host.calls.slice(from));
    let isFaulty = !process.isAlive;
    for (const { how, failure, injection } of injected) {
      injection.undo();
      if (injection.fired === 0) continue;
      this.#count(`${how} ${AT_A_CALL}`);
      isFaulty = true;
      if (how === "failure" && isBeyondTheOwner(failure)) this.#isBeyond = true;
    }
    if (process.isAlive) then?.(value, error, isFaulty);
    const holder = value ?? error;
    if (step.does === "mount" && process.isAlive && isHolder(holder)) {
      handle = { scratch: scratch!, process, holder };
      this.#handles.push(handle);
    }
    return { step, process, scratch, value, error, handle, isFaulty };
  }

  #action(step: Single): Action | undefined {
    const process = this.#process(step.by);
    const { host } = process;
    const scratch = step.on % SCRATCHES.length;
    const path = SCRATCHES[scratch]!;
    switch (step.does) {
      case "mount": {
        const layers = step.image && scratch !== NEW ? IMAGE : LAYERS;
        const options = {
          host,
          permanent: step.permanent,
          recover: step.recover,
          createScratch: scratch === NEW,
          ...step.place && { volumeMountPath: placeOf(scratch) },
        };
        const run = (signal: AbortSignal) => mountWCOWLayers(`c${scratch}`, [...layers, path], { ...options, signal });
        return { process, scratch, run };
      }
      case "release": {
        const handle = this.#handles[step.on % this.#handles.length];
        if (handle === undefined) return undefined;
        return { ...handle, handle, run: (signal) => handle.holder.release({ signal }) };
      }
      case "unmount":
        return { process, scratch, run: (signal) => unmountWCOWLayers(path, { host, signal }) };
      case "recover":
        return { process, run: (signal) => recover({ host, signal }) };
      case "dry run":
        return { process, run: (signal) => recover({ host, signal, dryRun: true }) };
      case "list":
        return { process, run: (signal) => listMounts({ host, signal }) };
      case "find":
        return { process, run: (signal) => findMounts(path, { host, signal }) };
      case "VM":
        return this.#create(step, process);
      case "layers in a VM":
        return this.#mountInVM(step);
      case "layers out of a VM": {
        const vm = this.#vms[step.on % this.#vms.length];
        const layers = vm?.layers[step.by % vm.layers.length];
        if (vm === undefined || layers === undefined) return undefined;
        return {
          process: vm.process,
          run: (signal) => layers.holder.release({ signal }),
          then: (_, error) => {
            if (error === undefined) vm.layers.splice(vm.layers.indexOf(layers), 1);
            else vm.isBlurred = true;
          },
        };
      }
      case "close a VM": {
        const vm = this.#vms[step.on % this.#vms.length];
        if (vm === undefined) return undefined;
        return {
          process: vm.process,
          run: () => vm.holder.release(),
          then: (_, error) => {
            if (error === undefined) this.#vms.splice(this.#vms.indexOf(vm), 1);
            else vm.isBlurred = true;
          },
        };
      }
    }
  }

  #create(step: Single, process: Running): Action | undefined {
    const slot = step.on % VMS;
    if (this.#vms.some((vm) => vm.slot === slot)) return undefined;
    const id = `vm${++this.#vmsSoFar}`;
    const windows = step.image;
    return {
      process,
      run: async (signal) => {
        const vm = await createUtilityVM(
          windows
            ? { os: "windows", noDirectMap: true, id, layerFolders: [BOOT, vmScratchOf(slot)] }
            : { os: "linux", id, bootFolder: LINUX_BOOT },
          { host: process.host, signal },
        );
        this.#vms.push({
          id,
          slot,
          windows,
          process,
          holder: { release: () => vm.close() },
          vm,
          layers: [],
          isBlurred: false,
        });
        // Without the signal: if the start is aborted while the guest boots, nobody listens for it any more, and the simulated host
        // says at the next call, that of close(), that it can't continue.
        await vm.start();
      },
      then: (_, error, isFaulty) => {
        const made = this.#vms.find((vm) => vm.id === id);
        if (error === undefined) return;
        if (!isFaulty) this.complaints.push(`creating a VM throws ${error}`);
        if (made !== undefined) made.isBlurred = true;
        else if (isHolder(error)) {
          this.#vms.push({ id, slot, windows, process, holder: error, vm: undefined, layers: [], isBlurred: true });
        }
      },
    };
  }

  #mountInVM(step: Single): Action | undefined {
    const machine = this.#vms[step.on % this.#vms.length];
    if (machine?.vm === undefined) return undefined;
    const { vm, windows, process, slot } = machine;
    const n = step.by % NEW;
    const layers = (windows ? LAYERS : LINUX_LAYERS).slice(step.place ? 0 : 1);
    const scratch = windows ? SCRATCHES[n]! : `C:\\x\\${2 * slot + step.by % 2}.vhdx`;
    const users = this.#vms.filter((other) => other.layers.some((layers) => layers.scratch === scratch));
    const isSure = !this.#vms.some((vm) => vm.isBlurred) && !(windows && this.#scratches[n]!.state === "blurred");
    const isFree = users.length === 0 &&
      !(windows && this.#scratches[n]!.mount !== undefined && this.#scratches[n]!.state === "exact");
    return {
      process,
      run: (signal) =>
        windows
          ? mountWCOWLayers(`c${n}`, [...layers, scratch], { vm, signal })
          : mountLCOWLayers(`c${n}`, { layers: layers.map((vhdPath) => ({ vhdPath })), scratchVhdPath: scratch }, {
            vm,
            signal,
            guestRoot: `/run/${slot}${step.by % 2}`,
          }),
      then: (value, error, isFaulty) => {
        if (isHolder(value)) machine.layers.push({ scratch, layers, holder: value });
        if (isHolder(error)) {
          machine.layers.push({ scratch, layers, holder: error });
          machine.isBlurred = true;
        }
        if (!isFaulty && isSure && (error === undefined) !== isFree) {
          this.complaints.push(`${scratch} in a VM, which is ${isFree ? "free" : "in use"}: ${error ?? "succeeds"}`);
        }
      },
    };
  }

  #vmsOf(i: number): Machine[] {
    return this.#vms.filter((vm) =>
      vm.windows && (vm.isBlurred || vm.layers.some(({ scratch }) => scratch === SCRATCHES[i]))
    );
  }

  // What can have become of a scratch, if what was done happened in some order.
  #expected(i: number, outcomes: readonly Outcome[]): Scratch[] {
    const found: Scratch[] = [];
    const go = (now: Scratch, left: readonly Outcome[]): void => {
      if (left.length === 0 && !found.some((other) => isAlike(other, now))) found.push(now);
      for (const next of left) {
        const then = this.#after(i, now, next, outcomes.length === 1);
        if (then !== undefined) go(then, left.filter((other) => other !== next));
      }
    };
    go(this.#scratches[i]!, outcomes.filter(({ scratch, step }) => scratch === i || step.does === "recover"));
    return found;
  }

  // What becomes of a scratch, or undefined if that can't be the outcome. Side by side with others, it can be in use by them.
  #after(
    i: number,
    now: Scratch,
    { step, process, error, value, handle }: Outcome,
    isAlone: boolean,
  ): Scratch | undefined {
    const isRefused = error instanceof InUseError;
    const { mount, state } = now;
    const isMounted = mount !== undefined && state === "exact";
    const isInVM = this.#vmsOf(i).length > 0;
    switch (step.does) {
      case "mount": {
        const isAllowed = !isInVM && (!isMounted || step.recover && this.#isLeftBehind(now));
        // Of two calls that create a scratch, one is refused before it looks for more.
        const isCreation = i === NEW && !isAlone && error instanceof InvalidInputError;
        if (error !== undefined) {
          if (!isCreation && !(isRefused && !(isAlone && isAllowed))) return undefined;
          // What a restart has left is removed before it turns out that a VM uses the disk.
          return state === "gone" && isInVM ? FREE : now;
        }
        if (!isAllowed) return undefined;
        const { place, permanent } = step;
        return { mount: { by: process.pid, image: step.image && i !== NEW, place, permanent, handle }, state: "exact" };
      }
      case "release":
        // If another one uses the disk, nobody can tell whether the record was lost.
        if (error !== undefined) return isInVM && mount?.handle !== handle ? now : undefined;
        return mount?.handle !== undefined && mount.handle === handle ? FREE : now;
      case "unmount":
        if (error !== undefined) return isRefused && (!isAlone || isInVM) ? now : undefined;
        return isInVM ? undefined : FREE;
      case "recover": {
        if (error !== undefined) return undefined;
        const outcome = recoveredOf(i, value)?.outcome;
        if (isAlone && outcome !== this.#recovery(now)) return undefined;
        if (outcome === "failed" || outcome === "released" && !this.#isLeftBehind(now)) return undefined;
        return outcome === "released" ? FREE : now;
      }
      default:
        return now;
    }
  }

  #isLeftBehind({ mount, state }: Scratch): boolean {
    return mount !== undefined && !this.#processes.some((process) => process?.pid === mount.by) &&
      !(mount.permanent && state === "exact");
  }

  #recovery(scratch: Scratch): RecoveredMount["outcome"] | undefined {
    return scratch.mount === undefined ? undefined : this.#isLeftBehind(scratch) ? "released" : "left";
  }

  // What the records say of a scratch after failures: what is there, they or errors have to tell.
  #seen(i: number, mounts: readonly MountInfo[]): Scratch {
    const info = mounts.find((mount) => mount.scratch === SCRATCHES[i]);
    const handles = this.#handles.filter(({ scratch, holder }) => scratch === i && (holder.holds?.length ?? 0) > 0);
    const handle = handles.findLast(({ process }) => process.pid === info?.owner.pid);
    if (info === undefined) return handles.length === 0 ? FREE : { mount: undefined, state: "blurred" };
    const mount: Mount = {
      by: info.owner.pid!,
      image: info.image !== undefined,
      place: handle?.holder.holds?.some(({ kind }) => kind === "mountPoint") ?? false,
      permanent: info.permanent!,
      handle,
    };
    return { mount, state: "blurred" };
  }

  // Compares what a process was told of the mounts with the model.
  #compare({ does, on }: Single, value: unknown): void {
    const isOne = does === "find";
    if (!LOOKS.includes(does)) return;
    for (const [i, scratch] of this.#scratches.entries()) {
      if (scratch.state === "blurred" || isOne && i !== on % SCRATCHES.length) continue;
      const { mount, state } = scratch;
      let told: unknown;
      let expected: unknown;
      if (does === "dry run") {
        told = recoveredOf(i, value)?.outcome;
        expected = this.#recovery(scratch);
      } else {
        const info = (value as MountInfo[]).find(({ scratch }) => scratch === SCRATCHES[i]);
        told = info && [info.state, info.owner.pid, info.permanent, info.containerId, info.mountPoints.join()];
        // Also of what a restart took apart: the folder links to the volume yet.
        const places = mount?.place ? `${placeOf(i)}\\` : "";
        expected = mount && [state === "exact" ? "mounted" : "gone", mount.by, mount.permanent, `c${i}`, places];
      }
      if (JSON.stringify(told) !== JSON.stringify(expected)) {
        this.complaints.push(
          `${does} tells of ${SCRATCHES[i]} ${JSON.stringify(told)}, and not ${JSON.stringify(expected)}`,
        );
      }
    }
  }

  // Looks whether there is what the model says, and nothing else.
  #look(step: Step): void {
    const must: string[] = [...this.#theirs];
    const may: string[] = [...this.#nobodys].map((folder) => `folder ${folder}`);
    for (const [i, { mount, state }] of this.#scratches.entries()) {
      const places = [`folder ${placeOf(i)}`, `mountPoint ${placeOf(i)}`];
      if (state === "blurred") {
        const all = ["activation", "filter"].map((kind) => `${kind} ${SCRATCHES[i]}`);
        may.push(...all, "cimVolume", "overlay", ...places, `folder ${PARENT}`);
      } else if (mount !== undefined) {
        const parts = [
          `activation ${SCRATCHES[i]}`,
          ...mount.image ? ["cimVolume", "overlay"] : [`filter ${SCRATCHES[i]}`],
        ];
        if (state === "exact") must.push(...parts);
        if (mount.place) must.push(...places);
      }
    }
    if (this.#scratches.some(({ mount, state }) => mount?.place && state !== "blurred")) must.push(`folder ${PARENT}`);
    if (this.#isNewMade !== false) (this.#isNewMade ? must : may).push(...NEW_FILES);
    for (const { id, windows, layers, isBlurred } of this.#vms) {
      const count = layers.length;
      const distinct = new Set(layers.flatMap(({ layers }) => layers)).size;
      const parts = [
        ["computeSystem", 1],
        [windows ? "vsmbShare" : "vpmem", distinct],
        ["scsiAttachment", count],
        ["guestMount", windows ? count : count + distinct],
        ["layerTree", count],
      ] as const;
      for (const [kind, times] of parts) (isBlurred ? may : must).push(...new Array(times).fill(`${kind} ${id}`));
      if (isBlurred) ["vsmbShare", "vpmem", "guestMount"].forEach((kind) => may.push(`${kind} ${id}`, `${kind} ${id}`));
    }
    const counts = new Map<string, number>();
    for (const held of this.#machine.held()) {
      const token = this.#tokenOf(held);
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    const missing: string[] = [];
    for (const token of must) {
      const count = counts.get(token) ?? 0;
      if (count === 0) missing.push(token);
      else counts.set(token, count - 1);
    }
    may.forEach((token) => counts.set(token, (counts.get(token) ?? 0) - 1));
    const left = [...counts].filter(([, count]) => count > 0).map(([token]) => token);
    if (missing.length > 0 || left.length > 0) {
      this.complaints.push(
        `after ${step.does}: held without a reason: ${left.join(", ") || "nothing"}, missing: ${
          missing.join(", ") || "nothing"
        }`,
      );
    }
  }

  #tokenOf({ kind, target }: HeldResource): string {
    if (kind === "cimVolume" || kind === "overlay") return kind;
    return IN_VM.includes(kind) ? `${kind} ${target.split(" ")[0]}` : `${kind} ${target}`;
  }
}

const DONE = "0x00000000";
const THERE = "0x800700b7";
const MARK = ":hcs-layers.created";
const CONNECTION = /^(WSA.*|accept|recv|send)$/;
const LOOKS: readonly string[] = ["list", "find", "dry run"];
const IN_VM: readonly string[] = ["computeSystem", "vsmbShare", "scsiAttachment", "vpmem", "guestMount", "layerTree"];

// As another tool does that keeps no records.
async function mountTheirs(machine: SimulatedHost): Promise<void> {
  const host = hostInFront(machine, { records: false, machine: {} });
  await mountWCOWLayers("theirs", [...LAYERS, THEIRS], { host });
}

function isHolder(made: unknown): made is Holder {
  return typeof made === "object" && made !== null && "release" in made;
}

function isAlike(one: Scratch, other: Scratch): boolean {
  return one.state === other.state && one.mount?.by === other.mount?.by && one.mount?.handle === other.mount?.handle;
}

function recoveredOf(i: number, value: unknown): RecoveredMount | undefined {
  return (value as RecoveredMount[]).find(({ mount }) => mount.scratch === SCRATCHES[i]);
}

function textOf({ mount, state }: Scratch): string {
  if (mount === undefined) return state === "exact" ? "free" : state;
  const { by, image, place, permanent } = mount;
  return `${state} ${JSON.stringify({ by, image, place, permanent })}`;
}

// The folders that a process may have created, and then neither marked nor removed.
function unmarkedFolders(calls: readonly CompletedCall[]): Set<string> {
  const found = new Set<string>();
  for (const { function: fn, args, result } of calls) {
    const path = plain(`${args["path"]}`);
    if (fn === "CreateDirectoryW" && result !== THERE) found.add(path);
    else if (fn === "RemoveDirectoryW" && result === DONE) found.delete(path);
    else if (fn === "CreateFileW" && path.endsWith(MARK) && result === DONE) found.delete(path.slice(0, -MARK.length));
  }
  return found;
}

function usesOneOf({ layers }: Machine, files: readonly string[]): boolean {
  return layers.some((mounted) => mounted.layers.some((file) => files.includes(file)));
}

function plain(path: string): string {
  return path.replace(/^\\\\\?\\/, "").replace(/^Volume\{[^}]*\}/, "C:");
}

// The failures that there can be of what a process does.
let failures: ReadonlyMap<string, readonly InjectedFailure[]> = new Map();
failures = await possibleFailures();

async function possibleFailures(): Promise<typeof failures> {
  const found = new Map<string, Map<string, InjectedFailure>>();
  const onCalls = (does: string, calls: readonly CompletedCall[]) => {
    const known = found.get(does) ?? new Map();
    found.set(does, known);
    for (const failure of failuresOf(calls)) {
      // With its connection, what a guest has is lost: the tests of direct guests try that.
      if (failure.code !== 0 && !CONNECTION.test(failure.function)) known.set(JSON.stringify(failure), failure);
    }
  };
  const world = await World.open({ seed: 1, counts: new Map(), onCalls });
  const does = (does: Single["does"], on: number, more: Partial<Single> = {}) =>
    world.step({ does, on, by: 0, image: false, place: true, permanent: false, recover: false, faults: [], ...more });
  for (const end of ["release", "unmount", "kill"] as const) {
    for (const [on, more] of [[0, {}], [1, { image: true }], [NEW, {}]] as const) {
      await does("mount", on, more);
      for (const look of ["list", "find", "dry run"] as const) await does(look, on);
      if (end === "kill") await world.step({ does: "kill", by: 0 });
      await does(end === "kill" ? "recover" : end, end === "release" ? 0 : on);
    }
  }
  for (const image of [false, true]) {
    await does("VM", 0, { image });
    await does("layers in a VM", 0);
    await does("layers out of a VM", 0);
    await does("close a VM", 0);
  }
  await world.end();
  if (world.complaints.length > 0) throw new Error(world.complaints.join("; "));
  return new Map([...found].map(([does, known]) => [does, [...known.values()]]));
}
