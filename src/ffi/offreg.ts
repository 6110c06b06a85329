/**
 * offreg.dll: registry hives as files. It needs no privilege.
 *
 * @module
 */

import { fromWin32 } from "../errors/codes.ts";
import type { Host } from "./host.ts";
import { errorOf } from "./kernel32.ts";
import { addressIn } from "./memory.ts";
import { noted } from "./operation.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of offreg.dll that are used. All return a Win32 code. */
export const offregSymbols = {
  ORCloseHive: { parameters: ["usize" /* ORHKEY */], result: "u32" },
  ORMergeHives: {
    parameters: [
      "buffer", /* ORHKEY* hives, that below first */
      "u32", /* ULONG hives */
      "buffer", /* PORHKEY merged */
    ],
    result: "u32",
    nonblocking: true,
    optional: true,
  },
  OROpenHive: { parameters: ["buffer", /* PCWSTR path */ "buffer" /* PORHKEY */], result: "u32", nonblocking: true },
  ORSaveHive: {
    parameters: ["usize", /* ORHKEY */ "buffer", /* PCWSTR path */ "u32", /* DWORD major */ "u32" /* DWORD minor */],
    result: "u32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** offreg.dll. */
export const offreg: Dll<typeof offregSymbols> = {
  file: "offreg.dll",
  symbols: offregSymbols,
  remedy: "It comes with Windows build 17763 and later",
};

// The version of Windows for which hives are written, 10.0.
const VERSION = [10, 0] as const;

async function called(host: Host, fn: string, path: string, result: number | Promise<number>): Promise<void> {
  const code = await noted(host, fn, path, result);
  if (code !== 0) throw errorOf(host, fn, fromWin32(code), path);
}

/** Merges the hive in a file with what another one changes, and writes the result to a file that must not exist. */
export async function mergeHives(host: Host, base: string, delta: string, path: string): Promise<void> {
  const { ORMergeHives, ORSaveHive } = host.symbols(offreg);
  using opened = new DisposableStack();
  const below = await openHive(host, base, opened);
  const above = await openHive(host, delta, opened);
  const out = new Uint8Array(8);
  const hives = new Uint8Array(BigUint64Array.of(below, above).buffer);
  await called(host, "ORMergeHives", path, ORMergeHives(hives, 2, out));
  const merged = closing(host, addressIn(out), opened);
  await called(host, "ORSaveHive", path, ORSaveHive(merged, wide(path), ...VERSION));
}

async function openHive(host: Host, path: string, opened: DisposableStack): Promise<bigint> {
  const out = new Uint8Array(8);
  await called(host, "OROpenHive", path, host.symbols(offreg).OROpenHive(wide(path), out));
  return closing(host, addressIn(out), opened);
}

function closing(host: Host, hive: bigint, opened: DisposableStack): bigint {
  opened.defer(() => void host.symbols(offreg).ORCloseHive(hive));
  return hive;
}
