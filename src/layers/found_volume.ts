/**
 * The volume of a scratch that is unmounted, and what is found by it.
 *
 * @module
 */

import { hasVolume, kindOf } from "../checks/existing.ts";
import { diskOf } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { neverReachedWindows } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { mountPointsOfVolume } from "../ffi/kernel32.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { isSameVolume, mountedVolume } from "../host_holds/mount_point.ts";
import { isScratchOf, mountWithVolumeOf } from "../session/all_records.ts";
import { waitUntil } from "../session/waiting.ts";

/**
 * Refuses a volume that Windows told of a scratch and that is another container's, which would lose what is found by it.
 *
 * @throws {UnexpectedAnswerError} if it is.
 */
export async function requireNobodyElses(
  host: Host,
  volume: string,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const owner = await mountWithVolumeOf(host, volume, signal);
  if (owner === undefined || isScratchOf(host, owner, scratch)) return;
  throw new UnexpectedAnswerError("GetLayerMountPath", `is the volume of another scratch (${owner.scratch})`, volume);
}

const DRIVE_LETTER = /^[A-Za-z]:\\$/;

/** Returns the mount points of a volume; those of a damaged one can't be listed, and then only the caller knows them. */
export async function listMountPoints(
  host: Host,
  volume: string,
  signal: AbortSignal | undefined,
): Promise<{ mountPoints: string[]; unlisted?: unknown }> {
  let mountPoints: string[] = [];
  let unlisted: unknown;
  await waitUntil(host, `the mount points of ${volume} can be listed`, () => {
    try {
      // Windows takes a drive letter away with the disk.
      mountPoints = mountPointsOfVolume(host, volume).filter((path) => !DRIVE_LETTER.test(path));
      unlisted = undefined;
      return true;
    } catch (error) {
      if (neverReachedWindows(error)) throw error;
      unlisted = error;
      return false;
    }
  }, signal);
  return { mountPoints, unlisted };
}

/**
 * Returns the volume at a folder that the caller names: of the scratch, or gone.
 *
 * @throws {InvalidInputError} if it is another one.
 */
export function volumeShown(host: Host, folder: string, volume: string | undefined): string | undefined {
  if (kindOf(host, folder) === undefined) return volume;
  const shown = mountedVolume(host, folder);
  if (shown !== undefined && kindOf(host, shown) !== undefined && !isSameVolume(host, shown, volume)) {
    throw new InvalidInputError("volumeMountPath", `shows another volume than the scratch's (${shown})`, folder);
  }
  return shown ?? volume;
}

/**
 * Returns the volume of a scratch, or why Windows doesn't tell it; neither for a scratch without a disk.
 *
 * @param recorded The volume that it had when it was mounted, if that is known.
 */
export async function volumeOf(
  host: Host,
  scratch: string,
  recorded: string | undefined,
): Promise<{ volume?: string; error?: unknown }> {
  // Of a folder that has none, Windows could tell the volume that is mounted there.
  if (kindOf(host, diskOf(scratch)) === undefined) return {};
  try {
    const volume = await scratchVolume(host, scratch);
    // An answer can be wrong once, and what is mounted of another container's volume would be released. So can a record, always.
    return { volume: isAnother(host, volume, recorded) ? await scratchVolume(host, scratch) : volume };
  } catch (error) {
    if (neverReachedWindows(error)) throw error;
    return { error };
  }
}

// A disk that was attached again can have another volume. Then the former one is gone.
function isAnother(host: Host, told: string, recorded: string | undefined): boolean {
  return recorded !== undefined && !isSameVolume(host, told, recorded) && !isSameVolume(host, recorded, told) &&
    hasVolume(host, recorded) !== false;
}
