/**
 * Options that name a machine.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { requireOptions } from "./arguments.ts";

/**
 * The machine to work on, and what stops the work.
 *
 * @param further The names of the other options that the function has.
 * @throws {InvalidInputError} if `options` is no object, has an option that isn't known, or a host or signal that is none.
 */
export function hostOptions<T extends HostOptions>(
  options: T,
  further: Readonly<Record<Exclude<keyof T, keyof HostOptions>, true>>,
): { readonly host: Host; readonly signal: AbortSignal | undefined } {
  requireOptions(options, { host: true, signal: true, ...further });
  const { host = defaultHost(), signal } = options;
  if (typeof host?.symbols !== "function") throw new InvalidInputError("host", "is not a Host", host);
  requireSignal(signal);
  return { host, signal };
}

/** Refuses what is neither left out nor an AbortSignal. */
export function requireSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidInputError("signal", "is not an AbortSignal", signal);
  }
}
