/**
 * What is left of a mount that has no disk any more.
 *
 * @module
 */

import { isDiskInUse, kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { diskOf } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { HoldList } from "../holds/hold_list.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { layerCimOf } from "../host_holds/cim_mount.ts";
import { folderOf, isMarked } from "../host_holds/mount_folder.ts";
import { newFileOf } from "../host_holds/new_file.ts";
import type { MountRecord } from "../records/record.ts";
import { isOfAnother, isOfEarlierBoot, lastVolume } from "./mount_records.ts";
import { adoptRecordedPlace } from "./sandbox_volume.ts";

/** Returns what is left of a mount whose disk isn't attached any more, or is by somebody else. */
export async function leftOf(
  host: Host,
  record: MountRecord,
  signal: AbortSignal | undefined,
): Promise<HoldList> {
  const { scratch, cim, volumeMountPath } = record;
  const left = new HoldList();
  // Without the disk, there is no filter either. After a restart, an image is somebody else's.
  if (cim !== undefined && !isOfEarlierBoot(host, record) && !await isOfAnother(host, record, signal)) {
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

/**
 * Returns the disk of a scratch in a folder that was created for it, by a mount that didn't come to its end: nobody has used it. If
 * the folder was never created, its parents can have been.
 */
export function halfScratchOf(host: Host, record: MountRecord): HoldList {
  const { scratch, isNewScratch, volume } = record;
  const holds = new HoldList();
  if (!isNewScratch || volume !== undefined || isDiskInUse(host, scratch)) return holds;
  const kind = kindOf(host, scratch);
  if (kind !== undefined && !(kind === "folder" && isMarked(host, scratch))) return holds;
  const folder = folderOf(host, scratch);
  holds.adopt(folder);
  if (kind !== undefined) holds.adopt(newFileOf(host, diskOf(scratch), [folder]));
  return holds;
}
