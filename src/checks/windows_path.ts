/**
 * What paths are accepted, and in which form they reach Windows.
 *
 * @module
 */

import { normalize } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/windows_errors.ts";

const PREFIXED = /^\\\\[?.]\\/;

// What most paths are, and then there is nothing to do.
const NORMAL = /^[A-Za-z]:(\\(?!\.{1,2}(\\|$))[^\\/]+)+$/;

/** Refuses what is no text, is empty, or holds a NUL. */
export function checkText(text: unknown, argument: string): asserts text is string {
  if (typeof text !== "string") {
    throw new InvalidInputError(argument, "is not a string", text);
  }
  if (text === "") {
    throw new InvalidInputError(argument, "is empty", text);
  }
  if (text.includes("\0")) {
    throw new InvalidInputError(argument, "holds a NUL character", text);
  }
}

/**
 * The path of a file or folder in the form in which Windows gets it: absolute, with `\`, `.` and `..` resolved, without
 * a closing `\` (but for a root). Case and characters stay as they are, at any length.
 *
 * @throws {InvalidInputError} if it isn't an absolute Windows path: `C:\folder`, `\\server\share\folder`, `\\?\...`.
 */
export function windowsPath(path: unknown, argument: string): string {
  checkText(path, argument);
  if (NORMAL.test(path)) {
    return path;
  }
  if (PREFIXED.test(path)) {
    // Windows takes these as they are; so do we, a closing `\` excepted, which a volume's root needs.
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
  checkText(name, argument);
  if (!VOLUME.test(name)) {
    throw new InvalidInputError(argument, "is not the name of a volume (\\\\?\\Volume{guid}\\)", name);
  }
  return name.endsWith("\\") ? name : `${name}\\`;
}
