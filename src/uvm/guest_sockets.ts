/**
 * What a guest connects to when it boots. A Linux guest needs entropy and a receiver for its log: without either, its
 * `init` waits forever. A guest that this process talks with itself connects to its bridge.
 *
 * @module
 */

import { messageOf, printable, visible } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { vsockService } from "../ffi/ws2_32.ts";
import { type Level, log } from "../log.ts";
import { ENTROPY_PORT, LOG_PORT } from "./plans/linux_vm.ts";
import { ClosedSocketError, type GuestConnection, type GuestListener, VMSockets } from "./vm_sockets.ts";

const ENTROPY_BYTES = 512;
const CHUNK_BYTES = 64 * 1024;
// Longer lines are split.
const LONGEST_LINE = 1024 * 1024;

/** The sockets that serve one guest. */
export interface GuestSockets extends AsyncDisposable {
  /** Resolves when the guest has received its entropy, or all sockets are closed. Rejects if sending it failed. */
  readonly served: Promise<void>;
  /** Resolves when the guest's log has ended, or all sockets are closed. */
  readonly logged: Promise<void>;
  /** Waits until the guest connects to its bridge, once. Returns `undefined` if all sockets are closed before. */
  accept(): Promise<GuestConnection | undefined>;
}

/** What a guest is served with. */
export interface GuestServices {
  /** Whether it gets entropy. Default: true. */
  readonly entropy?: boolean;
  /** Whether its log is received. */
  readonly log: boolean;
  /** The service that it connects to so that it can be asked for something. Default: none. */
  readonly bridge?: string;
}

/**
 * Listens for a guest, and serves it when it boots.
 *
 * @param vm The VM: its id for the log, its GUID for the sockets.
 * @throws {NativeError} if Windows doesn't support such sockets.
 */
export async function serveGuest(
  host: Host,
  vm: { readonly id: string; readonly runtimeId: string },
  services: GuestServices,
): Promise<GuestSockets> {
  const sockets = new VMSockets(host, vm.runtimeId);
  let bridge: GuestListener | undefined;
  let served: Promise<void> | undefined;
  let logged: Promise<void> | undefined;
  try {
    const entropy = services.entropy === false ? undefined : sockets.listen(vsockService(ENTROPY_PORT));
    const log = services.log ? sockets.listen(vsockService(LOG_PORT)) : undefined;
    bridge = services.bridge === undefined ? undefined : sockets.listen(services.bridge);
    served = entropy && serveEntropy(entropy);
    logged = log && forwardLog(log, vm.id);
  } catch (error) {
    await sockets[Symbol.asyncDispose]().catch((error) =>
      log("warn", () => `closing the sockets of ${vm.id}: ${messageOf(error)}`)
    );
    throw error;
  }
  return {
    served: served ?? Promise.resolve(),
    logged: logged ?? Promise.resolve(),
    accept: async () => bridge && await acceptOne(bridge),
    async [Symbol.asyncDispose]() {
      // What waits for a socket ends when it is closed.
      sockets.closeAll();
      await Promise.allSettled([served, logged]);
      await sockets[Symbol.asyncDispose]();
    },
  };
}

// Accepts one connection, and then closes the listener.
async function acceptOne(listener: GuestListener): Promise<GuestConnection | undefined> {
  try {
    return await listener.accept();
  } finally {
    listener.close();
  }
}

async function serveEntropy(listener: GuestListener): Promise<void> {
  const connection = await acceptOne(listener);
  if (connection === undefined) return;
  try {
    await connection.write(crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES)));
  } catch (error) {
    if (!(error instanceof ClosedSocketError)) throw error;
  } finally {
    connection.close();
  }
}

// Never rejects, because a VM can be used without its log.
async function forwardLog(listener: GuestListener, vm: string): Promise<void> {
  try {
    const connection = await acceptOne(listener);
    if (connection === undefined) return;
    try {
      await forwardLines(connection, vm);
    } finally {
      connection.close();
    }
  } catch (error) {
    log("warn", () => `the log of the guest in ${vm}: ${messageOf(error)}`);
  }
}

async function forwardLines(connection: GuestConnection, vm: string): Promise<void> {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(CHUNK_BYTES);
  let pending = "";
  for (let size; (size = await connection.read(chunk)) > 0;) {
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

/**
 * Writes a line of a guest's log, which is JSON, to the log of the library, as one line whatever the guest writes. A line that isn't
 * JSON is usually a crash.
 */
function forwardLine(line: string, vm: string): void {
  if (line.trim() === "") return;
  const entry = parse(line);
  if (entry === undefined) {
    log("error", () => `guest in ${vm}: ${visible(line.trim())}`);
    return;
  }
  const { level, msg, time: _, ...fields } = entry;
  const text = typeof msg === "string" ? visible(msg) : msg === undefined ? "" : printable(msg);
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
