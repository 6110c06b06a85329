/**
 * What a test does between two calls of the program that it tests.
 *
 * @module
 */

import type { Injection } from "./failures.ts";
import { SimulationError } from "./simulation_error.ts";
import type { NativeCall } from "./trace.ts";

/**
 * When an action runs.
 *
 * @category Simulation
 */
export interface BeforeOptions {
  /** Before which call of the function, counted from 1 since then. Default: each. */
  nth?: number;
}

interface Entry {
  readonly function: string;
  readonly nth: number | undefined;
  readonly action: (call: NativeCall) => unknown;
  calls: number;
  fired: number;
}

/** The actions of a host. */
export class Interventions {
  #entries: Entry[] = [];

  /** Adds an action. */
  add(name: string, action: (call: NativeCall) => unknown, { nth }: BeforeOptions): Injection {
    if (nth !== undefined && !(Number.isInteger(nth) && nth > 0)) {
      throw new SimulationError(`nth counts from 1, and is ${nth}`);
    }
    const entry: Entry = { function: name, nth, action, calls: 0, fired: 0 };
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

  /** Runs the actions before a call. Returns a promise if one of them does. */
  run(call: NativeCall): Promise<unknown> | undefined {
    const waits: Promise<unknown>[] = [];
    for (const entry of this.#entries.filter((other) => other.function === call.function)) {
      if (++entry.calls !== (entry.nth ?? entry.calls)) continue;
      entry.fired++;
      const result = entry.action(call);
      if (result instanceof Promise) waits.push(result);
    }
    return waits.length === 0 ? undefined : Promise.all(waits);
  }
}
