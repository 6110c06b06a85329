/**
 * What a process has of Windows: its handles, and the native memory that it hasn't freed.
 *
 * @module
 */

import { assertEquals } from "jsr:@std/assert@^1.0.0";
import type { Host } from "../../../src/ffi/host.ts";
import { kernel32, type kernel32Symbols } from "../../../src/ffi/kernel32.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../../src/ffi/table.ts";

const processSymbols = {
  GetProcessHandleCount: {
    parameters: ["usize", /* HANDLE process */ "buffer" /* PDWORD */],
    result: "i32", /* BOOL */
  },
} as const satisfies Deno.ForeignLibraryInterface;

const process: Dll<typeof processSymbols> = { file: "kernel32.dll", symbols: processSymbols, remedy: "" };

/** Returns how many handles this process has open. */
export function handlesOf(host: Host): number {
  const count = new Uint8Array(4);
  const current = host.symbols(kernel32).GetCurrentProcess();
  assertEquals(host.symbols(process).GetProcessHandleCount(current, count), 1);
  return new DataView(count.buffer).getUint32(0, true);
}

/** Returns a host that is `host`, and keeps `blocks` the addresses of native memory that are not freed. */
export function accounted(host: Host, blocks: Set<bigint>): Host {
  const symbols = host.symbols(kernel32);
  const counting: NativeSymbols<typeof kernel32Symbols> = {
    ...symbols,
    LocalAlloc(flags, bytes) {
      const address = symbols.LocalAlloc(flags, bytes);
      blocks.add(address);
      return address;
    },
    LocalFree(address) {
      blocks.delete(address);
      return symbols.LocalFree(address);
    },
  };
  return {
    machine: {},
    symbols: <T extends SymbolTable>(dll: Dll<T>) =>
      dll === kernel32 as unknown ? counting as unknown as NativeSymbols<T> : host.symbols(dll),
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
  };
}
