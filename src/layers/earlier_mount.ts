/**
 * What an earlier mount of a scratch left, before it is mounted again.
 *
 * @module
 */

import { isDiskInUse } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { HoldList } from "../holds/hold_list.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { layerCimOf } from "../host_holds/cim_mount.ts";
import { log } from "../log.ts";
import type { MountRecord } from "../records/record.ts";
import type { Records } from "../records/records.ts";
import { sessionOf } from "../session/session.ts";
import {
  isLeftBehind,
  isOfAnother,
  isOfEarlierBoot,
  isStillMounted,
  lastVolume,
  ownerOf,
  recordOf,
} from "./mount_records.ts";
import { adoptRecordedPlace } from "./sandbox_volume.ts";
import { releaseRecorded } from "./unmount.ts";

/**
 * Throws if a scratch is mounted according to its record. What is left of a mount that somebody else has taken apart, or that
 * could be released only in part, is released; with `recover`, also what a process left that has ended.
 *
 * @throws {InUseError} with the process that mounted it.
 * @throws {ReleaseError} if something is left of it.
 */
export async function requireUnmounted(
  host: Host,
  records: Records | undefined,
  scratch: string,
  { recover = false, signal }: { readonly recover?: boolean | undefined; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { mounts } = sessionOf(host);
  const known = mounts.mountOf(scratch)?.id;
  const record = await recordOf(host, records, scratch);
  if (known !== undefined && record?.id !== known && !isDiskInUse(host, scratch)) mounts.forget(scratch);
  if (record === undefined) return;
  const isMounted = isStillMounted(host, record);
  if (record.id === known) throw new InUseError(scratch, "is already mounted. Unmount it first", "this process");
  if (isMounted && recover && isLeftBehind(host, record)) {
    await releaseRecorded(host, records, { scratch, record, signal });
    return;
  }
  if (isMounted) {
    const owner = ownerOf(host, record);
    throw new InUseError(scratch, `is mounted by ${owner}, since ${record.since}. Unmount it first`, owner);
  }
  log("info", () => `releasing what is left of the mount ${record.id} of ${scratch}`);
  await (await leftOf(host, records!, record, signal)).release({ signal });
}

/** Returns what is left of a mount whose disk isn't attached any more, or is by somebody else. */
export async function leftOf(
  host: Host,
  records: Records,
  record: MountRecord,
  signal: AbortSignal | undefined,
): Promise<HoldList> {
  const { scratch, cim, volumeMountPath } = record;
  const left = new HoldList();
  // Without the disk, there is no filter either. After a restart, an image is somebody else's.
  if (cim !== undefined && !isOfEarlierBoot(host, record) && !isOfAnother(host, records, record)) {
    requireGrantsFor(host, "image");
    left.adopt(layerCimOf(host, { ...cim, scratch }));
  }
  if (volumeMountPath !== undefined) {
    // The volume of the scratch is the same if somebody else has attached its disk since.
    const now = await scratchVolume(host, scratch).catch(() => undefined);
    const volume = now !== undefined && now === record.volume ? now : await lastVolume(host, record, signal);
    adoptRecordedPlace(host, left, volumeMountPath, volume);
  }
  return left;
}
