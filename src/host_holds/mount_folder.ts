/**
 * The hold on a folder for a mount point or a scratch: ours only if we created it.
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

// An alternate data stream on a folder that this library created. It doesn't count as content, can't be seen while a
// volume is mounted at the folder, and dies with it: so that another process can tell our folders from everybody else's.
const MARK = ":hcs-layers.created";

/**
 * A folder that was created, or not, by this process or another. What is ours of it is what `created` names; if that isn't
 * known, what bears our mark.
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
      // Parents that another mount created and left to this one, or all if this process doesn't know them.
      return created?.length !== 0 && removeMarked(host, path) || removed;
    },
  };
}

/** Creates what is missing of a path. Releasing it removes just that again. */
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

// If a file system has no streams, only this process knows that the folder is ours.
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

// Removes the folders that bear our mark, from `path` up, past those that are gone already.
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
  // What is mounted here by now is somebody else's.
  if (((fileAttributes(host, path) ?? 0) & attribute.REPARSE_POINT) !== 0) return false;
  try {
    removeDirectory(host, path);
    return true;
  } catch (error) {
    // Somebody was faster, or uses the folder: then it is theirs.
    if (fileAttributes(host, path) === undefined || isUsed(host, path, error)) return false;
    throw error;
  }
}

function isUsed(host: Host, path: string, error: unknown): boolean {
  return error instanceof NativeError && error.win32 === win32.ERROR_DIR_NOT_EMPTY && !isDirectoryEmpty(host, path);
}

/**
 * Refuses a folder that a volume can't be mounted at: a file, a folder with something in it, a mount point. One that
 * doesn't exist is fine.
 *
 * @throws {InvalidInputError} naming the argument and the path.
 */
export function checkMountable(host: Host, path: string, argument: string): void {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) return;
  if ((attributes & attribute.DIRECTORY) === 0) {
    throw new InvalidInputError(argument, "is a file, not a folder", path);
  }
  if ((attributes & attribute.REPARSE_POINT) !== 0) {
    throw new InvalidInputError(argument, "is a mount point or a link already", path);
  }
  if (!isDirectoryEmpty(host, path)) {
    throw new InvalidInputError(argument, "is not empty", path);
  }
}
