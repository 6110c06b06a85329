/**
 * Checks of paths, and the form in which they are passed to Windows.
 *
 * @module
 */

import { normalize } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/input_error.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { itemsOf } from "../options.ts";
import { requireText } from "./arguments.ts";

const PREFIXED = /^\\\\[?.]\\/;

// Most paths already have this form.
const NORMAL = /^[A-Za-z]:(\\(?!\.{1,2}(\\|$))[^\\/]+)+$/;

// Characters that no name can have; a `:` would name a stream of another file.
// deno-lint-ignore no-control-regex
const FORBIDDEN = /[<>:"|?*\x00-\x1f]/;
// Names that lead elsewhere: devices in every folder, and endings that Windows removes.
const REDIRECTED = /^(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\.|$)|[. ]$/i;

/** The longest path that all DLLs take. Longer ones begin with `\\?\`, which only kernel32.dll is known to take. */
export const LONGEST = 259;

/**
 * Checks the path of a file or folder, and returns it in the form that is passed to Windows: absolute, with `\`, with `.`
 * and `..` resolved, and without a closing `\` (except for a root). Case and characters are not changed, at any length.
 *
 * @throws {InvalidInputError} if it isn't an absolute Windows path: `C:\folder`, `\\server\share\folder`, `\\?\...`; or if
 * it has a name that a file can't have, or that means something else to Windows.
 */
export function windowsPath(path: unknown, argument: string): string {
  const absolute = absolutePath(path, argument);
  const prefixed = PREFIXED.test(absolute);
  const names = absolute.replace(prefixed ? /^\\\\[?.]\\(UNC\\)?[^\\]*/i : /^[A-Za-z]:|^\\\\/, "").split("\\");
  const forbidden = names.find((name) => FORBIDDEN.test(name));
  if (forbidden !== undefined) {
    throw new InvalidInputError(argument, `has a name that no file can have (${forbidden})`, path);
  }
  // After `\\?\`, Windows uses every name as it is written.
  const redirected = prefixed ? undefined : names.find((name) => REDIRECTED.test(name));
  if (redirected !== undefined) {
    throw new InvalidInputError(argument, `has a name that means something else to Windows (${redirected})`, path);
  }
  return absolute;
}

function absolutePath(path: unknown, argument: string): string {
  requireText(path, argument);
  if (NORMAL.test(path)) {
    return path;
  }
  if (PREFIXED.test(path)) {
    // Windows resolves nothing in these, so only a closing `\` is removed, unless the path is the root of a volume.
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

/**
 * Does what {@linkcode windowsPath} does, for a path that is short enough for all DLLs.
 *
 * @throws {InvalidInputError} if it isn't.
 */
export function shortPath(path: unknown, argument: string): string {
  const short = windowsPath(path, argument);
  if (short.length <= LONGEST) return short;
  throw new InvalidInputError(
    argument,
    `is longer than the ${LONGEST} characters that Windows takes for layers, mount points and disks (${short.length})`,
    path,
  );
}

/**
 * Does what {@linkcode shortPath} does, for a folder that isn't a root.
 *
 * @throws {InvalidInputError} if it isn't.
 */
export function namedFolder(path: unknown, argument: string): string {
  const folder = shortPath(path, argument);
  if (nameOf(folder) === "") {
    throw new InvalidInputError(argument, "is the root of a volume", path);
  }
  return folder;
}

/**
 * Does what {@linkcode namedFolder} does, for the folder of a scratch.
 *
 * @throws {InvalidInputError} if the path of its disk is too long.
 */
export function scratchFolder(path: unknown, argument: string): string {
  const folder = namedFolder(path, argument);
  const { length } = diskOf(folder);
  if (length <= LONGEST) return folder;
  throw new InvalidInputError(
    argument,
    `has a disk whose path is longer than the ${LONGEST} characters that Windows takes (${length})`,
    path,
  );
}

// `C:\`, `\\server\share`, `\\?\UNC\server\share`, `\\?\C:\`, `\\?\Volume{guid}\`
const ROOT = /^([A-Za-z]:|\\\\([?.]\\UNC\\)?[^\\?.][^\\]*\\[^\\]+|\\\\[?.]\\[^\\]+)\\?$/i;

/** Returns the last part of a path, or `""` for a root. */
export function nameOf(path: string): string {
  return ROOT.test(path) ? "" : path.slice(path.lastIndexOf("\\") + 1);
}

/** Returns a key that is the same for paths that are the same to Windows, which ignores case. */
export function pathKey(path: string): string {
  const plain = path.startsWith("\\\\") && PREFIXED.test(path)
    ? path.replace(/^\\\\\?\\UNC\\/i, "\\\\").replace(/^\\\\\?\\(?=[A-Za-z]:)/, "")
    : path;
  return isASCII(plain)
    ? plain.toLowerCase()
    : Array.from({ length: plain.length }, (_, i) => lower(plain[i]!)).join("");
}

function isASCII(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return /^[\x00-\x7f]*$/.test(text);
}

// NTFS compares unit by unit, and only letters that lead to each other are one: the Kelvin sign is no k, and the last letter of
// a Greek word no other one.
function lower(unit: string): string {
  const other = unit.toLowerCase();
  return other.length === 1 && other.toUpperCase() === unit ? other : unit;
}

/** Throws if two paths are the same. The error names `argument`. */
export function requireDistinct(path: string, other: string, argument: string, problem: string): void {
  if (pathKey(path) === pathKey(other)) throw new InvalidInputError(argument, problem, path);
}

/** Returns whether `path` is `folder`, or in it. */
export function isWithin(path: string, folder: string): boolean {
  return `${pathKey(path)}\\`.startsWith(`${pathKey(folder)}\\`);
}

const VOLUME = /^\\\\\?\\Volume\{[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}\\?$/i;

/**
 * Checks the name of a volume, and returns it with its closing `\`.
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

/** Returns the name of a volume with its closing `\`, or undefined if `name` isn't one. */
export function volumeIn(name: string): string | undefined {
  if (!VOLUME.test(name)) return undefined;
  return name.endsWith("\\") ? name : `${name}\\`;
}

/**
 * Checks the name of a volume that a function of Windows returned, and returns it with its closing `\`.
 *
 * @throws {UnexpectedAnswerError} if it isn't the name of a volume.
 */
export function returnedVolume(operation: string, result: string): string {
  const volume = volumeIn(result);
  if (volume === undefined) throw new UnexpectedAnswerError(operation, "is not the name of a volume", result);
  return volume;
}

/** Returns the GUID in the name of a volume. */
export function volumeGuid(volume: string): string {
  return volume.slice("\\\\?\\Volume{".length, -"}\\".length);
}

/**
 * Checks the folders of read-only layers, the topmost first, and returns them.
 *
 * @throws {InvalidInputError} if a path isn't absolute, or two have the same name, by which Windows identifies a layer.
 */
export function parentFolders(folders: unknown, argument: string): string[] {
  const layers = itemsOf(folders, argument, namedFolder, { problem: "is not a list of folders" });
  requireDistinctNames(layers, argument);
  return layers;
}

/** Throws if two read-only layers have the same name. */
export function requireDistinctNames(layers: readonly string[], argument: string): void {
  const names = new Map<string, string>();
  layers.forEach((path, i) => {
    const item = `${argument}[${i}]`;
    const name = nameOf(path).toLowerCase();
    const twin = names.get(name);
    if (twin !== undefined) {
      throw new InvalidInputError(
        item,
        `has the same folder name as ${twin}, so Windows would treat them as one layer`,
        path,
      );
    }
    names.set(name, item);
  });
}

/** Checks the parents of a scratch, at least one: without parents, Windows creates no disk. */
export function scratchParents(folders: unknown, argument: string): string[] {
  const layers = parentFolders(folders, argument);
  if (layers.length === 0) {
    throw new InvalidInputError(argument, "names no folder", folders);
  }
  return layers;
}

/** Returns the path of the disk in the folder of a scratch, or in that of a Windows VM. */
export function diskOf(folder: string): string {
  return inFolder(folder, "sandbox.vhdx");
}

/** Returns whether the file of a disk is a VHDX: Windows tells that by the extension. */
export function isVHDX(file: string): boolean {
  return /\.vhdx$/i.test(file);
}

/** Returns the folder in a layer with the utility VM that boots from the layer. */
export function utilityVMOf(layer: string): string {
  return inFolder(layer, "UtilityVM");
}

/** Returns the path of the disk in a layer that is copied for each utility VM. */
export function templateOf(layer: string): string {
  return inFolder(utilityVMOf(layer), "SystemTemplate.vhdx");
}

// Only a root ends in `\`.
function inFolder(folder: string, name: string): string {
  return `${folder.replace(/\\$/, "")}\\${name}`;
}
