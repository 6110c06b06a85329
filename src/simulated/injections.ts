/**
 * What a test has happen at calls of a function, until it takes that back.
 *
 * @module
 */

import { SimulationError } from "./simulation_error.ts";

/**
 * An injected failure, or an action before a call. Disposing of it (`using`) takes it back.
 *
 * @category Simulation
 */
export interface Injection extends Disposable {
  /** How many calls it has hit. */
  readonly fired: number;
  /** Takes it back. Calls that it has hit stay hit. */
  undo(): void;
}

interface Entry<T> {
  readonly function: string;
  readonly nth: number | undefined;
  readonly value: T;
  calls: number;
  fired: number;
}

/** What is injected, in the order in which it was. */
export class InjectionList<T> {
  #entries: Entry<T>[] = [];

  /** Adds `value`, for all calls of a function or the nth from now. */
  add(name: string, nth: number | undefined, value: T): Injection {
    if (nth !== undefined && !(Number.isInteger(nth) && nth > 0)) {
      throw new SimulationError(`nth counts from 1, and is ${nth}`);
    }
    const entry: Entry<T> = { function: name, nth, value, calls: 0, fired: 0 };
    const undo = () => void (this.#entries = this.#entries.filter((other) => other !== entry));
    this.#entries.push(entry);
    return {
      get fired() {
        return entry.fired;
      },
      undo,
      [Symbol.dispose]: undo,
    };
  }

  /** Removes all. */
  clear(): void {
    this.#entries = [];
  }

  /** Counts a call of a function, and returns what is injected for it. Who uses one counts it as fired. */
  at(name: string): { readonly value: T; fired: number }[] {
    const entries = this.#entries.filter((entry) => entry.function === name);
    entries.forEach((entry) => entry.calls++);
    return entries.filter(({ nth, calls }) => (nth ?? calls) === calls);
  }
}
