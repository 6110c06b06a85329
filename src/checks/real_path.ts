/**
 * Paths as Windows itself resolves them, by which folders are compared, and from which layers get their names.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/input_error.ts";
import { messageOf } from "../errors/printable.ts";
import { neverReachedWindows } from "../errors/windows_errors.ts";
import { resolvePath } from "../ffi/final_path.ts";
import type { Host } from "../ffi/host.ts";
import { finalPath, isNotFound } from "../ffi/kernel32.ts";
import { log } from "../log.ts";
import { diskOf, LONGEST, nameOf, pathKey, requireDistinctNames } from "./windows_path.ts";

/**
 * Returns the path of a folder or file without short names, junctions, symbolic links and drive letters that only this
 * session knows (`subst`). A path without any of them is returned as it is given. What doesn't exist of it is kept.
 *
 * @throws {NativeError} if Windows doesn't tell.
 */
export function realPath(host: Host, path: string): string {
  const real = resolved(host, path);
  return pathKey(real) === pathKey(path) ? path : real;
}

function resolved(host: Host, path: string): string {
  try {
    // The other DLLs are not known to accept the prefix.
    return resolvePath(host, path, finalPath.VOLUME_NAME_DOS).replace(/^\\\\\?\\(?=[A-Za-z]:\\)/, "");
  } catch (error) {
    const parent = dirname(path);
    if (!isNotFound(error)) throw error;
    if (parent === path) return path;
    return `${resolved(host, parent).replace(/\\$/, "")}\\${basename(path)}`;
  }
}

/**
 * Does what {@linkcode realPath} does, for a folder that is passed to Windows.
 *
 * @throws {InvalidInputError} if the result is too long for Windows.
 */
export function realFolder(host: Host, path: string, argument: string): string {
  return requireLength(realPath(host, path), path, argument);
}

/**
 * Does what {@linkcode realFolder} does, for the folder of a scratch.
 *
 * @throws {InvalidInputError} if the result is too long for Windows, or the path of its disk.
 */
export function realScratch(host: Host, path: string, argument: string): string {
  const real = realFolder(host, path, argument);
  const { length } = diskOf(real);
  if (length <= LONGEST || length <= diskOf(path).length) return real;
  throw new InvalidInputError(
    argument,
    `leads to a folder whose disk has a path that is longer than the ${LONGEST} characters that Windows takes (${length})`,
    path,
  );
}

/**
 * Returns the real path of a layer's folder, with the folder's own name in its own spelling, of which Windows makes the
 * layer's id.
 *
 * @throws {InvalidInputError} if the result is too long for Windows.
 */
export function realLayer(host: Host, path: string, argument: string): string {
  const real = resolved(host, path);
  if (pathKey(real) !== pathKey(path)) return requireLength(real, path, argument);
  const name = nameOf(real);
  return path.endsWith(name) ? path : path.slice(0, -name.length) + name;
}

/**
 * Returns the path that another one leads to.
 *
 * @throws {InvalidInputError} if it is too long for Windows, and the other one isn't.
 */
export function requireLength(real: string, path: string, argument: string): string {
  if (real.length <= LONGEST || real.length <= path.length) return real;
  throw new InvalidInputError(
    argument,
    `leads to a path that is longer than the ${LONGEST} characters that Windows takes (${real.length})`,
    path,
  );
}

/** Does what {@linkcode realPath} does, for releases: they have to go on if Windows doesn't tell. */
export function realPathIfTold(host: Host, path: string): string {
  return toldRealPath(host, path) ?? path;
}

/** Does what {@linkcode realPath} does, but returns undefined if Windows doesn't tell. */
export function toldRealPath(host: Host, path: string): string | undefined {
  try {
    return realPath(host, path);
  } catch (error) {
    if (neverReachedWindows(error)) throw error;
    log("debug", () => `the real path of ${path} isn't known: ${messageOf(error)}`);
    return undefined;
  }
}

/**
 * Returns the real paths of read-only layers, the topmost first.
 *
 * @throws {InvalidInputError} if two lead to one folder, or to folders with one name.
 */
export function realLayers(host: Host, folders: readonly string[], argument: string): string[] {
  const layers = folders.map((folder, i) => realLayer(host, folder, `${argument}[${i}]`));
  requireDistinctNames(layers, argument);
  return layers;
}
