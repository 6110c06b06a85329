/**
 * The log of the library: named `hcs-layers`, silent until a program sets a handler for that name with `@std/log`.
 *
 * @module
 */

import { getLogger } from "jsr:@std/log@^0.224.14";

/** The levels that are used. */
export type Level = "debug" | "info" | "warn" | "error";

/**
 * Logs what `message` returns, if somebody listens. Never throws: a handler that does, or whose disk is full, loses a
 * line, where it would otherwise break a mount half-way.
 */
export function log(level: Level, message: () => string): void {
  try {
    // Looked up each time, as a program may set it up at any time.
    const logger = getLogger("hcs-layers");
    if (logger.handlers.length > 0) logger[level](message);
  } catch {
    // There is no other place to tell of it.
  }
}
