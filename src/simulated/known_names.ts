/**
 * Names that a test gives to a simulated host. One that isn't known is refused: it would be ignored in silence.
 *
 * @module
 */

import { printable } from "../errors/printable.ts";
import { SimulationError } from "./simulation_error.ts";

/** Refuses a name that isn't known, and tells those that are like it. */
export function requireKnown(name: string, known: readonly string[], what: string): void {
  if (!known.includes(name)) throw new SimulationError(`${what} ${name}${near(String(name), known)}`);
}

/**
 * Refuses what is no object, and an object that has more than the options that there are.
 *
 * @param of Who has these options, as the test knows it.
 */
export function requireOptions<T extends object>(options: T, known: Readonly<Record<keyof T, true>>, of: string): void {
  if (typeof options !== "object" || options === null) {
    throw new SimulationError(`the options of ${of} are no object: ${printable(options)}`);
  }
  // What is made by a class can have more than the options that it has.
  if (![Object.prototype, null].includes(Object.getPrototypeOf(options))) return;
  for (const name of Object.keys(options)) requireKnown(name, Object.keys(known), `${of} has no option`);
}

const MOST_NAMES = 5;

// Returns a sentence with the names that are most like `name`.
function near(name: string, known: readonly string[]): string {
  const limit = Math.max(2, Math.floor(name.length / 3));
  const close = known.map((other) => ({ other, distance: distanceOf(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, MOST_NAMES).map(({ other }) => other);
  return close.length === 0 ? "" : `; did you mean ${close.join(", ")}?`;
}

// The number of characters to insert, remove or replace.
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
