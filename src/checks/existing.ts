/**
 * What there is on the host, looked at before Windows is asked to change anything.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { access, attribute, fileAttributes, openFile, share } from "../ffi/kernel32.ts";

/** What there is at a path. */
export function kindOf(host: Host, path: string): "file" | "folder" | undefined {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) return undefined;
  return (attributes & attribute.DIRECTORY) !== 0 ? "folder" : "file";
}

/** Refuses a path at which there is no file, or no folder. */
export function requireKind(host: Host, path: string, argument: string, kind: "file" | "folder"): void {
  const found = kindOf(host, path);
  if (found === undefined) throw new InvalidInputError(argument, `names a ${kind} that doesn't exist`, path);
  if (found !== kind) throw new InvalidInputError(argument, `is not a ${kind}`, path);
}

/** Refuses a path at which there is something: nothing is ever overwritten. */
export function requireAbsent(host: Host, path: string, argument: string): void {
  if (kindOf(host, path) !== undefined) {
    throw new InvalidInputError(argument, "exists already", path);
  }
}

/** Refuses folders of read-only layers that aren't there. */
export function requireParents(host: Host, folders: readonly string[], argument: string): void {
  folders.forEach((folder, i) => requireKind(host, folder, `${argument}[${i}]`, "folder"));
}

/** Whether somebody has a file open: a disk that is attached to the host or to a virtual machine is. */
export function isInUse(host: Host, file: string): boolean {
  try {
    openFile(host, file, { access: access.GENERIC_READ, share: share.NONE })[Symbol.dispose]();
    return false;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_SHARING_VIOLATION) return true;
    throw error;
  }
}

/** Refuses a path at which there is no file, or one that somebody has open. */
export function requireFreeFile(host: Host, file: string, argument: string): void {
  requireKind(host, file, argument, "file");
  if (isInUse(host, file)) throw new InUseError(file, "is in use: attached, or mounted as a scratch");
}
