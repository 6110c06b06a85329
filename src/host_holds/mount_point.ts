/**
 * The hold on a mount point: a folder at which a volume is found.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  attribute,
  deleteVolumeMountPoint,
  deviceIoControl,
  fileAttributes,
  fileFlag,
  openFile,
  setVolumeMountPoint,
  volumeNameForMountPoint,
} from "../ffi/kernel32.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { pathKey } from "../checks/windows_path.ts";

/** A volume mounted at a folder by `SetVolumeMountPointW`. */
export interface MountPointHold extends Hold {
  /** What is held. */
  readonly kind: "mountPoint";
  /** Path of the folder. */
  readonly folder: string;
  /** The volume, `\\?\Volume{guid}\`, where it is known. */
  readonly volume?: string;
}

/** Puts the mount point on an empty folder, and takes it off; the folder stays. */
export const mountPoint: HoldKind<MountPointHold, MountPointHold & { readonly volume: string }> = {
  kind: "mountPoint",

  take(host, hold) {
    setVolumeMountPoint(host, hold.folder, hold.volume);
    return Promise.resolve(hold);
  },

  give(host, hold) {
    return Promise.resolve(remove(host, hold));
  },
};

function remove(host: Host, hold: MountPointHold): boolean {
  const attributes = fileAttributes(host, hold.folder);
  if (attributes === undefined ? hold.volume === undefined : (attributes & attribute.REPARSE_POINT) === 0) {
    return false;
  }
  const mounted = hold.volume === undefined ? volumeNameForMountPoint(host, hold.folder) : volumeAt(host, hold.folder);
  if (mounted !== undefined && !isVolume(host, mounted, hold.volume ?? mounted)) {
    // Somebody else's by now.
    return false;
  }
  try {
    deleteVolumeMountPoint(host, hold.folder);
  } catch (error) {
    if (fileAttributes(host, hold.folder) === undefined) return false;
    // Nobody knows what Windows does for a volume that is gone. The link to it is left on the folder, and can be taken
    // off as what it is.
    if (fileAttributes(host, hold.volume ?? mounted!) !== undefined) throw error;
    deleteMountLink(host, hold.folder);
  }
  return true;
}

function volumeAt(host: Host, path: string): string | undefined {
  try {
    return volumeNameForMountPoint(host, path);
  } catch {
    return undefined;
  }
}

// A volume can have several names, of which Windows tells one.
function isVolume(host: Host, mounted: string, volume: string): boolean {
  return pathKey(mounted) === pathKey(volume) || pathKey(mounted) === pathKey(volumeAt(host, volume) ?? "");
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
