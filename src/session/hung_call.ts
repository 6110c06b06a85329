/**
 * Noticing a call of Windows that doesn't return. It can't be called back, but whoever waits for it can be told.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";

const LIMIT_MS = 60_000;

/** How long a call may take before it counts as hung, in seconds. */
export const HUNG_SECONDS = LIMIT_MS / 1000;

/** Runs `onHung` if the result isn't disposed of within {@linkcode HUNG_SECONDS} of the host's time. */
export function watchCall(host: Host, onHung: () => void): Disposable {
  const over = new AbortController();
  const limit = host.deadline?.(LIMIT_MS, over.signal) ?? realTime(LIMIT_MS, over.signal);
  limit.then(() => over.signal.aborted || onHung(), () => {});
  return { [Symbol.dispose]: () => over.abort() };
}

function realTime(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
