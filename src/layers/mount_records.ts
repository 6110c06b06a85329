/**
 * What the records of mounts are for: a mount is refused if the scratch is mounted, and whoever releases makes sure that the
 * mount is still the one that was meant.
 *
 * @module
 */

import { hasVolume, idOf, isDiskInUse, kindOf, toldIdOf } from "../checks/existing.ts";
import { pathKey, volumeIn } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { hasEnded, isCurrentProcess, isNotFound } from "../ffi/kernel32.ts";
import { bootTime } from "../ffi/ntdll.ts";
import { operationOf } from "../ffi/operation.ts";
import { requireVolumeGone, scratchVolume } from "../host_holds/activation.ts";
import { type HoldList, type ReleasedHold, withHolds } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import type { MountPlan, MountRecord } from "../records/record.ts";
import type { Records } from "../records/records.ts";
import { newStamp, type Stamp } from "../records/stamp.ts";
import { allRecords, isScratchOf } from "../session/all_records.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { sessionOf } from "../session/session.ts";
import { vmUsing } from "../session/vm_files.ts";
import { onceReachable, waitUntil } from "../session/waiting.ts";

/** What a mount is about to take. */
export type PlannedMount = Omit<MountPlan, keyof Stamp | "scratchId">;

/**
 * Runs `mount` with an empty list, as {@linkcode withHolds} does, and with a record of what it is about to take. The record stays
 * until all of the list is released.
 *
 * @param mount Gets a function to call once everything is mounted, with the volume of the scratch, and the id of the record.
 */
export async function withRecord<T>(
  host: Host,
  records: Records | undefined,
  planned: PlannedMount,
  signal: AbortSignal | undefined,
  mount: (holds: HoldList, complete: (volume: string) => Promise<void>, id: string | undefined) => Promise<T>,
): Promise<T> {
  const { scratch } = planned;
  const plan = records && { ...planned, scratchId: idOf(host, scratch), ...newStamp(host) };
  noteRecord(signal, plan);
  let list: HoldList | undefined;
  try {
    if (plan !== undefined) await onceReachable(host, records!.folder, () => records!.begin(host, plan));
    return await withHolds(async (holds) => {
      list = holds;
      guardReleases(host, holds, scratch, plan?.id);
      return await mount(holds, async (volume) => {
        if (plan !== undefined) await onceReachable(host, records!.folder, () => records!.complete(host, plan, volume));
        sessionOf(host).mounts.setMount(scratch, { holds, volume, id: plan?.id });
      }, plan?.id);
    });
  } catch (error) {
    if (list === undefined || list.holds.length === 0) await records?.close(host, scratch);
    throw error;
  }
}

/**
 * Returns the record of a scratch if it is about this scratch: a record that was copied from another machine, or is of a folder
 * that was there before, says nothing. Its paths and volumes are only where Windows is asked.
 *
 * @throws {NativeError} if it can't be read, or Windows doesn't tell which folder is there, so that nobody knows what is mounted.
 */
export async function recordOf(
  host: Host,
  records: Records | undefined,
  scratch: string,
): Promise<MountRecord | undefined> {
  const record = await ownRecord(host, records, scratch);
  if (record === undefined || isOfFolder(host, record)) return record;
  log("warn", () => `the record of ${scratch} is ignored, as it is about another folder`);
  return undefined;
}

/**
 * Returns the record of a scratch whose folder is gone or was made anew since, if nobody uses a disk there, and it was made since
 * Windows was started, which no record of another machine was: of what it names, the image and the mount point can be left.
 *
 * @throws {InUseError} if its disk is still attached, so that the folder has another path by now.
 */
export async function formerRecordOf(
  host: Host,
  records: Records | undefined,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  const record = await ownRecord(host, records, scratch);
  if (record?.boot === undefined || isOfAnotherBoot(host, record.boot)) return undefined;
  if (isOfFolder(host, record) || isDiskInUse(host, scratch)) return undefined;
  if (record.volume !== undefined) await requireVolumeGone(host, scratch, record.volume, signal);
  return record;
}

// The one at the place of a scratch's, if it could be that.
async function ownRecord(
  host: Host,
  records: Records | undefined,
  scratch: string,
): Promise<MountRecord | undefined> {
  const record = await readRecord(host, records, scratch);
  if (record === undefined) return undefined;
  const isSane = pathKey(record.scratch) === pathKey(scratch) &&
    (record.volume === undefined || volumeIn(record.volume) === record.volume) &&
    (record.cim === undefined || volumeIn(record.cim.volume) === record.cim.volume);
  return isSane ? record : undefined;
}

