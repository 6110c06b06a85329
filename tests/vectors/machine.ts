/**
 * The machine that a run is played on.
 *
 * @module
 */

import type { Host } from "../../src/ffi/host.ts";
import type { Call } from "./run.ts";

/** An injected failure. */
export interface Injection {
  /** The function that fails. */
  readonly fn: string;
  /** Which call of it in the whole run, counted from 1; every call if not given. */
  readonly nth?: number;
  /** Which of those calls that are about one thing, where it is a request to a VM. Counts in place of all calls. */
  readonly subject?: string;
  /** The HRESULT. */
  readonly code: number;
}

/**
 * Whether a request is to fail.
 *
 * @param subjects What the requests before it were about.
 */
export function failsRequest(injection: Injection, subjects: readonly string[], subject: string): boolean {
  const nth = subjects.filter((other) => other === subject).length + 1;
  return injection.subject === subject && injection.nth === nth;
}

/** What the machine can't see of a call. It is not compared. */
export const UNSEEN = "(not seen)";

/** A machine with nothing on it, for one run. */
export interface Machine extends Disposable {
  /** The host to pass to the library. Its `sleep` takes no time, where it doesn't wait for the machine. */
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
}

/** Makes a machine. */
export type MachineMaker = (options: MachineOptions) => Machine;
