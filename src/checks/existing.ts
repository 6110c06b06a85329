/**
 * What is looked at before Windows is asked to do anything.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { InvalidInputError, NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { access, attribute, fileAttributes, openFile, share } from "../ffi/kernel32.ts";
import { namedFolder, nameOf } from "./windows_path.ts";

/** Refuses a path at which there is no file, or no folder. */
export function requireKind(host: Host, path: string, argument: string, kind: "file" | "folder"): void {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) {
    throw new InvalidInputError(argument, `names a ${kind} that doesn't exist`, path);
  }
  if (((attributes & attribute.DIRECTORY) !== 0) !== (kind === "folder")) {
    throw new InvalidInputError(argument, `is not a ${kind}`, path);
  }
}

/** Refuses a path at which there is something: nothing is ever overwritten. */
export function requireAbsent(host: Host, path: string, argument: string): void {
  if (fileAttributes(host, path) !== undefined) {
    throw new InvalidInputError(argument, "exists already", path);
  }
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

/**
 * The folders of read-only layers, the topmost first.
 *
 * @throws {InvalidInputError} if one is no absolute path, or two have the same name, by which Windows knows a layer.
 */
export function parentFolders(folders: unknown, argument: string): string[] {
  if (!Array.isArray(folders)) {
    throw new InvalidInputError(argument, "is not a list of folders", folders);
  }
  const names = new Map<string, number>();
  return folders.map((folder, i) => {
    const path = namedFolder(folder, `${argument}[${i}]`);
    const name = nameOf(path).toLowerCase();
    const twin = names.get(name);
    if (twin !== undefined) {
      throw new InvalidInputError(
        `${argument}[${i}]`,
        `has the same folder name as ${argument}[${twin}], by which Windows would take them for one layer`,
        path,
      );
    }
    names.set(name, i);
    return path;
  });
}

/** Refuses folders of read-only layers that aren't there. */
export function requireParents(host: Host, folders: readonly string[], argument: string): void {
  folders.forEach((folder, i) => requireKind(host, folder, `${argument}[${i}]`, "folder"));
}

const SECTOR = 512n;
const MIB = 2n ** 20n;
const LEAST_VHDX = 3n * MIB;
const MOST_VHDX = 64n * 2n ** 40n;

/**
 * The size of a disk in bytes.
 *
 * @throws {InvalidInputError} if it isn't a whole number, not a multiple of 512, or not between 3 MiB and 64 TiB.
 */
export function diskSize(size: unknown, argument: string): bigint {
  const bytes = wholeNumber(size, argument);
  if (bytes < LEAST_VHDX || bytes > MOST_VHDX) {
    throw new InvalidInputError(argument, "is not between 3 MiB and 64 TiB, in bytes", `${bytes}`);
  }
  if (bytes % SECTOR !== 0n) {
    throw new InvalidInputError(argument, "is not a multiple of 512 bytes", `${bytes}`);
  }
  return bytes;
}

/**
 * The size of a disk's blocks in bytes; 0, the default, lets Windows choose.
 *
 * @throws {InvalidInputError} if it is neither 0 nor a power of two between 1 MiB and 256 MiB.
 */
export function diskBlockSize(size: unknown, argument: string): number {
  const bytes = wholeNumber(size ?? 0, argument);
  if (bytes !== 0n && (bytes < MIB || bytes > 256n * MIB || (bytes & (bytes - 1n)) !== 0n)) {
    throw new InvalidInputError(argument, "is neither 0 nor a power of two between 1 MiB and 256 MiB", `${bytes}`);
  }
  return Number(bytes);
}

function wholeNumber(value: unknown, argument: string): bigint {
  if (typeof value !== "bigint" && !Number.isSafeInteger(value)) {
    throw new InvalidInputError(argument, "is not a whole number of bytes", value);
  }
  return BigInt(value as number | bigint);
}
