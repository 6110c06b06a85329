/**
 * Volumes and images that are mounted by themselves, not as a part of layers, and their records.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { type HoldList, withHolds } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { type PlannedPlace, type Subject, subjectOf } from "../records/place.ts";
import { newStamp } from "../records/stamp.ts";
import { changeScratch } from "./scratch_changes.ts";
import { onceReachable } from "./waiting.ts";

/**
 * Runs `mount` with an empty list, as {@linkcode withHolds} does, and with a record of what it is about to take. The record stays
 * until all of the list is released; `mount` gets its id. A release leaves alone what somebody else has mounted there since.
 */
export function withPlaceRecord<T>(
  host: Host,
  planned: PlannedPlace,
  signal: AbortSignal | undefined,
  mount: (holds: HoldList, id: string | undefined) => Promise<T>,
): Promise<T> {
  const subject = subjectOf(planned);
  return changeScratch(host, subject, signal, async (records) => {
    if (records === undefined) return await withHolds((holds) => mount(holds, undefined));
    const place = { ...planned, ...newStamp(host) };
    let list: HoldList | undefined;
    try {
      await onceReachable(host, records.folder, () => records.beginPlace(host, place));
      return await withHolds(async (holds) => {
        list = holds;
        guardReleases(host, holds, subject, place.id);
        return await mount(holds, place.id);
      });
    } catch (error) {
      if (list === undefined || list.holds.length === 0) await records.close(host, subject);
      throw error;
    }
  });
}

function guardReleases(host: Host, holds: HoldList, subject: string, id: string): void {
  holds.guardReleases((release, signal) =>
    changeScratch(host, subject, signal, async (records) => {
      const record = await onceReachable(host, subject, () => records?.readPlace(host, subject));
      // Without a record, nobody else that keeps records has mounted it since.
      if (record !== undefined && record.id !== id) {
        log("warn", () => `somebody else has mounted the ${subject} since: nothing is left to release`);
        const left = holds.held.map(({ hold }) => ({ hold, wasHeld: false }));
        holds.disown(holds.held);
        return left;
      }
      const released = await release();
      if (record !== undefined) await records?.close(host, subject);
      return released;
    })
  );
}

/** Runs `release` while nobody else changes what a place shows, and then removes its record. */
export function releasePlace<T>(
  host: Host,
  place: Subject,
  signal: AbortSignal | undefined,
  release: () => Promise<T>,
): Promise<T> {
  const subject = subjectOf(place);
  return changeScratch(host, subject, signal, async (records) => {
    const released = await release();
    await records?.close(host, subject);
    return released;
  });
}

/**
 * {@linkcode releasePlace} if its record is still the same, or if neither has one. Returns undefined otherwise: somebody else was
 * faster.
 */
export function releaseRecordedPlace<T>(
  host: Host,
  place: Subject & { readonly id: string | undefined },
  signal: AbortSignal | undefined,
  release: () => Promise<T>,
): Promise<T | undefined> {
  const subject = subjectOf(place);
  return changeScratch(host, subject, signal, async (records) => {
    if ((await records?.readPlace(host, subject))?.id !== place.id) return undefined;
    const released = await release();
    await records?.close(host, subject);
    return released;
  });
}
