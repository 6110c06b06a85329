/**
 * What paths are accepted, and in which form they reach Windows.
 *
 * @module
 */

import { normalize } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/input_error.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { requireText } from "./arguments.ts";

const PREFIXED = /^\\\\[?.]\\/;

// Most paths have this form already.
const NORMAL = /^[A-Za-z]:(\\(?!\.{1,2}(\\|$))[^\\/]+)+$/;

/**
 * The path of a file or folder in the form in which Windows gets it: absolute, with `\`, `.` and `..` resolved, without
 * a closing `\` (but for a root). Case and characters stay as they are, at any length.
 *
 * @throws {InvalidInputError} if it isn't an absolute Windows path: `C:\folder`, `\\server\share\folder`, `\\?\...`.
 */
export function windowsPath(path: unknown, argument: string): string {
  requireText(path, argument);
  if (NORMAL.test(path)) {
    return path;
  }
  if (PREFIXED.test(path)) {
    // Windows resolves nothing in these. Only a closing `\` is removed, unless it is the root of a volume.
    return /^\\\\[?.]\\[^\\]*\\?$/.test(path) ? path : path.replace(/\\+$/, "");
  }
  if (!path.includes("\\")) {
    throw new InvalidInputError(argument, "is not a Windows path with `\\`", path);
  }
  if (!/^([A-Za-z]:[\\/]|[\\/]{2}[^\\/]+[\\/]+[^\\/])/.test(path)) {
    throw new InvalidInputError(argument, "is not an absolute path", path);
  }
  const normal = normalize(path);
  return /^[A-Za-z]:\\$/.test(normal) ? normal : normal.replace(/\\+$/, "");
}

/** {@linkcode windowsPath} of a folder that has a name, so is no root. */
export function namedFolder(path: unknown, argument: string): string {
  const folder = windowsPath(path, argument);
  if (nameOf(folder) === "") {
    throw new InvalidInputError(argument, "is the root of a volume", path);
  }
  return folder;
}

// `C:\`, `\\server\share`, `\\?\UNC\server\share`, `\\?\C:\`, `\\?\Volume{guid}\`
const ROOT = /^([A-Za-z]:|\\\\([?.]\\UNC\\)?[^\\?.][^\\]*\\[^\\]+|\\\\[?.]\\[^\\]+)\\?$/i;

/** The last part of a path, `""` for a root. */
export function nameOf(path: string): string {
  return ROOT.test(path) ? "" : path.slice(path.lastIndexOf("\\") + 1);
}

/** The key under which a path is the same to Windows, whose file names have no case. */
export function pathKey(path: string): string {
  const plain = PREFIXED.test(path)
    ? path.replace(/^\\\\\?\\UNC\\/i, "\\\\").replace(/^\\\\\?\\(?=[A-Za-z]:)/, "")
    : path;
  return plain.toLowerCase();
}

/** Refuses a path of the other, if both lead to the same. */
export function requireDistinct(path: string, other: string, argument: string, problem: string): void {
  if (pathKey(path) === pathKey(other)) throw new InvalidInputError(argument, problem, path);
}

/** Whether `path` is `folder`, or in it. */
export function isWithin(path: string, folder: string): boolean {
  return `${pathKey(path)}\\`.startsWith(`${pathKey(folder)}\\`);
}

const VOLUME = /^\\\\\?\\Volume\{[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}\\?$/i;

/**
 * The name of a volume with its closing `\`.
 *
 * @throws {InvalidInputError} if `name` isn't of the form `\\?\Volume{guid}` or `\\?\Volume{guid}\`.
 */
export function volumeRoot(name: unknown, argument: string): string {
  requireText(name, argument);
  const root = volumeIn(name);
  if (root === undefined) {
    throw new InvalidInputError(argument, "is not the name of a volume (\\\\?\\Volume{guid}\\)", name);
  }
  return root;
}

/** The name of a volume with its closing `\`, undefined if `name` isn't one. */
export function volumeIn(name: string): string | undefined {
  if (!VOLUME.test(name)) return undefined;
  return name.endsWith("\\") ? name : `${name}\\`;
}

/**
 * The volume that a function of Windows returned.
 *
 * @throws {UnexpectedAnswerError} if it isn't the name of one.
 */
export function returnedVolume(operation: string, answer: string): string {
  const volume = volumeIn(answer);
  if (volume === undefined) throw new UnexpectedAnswerError(operation, "is not the name of a volume", answer);
  return volume;
}

/** The GUID in the name of a volume. */
export function volumeGuid(volume: string): string {
  return volume.slice("\\\\?\\Volume{".length, -"}\\".length);
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
  return Array.from(folders, (folder, i) => {
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

/** The parents of a scratch, of which there is at least one: without, Windows creates no disk. */
export function scratchParents(folders: unknown, argument: string): string[] {
  const layers = parentFolders(folders, argument);
  if (layers.length === 0) {
    throw new InvalidInputError(argument, "names no folder", folders);
  }
  return layers;
}
