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
  /** The HRESULT. */
  readonly code: number;
}

/** What the machine can't see of a call. It is not compared. */
export const UNSEEN = "(not seen)";

/** A machine with nothing on it, for one run. */
export interface Machine extends Disposable {
  /** The host to pass to the library. Its `sleep` takes no time. */
  readonly host: Host;
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

/** Makes a machine that answers as Windows of this build. */
export type MachineMaker = (windows: { readonly build: number; readonly revision: number }) => Machine;
