/**
 * What a demonstration shows.
 *
 * @module
 */

import { columns } from "./text.ts";

/** What a demonstration shows, and how it ended. */
export interface Demonstration {
  /** The text. */
  readonly text: string;
  /** How much was held at the end. */
  readonly held: number;
}

/** The text of a demonstration, while it grows. */
export class Transcript {
  readonly #lines: string[] = [];

  /** Begins a scene. */
  scene(title: string): void {
    // In bold, where that can be seen.
    const bold = Deno.stdout.isTerminal() && !Deno.noColor;
    this.lines("", bold ? `\x1b[1m${title}\x1b[22m` : title, "");
  }

  /** Adds lines. */
  lines(...lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  /** Adds rows in columns. */
  table(rows: readonly (readonly string[])[]): void {
    this.lines(columns(rows, "  "));
  }

  /** All of it. */
  get text(): string {
    return this.#lines.join("\n");
  }
}
