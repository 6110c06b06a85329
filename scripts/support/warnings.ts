/**
 * What the library logs as a warning, on the error output: what it can't tell, such as of a record that can't be read.
 *
 * @module
 */

import { BaseHandler, setup } from "jsr:@std/log@^0.224.14";
import { visible } from "../../src/errors/printable.ts";
import { printLine } from "./output.ts";

class Warnings extends BaseHandler {
  readonly #printed = new Set<string>();

  // Records are read again before each step.
  override log(message: string): void {
    if (this.#printed.has(message)) return;
    this.#printed.add(message);
    printLine(Deno.stderr, `warning: ${visible(message)}`);
  }
}

/** Has warnings printed from now on. */
export function printWarnings(): void {
  setup({
    handlers: { warnings: new Warnings("WARN", { formatter: ({ msg }) => msg }) },
    loggers: { "hcs-layers": { level: "WARN", handlers: ["warnings"] } },
  });
}
