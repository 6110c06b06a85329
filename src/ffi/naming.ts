/**
 * kernel32.dll, the functions that give files names.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { functionsOf, lastError, longPath } from "./kernel32.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions that give files names. */
export const namingSymbols = {
  CreateHardLinkW: {
    parameters: [
      "buffer",
      /* LPCWSTR new name */ "buffer",
      /* LPCWSTR file */ "buffer", /* SECURITY_ATTRIBUTES*, NULL */
    ],
    result: "i32", /* BOOL */
  },
  MoveFileExW: {
    parameters: ["buffer", /* LPCWSTR from */ "buffer", /* LPCWSTR to */ "u32" /* DWORD flags */],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** kernel32.dll, for names. */
export const naming: Dll<typeof namingSymbols> = {
  file: "kernel32.dll",
  symbols: namingSymbols,
  remedy: "It is part of every Windows",
};

const MOVEFILE_WRITE_THROUGH = 0x8;

/** Renames a file or folder on its volume. `to` must not exist: nothing is ever replaced. Returns once that is on the disk. */
export function moveFile(host: Host, from: string, to: string): void {
  const [source, target] = [wide(longPath(from)), wide(longPath(to))];
  if (functionsOf(host, naming).MoveFileExW(source, target, MOVEFILE_WRITE_THROUGH) === 0) {
    throw lastError(host, "MoveFileExW", to);
  }
}

/** Gives a file one more name, which must not exist. */
export function createHardLink(host: Host, path: string, existing: string): void {
  if (functionsOf(host, naming).CreateHardLinkW(wide(longPath(path)), wide(longPath(existing)), null) === 0) {
    throw lastError(host, "CreateHardLinkW", path);
  }
}
