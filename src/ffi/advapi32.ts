/**
 * advapi32.dll: the registry.
 *
 * @module
 */

import { fromWin32 } from "./codes.ts";
import type { Host } from "./host.ts";
import { errorOf } from "./kernel32.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of advapi32.dll that are used. */
export const advapi32Symbols = {
  RegGetValueW: {
    parameters: [
      "usize", /* HKEY */
      "buffer", /* LPCWSTR subkey */
      "buffer", /* LPCWSTR value */
      "u32", /* DWORD flags */
      "buffer", /* LPDWORD type, NULL */
      "buffer", /* PVOID data */
      "buffer", /* LPDWORD size of data */
    ],
    result: "i32", /* LSTATUS */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** advapi32.dll. */
export const advapi32: Dll<typeof advapi32Symbols> = {
  file: "advapi32.dll",
  symbols: advapi32Symbols,
  remedy: "It is part of every Windows",
};

const HKEY_LOCAL_MACHINE = 0xffffffff80000002n;
const RRF_RT_REG_DWORD = 0x10;
const CURRENT_VERSION = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion";

/** The revision of the build of Windows (UBR), such as 2031. */
export function buildRevision(host: Host): number {
  const data = new Uint8Array(4);
  const size = new Uint8Array([4, 0, 0, 0]);
  const status = host.symbols(advapi32).RegGetValueW(
    HKEY_LOCAL_MACHINE,
    wide(CURRENT_VERSION),
    wide("UBR"),
    RRF_RT_REG_DWORD,
    null,
    data,
    size,
  );
  if (status !== 0) {
    throw errorOf(host, "RegGetValueW", fromWin32(status), `HKLM\\${CURRENT_VERSION}\\UBR`);
  }
  return new DataView(data.buffer).getUint32(0, true);
}
