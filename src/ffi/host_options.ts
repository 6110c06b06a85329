/**
 * What every function takes that works on a machine.
 *
 * @module
 */

import type { Host } from "./host.ts";

/**
 * Options of every function that works on a machine.
 *
 * @category Host
 */
export interface HostOptions {
  /**
   * Stops the work: what was begun is undone before the call rejects with the signal's reason. A call that Windows is at
   * work on can't be stopped, so that the rejection comes after it has returned.
   */
  signal?: AbortSignal | undefined;
  /** The machine to work on. Default: this one, with slow calls on Deno's thread pool. */
  host?: Host | undefined;
}
