/**
 * ws2_32.dll, simulated: sockets to simulated guests, and no others.
 *
 * @module
 */

import { guidText } from "../ffi/guid.ts";
import {
  ADDRESS,
  big,
  BOOL,
  buffer,
  define,
  HANDLE,
  INFALLIBLE,
  number,
  type OpenHandle,
  optionalBuffer,
  type Process,
  type SimulatedDll,
  WIN32,
  win32Failure,
} from "./call.ts";
import { addressOf, type Connection } from "./guest_network.ts";
import { SimulationError, unknown } from "./simulation_error.ts";

const WSAEWOULDBLOCK = 10035;
const WSAENOTSOCK = 10038;
const WSAEADDRINUSE = 10048;
const WSAECONNABORTED = 10053;
const WSAECONNRESET = 10054;
const WSAENOTCONN = 10057;
const WSANOTINITIALISED = 10093;

/** Functions that return 0, or -1 with a separate error. */
const SOCKET_STATUS = {
  ...HANDLE,
  done: 0,
  fail: (code: number, process: Process) => (HANDLE.fail(code, process), -1),
};

/** Returns the number of an event, all ones for a failure. */
const WAIT = { done: undefined, fail: (code: number, process: Process) => (HANDLE.fail(code, process), 0xffffffff) };

/** An event. It stays set until it is reset. */
class SocketEvent implements OpenHandle {
  readonly type = "event";
  readonly target = "an event for sockets";
  #isSet = false;
  #waiting: (() => void)[] = [];

  get isSet(): boolean {
    return this.#isSet;
  }

  set(): void {
    this.#isSet = true;
    this.#waiting.forEach((resolve) => resolve());
    this.#waiting = [];
  }

  reset(): void {
    this.#isSet = false;
  }