/** Returns whether the folder that a record is about is still there. */
export function isOfFolder(host: Host, { scratch, scratchId }: MountRecord): boolean {
  return scratchId === undefined || scratchId === idNow(host, scratch);
}

// An id that Windows doesn't tell is not that of another folder: the record of a mount would be lost.
function idNow(host: Host, scratch: string): string | undefined {
  try {
    return toldIdOf(host, scratch);
  } catch (error) {
    if (isNotFound(error) && kindOf(host, scratch) === undefined) return undefined;
    throw error;
  }
}

/**
 * Returns the path of a scratch whose real path Windows doesn't tell: that of the record about the same folder, or as it is given,
 * as releases have to go on.
 *
 * @throws {InUseError} if it is in use, and Windows doesn't tell which folder it is, so that it can have a record.
 */
export async function recordedPath(host: Host, named: string, signal: AbortSignal | undefined): Promise<string> {
  const { records } = await allRecords(host, signal);
  if (records.length === 0 || records.some(({ scratch }) => pathKey(scratch) === pathKey(named))) return named;
  const id = idOf(host, named);
  if (id === undefined && isDiskInUse(host, named)) {
    throw new InUseError(named, "is in use, and Windows doesn't tell which folder it is, so that it may have a record");
  }
  return records.find(({ scratchId }) => id !== undefined && scratchId === id)?.scratch ?? named;
}

/** Has an error about a call that hangs name a record. */
export function noteRecord(signal: AbortSignal | undefined, record: { readonly id: string } | undefined): void {
  const operation = operationOf(signal);
  if (operation !== undefined) operation.record = record?.id;
}

async function readRecord(
  host: Host,
  records: Records | undefined,
  scratch: string,
): Promise<MountRecord | undefined> {
  return records && await onceReachable(host, records.folder, () => records.read(host, scratch));
}

/** Returns whether the process that made a record has ended. False also if Windows doesn't tell. */
export function isOwnerGone(host: Host, { process, boot }: Owned): boolean {
  return hasEnded(host, process) ?? isOfAnotherBoot(host, boot);
}

/** Who made a record. */
export type Owned = Pick<MountRecord, "process" | "boot">;

// Ten seconds. Windows was never started twice in less.
const SAME_BOOT = 100_000_000n;

function isOfAnotherBoot(host: Host, boot: string | undefined): boolean {
  if (boot === undefined) return false;
  const apart = BigInt(boot) - bootTime(host);
  return apart > SAME_BOOT || apart < -SAME_BOOT;
}

/**
 * Returns whether what a record names is mounted, as far as its disk tells. After a restart of Windows, it isn't: whoever uses the
 * disk by then is somebody else.
 */
export function isStillMounted(host: Host, record: MountRecord): boolean {
  return isDiskInUse(host, record.scratch) && isOfFolder(host, record) && !isOfEarlierBoot(host, record);
}

/** Returns whether Windows was restarted since a record was made, so that of what it names, only files and folders can be left. */
export function isOfEarlierBoot(host: Host, record: Owned): boolean {
  return isOwnerGone(host, record) && isOfAnotherBoot(host, record.boot);
}

/** Returns whether a mount, which is there, outlived its process and isn't meant to. */
export function isLeftBehind(host: Host, record: MountRecord): boolean {
  return isOwnerGone(host, record) && !(record.isPermanent && record.volume !== undefined);
}

/** Returns whether the process that made a record is this one, another one that lives, or one that has ended. */
export function ownerState(host: Host, record: Owned): "this process" | "alive" | "ended" {
  if (isCurrentProcess(host, record.process)) return "this process";
  return isOwnerGone(host, record) ? "ended" : "alive";
}

/** Returns who mounted something, for messages. */
export function ownerOf(host: Host, record: MountRecord): string {
  const state = ownerState(host, record);
  if (state === "this process") return state;
  return `process ${record.process.pid}${state === "ended" ? ", which has ended" : ""}`;
}

/**
 * Has each release of a mount make sure that it is still the same: another process can have unmounted the scratch, and somebody can
 * have mounted it anew since. Then there is nothing left to release. The record goes once nothing is left.
 *
 * @param id Of the record; undefined if there was none.
 */
