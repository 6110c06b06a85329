/**
 * Noticing a call of Windows that doesn't return. It can't be called back, but whoever waits for it can be told.
 *
 * @module
 */

import { HungCallError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { deadline } from "../ffi/operation.ts";
import type { Records } from "../records/records.ts";
import { onceReachable } from "./waiting.ts";

const LIMIT_MS = 60_000;

/** How long a call may take before it counts as hung, in seconds. */
export const HUNG_SECONDS = LIMIT_MS / 1000;

/** Runs `onHung` if the result isn't disposed of within {@linkcode HUNG_SECONDS} of the host's time. */
export function watchCall(host: Host, onHung: () => void): Disposable {
  const over = new AbortController();
  deadline(host, LIMIT_MS, over.signal).then(() => over.signal.aborted || onHung(), () => {});
  return { [Symbol.dispose]: () => over.abort("over") };
}

/**
 * Waits until no other process that keeps records is in a function of Windows of which calls must not overlap, and keeps others
 * from it until the result is disposed of.
 *
 * @param path The file or folder that the function is going to be called for.
 * @throws {HungCallError} if another process is in it for more than {@linkcode HUNG_SECONDS}.
 */
export function onlyCall(
  host: Host,
  records: Records,
  operation: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  return lockOf(host, records, operation, {
    signal,
    tooLong: () => new HungCallError(operation, path, HUNG_SECONDS, IN_ANOTHER_PROCESS),
  });
}

/**
 * Waits for a lock of records for {@linkcode HUNG_SECONDS} at most, and holds it until the result is disposed of.
 *
 * @throws what `tooLong` returns if another process has it for longer.
 */
export function lockOf(
  host: Host,
  records: Records,
  name: string,
  { signal, tooLong }: { readonly signal: AbortSignal | undefined; tooLong(): Error },
): Promise<Disposable> {
  const onWait = (waited: number) => {
    if (waited >= LIMIT_MS) throw tooLong();
  };
  return onceReachable(host, records.folder, () => records.lock(host, name, { signal, onWait }), signal);
}

const IN_ANOTHER_PROCESS =
  ": another process is in that function, and only one may be. Try again later, or end that process";
