/**
 * Resolving paths.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "./host.ts";
import { fileFlag, finalPath, finalPathName, openFile } from "./kernel32.ts";

/** How the volume of a path is named: by its GUID, or by its drive letter or a folder at which it is mounted. */
export type VolumeName = typeof finalPath.VOLUME_NAME_GUID | typeof finalPath.VOLUME_NAME_DOS;

/**
 * Resolves the links and mount points in `path`, and returns `\\?\Volume{guid}\...` or `\\?\C:\...`, as preferred: a file
 * system can have no volume GUID, and a volume no drive letter. Of a network share, it returns `\\server\share\...`.
 *
 * @throws {NativeError} if there is nothing at `path`.
 */
export function resolvePath(host: Host, path: string, preferred: VolumeName = finalPath.VOLUME_NAME_GUID): string {
  using handle = openFile(host, path, { flags: fileFlag.BACKUP_SEMANTICS });
  const { VOLUME_NAME_GUID, VOLUME_NAME_DOS } = finalPath;
  const other = preferred === VOLUME_NAME_GUID ? VOLUME_NAME_DOS : VOLUME_NAME_GUID;
  let volume: VolumeName = preferred;
  let name: number = finalPath.NAME_NORMALIZED;
  for (;;) {
    try {
      return finalPathName(host, handle.value, name | volume, path).replace(/^\\\\\?\\UNC\\/i, "\\\\");
    } catch (error) {
      // If a parent can't be listed, don't normalize the name.
      const code = error instanceof NativeError ? error.win32 : undefined;
      if (code === win32.ERROR_PATH_NOT_FOUND && volume === preferred) {
        volume = other;
      } else if (code === win32.ERROR_ACCESS_DENIED && name === finalPath.NAME_NORMALIZED) {
        name = finalPath.NAME_OPENED;
      } else {
        throw error;
      }
    }
  }
}
