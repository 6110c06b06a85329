/**
 * What an earlier mount of a scratch left, before it is mounted again.
 *
 * @module
 */

import { isDiskInUse, kindOf } from "../checks/existing.ts";
import { diskOf } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { log } from "../log.ts";
import type { Records } from "../records/records.ts";
import { sessionOf } from "../session/session.ts";
import { changeElsewhere, recordElsewhere } from "./known_scratch.ts";
import { halfScratchOf, leftOf } from "./left_over.ts";
import { formerRecordOf, isLeftBehind, isOwnerGone, isStillMounted, ownerOf, recordOf } from "./mount_records.ts";
import { releaseRecorded } from "./unmount.ts";

/** What may be done about an earlier mount. */
interface EarlierMountOptions {
  /** Whether what a process left that has ended is released. */
  readonly recover: boolean | undefined;
  /** Whether a scratch that such a process didn't complete is removed, as it is to be created. */
  readonly createScratch: boolean | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Throws if a scratch is mounted according to its record, or was never completed. What is left of a mount that somebody else has
 * taken apart, or that could be released only in part, is released; with `recover`, also what a process left that has ended.
 *
 * @returns Whether the scratch was removed, because it was never completed.
 * @throws {InUseError} with the process that mounted it.
 * @throws {ReleaseError} if something is left of it.
 */
export async function requireUnmounted(
  host: Host,
  records: Records | undefined,
  scratch: string,
  { recover = false, createScratch = false, signal }: EarlierMountOptions,
): Promise<boolean> {
  const { mounts } = sessionOf(host);
  const known = mounts.mountOf(scratch)?.id;
  const record = await recordOf(host, records, scratch) ?? await formerRecordOf(host, records, scratch, signal);
  if (known !== undefined && record?.id !== known && !isDiskInUse(host, scratch)) mounts.forget(scratch);
  if (record === undefined) {
    const other = recover ? await recordElsewhere(host, scratch, signal) : undefined;
    if (other !== undefined) {
      await changeElsewhere(host, scratch, other, signal, async (known) => {
        if (known.record !== undefined && isLeftBehind(host, known.record)) {
          await releaseRecorded(host, known.records, { ...known, signal });
        }
      });
    }
    return false;
  }
  const isMounted = isStillMounted(host, record);
  if (record.id === known) throw new InUseError(scratch, "is already mounted. Unmount it first", "this process");
  if (isMounted && recover && isLeftBehind(host, record)) {
    const finish = () => halfScratchOf(host, record).release();
    await releaseRecorded(host, records, { scratch, record, signal, finish });
    return kindOf(host, diskOf(scratch)) === undefined;
  }
  if (isMounted) {
    const owner = ownerOf(host, record);
    throw new InUseError(scratch, `is mounted by ${owner}, since ${record.since}. Unmount it first`, owner);
  }
  log("info", () => `releasing what is left of the mount ${record.id} of ${scratch}`);
  await (await leftOf(host, record, signal)).release({ signal });
  const half = halfScratchOf(host, record);
  if (!half.holds.some(({ kind }) => kind === "newFile")) return false;
  if (!(recover || createScratch) || !isOwnerGone(host, record)) {
    const owner = ownerOf(host, record);
    throw new InUseError(scratch, `was not created as a whole by ${owner}. Unmount it, which removes it`, owner);
  }
  await half.release();
  return true;
}
