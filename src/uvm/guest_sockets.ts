/**
 * What a Linux guest needs from its host to boot: entropy, and a receiver for its log. Without either, its `init` waits
 * forever.
 *
 * Accepting and receiving block threads of Deno's pool: one until the guest has its entropy, and one while the guest
 * writes its log. One thread always stays free for other calls.
 *
 * @module
 */

import { messageOf, printable } from "../errors/printable.ts";
import { HungCallError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { type GuestConnection, type GuestListener, listenForGuest, startWinsock, vsockService } from "../ffi/ws2_32.ts";
import { type Level, log } from "../log.ts";
import { HUNG_SECONDS, watchCall } from "../session/hung_call.ts";
import { sessionOf } from "../session/session.ts";
import { ENTROPY_PORT, LOG_PORT } from "./plans/linux_vm.ts";

const ENTROPY_BYTES = 512;
const CHUNK_BYTES = 64 * 1024;
// Longer lines are split.
const LONGEST_LINE = 1024 * 1024;

/** The sockets that serve one guest. */
export interface GuestSockets extends AsyncDisposable {
  /** Resolves when the guest has received its entropy, or all sockets are closed. Rejects if sending it failed. */
  readonly served: Promise<void>;
}

/**
 * Listens for a guest, and serves it when it boots.
 *
 * @param vm The VM: its id for the log, its GUID for the sockets.
 * @param options With `log`, the log of the guest is received.
 * @throws {InUseError} if too many threads wait for guests already.
 * @throws {NativeError} if Windows doesn't support such sockets.
 */
export function serveGuest(
  host: Host,
  vm: { readonly id: string; readonly runtimeId: string },
  options: { readonly log: boolean },
): GuestSockets {
  const { waitingThreads } = sessionOf(host);
  const threads = options.log ? 2 : 1;
  waitingThreads.take(host, threads);
  let serving: Serving;
  try {
    serving = serve(host, vm, options);
  } catch (error) {
    waitingThreads.release(threads);
    throw error;
  }
  const { sockets, served, logged } = serving;
  for (const wait of options.log ? [served, logged] : [served]) {
    const release = () => waitingThreads.release(1);
    wait.then(release, release);
  }
  return {
    served,
    async [Symbol.asyncDispose]() {
      // What waits for a socket ends when it is closed.
      sockets.closeAll();
      await ended(host, [served, logged], vm.id);
      sockets.cleanUp();
    },
  };
}

// Waits until nothing waits for a socket any more. Windows can say that it has closed one, and not have done it.
async function ended(host: Host, waits: readonly Promise<void>[], vm: string): Promise<void> {
  const hung = Promise.withResolvers<never>();
  using _watch = watchCall(host, () => {
    const advice = ", though its socket was closed. It ends with the VM or with this process";
    hung.reject(new HungCallError("accept or recv", vm, HUNG_SECONDS, advice));
  });
  await Promise.race([Promise.allSettled(waits), hung.promise]);
}

interface Serving {
  readonly sockets: OpenSockets;
  readonly served: Promise<void>;
  readonly logged: Promise<void>;
}

function serve(
  host: Host,
  vm: { readonly id: string; readonly runtimeId: string },
  options: { readonly log: boolean },
): Serving {
  const sockets = new OpenSockets(startWinsock(host));
  try {
    const listen = (port: number) => sockets.add(listenForGuest(host, vm.runtimeId, vsockService(port)));
    const entropy = listen(ENTROPY_PORT);
    const log = options.log ? listen(LOG_PORT) : undefined;
    return {
      sockets,
      served: serveEntropy(entropy, sockets, vm.id),
      logged: log === undefined ? Promise.resolve() : forwardLog(log, sockets, vm.id),
    };
  } catch (error) {
    sockets.tryToCloseAll(vm.id);
    throw error;
  }
}

/** The sockets of a guest that are open, and Winsock, which runs as long as there are any. */
class OpenSockets {
  readonly #sockets = new Set<Disposable>();
  #winsock: Disposable | undefined;

  constructor(winsock: Disposable) {
    this.#winsock = winsock;
  }

  add<T extends Disposable>(socket: T): T {
    this.#sockets.add(socket);
    return socket;
  }

  /** Closes a socket that has served its purpose. If that fails, it is closed with the others. */
  close(socket: Disposable, vm: string): void {
    try {
      socket[Symbol.dispose]();
      this.#sockets.delete(socket);
    } catch (error) {
      log("warn", () => `closing a socket of ${vm}: ${messageOf(error)}`);
    }
  }

  /** Closes all sockets. If some stay open, the next call tries them again. */
  closeAll(): void {
    const errors: unknown[] = [];
    for (const socket of this.#sockets) {
      try {
        socket[Symbol.dispose]();
        this.#sockets.delete(socket);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Ends Winsock, once. All sockets must be closed. */
  cleanUp(): void {
    this.#winsock?.[Symbol.dispose]();
    this.#winsock = undefined;
  }

  tryToCloseAll(vm: string): void {
    try {
      this.closeAll();
      this.cleanUp();
    } catch (error) {
      log("warn", () => `closing the sockets of ${vm}: ${messageOf(error)}`);
    }
  }
}

// Accepts one connection, and then closes the listener.
async function acceptOne(
  listener: GuestListener,
  sockets: OpenSockets,
  vm: string,
): Promise<GuestConnection | undefined> {
  try {
    const connection = await listener.accept();
    return connection && sockets.add(connection);
  } finally {
    sockets.close(listener, vm);
  }
}

async function serveEntropy(listener: GuestListener, sockets: OpenSockets, vm: string): Promise<void> {
  const connection = await acceptOne(listener, sockets, vm);
  if (connection === undefined) return;
  try {
    await connection.send(crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES)));
  } finally {
    sockets.close(connection, vm);
  }
}

// Never rejects, because a VM can be used without its log.
async function forwardLog(listener: GuestListener, sockets: OpenSockets, vm: string): Promise<void> {
  try {
    const connection = await acceptOne(listener, sockets, vm);
    if (connection === undefined) return;
    try {
      await forwardLines(connection, vm);
    } finally {
      sockets.close(connection, vm);
    }
  } catch (error) {
    log("warn", () => `the log of the guest in ${vm}: ${messageOf(error)}`);
  }
}

async function forwardLines(connection: GuestConnection, vm: string): Promise<void> {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(CHUNK_BYTES);
  let pending = "";
  for (let size; (size = await connection.receive(chunk)) > 0;) {
    const lines = (pending + decoder.decode(chunk.subarray(0, size), { stream: true })).split("\n");
    pending = lines.pop()!;
    if (pending.length > LONGEST_LINE) {
      lines.push(pending);
      pending = "";
    }
    lines.forEach((line) => forwardLine(line, vm));
  }
  forwardLine(pending, vm);
}

const LEVELS: ReadonlyMap<unknown, Level> = new Map<unknown, Level>([
  [undefined, "info"],
  ["trace", "debug"],
  ["debug", "debug"],
  ["info", "info"],
  ["warning", "warn"],
]);

/** Writes a line of a guest's log, which is JSON, to the log of the library. A line that isn't JSON is usually a crash. */
function forwardLine(line: string, vm: string): void {
  if (line.trim() === "") return;
  const entry = parse(line);
  if (entry === undefined) {
    log("error", () => `guest in ${vm}: ${line.trim()}`);
    return;
  }
  const { level, msg, time: _, ...fields } = entry;
  const text = typeof msg === "string" ? msg : msg === undefined ? "" : printable(msg);
  const rest = Object.keys(fields).length === 0 ? "" : ` ${printable(fields)}`;
  log(LEVELS.get(level) ?? "error", () => `guest in ${vm}: ${text}${rest}`);
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const entry = JSON.parse(line);
    return typeof entry === "object" && entry !== null ? entry : undefined;
  } catch {
    return undefined;
  }
}
