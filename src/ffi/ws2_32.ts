/**
 * ws2_32.dll: sockets between this host and the guests of its VMs (AF_HYPERV), which Deno doesn't offer. Loaded when a
 * VM is started.
 *
 * @module
 */

import { fromWin32, win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { log } from "../log.ts";
import { guidBytes } from "./guid.ts";
import type { Host } from "./host.ts";
import { errorOf, keepFromChildren } from "./kernel32.ts";
import type { Dll } from "./table.ts";

/** The functions of ws2_32.dll that are used. All but the wait answer at once, as the sockets don't block. */
export const ws2Symbols = {
  WSACleanup: { parameters: [], result: "i32" /* int */ },
  WSACloseEvent: { parameters: ["usize" /* WSAEVENT */], result: "i32" /* BOOL */ },
  WSACreateEvent: { parameters: [], result: "usize" /* WSAEVENT, 0 on failure */ },
  WSAEventSelect: {
    parameters: ["usize", /* SOCKET */ "usize", /* WSAEVENT */ "i32" /* long, what to set it for */],
    result: "i32", /* int */
  },
  WSAGetLastError: { parameters: [], result: "i32" /* int */ },
  WSAResetEvent: { parameters: ["usize" /* WSAEVENT */], result: "i32" /* BOOL */ },
  WSASetEvent: { parameters: ["usize" /* WSAEVENT */], result: "i32" /* BOOL */ },
  WSAStartup: { parameters: ["u16", /* WORD version */ "buffer" /* WSADATA* */], result: "i32" /* int, an error */ },
  WSAWaitForMultipleEvents: {
    parameters: [
      "u32", /* DWORD events */
      "buffer", /* const WSAEVENT* */
      "i32", /* BOOL for all */
      "u32", /* DWORD milliseconds */
      "i32", /* BOOL alertable */
    ],
    result: "u32", /* DWORD, 0 for the first event */
    nonblocking: true,
  },
  accept: {
    parameters: ["usize", /* SOCKET */ "buffer", /* sockaddr*, NULL */ "buffer" /* int*, NULL */],
    result: "usize", /* SOCKET, all ones on failure */
  },
  bind: { parameters: ["usize", /* SOCKET */ "buffer", /* const sockaddr* */ "i32" /* int bytes */], result: "i32" },
  closesocket: { parameters: ["usize" /* SOCKET */], result: "i32" /* int */ },
  listen: { parameters: ["usize", /* SOCKET */ "i32" /* int connections that may wait */], result: "i32" /* int */ },
  recv: {
    parameters: ["usize", /* SOCKET */ "buffer", /* char* */ "i32", /* int bytes */ "i32" /* int flags */],
    result: "i32", /* int bytes, 0 at the end, negative on failure */
  },
  send: {
    parameters: ["usize", /* SOCKET */ "buffer", /* const char* */ "i32", /* int bytes */ "i32" /* int flags */],
    result: "i32", /* int bytes, negative on failure */
  },
  shutdown: { parameters: ["usize", /* SOCKET */ "i32" /* int direction */], result: "i32" /* int */ },
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
const BACKLOG = 16;
const SD_BOTH = 2;
const FD_READ = 1;
const FD_WRITE = 2;
const FD_ACCEPT = 8;
const FD_CLOSE = 32;
const INFINITE = 0xffffffff;

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

/** What Windows sets when something happens to one of the sockets that it was selected for. Closed by `using`. */
export interface SocketEvent extends Disposable {
  /** Its handle. */
  readonly handle: bigint;
  /** Waits until it is set, on a thread of the pool, and resets it. */
  wait(): Promise<void>;
  /** Sets it. */
  set(): void;
}

/** Creates an event for sockets. Winsock must be started. */
export function createSocketEvent(host: Host): SocketEvent {
  const { WSACreateEvent, WSACloseEvent, WSAResetEvent, WSASetEvent, WSAWaitForMultipleEvents } = host.symbols(ws2);
  const handle = WSACreateEvent();
  if (handle === 0n) throw lastSocketError(host, "WSACreateEvent");
  const handles = new Uint8Array(new BigUint64Array([handle]).buffer);
  return {
    handle,
    async wait() {
      const set = await WSAWaitForMultipleEvents(1, handles, 0, INFINITE, 0);
      // The code belongs to the thread of the pool.
      if (set !== 0) throw errorOf(host, "WSAWaitForMultipleEvents", fromWin32(win32.ERROR_GEN_FAILURE));
      if (WSAResetEvent(handle) === 0) throw lastSocketError(host, "WSAResetEvent");
    },
    set() {
      if (WSASetEvent(handle) === 0) throw lastSocketError(host, "WSASetEvent");
    },
    [Symbol.dispose]() {
      if (WSACloseEvent(handle) === 0 && WSACloseEvent(handle) === 0) throw lastSocketError(host, "WSACloseEvent");
    },
  };
}

/**
 * Listens for connections of a VM (named by its GUID, not its id) to a service, without blocking. `event` is set when there is
 * one. Returns the socket.
 */
export function listenForGuest(host: Host, event: SocketEvent, runtimeId: string, service: string): bigint {
  const { socket, bind, listen } = host.symbols(ws2);
  const path = `${runtimeId}/${service}`;
  const handle = socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  if (handle === INVALID_SOCKET) throw lastSocketError(host, "socket", path);
  return orClosed(host, handle, path, () => {
    keepFromChildren(host, handle, path);
    if (bind(handle, address(runtimeId, service), SOCKADDR_HV_BYTES) !== 0) throw lastSocketError(host, "bind", path);
    select(host, handle, event, FD_ACCEPT, path);
    if (listen(handle, BACKLOG) !== 0) throw lastSocketError(host, "listen", path);
    return handle;
  });
}

/** Returns the next connection that waits at a socket, or `undefined` if none does. `event` is set when something happens to it. */
export function acceptGuest(host: Host, listener: bigint, event: SocketEvent, path: string): bigint | undefined {
  const handle = host.symbols(ws2).accept(listener, null, null);
  if (handle === INVALID_SOCKET) return unlessBlocked(host, "accept", path);
  return orClosed(host, handle, path, () => {
    // Otherwise, a guest would still be connected to a child when this process has ended. An accepted socket has flags of its own.
    keepFromChildren(host, handle, path);
    select(host, handle, event, FD_READ | FD_WRITE | FD_CLOSE, path);
    return handle;
  });
}

/** Receives bytes into a buffer. Returns how many, 0 at the end, and `undefined` if there are none yet. */
export function receive(
  host: Host,
  socket: bigint,
  buffer: Uint8Array<ArrayBuffer>,
  path: string,
): number | undefined {
  const size = host.symbols(ws2).recv(socket, buffer, buffer.byteLength, 0);
  return size < 0 ? unlessBlocked(host, "recv", path) : size;
}

/** Sends bytes, at least one. Returns how many were sent, and `undefined` if there is no room for any yet. */
export function send(host: Host, socket: bigint, bytes: Uint8Array<ArrayBuffer>, path: string): number | undefined {
  const size = host.symbols(ws2).send(socket, bytes, bytes.byteLength, 0);
  return size > 0 ? size : unlessBlocked(host, "send", path);
}

/** Ends a connection in both directions. Its socket stays open. */
export function shutDown(host: Host, socket: bigint): void {
  // Fails if the connection has ended.
  host.symbols(ws2).shutdown(socket, SD_BOTH);
}

/**
 * Closes a socket, and tries once more if that fails. Call it only once if it succeeds: Windows uses the number again.
 *
 * @throws {NativeError} if it is still open.
 */
export function closeSocket(host: Host, socket: bigint, path: string): void {
  const { closesocket } = host.symbols(ws2);
  if (closesocket(socket) === 0 || closesocket(socket) === 0) return;
  const error = lastSocketError(host, "closesocket", path);
  if (error.win32 !== win32.WSAENOTSOCK) throw error;
}

function select(host: Host, socket: bigint, event: SocketEvent, what: number, path: string): void {
  // This makes the socket one that doesn't block.
  if (host.symbols(ws2).WSAEventSelect(socket, event.handle, what) !== 0) {
    throw lastSocketError(host, "WSAEventSelect", path);
  }
}

function orClosed<T>(host: Host, socket: bigint, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    try {
      closeSocket(host, socket, path);
    } catch (error) {
      log("warn", () => `a socket of ${path} stays open: ${messageOf(error)}`);
    }
    throw error;
  }
}

function unlessBlocked(host: Host, fn: string, path: string): undefined {
  const error = lastSocketError(host, fn, path);
  if (error.win32 !== win32.WSAEWOULDBLOCK) throw error;
}

function address(runtimeId: string, service: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SOCKADDR_HV_BYTES);
  new DataView(bytes.buffer).setUint16(0, AF_HYPERV, true);
  bytes.set(guidBytes(runtimeId), 4);
  bytes.set(guidBytes(service), 20);
  return bytes;
}

function lastSocketError(host: Host, fn: string, path?: string) {
  return errorOf(host, fn, fromWin32(host.symbols(ws2).WSAGetLastError()), path);
}
