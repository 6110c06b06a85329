/**
 * The hold on a mount point: a volume mounted at a folder.
 *
 * @module
 */

import { pathKey } from "../checks/windows_path.ts";
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
import type { Held, HoldOf } from "../holds/hold.ts";

/** Returns the mount point at a folder, no matter which process created it: of `volume`, or of any volume if undefined. */
export function mountPointOf(
  host: Host,
  init: Omit<HoldOf<"mountPoint">, "kind">,
  restsOn: readonly Held[] = [],
): Held<HoldOf<"mountPoint">> {
  return {
    hold: { kind: "mountPoint", ...init },
    restsOn,
    // deno-lint-ignore require-await
    release: async () => remove(host, init),
  };
}

/** Mounts a volume at an empty folder. */
// deno-lint-ignore require-await
export async function acquireMountPoint(
  host: Host,
  init: Required<Omit<HoldOf<"mountPoint">, "kind">>,
  restsOn: readonly Held[] = [],
): Promise<Held<HoldOf<"mountPoint">>> {
  setVolumeMountPoint(host, init.folder, init.volume);
  return mountPointOf(host, init, restsOn);
}

function remove(host: Host, { folder, volume }: { readonly folder: string; readonly volume?: string }): boolean {
  const attributes = fileAttributes(host, folder);
  if (attributes === undefined ? volume === undefined : (attributes & attribute.REPARSE_POINT) === 0) {
    return false;
  }
  const mounted = volume === undefined ? volumeNameForMountPoint(host, folder) : volumeAt(host, folder);
  if (mounted !== undefined && !isVolume(host, mounted, volume ?? mounted)) {
    // Another program has mounted its volume here since.
    return false;
  }
  try {
    deleteVolumeMountPoint(host, folder);
  } catch (error) {
    if (fileAttributes(host, folder) === undefined) return false;
    // Nobody knows what Windows does for a volume that is gone. The folder still links to it, and the link can be deleted.
    if (fileAttributes(host, volume ?? mounted!) !== undefined) throw error;
    deleteMountLink(host, folder);
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

// A volume can have several names, and Windows returns one of them.
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
