/**
 * Arguments that are no paths: what they have to be, also when they come from a program without types.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";

/** Refuses what is not a string, is empty, or holds a NUL. */
export function requireText(value: unknown, argument: string): asserts value is string {
  if (typeof value !== "string") {
    throw new InvalidInputError(argument, "is not a string", value);
  }
  if (value === "") {
    throw new InvalidInputError(argument, "is empty", value);
  }
  if (value.includes("\0")) {
    throw new InvalidInputError(argument, "holds a NUL character", value);
  }
}

/** A text as {@linkcode requireText} has it; `fallback` if there is none. */
export function textOr(value: unknown, argument: string, fallback: string): string {
  if (value === undefined || value === null) return fallback;
  requireText(value, argument);
  return value;
}

/** Refuses what is neither left out nor a boolean. */
export function requireBoolean(value: unknown, argument: string): asserts value is boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") {
    throw new InvalidInputError(argument, "is not a boolean", value);
  }
}

/** A whole number from `least` to `most`; `fallback` if there is none. */
export function wholeNumberOr(
  value: unknown,
  argument: string,
  { fallback, least = 0, most = Number.MAX_SAFE_INTEGER }: { fallback: number; least?: number; most?: number },
): number {
  const given = value ?? fallback;
  if (!Number.isSafeInteger(given) || (given as number) < least || (given as number) > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
    throw new InvalidInputError(argument, `is not a whole number ${range}`, value);
  }
  return given as number;
}

/** Refuses what is not an object with properties of its own. */
export function requireObject(value: unknown, argument: string): asserts value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidInputError(argument, "is not an object", value);
  }
}

/** Refuses options that are no object, or have a name that isn't known: a misspelled one would be ignored in silence. */
export function requireOptions(
  options: unknown,
  known: Readonly<Record<string, true>>,
  argument = "options",
): asserts options is Record<string, unknown> {
  requireObject(options, argument);
  for (const name in options) {
    if (!Object.hasOwn(known, name)) {
      throw new InvalidInputError(`${argument}.${name}`, `is unknown: there is ${Object.keys(known).join(", ")}`);
    }
  }
}

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

const SECTOR = 512n;
const MIB = 2n ** 20n;
const LEAST_VHDX = 3n * MIB;
const MOST_VHDX = 64n * 2n ** 40n;

/**
 * The size of a disk in bytes.
 *
 * @throws {InvalidInputError} if it isn't a whole number, not a multiple of 512, or not between 3 MiB and 64 TiB.
 */
export function diskSize(size: unknown, argument: string): bigint {
  const bytes = wholeBytes(size, argument);
  if (bytes < LEAST_VHDX || bytes > MOST_VHDX) {
    throw new InvalidInputError(argument, "is not between 3 MiB and 64 TiB, in bytes", `${bytes}`);
  }
  if (bytes % SECTOR !== 0n) {
    throw new InvalidInputError(argument, "is not a multiple of 512 bytes", `${bytes}`);
  }
  return bytes;
}

/**
 * The size of a disk's blocks in bytes; 0, the default, lets Windows choose.
 *
 * @throws {InvalidInputError} if it is neither 0 nor a power of two between 1 MiB and 256 MiB.
 */
export function diskBlockSize(size: unknown, argument: string): number {
  const bytes = wholeBytes(size ?? 0, argument);
  if (bytes !== 0n && (bytes < MIB || bytes > 256n * MIB || (bytes & (bytes - 1n)) !== 0n)) {
    throw new InvalidInputError(argument, "is neither 0 nor a power of two between 1 MiB and 256 MiB", `${bytes}`);
  }
  return Number(bytes);
}

function wholeBytes(value: unknown, argument: string): bigint {
  if (typeof value !== "bigint" && !Number.isSafeInteger(value)) {
    throw new InvalidInputError(argument, "is not a whole number of bytes", value);
  }
  return BigInt(value as number | bigint);
}
