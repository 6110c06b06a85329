/**
 * The hold on a mount point: a volume mounted at a folder.
 *
 * @module
 */

import { attributesOf, isLink, kindOf } from "../checks/existing.ts";
import { pathKey, returnedVolume, volumeIn } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { messageOf, printable } from "../errors/printable.ts";
import { InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  attribute,
  deleteVolumeMountPoint,
  deviceIoControl,
  fileAttributes,
  fileFlag,
  isNotFound,
  mountPointsOfVolume,
  openFile,
  setVolumeMountPoint,
  volumeNameForMountPoint,
} from "../ffi/kernel32.ts";
import { fromWide } from "../ffi/wide.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { log } from "../log.ts";
import { isOwn, maybeOfOthers } from "../session/creations.ts";
import type { Acquisition } from "./activation.ts";
import { folderOf } from "./mount_folder.ts";

/**
 * Returns the hold on the mount point at a folder, no matter which process created it. Releasing it removes the mount
 * point of `volume` or of a volume that no longer exists; if `volume` is undefined, of any volume.
 */
export function mountPointOf(
  host: Host,
  init: Omit<HoldOf<"mountPoint">, "kind">,
  restsOn: readonly Held[] = [],
): Held<HoldOf<"mountPoint">> {
  return {
    hold: { kind: "mountPoint", ...init },
    restsOn,
    async release() {
      if (remove(host, init)) return true;
      const moved = movedTo(host, init);
      if (moved === undefined) return false;
      const removed = remove(host, { ...init, folder: moved });
      await folderOf(host, moved).release();
      return removed;
    },
  };
}

/**
 * Mounts a volume at an empty folder.
 *
 * @throws {UnexpectedAnswerError} if Windows reports that it is mounted, and the folder shows none.
 */
// deno-lint-ignore require-await
export async function acquireMountPoint(
  host: Host,
  init: Required<Omit<HoldOf<"mountPoint">, "kind">>,
  { restsOn = [], expect }: Pick<Acquisition, "restsOn" | "expect">,
): Promise<Held<HoldOf<"mountPoint">>> {
  // Asked twice, as an answer can be wrong once. A mount point that is there already would be removed if the call failed.
  if (isLink(host, init.folder) || isLink(host, init.folder)) {
    throw new InUseError(init.folder, "has become a mount point or a link since it was looked at");
  }
  const held = mountPointOf(host, init, restsOn);
  const isNewFolder = restsOn.some(({ hold }) => hold.kind === "folder" && hold.created?.includes(init.folder));
  let isOurs: boolean | undefined = true;
  expect({
    ...held,
    async release() {
      if (isOurs === undefined && isLink(host, init.folder)) throw maybeOfOthers(init.folder);
      return isOurs === true && await held.release();
    },
  });
  try {
    setVolumeMountPoint(host, init.folder, init.volume);
  } catch (error) {
    isOurs = !isNotEmpty(error) && isOwn(error, isNewFolder);
    throw error;
  }
  // Asked twice, as an answer can be wrong once.
  if (!mayBeLink(host, init.folder) && !mayBeLink(host, init.folder)) {
    const problem = `reports success although nothing is mounted at ${printable(init.folder)}`;
    throw new UnexpectedAnswerError("SetVolumeMountPointW", problem, 0);
  }
  return held;
}

function mayBeLink(host: Host, folder: string): boolean {
  try {
    return isLink(host, folder);
  } catch {
    return true;
  }
}

function isNotEmpty(error: unknown): boolean {
  return error instanceof NativeError && error.win32 === win32.ERROR_DIR_NOT_EMPTY;
}

// Returns where a mount point is whose folder isn't there any more, as its drive has another letter by now.
function movedTo(host: Host, { folder, volume }: Omit<HoldOf<"mountPoint">, "kind">): string | undefined {
  if (volume === undefined || !/^[A-Za-z]:/.test(folder) || kindOf(host, folder) !== undefined) return undefined;
  try {
    const onDrive = pathKey(folder.slice(2));
    return mountPointsOfVolume(host, volume).map((path) => path.replace(/\\$/, ""))
      .find((path) => pathKey(path.replace(ROOT, "")) === onDrive);
  } catch (error) {
    // Mostly because the volume is gone.
    if (!(error instanceof NativeError)) throw error;
    log("debug", () => messageOf(error));
    return undefined;
  }
}

// Of a drive, or of a volume that has no letter.
const ROOT = /^([A-Za-z]:|\\\\\?\\Volume\{[^}]*\})/i;

