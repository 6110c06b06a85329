/**
 * Scratches that are mounted and have no record, of which the caller says that nobody needs them.
 *
 * @module
 */

import { isDiskInUse, kindOf } from "../checks/existing.ts";
import { toldRealPath } from "../checks/real_path.ts";
import { diskOf, isWithin } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { programData } from "../ffi/kernel32.ts";
import type { Hold } from "../holds/hold.ts";
import type { ReleasedHold } from "../holds/hold_list.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { sessionOf } from "../session/session.ts";
import { isOpenToVM } from "../session/vm_files.ts";
import { foreignMounts, UNKNOWN } from "./foreign_mounts.ts";
import { attachedToHost } from "./attached_disks.ts";
import type { MountInfo } from "./list_mounts.ts";
import { recordElsewhere } from "./known_scratch.ts";
import { recordedPath, recordOf } from "./mount_records.ts";
import { orUndefined, placeOf } from "./volume_place.ts";
import { recordedHolds, releaseRecorded, requireUnused } from "./unmount.ts";

/** Returns the scratch at a folder, unless it has a record or isn't mounted. It can be of another tool, too. */
export async function adoptable(
  host: Host,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<MountInfo[]> {
  const scratch = toldRealPath(host, folder) ?? await recordedPath(host, folder, signal);
  if (await hasRecord(host, scratch, signal) || orUndefined(() => isDiskInUse(host, scratch)) === false) return [];
  const place = await placeOf(host, scratch);
  return [{ ...UNKNOWN, state: place.volume === undefined ? "partial" : "mounted", scratch, ...place }];
}

/**
 * Returns all scratches that Windows has attached, and of which nobody tells: not those in folders of docker, containerd and
 * Windows itself, or in which a tool has written down the layers, nor those that a VM may open.
 */
export async function allAdoptable(host: Host, signal: AbortSignal | undefined): Promise<MountInfo[]> {
  const found: MountInfo[] = [];
  for await (const mount of foreignMounts(host, await attachedToHost(host, signal), () => false, signal)) {
    const { owner, scratch, disk, state } = mount;
    if (owner.tool !== "unknown" || scratch === "" || disk !== undefined || state !== "mounted") continue;
    if (isOfTool(host, scratch) || isOpenToVM(host, diskOf(scratch))) continue;
    // Of this process, without a record.
    if (sessionOf(host).mounts.isActivated(scratch)) continue;
    if (!await hasRecord(host, scratch, signal)) found.push(mount);
  }
  return found;
}

// Windows Sandbox has its disks in a folder of Windows. Docker and winc write down what a scratch rests on, wherever it is.
function isOfTool(host: Host, scratch: string): boolean {
  return isWithin(scratch, `${programData(host)}\\Microsoft`) ||
    kindOf(host, `${scratch}\\layerchain.json`) !== undefined;
}

async function hasRecord(host: Host, scratch: string, signal: AbortSignal | undefined): Promise<boolean> {
  return await recordOf(host, sessionOf(host).records(host), scratch) !== undefined ||
    await recordElsewhere(host, scratch, signal) !== undefined;
}

/** Returns what {@linkcode releaseAdopted} would release, in the order in which it was acquired. */
export function adoptedHolds(
  host: Host,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<readonly Hold[]> {
  requireUnused(host, scratch);
  return recordedHolds(host, { record: undefined, scratch, signal });
}

/** Unmounts a scratch as `unmountWCOWLayers` does. Returns undefined if it has a record by now. */
export function releaseAdopted(
  host: Host,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<ReleasedHold[] | undefined> {
  requireUnused(host, scratch);
  return changeScratch(host, scratch, signal, async (records) => {
    if (kindOf(host, scratch) === undefined || await hasRecord(host, scratch, signal)) return undefined;
    return await releaseRecorded(host, records, { scratch, record: undefined, signal });
  });
}
