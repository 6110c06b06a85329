/**
 * Checks of files and folders on the host, made before anything is changed.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { messageOf } from "../errors/printable.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { access, attribute, fileAttributes, fileFlag, fileId, isNotFound, openFile, share } from "../ffi/kernel32.ts";
import { log } from "../log.ts";
import { realLayers } from "./real_path.ts";
import { diskOf } from "./windows_path.ts";

/**
 * Returns the attributes of a file or folder, or undefined if there is none. That is asked twice: an answer can be wrong once, and what
 * is there would be taken for gone.
 */
export function attributesOf(host: Host, path: string): number | undefined {
  return fileAttributes(host, path) ?? fileAttributes(host, path);
}

/** Returns what is at a path, or undefined if there is nothing. */
export function kindOf(host: Host, path: string): "file" | "folder" | undefined {
  const attributes = attributesOf(host, path);
  if (attributes === undefined) return undefined;
  return (attributes & attribute.DIRECTORY) !== 0 ? "folder" : "file";
}

/** Returns whether nothing is at a path. False also if a look fails, which tells nothing. */
export function isKnownAbsent(host: Host, path: string): boolean {
  try {
    return fileAttributes(host, path) === undefined;
  } catch {
    return false;
  }
}

/** Returns whether there is a mount point, a junction or a symbolic link at a path. */
export function isLink(host: Host, path: string): boolean {
  return ((attributesOf(host, path) ?? 0) & attribute.REPARSE_POINT) !== 0;
}

/**
 * Returns what tells a file or folder from all others, see `fileId()`. Undefined if there is none at a path, or its file system
 * has no ids.
 *
 * @param flags How it is opened, a sum of `fileFlag`, besides that it may be a folder.
 */
export function idOf(host: Host, path: string, flags = 0): string | undefined {
  try {
    return toldIdOf(host, path, flags);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    log("debug", () => `${path} has no id: ${messageOf(error)}`);
    return undefined;
  }
}

/**
 * As {@linkcode idOf}, where an unknown id must not be taken for another one.
 *
 * @throws {NativeError} if Windows doesn't tell, also if there is nothing at the path.
 */
export function toldIdOf(host: Host, path: string, flags = 0): string {
  using opened = openFile(host, path, { flags: fileFlag.BACKUP_SEMANTICS | flags });
  const ask = () => fileId(host, opened.value, path);
  // By a wrong answer, a mount would lose its record, or would seem to be of a folder that is gone. Two right ones agree.
  const id = ask();
  return ask() === id ? id : ask();
}

/** Returns whether there is a volume, or undefined if Windows doesn't tell. */
export function hasVolume(host: Host, volume: string): boolean | undefined {
  try {
    return kindOf(host, volume) !== undefined;
  } catch (error) {
    log("debug", () => `${volume}: ${messageOf(error)}`);
    return undefined;
  }
}

/** Throws unless there is a file, or a folder, at a path. */
export function requireKind(host: Host, path: string, argument: string, kind: "file" | "folder"): void {
  const found = kindOf(host, path);
  if (found === undefined) throw new InvalidInputError(argument, `names a ${kind} that doesn't exist`, path);
  if (found !== kind) throw new InvalidInputError(argument, `is not a ${kind}`, path);
}

/** Throws if there is something at a path, because nothing is ever overwritten. */
export function requireAbsent(host: Host, path: string, argument: string): void {
  if (kindOf(host, path) !== undefined) {
    throw new InvalidInputError(argument, "exists already", path);
  }
}

/** Throws if a folder doesn't exist. */
export function requireFolders(host: Host, folders: readonly string[], argument: string): void {
  folders.forEach((folder, i) => requireKind(host, folder, `${argument}[${i}]`, "folder"));
}

/** Returns the real paths of the folders of read-only layers. Throws if one doesn't exist, or two have one name. */
export function existingParents(host: Host, folders: readonly string[], argument: string): string[] {
  requireFolders(host, folders, argument);
  return realLayers(host, folders, argument);
}

/**
 * Returns whether a disk's file is in use: attached to the host or a VM, or open in virtdisk.dll. It is opened for writing,
 * which none of these shares, and lets others read, so that it passes by a scanner, and a scanner by it.
 */
export function isInUse(host: Host, file: string): boolean {
  try {
    return !canOpen(host, file, { access: access.GENERIC_WRITE, share: share.READ });
  } catch (error) {
    if (!(error instanceof NativeError && error.win32 === win32.ERROR_ACCESS_DENIED)) throw error;
    // Nobody can open a read-only file for writing, but exclusively.
    if (((fileAttributes(host, file) ?? 0) & attribute.READONLY) === 0) throw error;
    return isOpen(host, file);
  }
}

/** Returns whether the disk of a scratch is in use. */
export function isDiskInUse(host: Host, scratch: string): boolean {
  const disk = diskOf(scratch);
  return kindOf(host, disk) !== undefined && isInUse(host, disk);
}

/** Returns whether anybody has a file open, be it a scanner. */
export function isOpen(host: Host, file: string): boolean {
  return !canOpen(host, file, { access: access.GENERIC_READ, share: share.NONE });
}

function canOpen(host: Host, file: string, how: { readonly access: number; readonly share: number }): boolean {
  try {
    openFile(host, file, how)[Symbol.dispose]();
    return true;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_SHARING_VIOLATION) return false;
    if (isNotFound(error)) return true;
    throw error;
  }
}
