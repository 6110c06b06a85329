/**
 * What every function of the library takes.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** Options that every function of the library takes. */
export interface HostOptions {
  /** Stops the work: what was begun is undone before the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** The machine to work on. Default: this one, with slow calls on Deno's thread pool. */
  host?: Host | undefined;
}
