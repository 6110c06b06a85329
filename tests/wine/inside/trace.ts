/**
 * The trace that the recording DLLs write.
 *
 * @module
 */

/** A call that a recording DLL has answered. */
export interface RecordedCall {
  /** File name of the DLL without `.dll`. */
  readonly dll: string;
  /** The function. */
  readonly fn: string;
  /** What it received. */
  readonly args: Readonly<Record<string, unknown>>;
  /** What it gave back beside its result. */
  readonly out?: Readonly<Record<string, unknown>>;
  /** Its result, as an HRESULT. */
  readonly hr: string;
  /** The thread on which it ran. */
  readonly thread: number;
  /** Structs and buffers in hexadecimal, where `Recorder.wantRaw` asked for them. */
  readonly raw?: Readonly<Record<string, string>>;
}

/** The calls in a trace: one JSON object a line. */
export function parseTrace(text: string): RecordedCall[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

const PAIRS = [
  ["ActivateLayer", "DeactivateLayer"],
  ["PrepareLayer", "UnprepareLayer"],
  ["SetVolumeMountPointW", "DeleteVolumeMountPointW"],
] as const;

/** What is held after these calls: each taking that succeeded, and that no giving back that succeeded followed. */
export function heldAfter(calls: readonly RecordedCall[]): string[] {
  const held: string[] = [];
  const target = ({ args }: RecordedCall) => String(args.id ?? args.volumeMountPoint);
  for (const call of calls.filter((call) => call.hr === "0x00000000")) {
    if (PAIRS.some(([take]) => take === call.fn)) held.push(`${call.fn} ${target(call)}`);
    const pair = PAIRS.find(([, give]) => give === call.fn);
    const at = pair ? held.lastIndexOf(`${pair[0]} ${target(call)}`) : -1;
    if (at >= 0) held.splice(at, 1);
  }
  return held;
}
