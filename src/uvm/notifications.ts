/**
 * The notifications of the compute service about a system, and the waits that they end.
 *
 * - The latest notification of each type is kept until somebody waits for it, because it can come before the call that it
 *   belongs to has returned, and more often than expected.
 * - If both the awaited notification and the end of the system have come, the awaited notification wins.
 * - The end of the system, a crash of the guest, or a lost connection ends all waits, including later ones.
 *
 * @module
 */

import { messageOf, printable } from "../errors/printable.ts";
import { VMStateError, type VMStateReason } from "../errors/vm_errors.ts";
import type { Host, RawNotification } from "../ffi/host.ts";
import { readWide } from "../ffi/memory.ts";
import { notification } from "../ffi/vmcompute_hcs.ts";
import { resultLines } from "../hcsschema/results.ts";
import { log } from "../log.ts";
import { settlesWithin } from "../session/waiting.ts";

/** A notification. */
export interface Notification {
  /** An HRESULT, as an unsigned number. */
  readonly status: number;
  /** A document about it, or `""`. */
  readonly data: string;
}

const ENDS: ReadonlyMap<number, VMStateReason> = new Map([
  [notification.SystemExited, "exited"],
  [notification.SystemCrashInitiated, "crashed"],
  [notification.SystemCrashReport, "crashed"],
  [notification.SystemGuestConnectionClosed, "disconnected"],
  [notification.ServiceDisconnect, "disconnected"],
]);

const NAMES = new Map<number, string>(Object.entries(notification).map(([name, type]) => [type, name]));

interface Wait {
  /** The type that settles it; `undefined` if only the end of the system does. */
  readonly type: number | undefined;
  settle(notification: Notification): void;
  reject(error: unknown): void;
}

/** The notifications of one compute system. */
export class Notifications {
  readonly #host: Host;
  readonly #id: string;
  readonly #latest = new Map<number, Notification>();
  readonly #waits = new Set<Wait>();
  readonly #exit = Promise.withResolvers<void>();
  #exited = false;
  #end: VMStateError | undefined;

  /** Starts with no notifications, for the system with an id. */
  constructor(host: Host, id: string) {
    this.#host = host;
    this.#id = id;
  }

  /** Why the system can't be used any more; `undefined` while it can. */
  get end(): VMStateError | undefined {
    return this.#end;
  }

  /** Whether the system has stopped running. */
  get exited(): boolean {
    return this.#exited;
  }

  /** Handles a notification. The thread of Windows waits meanwhile. */
  deliver({ type, status, data }: RawNotification): void {
    // Read now, because Windows frees the text after this.
    const received: Notification = { status: status >>> 0, data: textAt(this.#host, data) };
    log("debug", () => `${this.#id}: ${NAMES.get(type) ?? `notification ${type}`} ${printable(received)}`);
    const waits = [...this.#waits].filter((wait) => wait.type === type);
    if (waits.length === 0) this.#latest.set(type, received);
    waits.forEach((wait) => wait.settle(received));
    if (type === notification.SystemExited) this.#exited = true;
    // Once the service is lost, no notification comes any more.
    if (type === notification.SystemExited || type === notification.ServiceDisconnect) this.#exit.resolve();
    const reason = ENDS.get(type);
    if (reason !== undefined) {
      this.finish(
        new VMStateError(this.#id, reason, {
          ...((received.status | 0) < 0 && { code: received.status }),
          details: resultLines(received.data),
        }),
      );
    }
  }

  /** Ends all current and later waits. If it is called again, the first reason stays. */
  finish(error: VMStateError): void {
    this.#end ??= error;
    this.#waits.forEach((wait) => wait.reject(error));
  }

  /** Returns whether there is a notification of a type that nobody has waited for. */
  has(type: number): boolean {
    return this.#latest.has(type);
  }

  /** Forgets the notification of a type that came so far, which belongs to an earlier request. */
  forget(type: number): void {
    this.#latest.delete(type);
  }

  /**
   * Waits for a notification.
   *
   * @throws {VMStateError} if the system ended.
   * @throws the reason of `signal`.
   */
  wait(type: number, signal?: AbortSignal): Promise<Notification> {
    const latest = this.#latest.get(type);
    this.#latest.delete(type);
    if (latest !== undefined) return Promise.resolve(latest);
    const { promise, resolve, reject } = Promise.withResolvers<Notification>();
    const remove = this.#add({ type, settle: resolve, reject }, signal);
    return promise.finally(remove);
  }

  /**
   * Waits for `work` while the system lives. If the wait ends early, `work` still goes on.
   *
   * @throws {VMStateError} if the system ended.
   * @throws the reason of `signal`.
   */
  during<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const remove = this.#add({ type: undefined, settle() {}, reject }, signal);
    work.then(resolve, reject);
    return promise.finally(remove);
  }

  // Returns a function that ends the wait.
  #add(wait: Wait, signal: AbortSignal | undefined): () => void {
    if (this.#end !== undefined) wait.reject(this.#end);
    if (signal?.aborted) wait.reject(signal.reason);
    const abort = () => wait.reject(signal!.reason);
    this.#waits.add(wait);
    signal?.addEventListener("abort", abort);
    return () => {
      this.#waits.delete(wait);
      signal?.removeEventListener("abort", abort);
    };
  }

  /**
   * Waits until the system has stopped running for any reason, but at most `limit` milliseconds. Returns whether it has.
   */
  async waitForExit(limit: number): Promise<boolean> {
    await settlesWithin(this.#host, this.#exit.promise, limit);
    return this.#exited;
  }
}

// Doesn't throw: if the text can't be read, the notification still counts.
function textAt(host: Host, address: bigint): string {
  if (address === 0n) return "";
  try {
    return readWide(host, address);
  } catch (error) {
    log("warn", () => `a notification's text: ${messageOf(error)}`);
    return "";
  }
}
