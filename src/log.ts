/**
 * The log of the library: named `hcs-layers`, silent until a program sets a handler for that name with `@std/log`.
 *
 * @module
 */

import { getLogger, type Logger } from "jsr:@std/log@^0.224.14";

/** The logger. Asked for at each use, as a program may set it up at any time. */
export function logger(): Logger {
  return getLogger("hcs-layers");
}

/** Logs what `message` returns, where somebody listens: for what happens often. */
export function debug(message: () => string): void {
  if (logger().handlers.length > 0) logger().debug(message);
}
