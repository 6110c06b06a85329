/**
 * The hold on a new file, and the removal of files and folders that this library created.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { isLink } from "../checks/existing.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, deleteFile, directoryEntries, isNotFound, removeDirectory } from "../ffi/kernel32.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { createHeld } from "../session/creations.ts";
import { removeOnceFree } from "../session/waiting.ts";
import type { Acquisition } from "./activation.ts";

/**
 * Runs `make`, by which the function `by` of Windows creates a file that did not exist before. Releasing the hold deletes the file, even if `make` failed
 * and left it behind, see {@linkcode createHeld}.
 *
 * @param path Its path, where nothing exists yet.
 */
export async function acquireNewFile(
  host: Host,
  path: string,
  { by, make }: { readonly by: string; readonly make: () => unknown },
  { restsOn = [], expect }: Pick<Acquisition, "restsOn" | "expect">,
): Promise<Held<HoldOf<"newFile">>> {
  const held = newFileOf(host, path, restsOn);
  const isInNewFolder = restsOn.some(({ hold }) => hold.kind === "folder" && hold.created?.includes(dirname(path)));
  await createHeld(host, { held, paths: [path], by, isInNewFolder }, make, expect);
  return held;
}

/** Returns the hold on a file that is known to be new. */
export function newFileOf(host: Host, path: string, restsOn: readonly Held[] = []): Held<HoldOf<"newFile">> {
  return {
    hold: { kind: "newFile", path },
    restsOn,
    release: () => removeOnceFree(host, path, () => removeFile(host, path)),
  };
}

/** Deletes a file. Returns false if there is none. */
export function removeFile(host: Host, path: string): boolean {
  return unlessGone(() => deleteFile(host, path));
}

/** Deletes a folder with its content, but nothing behind a link or a mount point. Returns false if there is none. */
export function removeTree(host: Host, folder: string): boolean {
  return unlessGone(() => {
    // Listing a link would list the folder behind it. The link itself is removed as a folder.
    if (!isLink(host, folder)) {
      for (const { name, attributes } of [...directoryEntries(host, folder)]) {
        const path = `${folder}\\${name}`;
        if ((attributes & attribute.DIRECTORY) === 0) removeFile(host, path);
        else removeTree(host, path);
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
