/**
 * Stand-in for `jsr:@std/assert`: the assertions that this project's tests use.
 *
 * @module
 */
import { deepStrictEqual } from "node:assert/strict";

/** Thrown by every assertion that does not hold. */
export class AssertionError extends Error {
  /** The name of the class. */
  override readonly name = "AssertionError";
}

/** A class, to be matched with `instanceof`. */
export type Class<T> = abstract new (...args: never[]) => T;

/** An object of any shape. */
type Loose = Record<PropertyKey, unknown>;

/** The end of a message. */
function suffix(msg?: string): string {
  return msg ? `: ${msg}` : ".";
}

/** Whether a value has properties to look at. */
function isObject(value: unknown): value is Loose {
  return typeof value === "object" && value !== null;
}

/** The prototype of an object, where that of `Object.create(null)` counts as that of `{}`. */
function prototype(value: object): object {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

/** The names of all properties of an object, also inherited ones. */
function keysDeep(value: object): PropertyKey[] {
  const keys: PropertyKey[] = [];
  for (
    let at = value;
    at !== null && at !== Object.prototype && at !== Array.prototype;
    at = Object.getPrototypeOf(at)
  ) keys.push(...Reflect.ownKeys(at));
  return keys;
}

/** Whether two values are the same all the way down. */
function equal(a: unknown, b: unknown, seen: Map<unknown, unknown> = new Map()): boolean {
  if (a === b || Object.is(a, b)) return true;
  if (!isObject(a) || !isObject(b) || prototype(a) !== prototype(b)) return false;
  if (a instanceof Date) return Object.is(a.getTime(), Number(b));
  if (a instanceof ArrayBuffer) return equal(new Uint8Array(a), new Uint8Array(b as unknown as ArrayBuffer));
  if (a instanceof RegExp || a instanceof URL || a instanceof URLSearchParams) return String(a) === String(b);
  if (seen.get(a) === b) return true;
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  seen.set(a, b);
  const same = (x: unknown, y: unknown) => equal(x, y, seen);
  if (ArrayBuffer.isView(a)) return Object.keys(a).every((key) => same(a[key], b[key]));
  if (a instanceof Set && b instanceof Set) {
    const values = [...b];
    return a.size === b.size && [...a].every((x) => b.has(x) || values.some((y) => same(x, y)));
  }
  if (a instanceof Map && b instanceof Map) {
    const entries = [...b];
    return a.size === b.size && [...a].every(([k, v]) => entries.some(([l, w]) => same(k, l) && same(v, w)));
  }
  const plain = prototype(a) === Object.prototype || prototype(a) === Array.prototype;
  const keys = plain ? Reflect.ownKeys({ ...a, ...b }) : [...keysDeep(a), ...keysDeep(b)];
  return keys.every((key) => same(a[key], b[key]) && key in a === key in b);
}

/** How two values differ. */
function difference(actual: unknown, expected: unknown): string {
  try {
    deepStrictEqual(actual, expected);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return `${Deno.inspect(actual)}\n${Deno.inspect(expected)}`;
}

/** `expr` is true, or counts as true. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Both are the same all the way down. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw new AssertionError(`Values are not equal${suffix(msg)}\n${difference(actual, expected)}`);
}

/** Both differ somewhere. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  const [a, b] = [actual, expected].map((value) => Deno.inspect(value));
  assert(!equal(actual, expected), `Expected actual: ${a} not to be: ${b}${suffix(msg)}`);
}

/** Both are one and the same (`Object.is`). */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw new AssertionError(`Values are not strictly equal${suffix(msg)}\n${difference(actual, expected)}`);
}

/** `actual` is neither undefined nor null. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  assert(actual != null, `Expected actual: "${actual}" to not be null or undefined${suffix(msg)}`);
}

/** `actual` is an instance of a class. */
export function assertInstanceOf<T>(actual: unknown, expectedType: Class<T>, msg?: string): asserts actual is T {
  if (actual instanceof expectedType) return;
  const but = isObject(actual) ? prototype(actual).constructor.name : actual === null ? "null" : typeof actual;
  throw new AssertionError(
    `Expected object to be an instance of "${expectedType.name}" but was "${but}"${suffix(msg)}`,
  );
}

/** A text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  assert(expected.test(actual), `Expected actual: "${actual}" to match: "${expected}"${suffix(msg)}`);
}

/** A text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  assert(actual.includes(expected), `Expected actual: "${actual}" to contain: "${expected}"${suffix(msg)}`);
}

/** A list has everything that is in another. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T> & object,
  expected: ArrayLike<T> & object,
  msg?: string,
): void {
  const all = Array.from(actual);
  const missing = Array.from(expected).filter((item) => !all.some((other) => equal(item, other)));
  const text = `Expected actual: "${Deno.inspect(actual)}" to include: "${Deno.inspect(expected)}"`;
  assert(missing.length === 0, `${text}${suffix(msg)}\nmissing: ${Deno.inspect(missing)}`);
}

/** `actual > expected` */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  assert(actual > expected, msg ?? `Expect ${Deno.inspect(actual)} > ${Deno.inspect(expected)}`);
}

