/**
 * Checks of arguments that are not paths. Programs without types need them too.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { perform } from "../ffi/operation.ts";
import { type Check, type Checked, LIMITS, optionsOf, propertyOf, requireObject } from "../options.ts";

/** Throws unless a value is a string that isn't empty and contains no NUL character. */
export function requireText(value: unknown, argument: string): asserts value is string {
  const given = string(value, argument);
  if (given === "") {
    throw new InvalidInputError(argument, "is empty", value);
  }
  if (given.includes("\0")) {
    throw new InvalidInputError(argument, "contains a NUL character", value);
  }
}

/** Checks a text as {@linkcode requireText} does. */
export const text: Check<string> = (value, argument) => {
  requireText(value, argument);
  return value;
};

/** Checks a string, which may be empty. */
export const string: Check<string> = (value, argument) => {
  if (typeof value !== "string") {
    throw new InvalidInputError(argument, "is not a string", value);
  }
  return value;
};

/** Checks a boolean. */
export const boolean: Check<boolean> = (value, argument) => {
  if (typeof value !== "boolean") {
    throw new InvalidInputError(argument, "is not a boolean", value);
  }
  return value;
};

/** Checks a whole number from `least` to `most`. */
export function wholeNumber(least = 0, most = Number.MAX_SAFE_INTEGER): Check<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  return (value, argument) => {
    if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
      throw new InvalidInputError(argument, `is not a whole number ${range}`, value);
    }
    return value as number;
  };
}

/** Checks an object, and returns a copy of what JSON keeps of it. */
export const jsonObject: Check<object> = (value, argument) => {
  requireObject(value, argument);
  try {
    const copy: unknown = JSON.parse(JSON.stringify(value));
    requireObject(copy, argument);
    return copy;
  } catch (cause) {
    throw new InvalidInputError(argument, "can't be written as JSON", value, { cause });
  }
};

/**
 * Checks a document that goes to Windows as JSON. Unknown fields pass: new versions of Windows add fields, and Windows
 * checks them.
 */
export function documentOf<T extends object>(checks: Readonly<Record<keyof T & string, Check<unknown>>>): Check<T> {
  return (value, argument) => {
    requireObject(value, argument);
    for (const [name, check] of Object.entries<Check<unknown>>(checks)) {
      check(propertyOf(value, name, argument), `${argument}.${name}`);
    }
    return jsonObject(value, argument) as T;
  };
}

/**
 * Checks options, and returns the host and the limits in them, and what `further` makes of the other options.
 *
 * @param further The check of each other option of the function.
 * @throws {InvalidInputError} if `options` isn't an object, has an unknown option, or has a wrong one.
 */
export function hostOptions<
  T extends HostOptions,
  C extends Readonly<Record<Exclude<keyof T, keyof HostOptions>, Check<unknown>>>,
>(
  options: T,
  further: C,
  argument = "options",
): Checked<C & typeof HOST_OPTIONS> {
  return optionsOf(options, { ...HOST_OPTIONS, ...further }, argument) as Checked<C & typeof HOST_OPTIONS>;
}

/**
 * Checks options as {@linkcode hostOptions} does, and runs `body` with them as {@linkcode perform} does: with a signal that also
 * heeds the time limit.
 *
 * @param about What `body` is about: paths and ids.
 */
export async function withHostOptions<
  T extends HostOptions,
  C extends Readonly<Record<Exclude<keyof T, keyof HostOptions>, Check<unknown>>>,
  R,
>(
  options: T,
  further: C,
  about: readonly unknown[],
  body: (checked: Omit<Checked<C & typeof HOST_OPTIONS>, "timeout">) => Promise<R>,
): Promise<R> {
  const { timeout, ...checked } = hostOptions(options, further);
  const { host, signal } = checked as Checked<typeof HOST_OPTIONS>;
  return await perform(
    host,
    { signal, timeout: timeout as number | undefined },
    about,
    (signal) => body({ ...checked, signal } as unknown as Checked<C & typeof HOST_OPTIONS>),
  );
}

const HOST_OPTIONS = {
  host: (value: unknown, argument: string): Host => {
    if (value === undefined) return defaultHost();
    if (!isHost(value)) throw new InvalidInputError(argument, "is not a Host", value);
    return value;
  },
  ...LIMITS,
};

function isHost(value: unknown): value is Host {
  try {
    const { machine, symbols, sleep, callback } = value as Host;
    return Object(machine) === machine && [symbols, sleep, callback].every((method) => typeof method === "function");
  } catch {
    return false;
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
  const bytes = wholeBytes(size, argument);
  if (bytes !== 0n && (bytes < MIB || bytes > 256n * MIB || (bytes & (bytes - 1n)) !== 0n)) {
    throw new InvalidInputError(argument, "is neither 0 nor a power of two between 1 MiB and 256 MiB", `${bytes}`);
  }
  return Number(bytes);
}

function wholeBytes(value: unknown, argument: string): bigint {
  if (typeof value !== "bigint" && !Number.isInteger(value)) {
    throw new InvalidInputError(argument, "is not a whole number of bytes", value);
  }
  return BigInt(value as number | bigint);
}
