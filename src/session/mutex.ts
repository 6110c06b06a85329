/**
 * A lock.
 *
 * @module
 */

/** Runs functions one at a time, in the order of the calls. */
export class Mutex {
  #busy = false;
  readonly #waiting: { go(): void; fail(error: unknown): void }[] = [];
  #refusal: (() => unknown) | undefined;

  /**
   * Waits for its turn and runs `body`.
   *
   * @throws the reason of `signal` if it is aborted before `body` runs.
   * @throws what was passed to {@linkcode refuse} while the function before it ran.
   */
  async run<T>(body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#busy) {
      if (this.#refusal !== undefined) throw this.refusal;
      await this.#turn(signal);
    }
    this.#busy = true;
    try {
      return await body();
    } finally {
      this.#refusal = undefined;
      // Passes the lock on immediately, so that a new call doesn't get it first.
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#busy = false;
      } else {
        next.go();
      }
    }
  }

  /** Rejects all that wait for the function that runs now, and all that will, with what `error` returns. */
  refuse(error: () => unknown): void {
    this.#refusal = error;
    this.#waiting.splice(0).forEach(({ fail }) => fail(error()));
  }

  /** What is thrown to all that would wait; undefined if they may wait. */
  get refusal(): unknown {
    return this.#refusal?.();
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (how: () => void) => {
        signal?.removeEventListener("abort", abort);
        how();
      };
      const turn = { go: () => settle(resolve), fail: (error: unknown) => settle(() => reject(error)) };
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1);
        reject(signal!.reason);
      };
      this.#waiting.push(turn);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }
}
