/**
 * What the benchmark mounts: `cycle.exe` has the same.
 *
 * @module
 */

/** How many read-only layers the stacks have. */
export const COUNTS = [1, 5, 20] as const;

/** How many cycles are timed together, in each of the modes in which slow functions are called. */
export const BATCH = { thread: 100, pool: 10 } as const;

/** The folders of a stack of so many read-only layers, the scratch last. */
export function stack(count: number): string[] {
  const layers = Array.from({ length: count }, (_, i) => `ro${String(count - i).padStart(2, "0")}`);
  return [...layers, "scratch"].map((name) => `C:\\layers\\${name}`);
}
