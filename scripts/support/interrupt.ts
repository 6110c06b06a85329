/**
 * Ctrl+C: it aborts what a command does, which is then undone. A second one doesn't wait for that. A time limit does as the first.
 *
 * @module
 */

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];

/**
 * Returns a signal that is aborted by Ctrl+C, or by what else asks a program to end. `again` is called if that is done once
 * more, or after `seconds`, if these are over before it. Nobody stops listening, so that a late Ctrl+C doesn't end the process between a mount and the news of it.
 */
export function interruptSignal(again: () => void, seconds?: number): AbortSignal {
  const controller = new AbortController();
  if (seconds !== undefined) {
    const stop = () => controller.abort(new DOMException(`The time limit of ${seconds} s is over`, "TimeoutError"));
    Deno.unrefTimer(setTimeout(stop, 1000 * seconds));
  }
  const interrupt = () => {
    if (controller.signal.aborted) again();
    else controller.abort(new DOMException("Interrupted", "AbortError"));
  };
  for (const name of SIGNALS) Deno.addSignalListener(name, interrupt);
  return controller.signal;
}

/** Throws if Ctrl+C was pressed until now, also if all calls until now ran on this thread. */
export async function throwIfInterrupted(signal: AbortSignal): Promise<void> {
  // Deno tells of it in the event loop, which runs timers before it looks for news. So a first timer can come before the
  // news of what has happened until now, and a second one can't.
  for (let round = 0; round < 2; round++) await new Promise((resolve) => setTimeout(resolve));
  signal.throwIfAborted();
}