export function guardReleases(host: Host, holds: HoldList, scratch: string, id: string | undefined): void {
  holds.guardReleases((release, signal) =>
    changeScratch(host, scratch, signal, async (records) => {
      const record = await readRecord(host, records, scratch);
      if (record?.id !== id) return leave(host, holds, scratch, record);
      noteRecord(signal, record);
      const lost = record === undefined ? [] : [
        ...await lostScratch(host, holds, record, signal),
        ...await lostImages(host, holds, record, signal),
      ];
      const released = [...lost, ...await release()];
      if (id !== undefined) await records?.close(host, scratch);
      return released;
    })
  );
}

// The folder of a mount that something else has taken apart can have been made anew, and then its disk is somebody else's.
async function lostScratch(
  host: Host,
  holds: HoldList,
  record: MountRecord,
  signal: AbortSignal | undefined,
): Promise<ReleasedHold[]> {
  const { scratch, volume } = record;
  if (isOfFolder(host, record) || kindOf(host, scratch) === undefined) return [];
  // The new disk can have the volume of the former one.
  const now = await scratchVolume(host, scratch).catch(() => undefined);
  if (volume !== undefined && now !== volume) await requireVolumeGone(host, scratch, volume, signal);
  log("warn", () => `${scratch} was made anew since it was mounted: its disk is left alone`);
  const lost = holds.held.filter(({ hold }) => ["activation", "filter", "overlay"].includes(hold.kind));
  holds.disown(lost);
  sessionOf(host).mounts.forget(scratch);
  return lost.toReversed().map(({ hold }) => ({ hold, wasHeld: false }));
}

// The image of a mount that something else has taken apart can be another container's by now.
async function lostImages(
  host: Host,
  holds: HoldList,
  record: MountRecord,
  signal: AbortSignal | undefined,
): Promise<ReleasedHold[]> {
  const images = holds.held.filter(({ hold }) => hold.kind === "cimVolume");
  if (images.length === 0 || isDiskInUse(host, record.scratch)) return [];
  if (!await isOfAnother(host, record, signal)) return [];
  holds.disown(images);
  return images.map(({ hold }) => ({ hold, wasHeld: false }));
}

function leave(host: Host, holds: HoldList, scratch: string, record: MountRecord | undefined): ReleasedHold[] {
  if (holds.holds.length === 0) return [];
  // A VM takes only a disk that nobody has mounted.
  if (record === undefined && isDiskInUse(host, scratch) && vmUsing(host, scratch) === undefined) {
    throw new InUseError(
      scratch,
      "was unmounted by another process, or the record of its mount is lost, and its disk is in use. If nobody else has " +
        "mounted it, unmount it by its folder",
    );
  }
  const by = record === undefined ? "" : `, and mounted anew by ${ownerOf(host, record)}`;
  log("warn", () => `${scratch} was unmounted by another process${by}: nothing is left to release`);
  const { mounts } = sessionOf(host);
  const left = holds.held.map(({ hold }) => ({ hold, wasHeld: false }));
  // Of a mount that failed, only the scratch is noted.
  holds.disown(holds.held);
  if ((mounts.mountOf(scratch)?.holds ?? holds) === holds) mounts.forget(scratch);
  return left;
}

/**
 * Returns the volume of a record whose disk isn't attached. Undefined if it is still there, so that it is somebody else's: Windows
 * takes it away with the disk, after a while.
 */
export async function lastVolume(
  host: Host,
  { volume }: MountRecord,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (volume === undefined) return undefined;
  return await waitUntil(host, `${volume} is gone`, () => hasVolume(host, volume) === false, signal)
    ? volume
    : undefined;
}

/**
 * Returns whether the image of a record belongs to another mount by now: a container can live on another scratch, with the same
 * volume of the image, as its name is made of the container's id. It can have the image, and not yet its disk.
 *
 * @throws {LayerError} if there is such a volume, and a record can't be read that may name it.
 */
export async function isOfAnother(
  host: Host,
  { id, scratch, cim }: {
    readonly id: string | undefined;
    readonly scratch: string;
    readonly cim: { readonly volume: string } | undefined;
  },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (cim === undefined) return false;
  const { records, unreadable } = await allRecords(host, signal);
  const isTaken = records.some((other) =>
    other.id !== id && other.cim?.volume === cim.volume &&
    (isDiskInUse(host, other.scratch) || !isOwnerGone(host, other)) && !isScratchOf(host, other, scratch)
  );
  if (!isTaken && unreadable.length > 0 && hasVolume(host, cim.volume) !== false) throw unreadable[0]!.error;
  return isTaken;
}
