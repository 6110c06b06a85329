/**
 * Changes of one scratch exclude each other: those of this process, and those of others that keep records in the same folder.
 *
 * @module
 */

import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { Records } from "../records/records.ts";
import { sessionOf } from "./session.ts";
import { onceReachable } from "./waiting.ts";

const LIMIT_MS = 60_000;

/**
 * Runs `body` while nobody else changes a scratch. It gets the records of mounts, unless the host keeps none.
 *
 * @throws {InUseError} if another process is changing the scratch for more than a minute.
 * @throws {UntrustedFolderError} if others could write records.
 * @throws the reason of `signal` if it is aborted before `body` runs.
 */
export function changeScratch<T>(
  host: Host,
  scratch: string,
  signal: AbortSignal | undefined,
  body: (records: Records | undefined) => Promise<T>,
): Promise<T> {
  const session = sessionOf(host);
  const onWait = (waited: number) => {
    if (waited < LIMIT_MS) return;
    throw new InUseError(scratch, `has been changed by another process for ${LIMIT_MS / 1000} s. Try again later`);
  };
  return session.withScratch(scratch, async () => {
    const records = session.records(host);
    using _lock = records &&
      await onceReachable(host, records.folder, () => records.lock(host, scratch, { signal, onWait }), signal);
    return await body(records);
  }, signal);
}
