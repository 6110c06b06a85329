/**
 * Checks of arguments that are not paths. Programs without types need them too.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";

/** Throws unless a value is a string that isn't empty and contains no NUL character. */
export function requireText(value: unknown, argument: string): asserts value is string {
  if (typeof value !== "string") {
    throw new InvalidInputError(argument, "is not a string", value);
  }
  if (value === "") {
    throw new InvalidInputError(argument, "is empty", value);
  }
  if (value.includes("\0")) {
    throw new InvalidInputError(argument, "contains a NUL character", value);
  }
}

/** Checks a text as {@linkcode requireText} does, and returns it, or `fallback` if there is none. */
export function textOr(value: unknown, argument: string, fallback: string): string {
  if (value === undefined || value === null) return fallback;
  requireText(value, argument);
  return value;
}

/** Throws unless a value is a boolean or undefined. */
export function requireBoolean(value: unknown, argument: string): asserts value is boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") {
    throw new InvalidInputError(argument, "is not a boolean", value);
  }
}

/** Checks a whole number from `least` to `most`, and returns it, or `fallback` if there is none. */
export function wholeNumberOr(
  value: unknown,
  argument: string,
  { fallback, least = 0, most = Number.MAX_SAFE_INTEGER }: { fallback: number; least?: number; most?: number },
): number {
  const number = value ?? fallback;
  if (!Number.isSafeInteger(number) || (number as number) < least || (number as number) > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
    throw new InvalidInputError(argument, `is not a whole number ${range}`, value);
  }
  return number as number;
}

/** Throws unless a value is an object, but no array. */
export function requireObject(value: unknown, argument: string): asserts value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidInputError(argument, "is not an object", value);
  }
}

/** Throws if options are no object, or have an unknown name: a misspelled option would have no effect. */
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
 * Checks options, and returns the host and the signal in them.
 *
 * @param further The names of the other options of the function.
 * @throws {InvalidInputError} if `options` isn't an object, has an unknown option, or has a wrong `host` or `signal`.
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

/** Throws unless a value is an AbortSignal or undefined. */
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
 * Checks the size of a disk in bytes, and returns it.
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
 * Checks the size of a disk's blocks in bytes, and returns it. With 0, the default, Windows chooses.
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
