/**
 * For programs with their own {@linkcode Host}: one that records, forwards or refuses native calls.
 *
 * Every native call of the library goes through {@linkcode Host.symbols}, with one symbol table per DLL. A host that wraps
 * another host returns that host's functions, or replaces some of them. This one notes which DLLs are used:
 *
 * ```ts
 * import type { Host } from "@hcs-layers/hcs-layers/host";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 * import { layerExists } from "@hcs-layers/hcs-layers/storage";
 *
 * const inner = new SimulatedHost();
 * const used = new Set<string>();
 * const host: Host = {
 *   machine: inner.machine,
 *   symbols(dll) {
 *     used.add(dll.file);
 *     return inner.symbols(dll);
 *   },
 *   sleep: (ms, signal) => inner.sleep(ms, signal),
 *   callback: (listener) => inner.callback(listener),
 * };
 * await layerExists("C:\\layers\\base", { host });
 * console.log(used); // Set(1) { "vmcompute.dll" }
 * ```
 *
 * @module
 */

export { windowsHost } from "./host.ts";
export type {
  Host,
  NativeCallback,
  NotificationListener,
  RawNotification,
  WindowsHost,
  WindowsHostOptions,
} from "./host.ts";
export type {
  Dll,
  NativeArgument,
  NativeArguments,
  NativeFunction,
  NativeResult,
  NativeSymbols,
  SymbolTable,
} from "./table.ts";
