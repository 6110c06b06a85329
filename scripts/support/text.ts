/**
 * How results look in a terminal.
 *
 * @module
 */

import { visible } from "../../src/errors/printable.ts";

/** Rows in columns, each as wide as its widest text. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const shown = rows.map((row) => row.map(visible));
  const widths: number[] = [];
  for (const row of shown) row.forEach((text, i) => widths[i] = Math.max(widths[i] ?? 0, text.length));
  return shown
    .map((row) => (indent + row.map((text, i) => text.padEnd(widths[i]!)).join("  ")).trimEnd())
    .join("\n");
}
