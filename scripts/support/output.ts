/**
 * What is printed. None of it fails for the value that is to be printed.
 *
 * @module
 */

import { visible } from "../../src/errors/printable.ts";

/** What is printed in place of a value that throws when looked at. */
export const UNPRINTABLE = "[unprintable]";

/** Writes a line. Throws where the output is full, or was closed by who read it. */
export function printLine(output: typeof Deno.stdout | typeof Deno.stderr, line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let at = 0; at < bytes.length;) at += output.writeSync(bytes.subarray(at));
}

/** A value as JSON. What JSON doesn't know becomes text, and a value that throws when looked at `"[unprintable]"`. */
export function toJson(value: unknown): string {
  return visible(JSON.stringify(plain(() => value, [])) ?? "null");
}

// Each value is fetched in here, as that can throw as well.
function plain(get: () => unknown, around: readonly unknown[]): unknown {
  try {
    const value = get();
    if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;
    if (typeof value === "symbol") return String(value);
    if (typeof value !== "object" || value === null) return value;
    if (around.includes(value)) return "[circular]";
    const inside = [...around, value];
    if ("toJSON" in value && typeof value.toJSON === "function") return plain(() => (value as Date).toJSON(), inside);
    if (Array.isArray(value)) return Array.from(value, (_, i) => plain(() => value[i], inside));
    const hidden = value instanceof Error ? ["name", "message"] : [];
    const keys = new Set([...hidden, ...Object.keys(value)]);
    return Object.fromEntries(
      Array.from(keys, (key) => [key, plain(() => (value as Record<string, unknown>)[key], inside)]),
    );
  } catch {
    return UNPRINTABLE;
  }
}

/** A value that isn't meant to be seen by users, such as an error of the code, with its stack. */
export function inspect(value: unknown): string {
  try {
    return Deno.inspect(value);
  } catch {
    return UNPRINTABLE;
  }
}
