/**
 * What a test does between two calls of the program that it tests.
 *
 * @module
 */

import { type Injection, InjectionList } from "./injections.ts";
import { requireOptions } from "./known_names.ts";
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

type Action = (call: NativeCall) => unknown;

/** The actions of a host. */
export class Interventions {
  readonly #injections = new InjectionList<Action>();

  /** Adds an action. */
  add(name: string, action: Action, options: BeforeOptions): Injection {
    requireOptions(options, { nth: true }, "before()");
    return this.#injections.add(name, options.nth, action);
  }

  /** Runs the actions before a call. Returns a promise if one of them does. */
  run(call: NativeCall): Promise<unknown> | undefined {
    const waits: Promise<unknown>[] = [];
    for (const injected of this.#injections.at(call.function)) {
      injected.fired++;
      const result = injected.value(call);
      if (result instanceof Promise) waits.push(result);
    }
    return waits.length === 0 ? undefined : Promise.all(waits);
  }
}
