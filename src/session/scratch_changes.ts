/**
 * Changes of one scratch exclude each other: those of this process, and those of others that keep records in the same folder.
 *
 * @module
 */

import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { operationOf } from "../ffi/operation.ts";
import type { Records } from "../records/records.ts";
import { HUNG_SECONDS, lockOf } from "./hung_call.ts";
import { sessionOf } from "./session.ts";

/**
 * Runs `body` while nobody else changes a scratch. It gets the records of mounts, unless the host keeps none.
 *
 * @throws {InUseError} if another process is changing the scratch for more than a minute, or a call of this process that was
 * cancelled still waits for Windows.
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
  const tooLong = () =>
    new InUseError(scratch, `has been changed by another process for ${HUNG_SECONDS} s. Try again later`);
  return session.withScratch(scratch, async () => {
    const operation = operationOf(signal);
    operation?.concerns(scratch);
    using _refusal = operation?.whenHung(({ message }) =>
      session.refuseScratch(scratch, () => new InUseError(scratch, `is being changed: ${message}`, "this process"))
    );
    const records = session.records(host);
    using _lock = records && await lockOf(host, records, scratch, { signal, tooLong });
    return await body(records);
  }, signal);
}
