/**
 * Checks of the options of a VM, before anything is changed.
 *
 * @module
 */

import { isAbsolute, normalize } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, fileAttributes } from "../ffi/kernel32.ts";

/** A text that isn't empty and holds no NUL; `fallback` where there is none. */
export function text(value: unknown, argument: string, fallback: string): string {
  const given = value ?? fallback;
  if (typeof given !== "string") throw new InvalidInputError(argument, "is not a string", value);
  if (given.includes("\0")) throw new InvalidInputError(argument, "holds a NUL character", value);
  if (value === "") throw new InvalidInputError(argument, "is empty", value);
  return given;
}

/** A whole number from `least` to `most`; `fallback` where there is none. */
export function wholeNumber(
  value: unknown,
  argument: string,
  { fallback, least = 0, most = Number.MAX_SAFE_INTEGER }: { fallback: number; least?: number; most?: number },
): number {
  const given = value ?? fallback;
  if (!Number.isSafeInteger(given) || (given as number) < least || (given as number) > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
    throw new InvalidInputError(argument, `is not a whole number ${range}`, value);
  }
  return given as number;
}

/** An absolute path of the host, without a closing `\`. */
export function hostPath(value: unknown, argument: string): string {
  const path = text(value ?? "", argument, "");
  if (path.startsWith("\\\\?\\")) return path.replace(/\\+$/, "");
  if (!path.includes("\\") || !isAbsolute(path) || !/^([A-Za-z]:|\\\\)/.test(path)) {
    throw new InvalidInputError(argument, "is not an absolute Windows path", value);
  }
  return normalize(path).replace(/\\+$/, "");
}

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
