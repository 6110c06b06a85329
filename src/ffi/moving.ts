/**
 * kernel32.dll, the function that renames.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { lastError, longPath } from "./kernel32.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions that rename. */
export const movingSymbols = {
  MoveFileExW: {
    parameters: ["buffer", /* LPCWSTR from */ "buffer", /* LPCWSTR to */ "u32" /* DWORD flags */],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** kernel32.dll, for renaming. */
export const moving: Dll<typeof movingSymbols> = {
  file: "kernel32.dll",
  symbols: movingSymbols,
  remedy: "It is part of every Windows",
};

const MOVEFILE_WRITE_THROUGH = 0x8;

/** Renames a file or folder on its volume. `to` must not exist: nothing is ever replaced. Returns once that is on the disk. */
export function moveFile(host: Host, from: string, to: string): void {
  const [source, target] = [wide(longPath(from)), wide(longPath(to))];
  if (host.symbols(moving).MoveFileExW(source, target, MOVEFILE_WRITE_THROUGH) === 0) {
    throw lastError(host, "MoveFileExW", to);
  }
}
