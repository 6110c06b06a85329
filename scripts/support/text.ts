/**
 * How results look in a terminal.
 *
 * @module
 */

/** Rows in columns, each as wide as its widest text. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((text, i) => widths[i] = Math.max(widths[i] ?? 0, text.length));
  return rows
    .map((row) => (indent + row.map((text, i) => text.padEnd(widths[i]!)).join("  ")).trimEnd())
    .join("\n");
}
