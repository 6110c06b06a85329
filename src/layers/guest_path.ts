/**
 * Names and paths in a Linux guest, as callers give them.
 *
 * @module
 */

import { requireText } from "../checks/arguments.ts";
import { InvalidInputError } from "../errors/input_error.ts";

// The guest mounts disks and persistent memory here.
const MOUNTS = ["/run/mounts", "/run/layers"];

/** Checks a name for a folder in the guest. */
export function folderName(name: unknown, argument: string): string {
  requireText(name, argument);
  if (name === "." || name === ".." || name.includes("/")) {
    throw new InvalidInputError(argument, "names a folder in the guest, so it can't be . or .., or contain /", name);
  }
  return name;
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
