/**
 * A gate that one passes at a time.
 *
 * @module
 */

/** Passes one at a time, in the order of arrival. */
export class Gate {
  #tail: Promise<unknown> = Promise.resolve();

  /**
   * Waits for its turn and runs `body`.
   *
   * @throws the reason of `signal` if it is aborted before the turn comes; `body` isn't run then.
   */
  async pass<T>(body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    try {
      await abortable(before, signal);
      return await body();
    } finally {
      // Who comes next waits for those before, also when this one left early.
      before.then(() => resolve());
    }
  }
}

function abortable(turn: Promise<unknown>, signal: AbortSignal | undefined): Promise<unknown> {
  if (signal === undefined) {
    return turn;
  }
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    turn.then(() => {
      signal.removeEventListener("abort", abort);
      resolve(undefined);
    });
  });
}
