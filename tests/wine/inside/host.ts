/**
 * Hosts for tests inside.
 *
 * @module
 */

import type { Host, WindowsHost } from "../../../src/ffi/host.ts";
import { kernel32, kernel32Symbols } from "../../../src/ffi/kernel32.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../../src/ffi/table.ts";

/** Functions of kernel32.dll that another DLL has instead. */
export type StandIns = Dll<Partial<typeof kernel32Symbols>>;

const { CreateFileW, GetFileAttributesW } = kernel32Symbols;

/** Mount points, for Wine can't set one; and files without alternate data streams, which it doesn't have either. */
export const mountPointStandIns: StandIns = {
  file: "hcsmountpoints.dll",
  symbols: {
    CreateFileW,
    DeleteVolumeMountPointW: kernel32Symbols.DeleteVolumeMountPointW,
    GetFileAttributesW,
    GetVolumeNameForVolumeMountPointW: kernel32Symbols.GetVolumeNameForVolumeMountPointW,
    GetVolumePathNamesForVolumeNameW: kernel32Symbols.GetVolumePathNamesForVolumeNameW,
    SetVolumeMountPointW: kernel32Symbols.SetVolumeMountPointW,
  },
  remedy: "",
};

/** All that a mount and its release call of kernel32.dll, recorded, with files that answer at once. */
export const quickStandIns: StandIns = {
  file: "hcsquick.dll",
  symbols: {
    CloseHandle: kernel32Symbols.CloseHandle,
    CreateFileW,
    FormatMessageW: kernel32Symbols.FormatMessageW,
    GetFileAttributesW,
    GetFinalPathNameByHandleW: kernel32Symbols.GetFinalPathNameByHandleW,
    GetLastError: kernel32Symbols.GetLastError,
    LocalAlloc: kernel32Symbols.LocalAlloc,
    LocalFree: kernel32Symbols.LocalFree,
    copyIn: kernel32Symbols.copyIn,
  },
  remedy: "",
};

/** A host with stand-ins for functions of kernel32.dll, and an identity of its own. Disposing it disposes `host`. */
export function withStandIns(host: WindowsHost, standIns: StandIns): WindowsHost {
  let overlaid: unknown;
  return {
    machine: {},
    records: host.records,
    symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
      if (dll !== kernel32 as unknown) return host.symbols(dll);
      overlaid ??= { ...host.symbols(kernel32), ...host.symbols(standIns) };
      return overlaid as NativeSymbols<T>;
    },
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
    [Symbol.dispose]: () => host[Symbol.dispose](),
  };
}

/** A host that is `host`, and puts the name of each function that is called into `calls`. */
export function watched(host: Host, calls: string[]): Host {
  return {
    machine: host.machine,
    symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
      const symbols: Record<string, unknown> = {};
      const unwatched = host.symbols(dll) as Record<string, (...args: unknown[]) => unknown>;
      for (const [name, fn] of Object.entries(unwatched)) {
        symbols[name] = (...args: unknown[]) => {
          calls.push(name);
          return fn(...args);
        };
      }
      return symbols as NativeSymbols<T>;
    },
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
  };
}
