/**
 * Names and paths in a Linux guest, as callers give them.
 *
 * @module
 */

import { requireText } from "../checks/arguments.ts";
import { InvalidInputError } from "../errors/input_error.ts";

// The guest mounts disks and persistent memory here.
const MOUNTS = ["/run/mounts", "/run/layers"];

// Of a Linux file system.
const LONGEST_NAME = 255;

/** Checks a name for a folder of the scratch in the guest. */
export function folderName(name: unknown, argument: string): string {
  requireText(name, argument);
  if (name === "." || name === ".." || name.includes("/")) {
    throw new InvalidInputError(argument, "names a folder in the guest, so it can't be . or .., or contain /", name);
  }
  const bytes = new TextEncoder().encode(name).byteLength;
  if (bytes > LONGEST_NAME) {
    throw new InvalidInputError(
      argument,
      `names a folder in the guest, and has ${bytes} of ${LONGEST_NAME} bytes`,
      name,
    );
  }
  requireNoOption(name, argument);
  return name;
}

/**
 * Refuses a path of the scratch that wouldn't be one path to a Linux guest: it passes the path to its kernel among the options of
 * a mount.
 */
export function requireNoOption(path: string, argument: string): void {
  if (/[,\\]/.test(path)) {
    throw new InvalidInputError(
      argument,
      "contains , or \\, which ends or changes an option of the guest's mount",
      path,
    );
  }
}

/** The folder of a container in a guest. */
export interface ContainerFolder {
  /** Its path, without `.`, `..` and extra `/`. */
  readonly path: string;
  /** Its path as the caller wrote it. */
  readonly named: string;
}

/** Checks an absolute path of a folder in the guest for a container. */
export function containerFolder(path: unknown, argument: string): ContainerFolder {
  requireText(path, argument);
  if (!path.startsWith("/")) throw new InvalidInputError(argument, "is not an absolute path of the guest", path);
  const folder = cleaned(path);
  if (folder === "/") throw new InvalidInputError(argument, "is the root of the guest", path);
  const mounts = MOUNTS.find((mounts) => contains(mounts, folder));
  if (mounts !== undefined) {
    throw new InvalidInputError(argument, `is in ${mounts}, where the guest mounts disks. Use another folder`, path);
  }
  return { path: folder, named: path };
}

function cleaned(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
