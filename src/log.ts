/**
 * The log of the library, named `hcs-layers`. It writes nothing until a program sets a handler for it with `@std/log`.
 *
 * @module
 */

import { getLogger } from "jsr:@std/log@^0.224.14";

/** The levels that are used. */
export type Level = "debug" | "info" | "warn" | "error";

/**
 * Logs what `message` returns, if a handler is set. Never throws: if a handler fails, one line is lost, but the mount goes
 * on.
 */
export function log(level: Level, message: () => string): void {
  try {
    // Looked up each time, because a program may set a handler at any time.
    const logger = getLogger("hcs-layers");
    if (logger.handlers.length > 0) logger[level](message);
  } catch {
    // There is no other place to report this.
  }
}
