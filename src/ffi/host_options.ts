/**
 * The options that all functions of the library have.
 *
 * @module
 */

import type { Host } from "./host.ts";

/**
 * Options of all functions that call Windows.
 *
 * @category Host
 */
export interface HostOptions {
  /**
   * Cancels the call: what was done so far is undone, then the call rejects with the signal's reason. A native call that
   * is running can't be interrupted, so the rejection comes after it has returned; if it hasn't after five
   * seconds, the call rejects with a `HungCallError`, and what was done is undone once it returns.
   */
  signal?: AbortSignal | undefined;
  /** The milliseconds after which the call is cancelled, as by `signal`, with a `TimeoutError` (`DOMException`). Default: none. */
  timeout?: number | undefined;
  /** The machine to work on. Default: this machine, with slow calls on Deno's thread pool. */
  host?: Host | undefined;
}

/**
 * Options of functions that mount something by itself.
 *
 * @category Host
 */
export interface MountOptions extends HostOptions {
  /**
   * Whether it is meant to stay mounted for longer than this process. Otherwise, `recover` releases it once this process has ended.
   * Default: false.
   */
  permanent?: boolean | undefined;
}
