/**
 * The hold on a new file, and the removal of files and folders that this library created.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { attribute, deleteFile, directoryEntries, isNotFound, removeDirectory } from "../ffi/kernel32.ts";
import type { Held, HoldOf } from "../holds/hold.ts";

/** Runs `make`, which creates a file that did not exist before. Releasing the hold deletes the file. */
export async function acquireNewFile(
  host: Host,
  path: string,
  make: () => unknown,
  restsOn: readonly Held[] = [],
): Promise<Held<HoldOf<"newFile">>> {
  await make();
  return {
    hold: { kind: "newFile", path },
    restsOn,
    // deno-lint-ignore require-await
    release: async () => removeFile(host, path),
  };
}

/** Deletes a file. Returns false if there is none. */
export function removeFile(host: Host, path: string): boolean {
  return unlessGone(() => deleteFile(host, path));
}

/** Deletes a folder with its content, but nothing behind a link or a mount point. Returns false if there is none. */
export function removeTree(host: Host, folder: string): boolean {
  return unlessGone(() => {
    for (const { name, attributes } of [...directoryEntries(host, folder)]) {
      const path = `${folder}\\${name}`;
      if ((attributes & attribute.DIRECTORY) === 0) {
        removeFile(host, path);
      } else if ((attributes & attribute.REPARSE_POINT) === 0) {
        removeTree(host, path);
      } else {
        removeDirectory(host, path);
      }
    }
    removeDirectory(host, folder);
  });
}

function unlessGone(remove: () => void): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
