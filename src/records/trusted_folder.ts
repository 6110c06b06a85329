/**
 * Folders that only the system and administrators can write to, so that what they contain can be acted upon.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { isLink } from "../checks/existing.ts";
import { pathKey } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { UntrustedFolderError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  createDirectory,
  fileAttributes,
  fileFlag,
  finalPath,
  finalPathName,
  isNotFound,
  openFile,
  removeDirectory,
  share,
} from "../ffi/kernel32.ts";
import { nativeCopy, securityAttributes } from "../ffi/memory.ts";
import { currentUser, securityOf } from "../ffi/ntdll.ts";
import { ALLOW, INHERIT_ONLY, onlyFor, type Security, sid } from "../ffi/security.ts";
import { log } from "../log.ts";

/**
 * Creates a folder, with its parents, to which only the system and administrators can write, if it is missing, and checks that
 * this is so. What it has created and doesn't trust, it removes.
 *
 * @throws {UntrustedFolderError} if others can write to it, or it is reached through a link.
 * @throws {NativeError} if Windows refuses.
 */
export function createTrustedFolder(host: Host, folder: string): void {
  const created = fileAttributes(host, folder) === undefined ? create(host, folder) : [];
  try {
    checkTrusted(host, folder);
  } catch (error) {
    if (error instanceof UntrustedFolderError) created.toReversed().forEach((path) => removeUnlessUsed(host, path));
    throw error;
  }
}

function removeUnlessUsed(host: Host, path: string): void {
  try {
    // A link is somebody else's by now.
    if (!isLink(host, path)) removeDirectory(host, path);
  } catch (error) {
    log("debug", () => `${path} stays: ${messageOf(error)}`);
  }
}

// Owned by the Administrators, so that each of them trusts it; only they may make it so. Returns what was missing, from the top.
function create(host: Host, folder: string): string[] {
  try {
    return createFor(host, folder, sid.ADMINISTRATORS);
  } catch (error) {
    if (!(error instanceof NativeError && error.win32 === win32.ERROR_INVALID_OWNER)) throw error;
    return createFor(host, folder);
  }
}

function createFor(host: Host, folder: string, owner?: string): string[] {
  using descriptor = nativeCopy(host, onlyFor([sid.SYSTEM, sid.ADMINISTRATORS], owner));
  const attributes = securityAttributes(descriptor);
  const createOne = (path: string) => createDirectory(host, path, attributes) ? [path] : [];
  const createWithParents = (path: string): string[] => {
    try {
      return createOne(path);
    } catch (error) {
      const parent = dirname(path);
      if (!isNotFound(error) || parent === path) throw error;
      return [...createWithParents(parent), ...createOne(path)];
    }
  };
  return createWithParents(folder);
}

/**
 * Checks a folder. Nothing in it is trusted if others than the system and administrators can change it.
 *
 * @throws {UntrustedFolderError} if they can.
 */
function checkTrusted(host: Host, folder: string): void {
  const flags = fileFlag.BACKUP_SEMANTICS | fileFlag.OPEN_REPARSE_POINT;
  using opened = openFile(host, folder, { access: access.READ_CONTROL, share: share.READ | share.WRITE, flags });
  const real = finalPathName(host, opened.value, finalPath.VOLUME_NAME_DOS, folder);
  if (pathKey(real) !== pathKey(folder)) {
    throw new UntrustedFolderError(folder, `is reached through a link, or by a short name: it is ${real}`);
  }
  if (isLink(host, folder)) throw new UntrustedFolderError(folder, "is a link");
  const problem = problemOf(securityOf(host, opened.value, folder), () => currentUser(host));
  if (problem !== undefined) throw new UntrustedFolderError(folder, problem);
}

const TRUSTED: readonly string[] = [sid.SYSTEM, sid.ADMINISTRATORS, sid.TRUSTED_INSTALLER];

// Writing or adding files and folders, extended attributes, attributes, deleting what is in it or itself, changing the list or
// the owner, and what stands for several of these.
const WRITES = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x10000 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000;

/** Returns what is wrong with who may change a folder, or undefined. */
export function problemOf({ owner, entries }: Security, user: () => string): string | undefined {
  const isTrusted = (who: string) => TRUSTED.includes(who) || who === user();
  // An owner may always change the list.
  if (!isTrusted(owner)) return `belongs to ${owner || "nobody"}`;
  if (entries === undefined) return "can be changed by everybody";
  for (const { type, flags, mask, sid: who } of entries) {
    if (who === undefined) return `has an access list with an entry of an unknown type (${type})`;
    if (type !== ALLOW || (mask & WRITES) === 0 || isTrusted(who) || who === sid.OWNER_RIGHTS) continue;
    // Whoever creates something in it is the owner of that.
    if (who === sid.CREATOR_OWNER && (flags & INHERIT_ONLY) !== 0) continue;
    return `can be changed by ${who}`;
  }
  return undefined;
}
