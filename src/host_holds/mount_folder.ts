/**
 * The hold on a folder for a mount point or a scratch. Only folders that this library created are removed.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { isLink, kindOf } from "../checks/existing.ts";
import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { messageOf } from "../errors/printable.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  attribute,
  createDirectory,
  deleteFile,
  disposition,
  fileAttributes,
  fileFlag,
  isDirectoryEmpty,
  isNotFound,
  openFile,
  type OpenFileOptions,
  removeDirectory,
} from "../ffi/kernel32.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { Expect } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { isBeingEmptied, onceDeleted, removeOnceFree } from "../session/waiting.ts";
import { hasNoStreams } from "./streams.ts";

// The name of an alternate data stream on folders that this library created, by which another process recognizes them. It
// doesn't count as content, is hidden while a volume is mounted at the folder, and is deleted with the folder.
const MARK = ":hcs-layers.created";

/**
 * Returns the hold on a folder, no matter which process created it. Releasing it removes the folder and its parents as far
 * as they have the mark, and the folders in `unmarked`: those that this process created on a file system without streams.
 */
export function folderOf(
  host: Host,
  path: string,
  created?: readonly string[],
  unmarked: readonly string[] = [],
): Held<HoldOf<"folder">> {
  const release = async (limit?: number) => {
    let removed = false;
    for (const part of unmarked) removed = await remove(host, part, limit) || removed;
    return await removeMarked(host, path, limit) || removed;
  };
  return {
    hold: { kind: "folder", folder: path, ...(created && { created }) },
    restsOn: [],
    release: () => release(),
    releaseNow: () => release(0),
  };
}

/** Creates the missing folders of a path. Releasing the hold removes only those, also if creating the others failed. */
export async function acquireFolder(host: Host, path: string, expect: Expect): Promise<Held<HoldOf<"folder">>> {
  const created: string[] = [];
  const unmarked: string[] = [];
  const held = folderOf(host, path, created, unmarked);
  expect(held);
  await onceDeleted(host, path, () => create(host, path, created, unmarked));
  return held;
}

// Another process can remove a parent that it created between two of our calls.
const TRIES = 10;

function create(host: Host, path: string, created: string[], unmarked: string[]): void {
  for (let attempt = 1;; attempt++) {
    const wasThere = kindOf(host, path) !== undefined;
    let isNew: boolean;
    try {
      isNew = createDirectory(host, path);
    } catch (error) {
      const parent = dirname(path);
      if (isNotFound(error) && parent !== path && attempt < TRIES) {
        create(host, parent, created, unmarked);
        continue;
      }
      // The call failed after its effect; or nobody can tell, and the release looks again.
      if (!wasThere && mayBeThere(host, path)) unmarked.unshift(path);
      throw error;
    }
    // Another program has removed it again.
    if (!isNew && !wasThere && attempt < TRIES && kindOf(host, path) === undefined) continue;
    if (isNew) {
      created.unshift(path);
      unmarked.unshift(path);
      if (mark(host, path)) unmarked.shift();
    }
    return;
  }
}

function mark(host: Host, path: string): boolean {
  try {
    openMark(host, path, { access: access.GENERIC_WRITE, disposition: disposition.CREATE_NEW });
    return true;
  } catch (error) {
    if (!hasNoStreams(error)) throw error;
    log("debug", () => `no mark on ${path}: ${messageOf(error)}`);
    return false;
  }
}

/** Returns whether this library created a folder. What would leave one for good is asked twice: an answer can be wrong once. */
export function isMarked(host: Host, path: string): boolean {
  return hasMark(host, path) || hasMark(host, path);
}

/**
 * Takes the mark off a folder, if it has it: from now on, nothing takes what is in it for what a process left that has ended.
 *
 * @throws {NativeError} if Windows refuses.
 */
export function unmark(host: Host, path: string): void {
  if (isMarked(host, path)) deleteFile(host, path + MARK);
}

function mayBeThere(host: Host, path: string): boolean {
  try {
    return kindOf(host, path) !== undefined;
  } catch (error) {
    log("debug", () => `${path}: ${messageOf(error)}`);
    return true;
  }
}

function hasMark(host: Host, path: string): boolean {
  try {
    openMark(host, path);
    return true;
  } catch (error) {
    if (!isNotFound(error) && !hasNoStreams(error)) throw error;
    return false;
  }
}

// Never one on what another program has mounted at the folder meanwhile.
function openMark(host: Host, path: string, options: OpenFileOptions = {}): void {
  openFile(host, path + MARK, { ...options, flags: fileFlag.OPEN_REPARSE_POINT })[Symbol.dispose]();
}

// Removes the folders that have the mark, from `path` up, and skips those that are already gone. The root of a drive is
// nobody's.
async function removeMarked(host: Host, path: string, limit?: number): Promise<boolean> {
  let removed = false;
  for (let at = path, parent = dirname(at); parent !== at; at = parent, parent = dirname(at)) {
    if (!await onceDeleted(host, at, () => kindOf(host, at) !== undefined, { limit })) continue;
    if (!isMarked(host, at)) break;
    if (await remove(host, at, limit)) removed = true;
    else if (kindOf(host, at) !== undefined) break;
  }
  return removed;
}

async function remove(host: Host, path: string, limit?: number): Promise<boolean> {
  // Another program has mounted something here since.
  if (isLink(host, path)) return false;
  try {
    await removeOnceFree(host, path, () => removeDirectory(host, path), limit);
    return true;
  } catch (error) {
    // Another program has removed the folder, or uses it. In both cases, it isn't ours to remove.
    if (fileAttributes(host, path) === undefined || isUsed(host, path, error)) return false;
    throw error;
  }
}

function isUsed(host: Host, path: string, error: unknown): boolean {
  return error instanceof NativeError && error.win32 === win32.ERROR_DIR_NOT_EMPTY && !isBeingEmptied(host, path);
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