  async wait(): Promise<void> {
    if (!this.#isSet) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

interface Socket extends OpenHandle {
  readonly type: "socket";
  event?: SocketEvent;
  address?: string;
  listens?: boolean;
  connection?: Connection;
  isShutDown?: boolean;
}

function socketOf({ handles }: Process, handle: bigint): Socket {
  const socket = handles.find(handle);
  if (socket !== undefined && socket.type !== "socket") {
    throw new SimulationError(`a call for sockets on something that isn't a socket: ${socket.target}`);
  }
  if (socket === undefined) throw win32Failure(WSAENOTSOCK);
  return socket as Socket;
}

function eventOf({ handles }: Process, handle: bigint): SocketEvent {
  return handles.get(handle, "event") as SocketEvent;
}

// A socket blocks until an event is selected for it.
function requireEvent(fn: string, { event, target }: Socket): SocketEvent {
  return event ?? unknown(`${fn} on a socket that blocks: ${target}`);
}

function connectionOf(fn: string, socket: Socket): Connection {
  requireEvent(fn, socket);
  if (socket.connection === undefined) throw win32Failure(WSAENOTCONN);
  if (socket.isShutDown) throw win32Failure(WSAECONNABORTED);
  return socket.connection;
}

function closeSocket({ sockets }: Process, socket: Socket): void {
  const { listens, address, connection } = socket;
  if (listens) sockets.close(address!);
  socket.isShutDown = true;
  connection?.close();
}

/** Closes the sockets of a process that ends. What waits for them ends with it. */
export function closeSockets(process: Process): void {
  for (const handle of process.handles.list()) {
    if (handle.type === "socket") closeSocket(process, handle as Socket);
    if (handle.type === "event") (handle as SocketEvent).set();
  }
}

/** ws2_32.dll. */
export const ws2Functions: SimulatedDll = {
  WSACleanup: define(SOCKET_STATUS, {}, ({ process }) => {
    if (process.sockets.started-- === 0) throw new SimulationError("WSACleanup without WSAStartup");
    if (process.sockets.started > 0) return;
    const open = process.handles.list().find(({ type }) => type === "socket");
    if (open !== undefined) throw new SimulationError(`WSACleanup while a socket is open: ${open.target}`);
  }),

  WSACloseEvent: define(BOOL, { event: big }, ({ process }, { event }) => {
    eventOf(process, event);
    process.handles.close(event);
  }),

  WSACreateEvent: define(ADDRESS, {}, ({ process }) => process.handles.open(new SocketEvent())),

  WSAEventSelect: define(
    SOCKET_STATUS,
    { socket: big, event: big, events: number },
    ({ process }, { socket, event }) => {
      const handle = socketOf(process, socket);
      const selected = handle.event = eventOf(process, event);
      // Of what has happened before, it tells as well.
      if (handle.connection?.isReadable) selected.set();
      // Not what the process itself ends.
      handle.connection?.onChange(() => handle.isShutDown || selected.set());
    },
  ),

  WSAGetLastError: define(INFALLIBLE, {}, ({ process }) => process.lastError),

  WSAResetEvent: define(BOOL, { event: big }, ({ process }, { event }) => eventOf(process, event).reset()),

  WSASetEvent: define(BOOL, { event: big }, ({ process }, { event }) => eventOf(process, event).set()),

  WSAStartup: define(WIN32, { version: number, data: buffer }, ({ process }) => {
    process.sockets.started++;
  }),

  WSAWaitForMultipleEvents: define(
    WAIT,
    { count: number, events: buffer, all: number, milliseconds: number, alertable: number },
    async ({ process }, { count, events, milliseconds }) => {
      if (count !== 1 || milliseconds !== 0xffffffff) unknown("waiting for several events, or with a limit");
      const view = new DataView(events.buffer, events.byteOffset, events.byteLength);
      await eventOf(process, view.getBigUint64(0, true)).wait();
      return 0;
    },
  ),

  accept: define(
    HANDLE,
    { socket: big, address: optionalBuffer, size: optionalBuffer },
    ({ process }, { socket }) => {
      const listener = socketOf(process, socket);
      const event = requireEvent("accept", listener);
      const connection = process.sockets.accept(listener.address ?? "");
      if (connection === undefined) throw win32Failure(WSAEWOULDBLOCK);
      if (process.sockets.hasArrived(listener.address ?? "")) event.set();
      return process.handles.open({ type: "socket", target: listener.target, connection } as Socket);
    },
  ),

  bind: define(
    SOCKET_STATUS,
    { socket: big, address: buffer, size: number },
    ({ process }, { socket, address, size }) => {
      const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
      if (size !== 36 || view.getUint16(0, true) !== 34) {
        unknown("binding a socket to an address that isn't for Hyper-V");
      }
      const at = addressOf(guidText(address, 4), guidText(address, 20));
      const handle = socketOf(process, socket);
      handle.address = at;
    },
  ),

  closesocket: define(SOCKET_STATUS, { socket: big }, ({ process }, { socket }) => {
    const handle = socketOf(process, socket);
    process.handles.close(socket);
    closeSocket(process, handle);
  }),

  listen: define(SOCKET_STATUS, { socket: big, backlog: number }, ({ process }, { socket }) => {
    const handle = socketOf(process, socket);
    if (!process.sockets.listen(handle.address ?? "", () => handle.event?.set())) throw win32Failure(WSAEADDRINUSE);
    handle.listens = true;
  }),

  recv: define(
    SOCKET_STATUS,
    { socket: big, data: buffer, size: number, flags: number },
    ({ process }, { socket, data, size }) => {
      const read = connectionOf("recv", socketOf(process, socket)).tryRead(data.subarray(0, size));
      if (read === undefined) throw win32Failure(WSAEWOULDBLOCK);
      return read;
    },
  ),

  send: define(
    SOCKET_STATUS,
    { socket: big, data: buffer, size: number, flags: number },
    ({ process }, { socket, data, size }) => {
      const written = connectionOf("send", socketOf(process, socket)).tryWrite(data.subarray(0, size));
      if (written === undefined) throw win32Failure(WSAECONNRESET);
      if (written === 0 && size > 0) throw win32Failure(WSAEWOULDBLOCK);
      return written;
    },
  ),

  shutdown: define(SOCKET_STATUS, { socket: big, how: number }, ({ process }, { socket }) => {
    const handle = socketOf(process, socket);
    const connection = connectionOf("shutdown", handle);
    handle.isShutDown = true;
    connection.close();
  }),

  socket: define(
    HANDLE,
    { family: number, type: number, protocol: number },
    ({ process }, { family, type, protocol }) => {
      if (process.sockets.started === 0) throw win32Failure(WSANOTINITIALISED);
      if (family !== 34 || type !== 1 || protocol !== 1) unknown("creating a socket that isn't for Hyper-V");
      return process.handles.open({ type: "socket", target: "AF_HYPERV" });
    },
  ),
};
