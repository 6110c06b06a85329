/**
 * Resolving paths.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "./host.ts";
import { fileFlag, finalPath, finalPathName, openFile } from "./kernel32.ts";

/**
 * Resolves the links and mount points in `path`, and returns `\\?\Volume{guid}\...`. If the file system has no volume
 * GUID, such as a network share, it returns `\\?\C:\...` or `\\server\share\...`.
 *
 * @throws {NativeError} if there is nothing at `path`.
 */
export function resolvePath(host: Host, path: string): string {
  using handle = openFile(host, path, { flags: fileFlag.BACKUP_SEMANTICS });
  let volume: number = finalPath.VOLUME_NAME_GUID;
  let name: number = finalPath.NAME_NORMALIZED;
  for (;;) {
    try {
      return finalPathName(host, handle.value, name | volume, path).replace(/^\\\\\?\\UNC\\/i, "\\\\");
    } catch (error) {
      // Without a volume GUID, use the drive letter. If a parent can't be listed, don't normalize the name.
      const code = error instanceof NativeError ? error.win32 : undefined;
      if (code === win32.ERROR_PATH_NOT_FOUND && volume === finalPath.VOLUME_NAME_GUID) {
        volume = finalPath.VOLUME_NAME_DOS;
      } else if (code === win32.ERROR_ACCESS_DENIED && name === finalPath.NAME_NORMALIZED) {
        name = finalPath.NAME_OPENED;
      } else {
        throw error;
      }
    }
  }
}
