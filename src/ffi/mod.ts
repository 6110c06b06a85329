/**
 * For those who write a {@linkcode Host} of their own: one that records, forwards or refuses what is asked of Windows.
 *
 * All that the library asks of Windows goes through {@linkcode Host.symbols}, with one symbol table a DLL. A host that
 * wraps another one hands out its functions, or others in their place.
 *
 * ```ts
 * import type { Host } from "@hcs-layers/hcs-layers/host";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const inner = new SimulatedHost();
 * const asked = new Set<string>();
 * const host: Host = {
 *   machine: inner.machine,
 *   symbols(dll) {
 *     asked.add(dll.file);
 *     return inner.symbols(dll);
 *   },
 *   sleep: (ms, signal) => inner.sleep(ms, signal),
 *   callback: (listener) => inner.callback(listener),
 * };
 * console.log(host.machine === inner.machine, asked.size);
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
