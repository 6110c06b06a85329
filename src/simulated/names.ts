/**
 * Names of files and folders, as Win32 and NTFS read them.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { win32Failure } from "./call.ts";

/** A path, taken apart. */
export interface ParsedPath {
  /** `C:`, `\\server\share` or `\\?\Volume{guid}`. */
  readonly root: string;
  /** The names below it. */
  readonly names: readonly string[];
}

const ROOT = /^([A-Za-z]:|\\\\\?\\Volume\{[^}\\]*\}|\\\\(?![?.]\\)[^\\]+\\[^\\]+)(?:\\|$)/i;
// deno-lint-ignore no-control-regex
const FORBIDDEN = /[<>:"|?*/\x00-\x1f]/;
const DEVICE = /^(con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³])(\.|$)/i;

/**
 * Takes a path apart. Without the prefix `\\?\`, `/` is `\`, `.` and `..` are resolved, a single `.` at the end of a name and
 * all `.` and spaces at the end of the path are dropped; with it, each name is taken as it is written ("Naming Files, Paths,
 * and Namespaces" and "File path formats on Windows systems" of Microsoft).
 *
 * Fails with ERROR_INVALID_NAME for names that NTFS refuses.
 */
export function parsePath(path: string): ParsedPath {
  const literal = path.startsWith("\\\\?\\");
  const plain = plainPath(literal ? path : path.replaceAll("/", "\\"));
  const root = ROOT.exec(plain)?.[1];
  if (root === undefined) throw win32Failure(win32.ERROR_PATH_NOT_FOUND);
  const written = plain.slice(root.length).replace(/\\$/, "").split("\\").slice(1);
  const names = literal ? written : normalNames(written, plain.endsWith("\\"));
  if (names.some((name) => FORBIDDEN.test(name) || name === "")) throw win32Failure(win32.ERROR_INVALID_NAME);
  return { root, names };
}

function normalNames(written: readonly string[], closed: boolean): string[] {
  const names: string[] = [];
  written.forEach((name, i) => {
    if (name === "" || name === ".") return;
    if (name === "..") return void names.pop();
    const isLast = i === written.length - 1 && !closed;
    const used = isLast ? name.replace(/[. ]+$/, "") : name.replace(/(?<=[^.])\.$/, "");
    if (used !== "") names.push(used);
  });
  return names;
}

/** Returns whether Windows takes the last name of a path for a device, such as `NUL`. */
export function isDeviceName(path: string): boolean {
  return !path.startsWith("\\\\?\\") && DEVICE.test(path.slice(path.lastIndexOf("\\") + 1));
}

/** Returns a path without its prefix `\\?\` or `\\.\`, and without a closing `\`. */
export function plainPath(path: string): string {
  return path.replace(/^\\\\[?.]\\UNC\\/i, "\\\\").replace(/^\\\\[?.]\\(?=[A-Za-z]:)/, "").replace(/\\+$/, "");
}

/** Returns the folder that a path is in, or `""` for a root. */
export function parentOf(path: string): string {
  const plain = plainPath(path);
  const at = plain.lastIndexOf("\\");
  return at < 0 || plain.startsWith("\\\\") && plain.slice(2).split("\\").length <= 2 ? "" : plain.slice(0, at);
}

/** Returns the last name of a path. */
export function lastName(path: string): string {
  return path.slice(path.lastIndexOf("\\") + 1);
}

const folded = new Map<string, string>();

/**
 * Returns the same text for names that are one to NTFS. It compares UTF-16 unit by unit, by a table of upper-case letters that
 * is on each volume ($UpCase). A letter is in it if its upper case is one unit that leads back to it, so `ß`, `ı`, `İ`, `ſ`
 * and the Kelvin sign are letters of their own. That is the table in Wine's l_intl.nls, except for 27 Greek letters with an
 * iota below, which JavaScript knows no upper case of.
 */
export function foldName(name: string): string {
  // deno-lint-ignore no-control-regex
  if (/^[\x00-\x7f]*$/.test(name)) return name.toLowerCase();
  let key = "";
  for (let i = 0; i < name.length; i++) key += foldUnit(name[i]!);
  return key;
}

// Both cases of a letter become one. Which of the two doesn't matter, and ASCII in lower case is read more easily.
function foldUnit(unit: string): string {
  if (unit <= "\x7f") return unit.toLowerCase();
  let key = folded.get(unit);
  if (key === undefined) {
    const upper = unit.toUpperCase();
    key = upper.length === 1 && upper.toLowerCase() === unit ? upper : unit;
    folded.set(unit, key);
  }
  return key;
}

// The longest path without `\\?\`, and the longest of a folder to create (8.3 names have to fit into it).
const LONGEST = 259;
const LONGEST_NEW_FOLDER = 247;
const PATH = /^([A-Za-z]:\\|\\\\)/;

/**
 * Fails if a path among the arguments is longer than the function takes: kernel32.dll takes any length after `\\?\`, and no
 * other DLL is known to. The codes are those of kernel32.dll; which of them the other DLLs return, nobody has told.
 */
export function requireLengths(dll: string, fn: string, args: Readonly<Record<string, unknown>>): void {
  const createsFolder = fn === "CreateDirectoryW";
  const longest = createsFolder ? LONGEST_NEW_FOLDER : LONGEST;
  const isTooLong = (path: string) => path.length > longest && !(dll === "kernel32" && path.startsWith("\\\\?\\"));
  if (pathsIn(args).some(isTooLong)) {
    throw win32Failure(createsFolder ? win32.ERROR_FILENAME_EXCED_RANGE : win32.ERROR_PATH_NOT_FOUND);
  }
}

/** Returns the paths among the arguments of a function, and in the descriptors of layers. */
export function pathsIn(args: Readonly<Record<string, unknown>>): string[] {
  return Object.values(args)
    .flatMap((value) => Array.isArray(value) ? value.map((item: { Path?: unknown }) => item.Path) : [value])
    .filter((value) => typeof value === "string" && PATH.test(value)) as string[];
}