/** `actual >= expected` */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  assert(actual >= expected, msg ?? `Expect ${Deno.inspect(actual)} >= ${Deno.inspect(expected)}`);
}

/** `actual < expected` */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  assert(actual < expected, msg ?? `Expect ${Deno.inspect(actual)} < ${Deno.inspect(expected)}`);
}

/** `actual <= expected` */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  assert(actual <= expected, msg ?? `Expect ${Deno.inspect(actual)} <= ${Deno.inspect(expected)}`);
}

/** What `actual` has in common with `expected`, as plain objects. */
function common(actual: unknown, expected: unknown): unknown {
  if (actual instanceof RegExp || actual instanceof Date || !isObject(actual) || !isObject(expected)) return actual;
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return actual.slice(0, expected.length).map((value, index) => common(value, expected[index]));
  }
  if (actual instanceof Map && expected instanceof Map) {
    const entries = [...actual].filter(([key]) => expected.has(key));
    return new Map(entries.map(([key, value]) => [key, common(value, expected.get(key))]));
  }
  if (actual instanceof Set && expected instanceof Set) return actual.intersection(expected);
  const keys = Reflect.ownKeys(actual).filter((key) => Object.hasOwn(expected, key));
  return keys.length > 0 || Reflect.ownKeys(expected).length === 0
    ? Object.fromEntries(keys.map((key) => [key, common(actual[key], expected[key])]))
    : Object.fromEntries(Reflect.ownKeys(actual).map((key) => [key, actual[key]]));
}

/** `actual` has what `expected` has, and may have more. */
export function assertObjectMatch(actual: object, expected: Record<PropertyKey, unknown>, msg?: string): void {
  assertEquals(common(actual, expected), common(expected, expected), msg);
}

/** Throws unless an error is of a class and its message contains a text. */
function checkError(error: unknown, ErrorClass?: Class<Error>, msgIncludes = "", msg?: string): void {
  if (ErrorClass === undefined) return;
  if (!(error instanceof Error)) throw new AssertionError(`A non-Error object was thrown${suffix(msg)}`);
  const text = `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}"`;
  if (!(error instanceof ErrorClass)) throw new AssertionError(text + suffix(msg), { cause: error });
  if (error.message.includes(msgIncludes)) return;
  const [expected, got] = [msgIncludes, error.message].map((value) => JSON.stringify(value));
  throw new AssertionError(`Expected error message to include ${expected}, but got ${got}${suffix(msg)}`, {
    cause: error,
  });
}

/** A function throws (an error of a class, with a text in its message). Returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** A function throws (an error of a class, with a text in its message). Returns what it threw. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  classOrMsg?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const [ErrorClass, text] = typeof classOrMsg === "string" ? [undefined, classOrMsg] : [classOrMsg, msg];
  try {
    fn();
  } catch (error) {
    checkError(error, ErrorClass, msgIncludes, text);
    return error;
  }
  throw new AssertionError(`Expected function to throw${suffix(text)}`);
}

/** A promise is rejected (with an error of a class, with a text in its message). Returns what it was rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** A promise is rejected (with an error of a class, with a text in its message). Returns what it was rejected with. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Class<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: Class<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const [ErrorClass, text] = typeof classOrMsg === "string" ? [undefined, classOrMsg] : [classOrMsg, msg];
  let promise: unknown;
  try {
    promise = fn();
  } catch {
    // Told apart below.
  }
  if (!isObject(promise) || typeof promise.then !== "function") {
    throw new AssertionError(`Function throws when expected to reject${suffix(text)}`);
  }
  try {
    await promise;
  } catch (error) {
    checkError(error, ErrorClass, msgIncludes, text);
    return error;
  }
  throw new AssertionError(`Expected function to reject${suffix(text)}`);
}

/** Always throws. */
export function fail(msg?: string): never {
  throw new AssertionError(`Failed assertion${suffix(msg)}`);
}

/** Always throws: the line that calls it should not be reached. */
export function unreachable(msg?: string): never {
  throw new AssertionError(`Unreachable${suffix(msg)}`);
}
