/**
 * Recorded VMs with whose guests the original talked itself, in the form of the other runs: what went to a guest stands
 * among the native calls, in the order in which it happened.
 *
 * @module
 */

import { REQUESTS } from "../../src/simulated/bridge_guest.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import { UNSEEN } from "./machine.ts";
import { MODIFY } from "./requests.ts";
import { residualOf } from "./residual.ts";
import { type Call, GUEST, type GuestRecording, type RecordedSocket, type Run, type Step, succeeded } from "./run.ts";
import { mapTexts } from "./texts.ts";
import { typeOf } from "./wire_deviations.ts";
import { bytesOf, type WireEvent, type WireRun, type WireStep } from "./wire_run.ts";

const VM = "vm1";
const RUNTIME_ID = "9110e989-1957-5bb5-84f5-2c6a80dc185c";

/** Returns a recorded VM as a run. */
export function asRun(run: WireRun): Run {
  const recorded = withParallel(withStart({ ...run, wire: run.wire ?? [] }));
  const { name, upstream, wire, steps } = recorded;
  const happened = [
    ...(recorded.calls ?? []).map(({ seq, dll, fn, args, hr }) => ({
      seq,
      call: { dll, fn, args: { ...args, ...LEFT_OUT[fn] }, hr },
    })),
    ...wire.filter(isRequest).map((event) => ({ seq: event.seq, call: requestCall(event, wire) })),
  ].filter(({ call }) => call.fn !== "(notification)").sort((a, b) => a.seq - b.seq);
  // The machine gives a VM its GUID.
  const trace = mapTexts(happened.map(({ call }) => call), (text) => text.replace(RUNTIME_ID, runtimeIdOf(VM)));
  const before = (seq: number) => happened.findLastIndex((one) => one.seq < seq) + 1;
  const { access: _, ...residual } = residualOf(trace);
  return {
    name,
    // An error without its code is no reason to do otherwise.
    upstream: recorded.upstreamNote?.startsWith("the error loses") ? "right" : upstream,
    setup: { dirs: recorded.setup!.dirs ?? [], files: recorded.setup!.files ?? [] },
    steps: steps.map(stepOf),
    fail: failuresOf(trace, recorded.sockets ?? []),
    variant: "",
    trace,
    result: {
      osBuild: 19043,
      residual,
      steps: steps.map(({ op, seq, err, value }) => {
        const { rootfs, scratch, root, capabilities } = (value ?? {}) as Record<string, unknown>;
        return {
          op,
          calls: [before(seq[0]), before(seq[1])],
          err: err && { text: err.text, ...(err.errnoLow32 && { errno: err.errnoLow32 }) },
          rootfs,
          scratch,
          path: root,
          capabilities,
        };
      }),
    },
    isHead: false,
    guest: guestOf(recorded),
  };
}

// What these recordings don't tell.
const LEFT_OUT: Readonly<Record<string, object>> = {
  HcsCreateComputeSystem: { identity: null },
  NameToGuid: { guid: "non-null" },
};

function stepOf({ seq: _, err, value: __, options, steps, ...step }: WireStep): Step {
  const texts = Object.entries(options ?? {}).map(([name, value]) => [name, String(value)]);
  const isCancelled = err?.is?.includes("context.Canceled") ?? false;
  const atOnce = steps && { steps: steps.map(stepOf) };
  return { ...step, options: Object.fromEntries(texts), isCancelled, ...atOnce } as Step;
}

// Ours listens when a VM is started. If that failed, the original ended the VM that it had created.
function withStart(run: WireRun): WireRun {
  const [create, ...others] = run.steps;
  const end = run.calls?.find(({ fn }) => fn === "HcsTerminateComputeSystem")?.seq;
  if (others.length > 0 || end === undefined || !run.sockets?.some(({ event }) => event === "listen-fails")) return run;
  const { err, seq: [from, to], vm } = create!;
  const steps: WireStep[] = [
    { ...create!, err: null, seq: [from, end] },
    { op: "StartVM", vm: vm!, err, seq: [end, end + 1] },
    { op: "CloseVM", vm: vm!, err: null, seq: [end + 1, to] },
  ];
  return { ...run, steps };
}

// Steps that were made at once, as one.
function withParallel(run: WireRun): WireRun {
  const atOnce = run.steps.filter(({ as }) => run.steps.some((other) => other.op === "parallel" && other.as === as));
  const steps = atOnce.filter(({ op }) => op !== "parallel");
  if (steps.length === 0) return run;
  const seq = [Math.min(...steps.map(({ seq }) => seq[0])), Math.max(...steps.map(({ seq }) => seq[1]))] as const;
  const parallel: WireStep = { op: "Parallel", seq, err: null, steps };
  const others = run.steps.filter((step) => !atOnce.includes(step));
  return { ...run, steps: [...others, parallel].sort((a, b) => a.seq[0] - b.seq[0]) };
}

