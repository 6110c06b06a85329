/**
 * The threads of the pool on which calls wait for guests.
 *
 * @module
 */

import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";

const THREADS_PER_PROCESSOR = 4;

/** How many threads of the pool wait, for as long as a guest runs. Everything else that is slow shares the others. */
export class WaitingThreads {
  #waiting = 0;

  /**
   * Takes threads, until {@linkcode WaitingThreads.release}.
   *
   * @throws {InUseError} if none would be left for other calls, which would then wait forever.
   */
  take(host: Host, count: number): void {
    const threads = host.threads ?? THREADS_PER_PROCESSOR * navigator.hardwareConcurrency;
    if (this.#waiting + count >= threads) {
      throw new InUseError(
        "Deno's thread pool",
        `has ${threads} threads, of which ${this.#waiting} wait for Linux VMs of this process. Close one of these, start ` +
          "the VM in another process, or create it with forwardStderr: false",
        "this process",
      );
    }
    this.#waiting += count;
  }

  /** Returns threads. */
  release(count: number): void {
    this.#waiting -= count;
  }
}
