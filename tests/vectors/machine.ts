/**
 * The machine that a run is played on.
 *
 * @module
 */

import type { Host } from "../../src/ffi/host.ts";
import type { Injection } from "./injections.ts";
import type { Call, GuestRecording } from "./run.ts";

/** What the machine can't see of a call. It is not compared. */
export const UNSEEN = "(not seen)";

/** A machine with nothing on it, for one run. */
export interface Machine extends Disposable {
  /** The host to pass to the library. Its `sleep` takes no time, unless it waits for the machine. */
  readonly host: Host;
  /** How the path of a file on `C:` begins once Windows has resolved it. */
  readonly resolvedDrive: string;
  /** Adds a folder, with its parents. */
  addFolder(path: string): void;
  /** Adds a file of `size` bytes, with its parents. */
  addFile(path: string, size: number): void;
  /** Adds a volume, `\\?\Volume{guid}\`. */
  addVolume(guid: string): void;
  /** Injects failures, in place of those before. */
  fail(injections: readonly Injection[]): void;
  /** Has the guest do what was recorded before a step. `cancel` cancels the step, if that was recorded. */
  beforeStep?(cancel: (() => void) | undefined): Promise<void>;
  /** What of its sockets and of the messages to the guest is otherwise than recorded, in the end. */
  guestDifference?(): string | undefined;
  /** The calls so far, with `dll`, `fn` and `args` as in the recordings. */
  trace(): Call[];
  /** What is left on it besides what was added. */
  held(): string[];
}

/** What kind of machine is made. */
export interface MachineOptions {
  /** Build of Windows. */
  readonly build: number;
  /** Revision of that build. */
  readonly revision: number;
  /** Whether operations of the compute service end late, on another thread. */
  readonly late: boolean;
  /** What the guest did, if there is one. */
  readonly guest?: GuestRecording;
}

/** Makes a machine. */
export type MachineMaker = (options: MachineOptions) => Machine;
