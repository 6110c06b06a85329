/**
 * How long calls take.
 *
 * @module
 */

import { printable } from "../errors/printable.ts";
import { FUNCTIONS, SLOW } from "./dlls.ts";
import { requireKnown } from "./known_names.ts";
import type { SimulatedHostOptions } from "./simulation_options.ts";
import { SimulationError } from "./simulation_error.ts";
import type { NativeCall } from "./trace.ts";

/** Returns how many milliseconds a call takes, or a promise that resolves when it is done. */
export type Latency = (call: NativeCall) => number | Promise<unknown> | undefined;

/** Returns how long a call takes, by the option `latency`. */
export function latencyOf(latency: NonNullable<SimulatedHostOptions["latency"]>): Latency {
  if (typeof latency === "function") return latency;
  for (const name of Object.keys(latency)) {
    requireKnown(name, [...FUNCTIONS.keys()], "there is no function");
    if (!SLOW.includes(name)) throw new SimulationError(`latency.${name} has no effect: the function is a fast one`);
    const ms = latency[name];
    if (!(typeof ms === "number" && ms >= 0 && ms < Infinity)) {
      throw new SimulationError(`latency.${name} is no number of milliseconds: ${printable(ms)}`);
    }
  }
  return (call) => latency[call.function];
}
