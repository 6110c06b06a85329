/**
 * VMs that talk with their guests themselves, with the layers of two containers that share some: every single failure, and
 * every pair of failures, of the native calls, of what the guest does with a message, and of the connection, which ends at
 * each byte of each message and of each answer. What is mounted is released, again if that failed; then nothing of it is in
 * the VM. Then the VM is closed; then nothing is left, and nothing waits.
 *
 * @module
 */

import {
  createUtilityVM,
  LayerError,
  mountLCOWLayers,
  mountWCOWLayers,
  recover,
  UnwindError,
  type UtilityVM,
} from "../../mod.ts";
import {
  type CompletedCall,
  type InjectedFailure,
  type SimulatedHost,
  SimulationError,
} from "../../src/simulated/mod.ts";
import { settle } from "../support/calls.ts";
import { hostInFront } from "../support/host.ts";
import { onWire, type Reaction } from "../support/wire_faults.ts";
import { firstOfAlike, type Outcome, type Place } from "./alike.ts";
import {
  after,
  difference,
  failuresFrom,
  failuresOf,
  INFALLIBLE,
  isSame,
  type State,
  stateOf,
  type Trial,
} from "./failures.ts";
import { APP, BASE, type Holder, inVM, OURS } from "./scenarios.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What goes wrong with a message to the guest, the nth one. */
export interface WireFault {
  readonly message: number;
  /** After so many of its bytes, the connection ends. */
  readonly sent?: number;
  /** The guest does what it is asked for, and after so many bytes of its answer, the connection ends. */
  readonly answered?: number;
  /** What the guest answers, if at all, whether it does what it is asked for or not. */
  readonly answer?: keyof typeof ANSWERS;
  readonly isDone?: boolean;
}

/** What goes wrong. */
export type Fault = (InjectedFailure & { readonly nth: number }) | WireFault;

const HEADER_BYTES = 16;

const ANSWERS = {
  refuses: (usual: Bytes) => withBody(usual, { Result: -2147024891, ErrorMessage: "no" }),
  garbles: (usual: Bytes) => withBody(usual, []),
  missizes: (usual: Bytes) => (new DataView(usual.buffer, usual.byteOffset).setUint32(4, 5, true), usual),
  "is silent": () => new Uint8Array(0),
};

function withBody(usual: Bytes, body: object): Bytes {
  const text = new TextEncoder().encode(JSON.stringify(body));
  const bytes = new Uint8Array([...usual.subarray(0, HEADER_BYTES), ...text]);
  new DataView(bytes.buffer).setUint32(4, bytes.length, true);
  return bytes;
}

/** A VM, and what is mounted in it. */
export interface VMScenario {
  readonly os: "windows" | "linux";
  readonly options: Parameters<typeof createUtilityVM>[0];
  /** How many containers have layers in it. Default: two, which share some. */
  readonly containers?: number;
  mount(vm: UtilityVM, container: number): Promise<Holder>;
}

/** The id of the VM. */
export const ID = "ours";

function linux(options: { readonly vpmemDeviceCount?: number; readonly vpmemMultiMapping?: boolean }): VMScenario {
  return {
    os: "linux",
    options: { ...options, os: "linux", id: ID, bootFolder: "C:\\lcow" },
    mount: (vm, container) =>
      mountLCOWLayers(`c${container}`, {
        layers: (container === 1 ? ["a"] : ["b", "a"]).map((name) => ({ vhdPath: `C:\\linux\\${name}.vhd` })),
        scratchVhdPath: container === 1 ? "C:\\linux\\scratch.vhdx" : "C:\\linux\\other.vhdx",
      }, { vm, guestRoot: `/run/c${container}` }),
  };
}

/** The VMs. */
export const VM_SCENARIOS: Readonly<Record<string, VMScenario>> = {
  "a Windows VM": {
    os: "windows",
    // Shares that are mapped directly stay until the VM ends.
    options: { os: "windows", id: ID, layerFolders: ["C:\\boot", "C:\\bootScratch"], noDirectMap: true },
    mount: (vm, container) =>
      mountWCOWLayers(`c${container}`, container === 1 ? [BASE, OURS] : [APP, BASE, "C:\\scratches\\more"], { vm }),
  },
  "a Linux VM that maps files": linux({}),
  "a Linux VM with disks alone": linux({ vpmemDeviceCount: 0 }),
};

async function prepared({ options, mount }: VMScenario): Promise<SimulatedHost> {
  const host = await inVM(options, (vm) => mount(vm, 1)).prepare();
  host.addScratch("C:\\scratches\\more");
  host.addFile("C:\\linux\\other.vhdx", 2 ** 20);
  return host;
}

/** What came of a VM's life. */
export interface Played {
  readonly calls: readonly CompletedCall[];
  /** The bytes of each message, and of its answer. */
  readonly messages: readonly { sent: number; answered: number }[];
  readonly complaints: readonly string[];
}

