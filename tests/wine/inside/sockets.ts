/**
 * Sockets to guests under Wine, which has no AF_HYPERV: they are sockets of the loopback, with all functions of Wine's own
 * ws2_32.dll, and a guest connects to them with TCP.
 *
 * @module
 */

import type { WindowsHost } from "../../../src/ffi/host.ts";
import { guidBytes } from "../../../src/ffi/guid.ts";
import type { Dll, NativeSymbols, SymbolTable } from "../../../src/ffi/table.ts";
import { ws2, ws2Symbols } from "../../../src/ffi/ws2_32.ts";

const hvsockets = {
  file: "hvsockets.dll",
  symbols: {
    bind: ws2Symbols.bind,
    socket: ws2Symbols.socket,
    portOfGuest: { parameters: ["buffer"], result: "u16" },
  },
  remedy: "",
} as const satisfies Dll;

/** A host with such sockets, and an identity of its own. Disposing of it disposes of `host`. */
export function withSockets(host: WindowsHost): WindowsHost {
  let overlaid: unknown;
  return {
    machine: {},
    symbols<T extends SymbolTable>(dll: Dll<T>): NativeSymbols<T> {
      if (dll !== ws2 as unknown) return host.symbols(dll);
      overlaid ??= { ...host.symbols(ws2), ...host.symbols(hvsockets) };
      return overlaid as NativeSymbols<T>;
    },
    sleep: (ms, signal) => host.sleep(ms, signal),
    callback: (listener) => host.callback(listener),
    [Symbol.dispose]: () => host[Symbol.dispose](),
  };
}

/** Connects as the guest of a VM. */
export function connectAsGuest(host: WindowsHost, runtimeId: string, service: string): Promise<Deno.TcpConn> {
  const address = new Uint8Array(36);
  address[0] = 34;
  address.set(guidBytes(runtimeId), 4);
  address.set(guidBytes(service), 20);
  return Deno.connect({ hostname: "127.0.0.1", port: host.symbols(hvsockets).portOfGuest(address) });
}
