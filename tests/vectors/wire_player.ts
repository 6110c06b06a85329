/**
 * Plays a recorded connection, and compares.
 *
 * The guest is the recording: it says what was recorded as soon as all that came before it has happened. What the host
 * sends has to be what was recorded, key for key, and each call has to end as recorded, but for the differences in
 * {@linkcode WIRE_DEVIATIONS}. After one that sends ours another way, the guest answers all that is left, so that it shows
 * whether the connection lives. Nothing waits at the end, and the connection is closed.
 *
 * @module
 */

import { GuestConnectionError, GuestError } from "../../src/errors/vm_errors.ts";
import type { TimeZoneInformation } from "../../src/hcsschema/guest_messages.ts";
import type { GuestModificationRequest } from "../../src/hcsschema/requests.ts";
import { BridgeGuest, guestMessage } from "../../src/simulated/bridge_guest.ts";
import { Failure } from "../../src/simulated/simulation_error.ts";
import { BridgeConnection } from "../../src/uvm/bridge/connection.ts";
import { type StreamEnd, streamPair } from "../support/streams.ts";
import { play, type Verdict } from "./player.ts";
import { simulatedMachine } from "./simulated.ts";
import { asRun } from "./vm_run.ts";
import { typeOf, WIRE_DEVIATIONS, type WireExpected, type WireOutcome } from "./wire_deviations.ts";
import { bytesOf, type WireEvent, type WireRun, type WireStep } from "./wire_run.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Plays a recorded connection. A whole VM is played on the simulated host, as the runs without a connection are. */
export async function playWire(run: WireRun): Promise<Verdict> {
  if (run.level === "vm") return await play(asRun(run), simulatedMachine);
  const reason = notSupported(run);
  if (reason !== undefined) return { outcome: "skipped", reason, deviations: [] };
  const deviations = new Set<string>();
  const difference = run.level === "guest" ? await playGuest(run) : await new WirePlayback(run, deviations).play();
  return difference === undefined
    ? { outcome: "passed", deviations: [...deviations] }
    : { outcome: "failed", reason: difference, deviations: [] };
}

function notSupported({ steps }: WireRun): string | undefined {
  return steps.some(({ op }) => OPS[op] === undefined) ? "the library starts no processes in guests" : undefined;
}

/** What a call needs. */
interface Stage {
  readonly vm: BridgeConnection;
  /** The container that was created last. */
  container: string;
  /** The ends of containers. */
  readonly ends: Map<string, Promise<void>>;
}

type Op = (step: WireStep, stage: Stage, signal: AbortSignal) => unknown;

const OPS: Readonly<Record<string, Op>> = {
  Connect: (_, { vm }) => ({ capabilities: vm.capabilities, os: vm.os, protocol: 4 }),
  Close: (_, { vm }) => vm[Symbol.dispose](),
  Modify: ({ request }, { vm }, signal) =>
    vm.modify((request === "NaN" ? { Settings: { Lun: NaN } } : request) as GuestModificationRequest, { signal }),
  ModifyServiceSettings: ({ propertyType, settings }, { vm }, signal) =>
    vm.modifyService(propertyType!, settings!, { signal }),
  CreateContainer: async ({ id, config }, stage) => {
    const end = stage.vm.watch(id!);
    try {
      await stage.vm.request("Create", id!, { ContainerConfig: JSON.stringify(config) });
      stage.container = id!;
      stage.ends.set(id!, end.ended);
    } catch (error) {
      end[Symbol.dispose]();
      throw error;
    }
  },
  StartContainer: (_, { vm, container }) => vm.request("Start", container),
  ShutdownContainer: (_, { vm, container }) => vm.shutdown(container),
  TerminateContainer: (_, { vm, container }) => vm.shutdown(container, { force: true }),
  WaitContainer: async ({ id }, { ends }) => {
    await ends.get(id!);
    return "exited";
  },
  Properties: ({ types }, { vm, container }) => vm.properties(container, types),
  PropertiesV2: ({ types }, { vm, container }) => vm.properties(container, types),
  DumpStacks: (_, { vm }) => vm.dumpStacks(),
  DeleteContainerState: ({ id }, { vm }) => vm.deleteContainerState(id!),
};