// More than there are failures.
const TRIES = 4;
const HANGING_MS = 60_000;
// A VM that doesn't report its end is waited for for ten seconds each time.
const CLOSING_MS = 60_000;

/** Lets a VM live, with failures. */
export async function playVM(scenario: VMScenario, faults: readonly Fault[]): Promise<Played> {
  let messages: Played["messages"] = [];
  const lived = await live(scenario, (process) => {
    messages = wired(process, scenario, faults);
    for (const fault of faults) if ("function" in fault) process.fail(fault);
  }, { isLied: faults.some(isLie), losesHandles: faults.some(isOfClosing) });
  return { ...lived, messages };
}

/**
 * Lets a VM live: it starts, carries layers, and ends.
 *
 * @param disturb Has things go wrong in the process that does this.
 * @param lied Whether a success is told of what wasn't done, so that something may be left in the VM; and whether a handle
 * is lost that could not be closed.
 */
export async function live(
  scenario: VMScenario,
  disturb: (process: SimulatedHost) => void,
  { isLied = false, losesHandles = false } = {},
): Promise<Omit<Played, "messages">> {
  const machine = await prepared(scenario);
  const before = stateOf(machine);
  const process = machine.otherProcess();
  disturb(process);
  const waits = new Set<Promise<void>>();
  const host = hostInFront(process, {
    deadline(ms, signal) {
      const wait = process.deadline(ms, signal);
      waits.add(wait);
      const over = () => void waits.delete(wait);
      wait.then(over, over);
      return wait;
    },
  });
  const complaints: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hanging = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      complaints.push(`hangs after ${process.calls.slice(-5).map((call) => call.function)}`);
      resolve();
    }, HANGING_MS);
  });
  await Promise.race([hanging, use(scenario, host, complaints, isLied)]);
  clearTimeout(timer);
  const { calls } = process;
  await settle();
  if (waits.size > 0) complaints.push(`${waits.size} waits are left`);
  const left = process.held().filter(({ kind }) => kind === "handle" || kind === "callback");
  if (!losesHandles) complaints.push(...left.map(({ kind, target }) => `leaves a ${kind}: ${target}`));
  process.endProcess();
  complaints.push(...await recovered(machine, before));
  return { calls, complaints };
}

async function use(
  scenario: VMScenario,
  host: SimulatedHost,
  complaints: string[],
  isLied: boolean,
): Promise<void> {
  const left: Holder[] = [];
  // What is said to be done, and isn't, is in the way of what comes later.
  const wrong = isLied ? [] : complaints;
  const note = (error: unknown): void => {
    if (!(error instanceof LayerError)) complaints.push(`throws ${error}`);
    if (isStranded(error)) wrong.push(`${error}`);
    if (error instanceof UnwindError) left.push(error);
  };
  const vm = await createUtilityVM(scenario.options, { host }).catch(note);
  if (vm !== undefined) {
    await vm.start().catch(note);
    for (let container = 1; container <= (scenario.containers ?? 2); container++) {
      await scenario.mount(vm, container).then((mount) => left.push(mount)).catch(note);
    }
  }
  for (const holder of left.toReversed()) await insist(() => holder.release(), note, wrong);
  if (vm === undefined) return;
  const inVM = host.held().filter(({ kind, target }) => IN_VM.includes(kind) && target.startsWith(ID));
  // Nobody reaches what a lost guest has, and a VM that crashes takes all with it.
  const reachable = vm.state === "running" ? inVM : inVM.filter(({ kind }) => !IN_GUEST.includes(kind));
  if (vm.end?.reason !== "crashed") {
    wrong.push(...reachable.map(({ kind, target }) => `leaves in the VM a ${kind}: ${target}`));
  }
  if (isStranded(vm.end)) wrong.push(`the guest can't go on: ${(vm.end!.cause as Error).cause}`);
  const from = host.clock.now;
  await insist(() => vm.close(), note, complaints);
  const took = host.clock.now - from;
  if (took > CLOSING_MS) complaints.push(`close() takes ${took / 1000} s`);
}

// Whether something was asked for that nobody would do.
function isStranded(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { errors = [] } = error as { errors?: readonly unknown[] };
  return error instanceof SimulationError || [error.cause, ...errors].some(isStranded);
}

const IN_GUEST = ["guestMount", "layerTree"];
const IN_VM = [...IN_GUEST, "vsmbShare", "scsiAttachment", "vpmem"];

// Releases again what could not be released.
async function insist(
  release: () => Promise<unknown>,
  note: (error: unknown) => void,
  complaints: string[],
): Promise<void> {
  for (let tries = 1;; tries++) {
    try {
      await release();
      return;
    } catch (error) {
      note(error);
      if (tries === TRIES) return void complaints.push(`can't be released: ${error}`);
    }
  }
}

async function recovered(machine: SimulatedHost, before: State): Promise<string[]> {
  const host = machine.otherProcess();
  const failed = (await recover({ host })).filter(({ outcome }) => outcome === "failed");
  host.endProcess();
  const after = stateOf(machine);
  const complaints = failed.map(({ error }) => `recover() fails: ${error}`);
  return isSame(after, before) ? complaints : [...complaints, difference(after, before)];
}

