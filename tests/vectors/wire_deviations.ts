/**
 * Where the bridge differs from the Go original on purpose, in the form of {@linkcode DEVIATIONS}.
 *
 * @module
 */

import { bytesOf, type WireEvent, type WireRun, type WireStep } from "./wire_run.ts";

/** How a call is to end. */
export type WireOutcome =
  /** With this value, if the recording can tell. */
  | { readonly kind: "done"; readonly value?: unknown }
  /** With a code of the guest, and its words. */
  | { readonly kind: "code"; readonly code: number; readonly text?: string }
  /** Because it was cancelled. */
  | { readonly kind: "cancelled" }
  /** Because the connection is lost, or closed. */
  | { readonly kind: "lost" }
  /** In another way: refused before it is sent, or because of an answer that can't be read. */
  | { readonly kind: "other" }
  /** In a way that the recording doesn't tell. */
  | { readonly kind: "any" };

/** What a call is to do. */
export interface WireExpected {
  readonly outcome: WireOutcome;
  /** Set if ours goes another way from here on, with a guest that answers all that is asked. */
  readonly diverges?: boolean;
}

/** A call in its run. */
export interface WireSituation {
  readonly run: WireRun;
  readonly step: WireStep;
  /** The id of its request, if it was sent. */
  readonly id: number | undefined;
}

/** One difference. */
export interface WireDeviation {
  /** What ours does instead. */
  readonly ours: string;
  /** What is expected of a call instead of `expected`; undefined if the difference doesn't concern the call. */
  readonly apply: (expected: WireExpected, situation: WireSituation) => WireExpected | undefined;
}

/** All differences, in the order in which they apply. */
export const WIRE_DEVIATIONS: readonly WireDeviation[] = [
  {
    ours: "an answer that can't be read fails its request, and the connection goes on",
    apply: (_, situation) => goesOn(situation, answers(situation.run).filter(isUnreadable), { kind: "other" }),
  },
  {
    ours: "what isn't needed of an answer or a notification isn't looked at",
    apply: (_, situation) => goesOn(situation, situation.run.wire.filter(hasBadActivity), { kind: "done" }),
  },
  {
    ours: "an answer of any category is taken, as the later original does",
    apply: (_, situation) => {
      const isRefused = situation.run.steps.some(({ err }) => err?.text.includes("unknown message type"));
      const other = isRefused ? answers(situation.run).filter((event) => typeOf(event) >>> 20 !== 0x201) : [];
      const result = (other[0]?.json as { Result?: number } | undefined)?.Result ?? 0;
      return goesOn(situation, other, { kind: "code", code: result >>> 0 });
    },
  },
  {
    ours: "answers and notifications for nobody are dropped, and the connection goes on",
    apply: (_, situation) => {
      const strays = situation.run.wire.filter((event) => isStray(event, situation.run));
      // Who waits for a container goes on waiting, until the host closes the connection.
      const isWait = situation.step.op === "WaitContainer";
      const goes = goesOn(situation, strays, { kind: "any" });
      return goes && isWait ? { ...goes, outcome: { kind: "lost" } } : goes;
    },
  },
  {
    ours: "a request that can't be written fails alone",
    apply: (_, { run, step }) => {
      if (!run.steps.some(({ err }) => err?.text.startsWith("bridge encode"))) return undefined;
      const outcome: WireOutcome = step.request === "NaN" ? { kind: "other" } : { kind: "done" };
      return step.op === "Connect" ? undefined : { outcome, diverges: true };
    },
  },
  {
    ours: "a container whose Create failed can be created once more",
    apply: (_, { run, step }) => {
      const again = run.steps.findIndex(({ err }) => err?.text.endsWith("already exists"));
      // From there on, the ids of the recording are others.
      const isAfter = again >= 0 && run.steps.indexOf(step) >= again;
      return isAfter ? { outcome: { kind: step.op === "Close" ? "done" : "any" }, diverges: true } : undefined;
    },
  },
  {
    ours: "a guest that tells nothing of what it can do is taken for one that can do nothing",
    apply: (_, { step }) =>
      step.op === "Connect" && step.err?.text.startsWith("unmarshalGuestCapabilities")
        ? { outcome: { kind: "done" }, diverges: true }
        : undefined,
  },
  {
    ours: "closing a connection that is lost is no failure",
    apply: ({ outcome, ...rest }, { step }) =>
      step.op === "Close" && outcome.kind !== "done" ? { ...rest, outcome: { kind: "done" } } : undefined,
  },
  {
    ours: "the words of the guest are in the error, wherever it says them",
    apply: (expected, { run, id }) => {
      const { ErrorMessage, ErrorRecords } =
        (answers(run).find((event) => event.header!.id === id)?.json ?? {}) as Words;
      const text = ErrorMessage ? undefined : ErrorRecords?.[0]?.Message;
      const { outcome } = expected;
      return text && outcome.kind === "code" ? { ...expected, outcome: { ...outcome, text } } : undefined;
    },
  },
];

interface Words {
  readonly ErrorMessage?: string;
  readonly ErrorRecords?: readonly { readonly Message: string }[];
}

// What a call is to do in a run of which one of `events` ended the original's connection. `outcome` is that of the call
// that it answers.
function goesOn(
  { step, id }: WireSituation,
  events: readonly WireEvent[],
  outcome: WireOutcome,
): WireExpected | undefined {
  const [event] = events;
  if (event === undefined || step.seq[1] <= event.seq && !step.background) return undefined;
  const isAnswered = id !== undefined && event.header?.id === id;
  return { outcome: isAnswered ? outcome : { kind: "done" }, diverges: true };
}

/** The type of a message. */
export function typeOf({ header }: WireEvent): number {
  return Number(header?.type ?? 0);
}

// Answers whose frames are sound.
function answers({ wire }: WireRun): WireEvent[] {
  return wire.filter((event) => event.dir === "guest→host" && typeOf(event) >>> 28 === 2 && isWhole(event));
}

function isWhole(event: WireEvent): boolean {
  const bytes = bytesOf(event);
  return bytes.length >= 16 && new DataView(bytes.buffer).getUint32(4, true) === bytes.length;
}

function isUnreadable(event: WireEvent): boolean {
  if (event.json === undefined) return true;
  const { Result = 0 } = (event.json ?? {}) as { Result?: unknown };
  return !Number.isInteger(Result ?? 0);
}

function hasBadActivity({ dir, json }: WireEvent): boolean {
  if (dir !== "guest→host") return false;
  const { ActivityId } = (json ?? {}) as { ActivityId?: string | null };
  return ActivityId !== undefined && ActivityId !== null && !/^[-0-9a-f]{36}$/i.test(ActivityId);
}

function isStray(event: WireEvent, run: WireRun): boolean {
  if (event.dir !== "guest→host" || event.header === undefined || !isWhole(event)) return false;
  const type = typeOf(event);
  if (type >>> 28 === 3) {
    const { ContainerId } = (event.json ?? {}) as { ContainerId?: string };
    const isKnown = run.steps.some(({ op, id }) => op === "CreateContainer" && id === ContainerId);
    return type !== 0x30100101 || !isKnown;
  }
  const { id } = event.header;
  return type >>> 28 === 2 && !run.wire.some(({ dir, header }) => dir === "host→guest" && header?.id === id);
}
