/**
 * Scratches that have another path than when they were mounted: a drive got another letter, or a volume another folder.
 *
 * @module
 */

import { idOf, isDiskInUse } from "../checks/existing.ts";
import { pathKey } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import type { MountRecord } from "../records/record.ts";
import type { Records } from "../records/records.ts";
import { allRecords } from "../session/all_records.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { sessionOf } from "../session/session.ts";
import { recordOf } from "./mount_records.ts";

/** A scratch that nobody else changes. */
export interface KnownScratch {
  /** The records of mounts, unless the host keeps none. */
  readonly records: Records | undefined;
  /** A path that leads to it: that of its record, as long as that does. */
  readonly scratch: string;
  /** Its record, be it under another path. */
  readonly record: MountRecord | undefined;
}

/** Runs `body` while nobody else changes a scratch, with its record, as {@linkcode changeScratch} does. */
export function changeKnownScratch<T>(
  host: Host,
  scratch: string,
  signal: AbortSignal | undefined,
  body: (known: KnownScratch) => Promise<T>,
): Promise<T> {
  return changeScratch(host, scratch, signal, async (records) => {
    const record = await recordOf(host, records, scratch);
    const other = record ?? await recordElsewhere(host, scratch, signal);
    if (other === record) return await body({ records, scratch, record });
    return await changeElsewhere(host, scratch, other!, signal, body);
  });
}

/** Runs `body` as {@linkcode changeKnownScratch} does, for a scratch that nobody else changes by its own path. */
export function changeElsewhere<T>(
  host: Host,
  scratch: string,
  { id, scratch: former }: MountRecord,
  signal: AbortSignal | undefined,
  body: (known: KnownScratch) => Promise<T>,
): Promise<T> {
  return changeScratch(host, former, signal, async (records) => {
    const now = await records?.read(host, former);
    // Somebody else was faster.
    if (now?.id !== id) return await body({ records, scratch, record: undefined });
    return await body({ records, scratch: isSame(host, former, scratch) ? former : scratch, record: now });
  });
}

function isSame(host: Host, folder: string, other: string): boolean {
  const id = idOf(host, folder);
  return id !== undefined && id === idOf(host, other);
}

/** Returns the record of a mounted scratch that was made when its folder had another path. */
export async function recordElsewhere(
  host: Host,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  if (sessionOf(host).records(host) === undefined || !isDiskInUse(host, scratch)) return undefined;
  const records = (await allRecords(host, signal)).records.filter((other) =>
    pathKey(other.scratch) !== pathKey(scratch)
  );
  if (records.length === 0) return undefined;
  const id = idOf(host, scratch);
  // A scratch that its mount has created has no id in the record.
  const volume = await scratchVolume(host, scratch).catch(() => undefined);
  return records.find((other) => {
    const itsId = other.scratchId ?? idOf(host, other.scratch);
    return itsId === undefined ? volume !== undefined && other.volume === volume : itsId === id;
  });
}
