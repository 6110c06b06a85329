/**
 * Recorded connections with guests, as they lie in the files.
 *
 * @module
 */

import type { Call, RecordedSocket, SetupFile } from "./run.ts";

/** One recorded connection. */
export interface WireRun {
  /** Its name, which is that of the file. */
  readonly name: string;
  /** What was recorded: the calls of a host and its connection, a whole VM, or a guest alone. */
  readonly level: "bridge" | "vm" | "guest";
  /** Whether the Go original does right here. */
  readonly upstream: "right" | "defect";
  /** What it does wrong. */
  readonly upstreamNote?: string;
  /** The operating system in the guest. */
  readonly guest: "lcow" | "wcow";
  /** The calls. */
  readonly steps: readonly WireStep[];
  /** What went over the connection, in order. */
  readonly wire: readonly WireEvent[];
  /** What is on disk before the run of a VM. */
  readonly setup?: { readonly dirs: readonly string[] | null; readonly files: readonly SetupFile[] | null };
  /** The native calls of a VM. */
  readonly calls?: readonly (Call & { readonly seq: number })[] | null;
  /** The sockets of a VM. */
  readonly sockets?: readonly RecordedSocket[] | null;
  /** What was held in a VM before it was closed, among others. */
  readonly result?: {
    readonly hostResourcesBeforeCloseVM?: readonly string[];
    readonly guestMountsBeforeCloseVM?: readonly string[];
  };
}

/** One call. Which arguments there are depends on the operation. */
export interface WireStep {
  readonly op: string;
  /** What happened during it: from, and up to but without. */
  readonly seq: readonly [number, number];
  readonly err: WireError | null;
  /** Whether it goes on beside the next ones. */
  readonly background?: boolean;
  /** `cancelled before`. */
  readonly context?: string;
  readonly timeZone?: object;
  readonly request?: object | string;
  readonly id?: string;
  readonly config?: object;
  readonly types?: readonly string[];
  readonly propertyType?: string;
  readonly settings?: object;
  readonly value?: unknown;
  readonly vm?: string;
  readonly as?: string;
  readonly steps?: readonly WireStep[];
  readonly options?: Readonly<Record<string, unknown>>;
}

/** An error of Go. */
export interface WireError {
  readonly text: string;
  /** The errors of Go that it is. */
  readonly is?: readonly string[];
  /** The code in it. */
  readonly errnoLow32?: string;
}

/** A message, or what else happened to the connection. */
export interface WireEvent {
  readonly seq: number;
  readonly dir: "host→guest" | "guest→host" | "harness";
  readonly header?: { readonly type: string; readonly id: number };
  readonly hex?: string;
  /** The body, if it is JSON. */
  readonly json?: unknown;
  /** `close`, `reset`, or what the recorder did. */
  readonly event?: string;
  /** The message was written in parts of so many bytes. */
  readonly pieces?: number;
}

/** The folder with the connections of this checkout. */
export const WIRE_RECORDINGS = `${import.meta.dirname}/gcs`;

/** Returns whether a file has a recorded connection, and not a run without one. */
export function isWireRun(run: object): run is WireRun {
  return "level" in run;
}

/** The bytes of a message. */
export function bytesOf({ hex = "" }: WireEvent): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
}