// Every failure is one that the recorder injected, by the number of its call.
function failuresOf(trace: readonly Call[], sockets: readonly RecordedSocket[]): string {
  const failures = trace.flatMap((call, i) => {
    if (succeeded(call) || call.hr === UNSEEN) return [];
    // Ours asks for the properties once.
    const isRepeat = call.fn === "HcsGetComputeSystemProperties" && trace[i - 1]!.fn === call.fn;
    const nth = trace.slice(0, i + (isRepeat ? 0 : 1)).filter(({ fn }) => fn === call.fn).length;
    return [`${call.fn}#${nth}=${call.hr}`];
  });
  const refused = sockets.filter(({ event }) => event.startsWith("listen")).findIndex(({ event }) =>
    event === "listen-fails"
  );
  if (refused >= 0) failures.push(`socket#${refused + 1}=0x8007271d`);
  return failures.join();
}

function guestOf(run: WireRun): GuestRecording {
  const { wire, steps } = run;
  const [calls, sockets] = [run.calls ?? [], run.sockets ?? []];
  const requests = wire.filter(isRequest);
  // The connections of a VM that is terminated are reset.
  const end = calls.find(({ fn }) => fn === "HcsTerminateComputeSystem")?.seq ?? Infinity;
  const isLoss = ({ dir, event, seq }: WireEvent) =>
    dir === "guest→host" && (event === "close" || event === "reset") && seq < end;
  const lost = wire.find(isLoss);
  const interference = (text: string) => wire.find(({ dir, event }) => dir === "harness" && event!.includes(text));
  const [cancelled, late] = [interference("cancels"), interference("ms later")];
  const exit = calls.find(({ fn, args }) => fn === "(notification)" && Number(args.status) !== 0);
  const requestsBefore = (seq: number) => requests.filter((request) => request.seq < seq).length;
  const lostStep = steps.findIndex(({ seq }) => lost !== undefined && lost.seq < seq[1]);
  return {
    answers: new Map(
      wire.filter(({ dir, header }) => dir === "guest→host" && header !== undefined).map((event) => [
        BigInt(event.header!.id),
        { type: typeOf(event), result: (event.json as AnswerBody | undefined)?.Result ?? 0, bytes: bytesOf(event) },
      ]),
    ),
    isStarted: steps.some(({ op }) => op === "StartVM"),
    sockets,
    connects: sockets.filter(({ event }) => event === "guest-connect").map(({ service }) => service!),
    ...(lost && lostStep >= 0 && {
      lostAt: {
        step: lostStep,
        request: requestsBefore(lost.seq),
        isIdle: lost.seq < steps[lostStep]!.seq[0],
      },
    }),
    ...(cancelled && { cancelledAt: requestsBefore(cancelled.seq) }),
    ...(late && { lateAt: requestsBefore(late.seq) }),
    ...(exit && { crash: Number(exit.args.status) }),
    silent: requests.length > 0 && !wire.some(({ dir, header }) => dir === "guest→host" && header !== undefined),
  };
}

function isRequest({ dir, header }: WireEvent): boolean {
  return dir === "host→guest" && header !== undefined;
}

function requestCall(event: WireEvent, wire: readonly WireEvent[]): Call {
  const { id } = event.header!;
  const answer = wire.find(({ dir, header }) => dir === "guest→host" && header?.id === id);
  const { Result = 0, ErrorMessage, ErrorRecords } = (answer?.json ?? {}) as AnswerBody;
  const words = ErrorMessage ?? ErrorRecords?.[0]?.Message;
  const hr = answer === undefined ? UNSEEN : `0x${(Result >>> 0).toString(16).padStart(8, "0")}`;
  const call = guestCall(REQUESTS[typeOf(event) & 0x0fffffff]!, event.json as Readonly<Record<string, unknown>>, hr);
  return words === undefined ? call : { ...call, words };
}

interface AnswerBody {
  readonly Result?: number;
  readonly ErrorMessage?: string;
  readonly ErrorRecords?: readonly { readonly Message: string }[];
}

/** The call that stands for a request to a guest. A change is one to the VM of which the host has no part. */
export function guestCall(name: string, body: Readonly<Record<string, unknown>>, hr: string): Call {
  const { ocsc: _, otsc: __, Request, ContainerConfig, ...base } = body;
  if (name === "ModifySettings") {
    return { dll: GUEST, fn: MODIFY, args: { ...base, configuration: JSON.stringify({ GuestRequest: Request }) }, hr };
  }
  const config = ContainerConfig === undefined ? {} : { ContainerConfig: withoutZone(String(ContainerConfig)) };
  return { dll: GUEST, fn: `guest:${name}`, args: { ...base, ...config }, hr };
}

// Each machine has its own time zone.
function withoutZone(config: string): string {
  return JSON.stringify(JSON.parse(config), (key, value) => key === "TimeZoneInformation" && value ? UNSEEN : value);
}