function wired(host: SimulatedHost, { os }: VMScenario, faults: readonly Fault[]): Played["messages"] {
  const messages: { sent: number; answered: number }[] = [];
  const about = (message: number) => faults.find((fault) => "message" in fault && fault.message === message);
  onWire(host, { id: ID, os }, {
    sending(message, { length }) {
      messages.push({ sent: length, answered: 0 });
      return (about(message) as WireFault | undefined)?.sent;
    },
    react(message): Reaction {
      const { answer, answered, isDone = true } = (about(message) ?? {}) as Partial<WireFault>;
      return {
        isDone,
        answer(guest, usual) {
          messages[message - 1]!.answered = usual.length;
          guest.send(answer === undefined ? usual.subarray(0, answered) : ANSWERS[answer](usual));
          if (answered !== undefined) guest.close();
        },
      };
    },
  });
  return messages;
}

function isLie(fault: Fault): boolean {
  return "function" in fault && fault.code === 0;
}

function isOfClosing(fault: Fault): boolean {
  return "function" in fault && /^(CloseHandle|FindClose|closesocket|WSACloseEvent)$/.test(fault.function);
}

/** A VM's life as what is tried. In pairs, the connection ends at some bytes of each message, and alone at each. */
export async function vmTrial(scenario: VMScenario): Promise<Trial<Fault>> {
  const clean = await playVM(scenario, []);
  return {
    all: [...failuresOf(clean.calls), ...wireFaults(clean.messages)],
    isPaired,
    drawsPairs: true,
    async attempt(faults) {
      const { calls, messages, complaints } = await playVM(scenario, faults);
      return { complaints, later: () => laterThan(faults.at(-1)!, calls, messages) };
    },
  };
}

/**
 * The life of a VM with one container, of which every pair of failures can be tried: in pairs, of failures that are alike one
 * is enough.
 */
export async function vmPairsTrial(shared: VMScenario): Promise<Trial<Fault>> {
  const scenario = { ...shared, containers: 1 };
  const trial = await vmTrial(scenario);
  // Without its text, an error lacks a sentence.
  const matters = (fault: Fault) => isPaired(fault) && !("function" in fault && fault.function === "FormatMessageW");
  const tried: Outcome[] = [];
  for (const fault of trial.all.filter(matters)) {
    const { calls } = await playVM(scenario, [fault]);
    tried.push({ ...placeOf(fault), followed: followedBy(fault, calls) });
  }
  const isFirst = firstOfAlike(tried);
  return { ...trial, drawsPairs: false, isPaired: (fault) => matters(fault) && isFirst(placeOf(fault)) };
}

function isPaired(fault: Fault): boolean {
  return "function" in fault || (fault.sent ?? 0) in PAIRED_BYTES && (fault.answered ?? 0) in PAIRED_BYTES;
}

function placeOf(fault: Fault): Place {
  if ("function" in fault) {
    const { function: of, nth, ...way } = fault;
    return { of, nth, way: JSON.stringify(way) };
  }
  const { message, ...way } = fault;
  return { of: "a message", nth: message, way: JSON.stringify(way) };
}

function followedBy(fault: Fault, calls: readonly CompletedCall[]): string {
  return calls.slice(callsUntil(fault, calls)).filter(({ function: fn }) => !INFALLIBLE.includes(fn))
    .map(({ function: fn, result }) => `${fn} ${result}`).join();
}

// Nothing, a part of the header, the header, and a part of the body.
const PAIRED_BYTES = { 0: true, 7: true, [HEADER_BYTES]: true, 60: true };

function wireFaults(messages: Played["messages"]): WireFault[] {
  return messages.flatMap(({ sent, answered }, i) => [
    ...Object.keys(ANSWERS).flatMap((answer) =>
      [false, true].map((isDone) => ({ message: i + 1, answer: answer as keyof typeof ANSWERS, isDone }))
    ),
    ...Array.from({ length: sent + 1 }, (_, bytes) => ({ message: i + 1, sent: bytes })),
    ...Array.from({ length: answered }, (_, bytes) => ({ message: i + 1, answered: bytes })),
  ]);
}

function laterThan(first: Fault, calls: readonly CompletedCall[], messages: Played["messages"]): Fault[] {
  const from = callsUntil(first, calls);
  const message = "function" in first
    ? calls.slice(0, from).filter(({ function: fn }) => fn.startsWith("guest:")).length
    : first.message;
  return [...failuresFrom(from, calls), ...wireFaults(messages).filter((second) => second.message > message)];
}

// The number of the calls until a failure.
function callsUntil(fault: Fault, calls: readonly CompletedCall[]): number {
  if ("function" in fault) return after(fault, calls);
  const asked = calls.flatMap(({ function: fn }, i) => fn.startsWith("guest:") ? [i] : []);
  return (asked[fault.message - 2] ?? -1) + 1;
}
