/**
 * Recorded runs of the Go original, as they lie in the files.
 *
 * @module
 */

/** One recorded run. */
export interface Run {
  /** Its name, which is that of the file. */
  readonly name: string;
  /** What is on disk before it. */
  readonly setup: {
    readonly dirs: readonly string[];
    readonly files: readonly SetupFile[];
    readonly env?: Readonly<Record<string, string>>;
  };
  /** The calls. */
  readonly steps: readonly Step[];
  /** Injected failures, `Function#k=0xHRESULT` with commas between. */
  readonly fail: string;
  /** `fakekernel32` if the functions for mount points were recorded. */
  readonly variant: string;
  /** What came of it. */
  readonly result: {
    readonly osBuild: number;
    readonly steps: readonly StepResult[];
    readonly residual: Residual;
  };
  /** All native calls. */
  readonly trace: readonly Call[];
  /** Whether the Go original does right here. */
  readonly upstream: "right" | "defect";
  /** Whether it is the original's head, and not v0.12.3. */
  readonly isHead: boolean;
  /** What the guest did, if the original talked with it itself. */
  readonly guest?: GuestRecording;
}

/** What a guest did. */
export interface GuestRecording {
  /** Whether its VM is started. */
  readonly isStarted: boolean;
  /** What happened to sockets. */
  readonly sockets: readonly RecordedSocket[];
  /** What it answered, by the ids of the requests. */
  readonly answers: ReadonlyMap<bigint, Answer>;
  /** The services that it connected to. */
  readonly connects: readonly string[];
  /** When it closed the bridge: in this step, in place of the answer to this request; or before the step. */
  readonly lostAt?: { readonly step: number; readonly request: number; readonly isIdle: boolean };
  /** The request during which the recorder cancelled the step. */
  readonly cancelledAt?: number;
  /** The status with which its VM ended by itself: when the connection was lost, or else in place of its next connection. */
  readonly crash?: number;
  /** The request that it answered late. */
  readonly lateAt?: number;
  /** Whether it answered nothing. */
  readonly silent: boolean;
}

/** An answer of a guest. */
export interface Answer {
  readonly type: number;
  /** The HRESULT in it, as a signed number. */
  readonly result: number;
  /** The whole message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What happened to a socket. */
export interface RecordedSocket {
  readonly seq: number;
  readonly event: string;
  readonly service?: string;
  readonly bytes?: number;
  readonly text?: string;
}

/** A file on disk before the run: a size, or a text. */
export interface SetupFile {
  readonly path: string;
  readonly size?: number;
  readonly text?: string;
}

/** One call of the run. Which arguments there are depends on the operation. */
export interface Step {
  readonly op: string;
  readonly as?: string;
  readonly of?: string;
  readonly vm?: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly containerID?: string;
  readonly guestRoot?: string;
  readonly layers?: readonly string[];
  readonly mounts?: readonly RecordedMount[];
  readonly lcowLayers?: readonly { readonly vhd: string; readonly partition: number }[];
  readonly scratch?: string;
  readonly volumeMountPath?: string;
  readonly hostPath?: string;
  readonly volumeName?: string;
  readonly path?: string;
  /** The steps that it does at once. */
  readonly steps?: readonly Step[];
  /** Whether it was cancelled. */
  readonly isCancelled?: boolean;
}

/** A mount of containerd. */
export interface RecordedMount {
  readonly type: string;
  readonly source?: string;
  readonly options?: readonly string[];
}

/** What came of one call. Which results there are depends on the operation. */
export interface StepResult extends Readonly<Record<string, unknown>> {
  readonly op: string;
  /** Its part of the trace: from, and up to but without. */
  readonly calls: readonly [number, number];
  readonly err: RecordedError | null;
  /** How the original crashed. */
  readonly panic?: string;
}

/** An error of Go. */
export interface RecordedError {
  readonly text: string;
  readonly errno?: string;
}

/** Where a call to a guest stands in place of a DLL. */
export const GUEST = "guest";

/** One native call, or one to a guest. */
export interface Call {
  readonly dll: string;
  readonly fn: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly hr: string;
  /** What a guest says about its failure. */
  readonly words?: string;
}

/**
 * What is held, by kind: `active`, `prepared`, `mountpoint`, `device` and `guest` of a VM; and what was given back without
 * having been held.
 */
export type Residual = Readonly<Record<string, readonly string[]>>;

/** What functions of the compute service return when they go on: what came of it is told later. */
const OPERATION_PENDING = 0xc0370103;

/** Whether a call succeeded. */
export function succeeded(call: Call): boolean {
  return Number(call.hr) < 0x80000000 || isPending(call);
}

/** Whether what a call began goes on. */
export function isPending({ fn, hr }: Call): boolean {
  return Number(hr) === OPERATION_PENDING && fn.startsWith("Hcs");
}

/** Whether operations of the compute service end late, on another thread. */
export function isLate({ setup }: Run): boolean {
  return setup.env?.WITNESS_ASYNC !== undefined;
}

/** The calls that one step of the recording made. */
export function recordedCalls(run: Run, step: number): readonly Call[] {
  return run.trace.slice(...run.result.steps[step]!.calls);
}

/** Whether the functions for mount points were recorded. */
export function recordsMountPoints({ variant }: Run): boolean {
  return variant === "fakekernel32";
}

/** Those of our calls that would be in the recording. */
export function recordable(run: Run, calls: readonly Call[]): Call[] {
  return calls.filter(({ dll, fn }) =>
    dll === "kernel32"
      ? recordsMountPoints(run) && /^(Set|Delete)VolumeMountPointW$/.test(fn)
      : RECORDED_DLLS.includes(dll) && fn !== NEVER_RECORDED
  );
}

const RECORDED_DLLS = ["vmcompute", "computestorage", "cimfs", GUEST];
// The original never takes back what a VM may open.
const NEVER_RECORDED = "RevokeVmAccess";
