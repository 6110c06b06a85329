/**
 * The sockets between this process and the guest of one VM. None of them takes a thread.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { acceptGuest, closeSocket, listenForGuest, receive, send, shutDown, type SocketEvent } from "../ffi/ws2_32.ts";
import { log } from "../log.ts";
import { sessionOf } from "../session/session.ts";
import type { SocketWaits } from "../session/socket_waits.ts";

/** A connection with a guest. One call may read, and one may write, at a time. */
export interface GuestConnection {
  /**
   * Reads bytes into `buffer`. Returns how many, and 0 at the end: the guest has closed the connection, or this process has.
   *
   * @throws {NativeError} if the connection is broken.
   */
  read(buffer: Uint8Array<ArrayBuffer>): Promise<number>;
  /**
   * Writes all of `bytes`. Resolves when Windows has taken them.
   *
   * @throws {NativeError} if the connection is broken.
   * @throws {ClosedSocketError} if it was closed by this process.
   */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Closes it. What waits for it ends. If that fails, it is closed with the others. */
  close(): void;
}

/** What guests connect to. */
export interface GuestListener {
  /** Waits for the next connection. Returns `undefined` once it is closed. */
  accept(): Promise<GuestConnection | undefined>;
  /** Closes it. What waits for it ends. If that fails, it is closed with the others. */
  close(): void;
}

interface OpenSocket {
  readonly handle: bigint;
  readonly path: string;
  readonly isConnection: boolean;
  /** Whether it is, or is about to be, closed, so that nothing may use the handle any more. */
  closed: boolean;
}

// After so many bytes, other work gets its turn, whether or not there are more.
const BYTES_A_TURN = 1024 * 1024;

/** The sockets for the guest of one VM. */
export class VMSockets implements AsyncDisposable {
  readonly #host: Host;
  readonly #runtimeId: string;
  readonly #waits: SocketWaits;
  readonly #sockets = new Set<OpenSocket>();
  #event: SocketEvent | undefined;

  /**
   * Starts Winsock for the VM with a GUID.
   *
   * @throws {NativeError} if Windows refuses.
   */
  constructor(host: Host, runtimeId: string) {
    this.#host = host;
    this.#runtimeId = runtimeId;
    this.#waits = sessionOf(host).socketWaits;
    this.#event = this.#waits.open(host);
  }

  /**
   * Listens for connections to a service.
   *
   * @throws {NativeError} if Windows doesn't support such sockets, or somebody else listens.
   */
  listen(service: string): GuestListener {
    const handle = listenForGuest(this.#host, this.#event!, this.#runtimeId, service);
    const socket = this.#add(handle, `${this.#runtimeId}/${service}`, false);
    return {
      accept: () => this.#waits.until(() => this.#accept(socket)),
      close: () => this.#tryToClose(socket),
    };
  }

  #accept(listener: OpenSocket): { readonly value: GuestConnection | undefined } | undefined {
    if (listener.closed) return { value: undefined };
    const { handle, path } = listener;
    const accepted = acceptGuest(this.#host, handle, this.#event!, path);
    return accepted === undefined ? undefined : { value: this.#connection(this.#add(accepted, path, true)) };
  }

  #connection(socket: OpenSocket): GuestConnection {
    const { handle, path } = socket;
    let bytesRead = 0;
    return {
      read: async (buffer) => {
        if (bytesRead >= BYTES_A_TURN) {
          await new Promise((resolve) => setTimeout(resolve, 0));
          bytesRead = 0;
        }
        const size = await this.#waits.until(() => {
          const size = socket.closed ? 0 : receive(this.#host, handle, buffer, path);
          return size === undefined ? undefined : { value: size };
        });
        bytesRead += size;
        return size;
      },
      write: async (bytes) => {
        for (let at = 0; at < bytes.byteLength;) {
          at += await this.#waits.until(() => {
            if (socket.closed) throw new ClosedSocketError();
            const size = send(this.#host, handle, bytes.subarray(at), path);
            return size === undefined ? undefined : { value: size };
          });
        }
      },
      close: () => this.#tryToClose(socket),
    };
  }

  #add(handle: bigint, path: string, isConnection: boolean): OpenSocket {
    const socket = { handle, path, isConnection, closed: false };
    this.#sockets.add(socket);
    return socket;
  }

  #close(socket: OpenSocket): void {
    if (socket.isConnection && !socket.closed) shutDown(this.#host, socket.handle);
    socket.closed = true;
    this.#waits.retry();
    if (!this.#sockets.has(socket)) return;
    closeSocket(this.#host, socket.handle, socket.path);
    this.#sockets.delete(socket);
  }

  #tryToClose(socket: OpenSocket): void {
    try {
      this.#close(socket);
    } catch (error) {
      log("warn", () => `closing a socket of ${socket.path}: ${messageOf(error)}`);
    }
  }

  /** Closes all sockets, so that all that waits for them ends. If some stay open, the next call tries them again. */
  closeAll(): void {
    const errors: unknown[] = [];
    for (const socket of this.#sockets) {
      try {
        this.#close(socket);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Closes all sockets, and ends Winsock. If some stay open, the next call tries them again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.closeAll();
    if (this.#event === undefined) return;
    this.#waits.free();
    this.#event = undefined;
    await this.#waits.close();
  }
}

/** A connection was closed by this process. */
export class ClosedSocketError extends Error {
  override readonly name = "ClosedSocketError";

  constructor() {
    super("the connection with the guest was closed");
  }
}
