/**
 * ws2_32.dll: sockets between this host and the guests of its VMs (AF_HYPERV), which Deno doesn't offer. Loaded only for
 * Linux VMs.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { log } from "../log.ts";
import { guidBytes } from "./guid.ts";
import type { Host } from "./host.ts";
import { errorOf } from "./kernel32.ts";
import type { Dll } from "./table.ts";

/** The functions of ws2_32.dll that are used. */
export const ws2Symbols = {
  WSACleanup: { parameters: [], result: "i32" /* int */ },
  WSAGetLastError: { parameters: [], result: "i32" /* int */ },
  WSAStartup: { parameters: ["u16", /* WORD version */ "buffer" /* WSADATA* */], result: "i32" /* int, an error */ },
  accept: {
    parameters: ["usize", /* SOCKET */ "buffer", /* sockaddr*, NULL */ "buffer" /* int*, NULL */],
    result: "usize", /* SOCKET, all ones on failure */
    nonblocking: true,
  },
  bind: { parameters: ["usize", /* SOCKET */ "buffer", /* const sockaddr* */ "i32" /* int bytes */], result: "i32" },
  closesocket: { parameters: ["usize" /* SOCKET */], result: "i32" /* int */ },
  listen: { parameters: ["usize", /* SOCKET */ "i32" /* int connections that may wait */], result: "i32" /* int */ },
  recv: {
    parameters: ["usize", /* SOCKET */ "buffer", /* char* */ "i32", /* int bytes */ "i32" /* int flags */],
    result: "i32", /* int bytes, 0 at the end, negative on failure */
    nonblocking: true,
  },
  send: {
    parameters: ["usize", /* SOCKET */ "buffer", /* const char* */ "i32", /* int bytes */ "i32" /* int flags */],
    result: "i32", /* int bytes, negative on failure */
    nonblocking: true,
  },
  socket: {
    parameters: ["i32", /* int family */ "i32", /* int type */ "i32" /* int protocol */],
    result: "usize", /* SOCKET, all ones on failure */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** ws2_32.dll. */
export const ws2: Dll<typeof ws2Symbols> = {
  file: "ws2_32.dll",
  symbols: ws2Symbols,
  remedy: "It is part of every Windows",
  waits: true,
};

const VERSION_2_2 = 0x0202;
const WSADATA_BYTES = 408;
const AF_HYPERV = 34;
const SOCK_STREAM = 1;
const HV_PROTOCOL_RAW = 1;
const SOCKADDR_HV_BYTES = 36;
const INVALID_SOCKET = 0xffffffffffffffffn;
const BACKLOG = 1;

/** Returns the id of the service for a vsock port of a Linux guest. */
export function vsockService(port: number): string {
  return `${port.toString(16).padStart(8, "0")}-facb-11e6-bd58-64006a7986d3`;
}

/** Starts Winsock. It runs until the returned object is disposed of; close all sockets before. */
export function startWinsock(host: Host): Disposable {
  const { WSAStartup, WSACleanup } = host.symbols(ws2);
  const error = WSAStartup(VERSION_2_2, new Uint8Array(WSADATA_BYTES));
  if (error !== 0) throw errorOf(host, "WSAStartup", fromWin32(error));
  return { [Symbol.dispose]: () => void WSACleanup() };
}

/** A connection with a guest, closed by `using`, which throws if Windows doesn't close it. */
export interface GuestConnection extends Disposable {
  /** Sends all of `bytes`. */
  send(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Receives bytes into `buffer`. Returns how many, and 0 once the connection has ended, for whatever reason. */
  receive(buffer: Uint8Array<ArrayBuffer>): Promise<number>;
}

/** A socket to which guests connect, closed by `using`, which throws if Windows doesn't close it. */
export interface GuestListener extends Disposable {
  /** Waits for the next connection, on a thread of the pool. Returns `undefined` once the socket is closed. */
  accept(): Promise<GuestConnection | undefined>;
}

/** Listens for connections of a VM (named by its GUID, not its id) to a service. Winsock must be started. */
export function listenForGuest(host: Host, runtimeId: string, service: string): GuestListener {
  const { socket, bind, listen, accept } = host.symbols(ws2);
  const path = `${runtimeId}/${service}`;
  const handle = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  if (handle === INVALID_SOCKET) throw lastSocketError(host, "socket", path);
  const owned = closing(host, handle, path);
  try {
    if (bind(handle, address(runtimeId, service), SOCKADDR_HV_BYTES) !== 0) throw lastSocketError(host, "bind", path);
    if (listen(handle, BACKLOG) !== 0) throw lastSocketError(host, "listen", path);
  } catch (error) {
    closeOrLog(owned, path);
    throw error;
  }
  return {
    async accept() {
      const accepted = await accept(handle, null, null);
      if (accepted !== INVALID_SOCKET) {
        const connection = guestConnection(host, accepted, path);
        if (!owned.closed) return connection;
        connection[Symbol.dispose]();
      }
      if (owned.closed) return undefined;
      throw unknownSocketError(host, "accept", path);
    },
    [Symbol.dispose]: owned.close,
  };
}

function guestConnection(host: Host, handle: bigint, path: string): GuestConnection {
  const { send, recv } = host.symbols(ws2);
  const owned = closing(host, handle, path);
  return {
    async send(bytes) {
      for (let at = 0; at < bytes.byteLength;) {
        const sent = await send(handle, bytes.subarray(at), bytes.byteLength - at, 0);
        if (sent <= 0) throw unknownSocketError(host, "send", path);
        at += sent;
      }
    },
    // A broken connection has ended, just like a closed one.
    receive: async (buffer) => Math.max(0, await recv(handle, buffer, buffer.byteLength, 0)),
    [Symbol.dispose]: owned.close,
  };
}

// Closes only once, because Windows reuses the number of a closed socket for the next one. A failure is tried again once,
// at once. If that fails too, the socket is open, and can be closed again.
function closing(host: Host, handle: bigint, path: string): { readonly closed: boolean; close(): void } {
  let closed = false;
  return {
    get closed() {
      return closed;
    },
    close() {
      if (closed) return;
      const { closesocket } = host.symbols(ws2);
      if (closesocket(handle) !== 0 && closesocket(handle) !== 0) {
        const error = lastSocketError(host, "closesocket", path);
        if (error.win32 !== win32.WSAENOTSOCK) throw error;
      }
      closed = true;
    },
  };
}

function closeOrLog({ close }: { close(): void }, path: string): void {
  try {
    close();
  } catch (error) {
    log("warn", () => `a socket of ${path} stays open: ${messageOf(error)}`);
  }
}

function address(runtimeId: string, service: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SOCKADDR_HV_BYTES);
  new DataView(bytes.buffer).setUint16(0, AF_HYPERV, true);
  bytes.set(guidBytes(runtimeId), 4);
  bytes.set(guidBytes(service), 20);
  return bytes;
}

function lastSocketError(host: Host, fn: string, path: string) {
  return errorOf(host, fn, fromWin32(host.symbols(ws2).WSAGetLastError()), path);
}

// The error code can't be read: the call ran on the pool, and the code belongs to that thread.
function unknownSocketError(host: Host, fn: string, path: string) {
  return errorOf(host, fn, fromWin32(win32.ERROR_GEN_FAILURE), path);
}
