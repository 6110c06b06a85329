/**
 * The threads that slow functions run on.
 *
 * @module
 */

/**
 * A pool of threads. Each slow function takes one of them until it is done, also if all that it does is wait. If all are
 * taken, those that come later wait for one, in their order.
 */
export class ThreadPool {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** A pool of `threads` threads. */
  constructor(threads: number) {
    this.#free = threads;
  }

  /** Runs a call on a thread, now or when one is free. */
  run(call: () => unknown): unknown {
    if (this.#free > 0) return this.#start(call);
    return new Promise((resolve) => this.#waiting.push(() => resolve(undefined))).then(() => this.#start(call));
  }

  #start(call: () => unknown): unknown {
    this.#free--;
    let result: unknown;
    try {
      result = call();
    } finally {
      if (!(result instanceof Promise)) this.#end();
    }
    return result instanceof Promise ? result.finally(() => this.#end()) : result;
  }

  #end(): void {
    this.#free++;
    this.#waiting.shift()?.();
  }
}
