/**
 * ws2_32.dll, simulated: sockets to simulated guests, and no others.
 *
 * @module
 */

import { guidText } from "../ffi/guid.ts";
import {
  big,
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

const WSAENOTSOCK = 10038;
const WSAEADDRINUSE = 10048;
const WSANOTINITIALISED = 10093;

/** Functions that return 0, or -1 with a separate error. */
const SOCKET_STATUS = {
  ...HANDLE,
  done: 0,
  fail: (code: number, process: Process) => (HANDLE.fail(code, process), -1),
};

interface Socket extends OpenHandle {
  readonly type: "socket";
  address?: string;
  listens?: boolean;
  connection?: Connection;
}

function socketOf({ handles }: Process, handle: bigint): Socket {
  const socket = handles.find(handle);
  if (socket !== undefined && socket.type !== "socket") {
    throw new SimulationError(`a call for sockets on something that isn't a socket: ${socket.target}`);
  }
  if (socket === undefined) throw win32Failure(WSAENOTSOCK);
  return socket as Socket;
}

function closeSocket({ sockets }: Process, { listens, address, connection }: Socket): void {
  if (listens) sockets.close(address!);
  connection?.close();
}

/** Closes the sockets of a process that ends, so that nothing waits for them any more. */
export function closeSockets(process: Process): void {
  for (const handle of process.handles.list()) {
    if (handle.type === "socket") closeSocket(process, handle as Socket);
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

  WSAGetLastError: define(INFALLIBLE, {}, ({ process }) => process.lastError),

  WSAStartup: define(WIN32, { version: number, data: buffer }, ({ process }) => {
    process.sockets.started++;
  }),

  accept: define(
    HANDLE,
    { socket: big, address: optionalBuffer, size: optionalBuffer },
    async ({ process }, { socket }) => {
      const { address, target } = socketOf(process, socket);
      const connection = await process.sockets.accept(address ?? "");
      if (connection === undefined) throw win32Failure(10004);
      return process.handles.open({ type: "socket", target, connection } as Socket);
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
    if (!process.sockets.listen(handle.address ?? "")) throw win32Failure(WSAEADDRINUSE);
    handle.listens = true;
  }),

  recv: define(
    SOCKET_STATUS,
    { socket: big, data: buffer, size: number, flags: number },
    ({ process }, { socket, data, size }) => socketOf(process, socket).connection!.read(data.subarray(0, size)),
  ),

  send: define(
    SOCKET_STATUS,
    { socket: big, data: buffer, size: number, flags: number },
    ({ process }, { socket, data, size }) => {
      const { connection } = socketOf(process, socket);
      if (!connection!.write(data.subarray(0, size))) throw win32Failure(10054);
      return size;
    },
  ),

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