// Asks twice if the volume is still there although Windows reported that its mount point is removed.
function remove(host: Host, mountPoint: { readonly folder: string; readonly volume?: string }): boolean {
  const { folder } = mountPoint;
  if (!removeOnce(host, mountPoint)) return false;
  if (!isLink(host, folder) || !removeOnce(host, mountPoint) || !isLink(host, folder)) return true;
  throw new InUseError(folder, "is still a mount point after DeleteVolumeMountPointW reported that it was removed");
}

function removeOnce(host: Host, { folder, volume }: { readonly folder: string; readonly volume?: string }): boolean {
  const attributes = attributesOf(host, folder);
  if (attributes === undefined ? volume === undefined : (attributes & attribute.REPARSE_POINT) === 0) {
    return false;
  }
  const mounted = mountedVolume(host, folder);
  // It is no mount point, or another program has mounted its volume here since.
  if (mounted === undefined || volume !== undefined && !isSameVolume(host, mounted, volume) && !isGone(host, mounted)) {
    return false;
  }
  try {
    deleteVolumeMountPoint(host, folder);
  } catch (error) {
    if (fileAttributes(host, folder) === undefined) return false;
    // Nobody knows what Windows does for a volume that is gone. The folder still links to it, and the link can be deleted.
    if (!isGone(host, mounted)) throw error;
    if (linkedVolume(host, folder) === undefined) return false;
    deleteMountLink(host, folder);
  }
  return true;
}

/**
 * The volume that a folder shows, undefined if it is none that shows one.
 *
 * @throws {NativeError} if Windows tells in neither of the two ways.
 */
export function mountedVolume(host: Host, folder: string): string | undefined {
  try {
    return returnedVolume("GetVolumeNameForVolumeMountPointW", volumeNameForMountPoint(host, folder));
  } catch (error) {
    if (isNotFound(error) && fileAttributes(host, folder) === undefined) return undefined;
    return linkedVolume(host, folder);
  }
}

function isGone(host: Host, volume: string): boolean {
  return fileAttributes(host, volume) === undefined;
}

/** Whether a volume that Windows told is the one with this name: a volume can have several, of which Windows tells one. */
export function isSameVolume(host: Host, told: string, volume: string | undefined): boolean {
  return volume !== undefined &&
    (pathKey(told) === pathKey(volume) || pathKey(told) === pathKey(volumeAt(host, volume) ?? ""));
}

function volumeAt(host: Host, path: string): string | undefined {
  try {
    return volumeNameForMountPoint(host, path);
  } catch {
    return undefined;
  }
}

const FSCTL_GET_REPARSE_POINT = 0x000900a8;
const MAXIMUM_REPARSE_DATA_BUFFER_SIZE = 16384;

// Returns the volume that the link on a folder leads to. A junction has the same tag, but leads to a path.
function linkedVolume(host: Host, folder: string): string | undefined {
  using handle = openFile(host, folder, { flags: fileFlag.BACKUP_SEMANTICS | fileFlag.OPEN_REPARSE_POINT });
  const output = new Uint8Array(MAXIMUM_REPARSE_DATA_BUFFER_SIZE);
  try {
    deviceIoControl(host, handle.value, { code: FSCTL_GET_REPARSE_POINT, output, path: folder });
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_NOT_A_REPARSE_POINT) return undefined;
    throw error;
  }
  // REPARSE_DATA_BUFFER: the tag, at 8 and 10 offset and length of the substitute name, which is in the buffer from 16 on.
  const view = new DataView(output.buffer);
  if (view.getUint32(0, true) !== IO_REPARSE_TAG_MOUNT_POINT) return undefined;
  const start = 16 + view.getUint16(8, true);
  const name = fromWide(output.slice(start, start + view.getUint16(10, true)));
  return volumeIn(name.replace(/^\\\?\?\\/, "\\\\?\\"));
}

const FSCTL_DELETE_REPARSE_POINT = 0x000900ac;
const IO_REPARSE_TAG_MOUNT_POINT = 0xa0000003;

function deleteMountLink(host: Host, folder: string): void {
  using handle = openFile(host, folder, {
    access: access.GENERIC_WRITE,
    flags: fileFlag.BACKUP_SEMANTICS | fileFlag.OPEN_REPARSE_POINT,
  });
  // REPARSE_DATA_BUFFER: the tag, and no data.
  const input = new Uint8Array(8);
  new DataView(input.buffer).setUint32(0, IO_REPARSE_TAG_MOUNT_POINT, true);
  try {
    deviceIoControl(host, handle.value, { code: FSCTL_DELETE_REPARSE_POINT, input, path: folder });
  } catch (error) {
    if (!(error instanceof NativeError && error.win32 === win32.ERROR_NOT_A_REPARSE_POINT)) throw error;
  }
}
