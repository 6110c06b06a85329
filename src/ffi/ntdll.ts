/**
 * ntdll.dll: the true version of Windows, no matter what a program's manifest says.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { errorOf } from "./kernel32.ts";
import type { Dll } from "./table.ts";

/** The functions of ntdll.dll that are used. */
export const ntdllSymbols = {
  RtlGetVersion: { parameters: ["buffer" /* OSVERSIONINFOEXW* */], result: "i32" /* NTSTATUS */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** ntdll.dll. */
export const ntdll: Dll<typeof ntdllSymbols> = {
  file: "ntdll.dll",
  symbols: ntdllSymbols,
  remedy: "It is part of every Windows",
};

/** Returns the build number of Windows, such as 20348. */
export function buildNumber(host: Host): number {
  const info = new DataView(new ArrayBuffer(284));
  info.setUint32(0, info.byteLength, true);
  const status = host.symbols(ntdll).RtlGetVersion(new Uint8Array(info.buffer));
  if (status < 0) {
    throw errorOf(host, "RtlGetVersion", status);
  }
  return info.getUint32(12, true);
}