// What Go makes of them isn't what is on the wire.
const COMPARED_VALUES = ["Connect", "WaitContainer", "DumpStacks"];

interface RunningCall {
  readonly step: WireStep;
  readonly expected: WireExpected;
  readonly abort: AbortController;
  ended?: { readonly value?: unknown; readonly error?: unknown };
}

class WirePlayback {
  readonly #run: WireRun;
  readonly #deviations: Set<string>;
  readonly #host: StreamEnd;
  readonly #far: StreamEnd;
  readonly #calls: RunningCall[] = [];
  readonly #deadlines: { pass(): void; signal: AbortSignal }[] = [];
  // Of the ids that the guest was asked under.
  readonly #unanswered = new Set<bigint>();
  readonly #messages: Message[] = [];
  #stage: Stage | undefined;
  #position = 0;
  #diverged = false;

  constructor(run: WireRun, deviations: Set<string>) {
    this.#run = run;
    this.#deviations = deviations;
    [this.#host, this.#far] = streamPair();
    this.#listen();
  }

  async play(): Promise<string | undefined> {
    for (const step of this.#run.steps) {
      const problem = await this.#advance(step.seq[0]) ?? await this.#step(step);
      if (problem !== undefined) return `step ${this.#run.steps.indexOf(step) + 1} (${step.op}): ${problem}`;
    }
    const problem = await this.#advance(Infinity);
    this.#stage?.vm[Symbol.dispose]();
    if (problem !== undefined) return `at the end: ${problem}`;
    for (const { step, expected, ended } of this.#calls) {
      const difference = outcomeDifference(expected.outcome, ended);
      if (difference !== undefined) return `${step.op} of ${step.seq[0]}: ${difference}`;
    }
    if (this.#messages.length > 0 && !this.#diverged) return `sent what wasn't recorded: ${this.#messages[0]!.text}`;
    if (this.#host.closed !== 1) return `the connection was closed ${this.#host.closed} times`;
    if (this.#deadlines.some(({ signal }) => !signal.aborted)) return "something waits for a limit";
    return undefined;
  }

  async #step(step: WireStep): Promise<string | undefined> {
    const expected = this.#expected(step);
    const call: RunningCall = { step, expected, abort: new AbortController() };
    this.#calls.push(call);
    if (step.context === "cancelled before") call.abort.abort(new Error("cancelled"));
    this.#perform(step, call.abort.signal).then(
      (value) => call.ended = { value },
      (error) => call.ended = { error },
    );
    await turns();
    if (step.background) return undefined;
    const problem = await this.#advance(step.seq[1]);
    if (problem !== undefined) return problem;
    const isGivenUp = this.#run.steps.some(({ err }) => err?.text === "message timeout");
    if (call.ended === undefined && isGivenUp) this.#deadlines.find(({ signal }) => !signal.aborted)?.pass();
    this.#diverged ||= expected.diverges ?? false;
    await this.#answerRest();
    return undefined;
  }

  async #perform(step: WireStep, signal: AbortSignal): Promise<unknown> {
    if (step.op === "Connect") {
      const deadline = (_: number, signal: AbortSignal) =>
        new Promise<void>((pass) => {
          this.#deadlines.push({ pass, signal });
        });
      const timeZone = (step.timeZone ?? null) as TimeZoneInformation | null;
      const vm = await BridgeConnection.connect(this.#host, { vm: "vm1", deadline, timeZone });
      this.#stage = { vm, container: "", ends: new Map() };
    }
    return await OPS[step.op]!(step, this.#stage!, signal);
  }

  #expected(step: WireStep): WireExpected {
    const sent = this.#run.wire.filter(({ dir, header, seq }) =>
      dir === "host→guest" && header !== undefined && step.seq[0] <= seq && seq < step.seq[1]
    );
    const id = step.op === "Connect" ? undefined : sent[0]?.header?.id;
    return WIRE_DEVIATIONS.reduce((expected, { ours, apply }) => {
      const instead = apply(expected, { run: this.#run, step, id });
      if (instead !== undefined) this.#deviations.add(ours);
      return instead ?? expected;
    }, recorded(step));
  }

  // Lets all happen that was recorded before `seq`.
  async #advance(seq: number): Promise<string | undefined> {
    for (let event; (event = this.#run.wire[this.#position]) !== undefined && event.seq < seq;) {
      this.#position++;
      const problem = event.dir === "host→guest" ? await this.#compare(event) : await this.#happen(event);
      if (problem !== undefined) return problem;
    }
    await this.#answerRest();
    return undefined;
  }

  async #compare(event: WireEvent): Promise<string | undefined> {
    if (event.header === undefined || this.#diverged) return undefined;
    await turns();
    const message = this.#messages.shift();
    const [type, wanted] = [typeOf(event), comparable(event.json)];
    if (message === undefined) return `expected ${hexOf(type)} ${wanted}, nothing was sent`;
    const actual = comparable(JSON.parse(message.text));
    if (message.type === type && message.id === BigInt(event.header.id) && actual === wanted) return undefined;
    return `expected ${hexOf(type)} ${event.header.id} ${wanted}\nactual   ${
      hexOf(message.type)
    } ${message.id} ${actual}`;
  }

  async #happen(event: WireEvent): Promise<undefined> {
    if (event.event === "close") this.#far.close();
    else if (event.event === "reset") this.#far.reset();
    else if (event.dir === "harness") this.#interfere(event.event!);
    else {
      const bytes = bytesOf(event);
      if (event.header !== undefined) this.#unanswered.delete(BigInt(event.header.id));
      const size = event.pieces ?? bytes.length;
      for (let at = 0; at < bytes.length; at += size) {
        await this.#far.write(bytes.subarray(at, at + size)).catch(() => {});
        await turns();
      }
    }
    await turns();
    return undefined;
  }

  #interfere(event: string): void {
    if (event.startsWith("host cancels")) this.#calls.at(-1)!.abort.abort(new Error("cancelled"));
    else if (event.startsWith("writes of the host fail")) {
      this.#host.write = () => Promise.reject(new Error("10054"));
    } else throw new Error(`the recorder did something unknown: ${event}`);
  }

  async #answerRest(): Promise<void> {
    await turns();
    if (!this.#diverged || this.#run.wire.slice(this.#position).some(({ dir }) => dir === "guest→host")) return;
    this.#messages.length = 0;
    for (const id of this.#unanswered) await this.#far.write(guestMessage(0x20100a01, id, {})).catch(() => {});
    this.#unanswered.clear();
    await turns();
  }

  async #listen(): Promise<void> {
    for await (const message of messagesOf(this.#far)) {
      this.#unanswered.add(message.id);
      this.#messages.push(message);
    }
  }
}

interface Message {
  readonly type: number;
  readonly id: bigint;
  readonly text: string;
}

async function* messagesOf(stream: StreamEnd): AsyncGenerator<Message> {
  let bytes: Bytes = new Uint8Array(0);
  const chunk = new Uint8Array(0x10000);
  for (let size; (size = await stream.read(chunk).catch(() => 0)) > 0;) {
    bytes = new Uint8Array([...bytes, ...chunk.subarray(0, size)]);
    for (let length; bytes.length >= 16 && bytes.length >= (length = new DataView(bytes.buffer).getUint32(4, true));) {
      const header = new DataView(bytes.buffer);
      const text = new TextDecoder().decode(bytes.subarray(16, length));
      yield { type: header.getUint32(0, true), id: header.getBigUint64(8, true), text };
      bytes = bytes.slice(length);
    }
  }
}

// All that waits for promises alone goes on.
function turns(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function recorded({ op, err, value }: WireStep): WireExpected {
  if (err === null) return { outcome: { kind: "done", ...(COMPARED_VALUES.includes(op) && { value }) } };
  if (err.text.startsWith("guest RPC failure")) return { outcome: { kind: "code", code: Number(err.errnoLow32) } };
  if (err.is?.includes("context.Canceled")) return { outcome: { kind: "cancelled" } };
  return { outcome: { kind: /^bridge |^message timeout/.test(err.text) ? "lost" : "other" } };
}

function outcomeDifference(outcome: WireOutcome, ended: RunningCall["ended"]): string | undefined {
  if (ended === undefined) return "didn't end";
  if (outcome.kind === "any") return undefined;
  const { error, value } = ended;
  const actual = "error" in ended ? outcomeOf(error) : { kind: "done", value };
  const wanted = JSON.stringify(outcome.kind === "done" && !("value" in outcome) ? { kind: "done" } : outcome);
  const shown = JSON.stringify(
    actual.kind === "done" && !("value" in outcome)
      ? { kind: "done" }
      : "text" in outcome
      ? actual
      : withoutText(actual),
  );
  return wanted === shown ? undefined : `expected ${wanted}\nactual   ${shown} ${"error" in ended ? error : ""}`;
}

function outcomeOf(error: unknown): WireOutcome {
  if (error instanceof GuestError) return { kind: "code", code: error.code, text: error.guestText };
  if (error instanceof GuestConnectionError) return { kind: "lost" };
  return { kind: error instanceof Error && error.message === "cancelled" ? "cancelled" : "other" };
}

function withoutText(outcome: object): object {
  const { text: _, ...rest } = outcome as { text?: string };
  return rest;
}

const JSON_IN_STRINGS = ["ContainerConfig", "Query"];

// The text of a body without what traces calls, with its keys in the order in which they were sent.
function comparable(body: unknown): string {
  return JSON.stringify(body, (key, value) => {
    if (key === "ocsc" || key === "otsc") return undefined;
    return JSON_IN_STRINGS.includes(key) ? JSON.parse(value) : value;
  });
}

function hexOf(type: number): string {
  return `0x${type.toString(16)}`;
}

// Asks the simulated guest what the real one was asked.
async function playGuest({ wire, guest }: WireRun): Promise<string | undefined> {
  const [host, far] = streamPair();
  const simulated = new BridgeGuest(far, {
    os: guest === "lcow" ? "Linux" : "Windows",
    modify({ RequestType, ResourceType }) {
      // There are no devices.
      if (ResourceType !== "CombinedLayers" && ResourceType !== "SecurityPolicy") throw new Failure(0x80004005);
      if (RequestType !== "Add" && RequestType !== "Remove") throw new Failure(0x80004005);
    },
  });
  const served = simulated.serve();
  const answers = messagesOf(host);
  try {
    for (const event of wire) {
      if (event.header === undefined) continue;
      if (event.dir === "host→guest") await host.write(bytesOf(event));
      else {
        const { value } = await Promise.race([answers.next(), served.then(() => ({ value: undefined }))]);
        if (value === undefined) return `didn't answer ${event.header.id}`;
        const wanted = answerOf(typeOf(event), event.header.id, event.json);
        const actual = answerOf(value.type, value.id, JSON.parse(value.text));
        if (wanted !== actual) return `expected ${wanted}\nactual   ${actual}`;
      }
    }
    return undefined;
  } catch (error) {
    return `could not be played: ${error}`;
  } finally {
    simulated.crash();
    await served;
  }
}

// Without the stacks of the real guest, and the words that are those of its devices and of Go.
function answerOf(type: number, id: number | bigint, body: unknown): string {
  const { ErrorMessage, ErrorRecords, ...rest } = body as {
    ErrorMessage?: string;
    ErrorRecords?: { Result: number }[];
  };
  const words = ErrorMessage?.match(/^(HRESULT .*header type.*|security policy .*)/)?.[0];
  return `${hexOf(type)} ${id} ${JSON.stringify([rest, words, ErrorRecords?.map(({ Result }) => Result)])}`;
}
