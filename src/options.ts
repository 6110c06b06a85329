/**
 * Objects and lists from the caller. Programs without types pass anything, and looking at a proxy or a getter can throw:
 * each value is read once, checked, and refused by the name that the caller knows it by.
 *
 * @module
 */

import { InvalidInputError } from "./errors/input_error.ts";

/** Returns a value in the form in which it is used, or refuses it. */
export type Check<T> = (value: unknown, argument: string) => T;

/** Checks by the names of properties. */
export type Checks = Readonly<Record<string, Check<unknown>>>;

/** What the checks return, by the names of the properties. */
export type Checked<C extends Checks> = { readonly [K in keyof C]: ReturnType<C[K]> };

/** A check of what may be left out. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, argument) => value === undefined ? undefined : check(value, argument);
}

/** A check of a value that has to be one of a few. */
export function oneOf<const T extends string>(...values: readonly T[]): Check<T> {
  return (value, argument) => {
    if (!values.includes(value as T)) {
      const names = values.map((name) => JSON.stringify(name));
      throw new InvalidInputError(
        argument,
        names.length === 2 ? `is neither ${names.join(" nor ")}` : `is not one of ${names.join(", ")}`,
        value,
      );
    }
    return value as T;
  };
}

/** Refuses what is not an object with properties. */
export function requireObject(value: unknown, argument: string): asserts value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || reading(value, argument, () => Array.isArray(value))) {
    throw new InvalidInputError(argument, "is not an object", value);
  }
}

/** Whether a value is an object that says of which kind it is. */
export function hasKind(value: unknown): value is { readonly kind: unknown } {
  try {
    return typeof value === "object" && value !== null && "kind" in value;
  } catch {
    return false;
  }
}

/** A property of an object from the caller. */
export function propertyOf(value: object, name: string, argument: string): unknown {
  return reading(value, `${argument}.${name}`, () => (value as Readonly<Record<string, unknown>>)[name]);
}

/**
 * The properties of an object. One that isn't known is refused: a misspelled one would be ignored in silence.
 *
 * @param argument The name of the object; that of a property is `argument.property`.
 * @throws {InvalidInputError} if `value` is no object, or a property is unknown or refused.
 */
export function fieldsOf<C extends Checks>(value: unknown, checks: C, argument: string): Checked<C> {
  return read(value, checks, argument, `${argument}.`);
}

/** {@linkcode fieldsOf} the last argument of a function, whose options are named without `argument`. */
export function optionsOf<C extends Checks>(options: unknown, checks: C, argument = "options"): Checked<C> {
  return read(options, checks, argument, "");
}

/** What ends a call early, of options that have nothing else. */
export function limitsOf(options: unknown): Checked<typeof LIMITS> {
  return optionsOf(options, LIMITS);
}

/** A check of a signal that may be left out. */
export const abortSignal: Check<AbortSignal | undefined> = optional((signal, argument) => {
  if (!isInstance(signal, AbortSignal, ({ aborted }) => typeof aborted === "boolean")) {
    throw new InvalidInputError(argument, "is not an AbortSignal", signal);
  }
  return signal;
});

// Of which a timer counts no more.
const MOST_MS = 2 ** 31 - 1;

/** The checks of what ends a call early. */
export const LIMITS = {
  signal: abortSignal,
  timeout: optional((value, argument) => {
    if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > MOST_MS) {
      throw new InvalidInputError(argument, `is not a whole number of milliseconds from 1 to ${MOST_MS}`, value);
    }
    return value as number;
  }),
};

/**
 * The items of a list, each checked. A hole is an undefined item.
 *
 * @throws {InvalidInputError} if `value` is no list, or an item is refused: as `argument[0]`.
 */
export function itemsOf<T>(
  value: unknown,
  argument: string,
  item: Check<T>,
  { least = 0, problem = "is not a list" }: { readonly least?: number; readonly problem?: string } = {},
): T[] {
  return reading(value, argument, () => {
    if (!Array.isArray(value) || value.length < least) throw new InvalidInputError(argument, problem, value);
    return Array.from({ length: value.length }, (_, i) => item(value[i], `${argument}[${i}]`));
  });
}

function read<C extends Checks>(value: unknown, checks: C, argument: string, prefix: string): Checked<C> {
  requireObject(value, argument);
  reading(value, argument, () => {
    for (const name in value) {
      if (!Object.hasOwn(checks, name)) {
        throw new InvalidInputError(`${argument}.${name}`, `is unknown: there is ${Object.keys(checks).join(", ")}`);
      }
    }
  });
  const checked = Object.entries(checks).map(([name, check]) => [
    name,
    check(propertyOf(value, name, argument), prefix + name),
  ]);
  return Object.fromEntries(checked);
}

/** Whether a value is an object of a class: not one that only looks so, and fails once it is used. */
export function isInstance<T>(
  value: unknown,
  { prototype }: { readonly prototype: T },
  looksRight: (object: T) => boolean,
): value is T {
  try {
    return Object.prototype.isPrototypeOf.call(prototype as object, value as object) && looksRight(value as T);
  } catch {
    return false;
  }
}

function reading<T>(value: unknown, argument: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof InvalidInputError) throw cause;
    throw new InvalidInputError(argument, "can't be read", value, { cause });
  }
}
