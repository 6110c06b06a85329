/**
 * The hold on a folder for a mount point or a scratch. Only folders that this library created are removed.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { messageOf } from "../errors/printable.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  attribute,
  createDirectory,
  disposition,
  fileAttributes,
  isDirectoryEmpty,
  isNotFound,
  openFile,
  removeDirectory,
} from "../ffi/kernel32.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import { log } from "../log.ts";

// The name of an alternate data stream on folders that this library created, by which another process recognizes them. It
// doesn't count as content, is hidden while a volume is mounted at the folder, and is deleted with the folder.
const MARK = ":hcs-layers.created";

/**
 * Returns the hold on a folder, no matter which process created it. Releasing it removes the folders in `created`, or, if
 * that is undefined, those that have the mark.
 */
export function folderOf(host: Host, path: string, created?: readonly string[]): Held<HoldOf<"folder">> {
  return {
    hold: { kind: "folder", folder: path, ...(created && { created }) },
    restsOn: [],
    // deno-lint-ignore require-await
    async release() {
      let removed = false;
      for (const part of created ?? []) {
        removed = remove(host, part) || removed;
      }
      // Parents that another mount created while this one used them, or all folders if this process didn't create any.
      return created?.length !== 0 && removeMarked(host, path) || removed;
    },
  };
}

/** Creates the missing folders of a path. Releasing the hold removes only those. */
// deno-lint-ignore require-await
export async function acquireFolder(host: Host, path: string): Promise<Held<HoldOf<"folder">>> {
  const created: string[] = [];
  try {
    create(host, path, created);
  } catch (error) {
    created.forEach((part) => remove(host, part));
    throw error;
  }
  return folderOf(host, path, created);
}

function create(host: Host, path: string, created: string[]): void {
  let outcome: boolean;
  try {
    outcome = createDirectory(host, path);
  } catch (error) {
    const parent = dirname(path);
    if (!isNotFound(error) || parent === path) throw error;
    create(host, parent, created);
    outcome = createDirectory(host, path);
  }
  if (outcome) {
    created.unshift(path);
    mark(host, path);
  }
}

// On a file system without streams, only this process knows that it created the folder.
const NO_STREAMS: readonly number[] = [
  win32.ERROR_INVALID_NAME,
  win32.ERROR_INVALID_PARAMETER,
  win32.ERROR_NOT_SUPPORTED,
];

function mark(host: Host, path: string): void {
  try {
    openFile(host, path + MARK, { access: access.GENERIC_WRITE, disposition: disposition.CREATE_NEW })
      [Symbol.dispose]();
  } catch (error) {
    if (!hasNoStreams(error)) throw error;
    log("debug", () => `no mark on ${path}: ${messageOf(error)}`);
  }
}

function isMarked(host: Host, path: string): boolean {
  try {
    openFile(host, path + MARK)[Symbol.dispose]();
    return true;
  } catch (error) {
    if (!isNotFound(error) && !hasNoStreams(error)) throw error;
    return false;
  }
}

function hasNoStreams(error: unknown): boolean {
  return error instanceof NativeError && NO_STREAMS.includes(error.win32 ?? 0);
}

// Removes the folders that have the mark, from `path` up, and skips those that are already gone.
function removeMarked(host: Host, path: string): boolean {
  let removed = false;
  for (let at = path, parent = dirname(at);; at = parent, parent = dirname(at)) {
    if (fileAttributes(host, at) !== undefined) {
      if (!isMarked(host, at) || !remove(host, at)) return removed;
      removed = true;
    }
    if (parent === at) return removed;
  }
}

function remove(host: Host, path: string): boolean {
  // Another program has mounted something here since.
  if (((fileAttributes(host, path) ?? 0) & attribute.REPARSE_POINT) !== 0) return false;
  try {
    removeDirectory(host, path);
    return true;
  } catch (error) {
    // Another program has removed the folder, or uses it. In both cases, it isn't ours to remove.
    if (fileAttributes(host, path) === undefined || isUsed(host, path, error)) return false;
    throw error;
  }
}

function isUsed(host: Host, path: string, error: unknown): boolean {
  return error instanceof NativeError && error.win32 === win32.ERROR_DIR_NOT_EMPTY && !isDirectoryEmpty(host, path);
}

/**
 * Throws if a volume can't be mounted at a path, because it is a file, a folder that isn't empty, or a mount point. The
 * folder need not exist.
 *
 * @throws {InvalidInputError} that names the argument and the path.
 */
export function checkMountable(host: Host, path: string, argument: string): void {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) return;
  if ((attributes & attribute.DIRECTORY) === 0) {
    throw new InvalidInputError(argument, "is a file, not a folder", path);
  }
  if ((attributes & attribute.REPARSE_POINT) !== 0) {
    throw new InvalidInputError(argument, "is already a mount point or a link", path);
  }
  if (!isDirectoryEmpty(host, path)) {
    throw new InvalidInputError(argument, "is not empty", path);
  }
}
