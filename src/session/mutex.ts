/**
 * A lock.
 *
 * @module
 */

/** Runs functions one at a time, in the order of the calls. */
export class Mutex {
  #busy = false;
  readonly #waiting: (() => void)[] = [];

  /**
   * Waits for its turn and runs `body`.
   *
   * @throws the reason of `signal` if it is aborted before `body` runs.
   */
  async run<T>(body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#busy) {
      await this.#turn(signal);
    }
    this.#busy = true;
    try {
      return await body();
    } finally {
      // Passes the lock on immediately, so that a new call doesn't get it first.
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#busy = false;
      } else {
        next();
      }
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal!.reason);
      };
      this.#waiting.push(go);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }
}
