/**
 * ole32.dll: frees the strings that vmcompute.dll allocates.
 *
 * @module
 */

import type { Host } from "./host.ts";
import type { Dll } from "./table.ts";

/** The functions of ole32.dll that are used. */
export const ole32Symbols = {
  CoTaskMemFree: { parameters: ["usize" /* LPVOID */], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** ole32.dll. */
export const ole32: Dll<typeof ole32Symbols> = {
  file: "ole32.dll",
  symbols: ole32Symbols,
  remedy: "It is part of every Windows",
};

/** Frees memory of the COM task allocator. */
export function coTaskMemFree(host: Host, address: bigint): void {
  host.symbols(ole32).CoTaskMemFree(address);
}
