/**
 * The hold on a file that did not exist before, and removing what this library made.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { attribute, deleteFile, directoryEntries, isNotFound, removeDirectory } from "../ffi/kernel32.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { isWithin } from "../checks/windows_path.ts";

/** A file that was made. */
export interface NewFileHold extends Hold {
  /** What is held. */
  readonly kind: "newFile";
  /** Path of the file. */
  readonly path: string;
}

/** Has `make` make a file, and deletes it. */
export function newFile(make: () => unknown): HoldKind<NewFileHold> {
  return {
    kind: "newFile",

    async take(_, hold) {
      await make();
      return hold;
    },

    // A disk can't be deleted while it is attached.
    carries: (hold, other) =>
      other.kind === "activation" && "scratch" in other && isWithin(hold.path, other.scratch as string),

    give(host, hold) {
      return Promise.resolve(removeFile(host, hold.path));
    },
  };
}

/** Deletes a file. Answers false where there is none. */
export function removeFile(host: Host, path: string): boolean {
  return unlessGone(() => deleteFile(host, path));
}

/** Deletes a folder with all that is in it, but nothing behind a link or a mount point. False where there is none. */
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
