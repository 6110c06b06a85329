/**
 * Waiting for sockets: all waits of this process share one thread of Deno's pool, however many VMs there are.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { createSocketEvent, type SocketEvent, startWinsock } from "../ffi/ws2_32.ts";
import { log } from "../log.ts";

interface Wait {
  /** Tries again. Returns whether the wait is over. */
  retry(): boolean;
  fail(error: unknown): void;
}

/** What waits for the sockets of a process. */
export class SocketWaits {
  readonly #waits = new Set<Wait>();
  #users = 0;
  #winsock: Disposable | undefined;
  #event: SocketEvent | undefined;
  #watching: Promise<void> | undefined;
  #isStuck = false;

  /** Returns the event for the sockets of one more user, until {@linkcode SocketWaits.close}. */
  open(host: Host): SocketEvent {
    this.#winsock ??= startWinsock(host);
    if (this.#event === undefined) {
      try {
        this.#event = createSocketEvent(host);
      } catch (error) {
        this.#cleanUp();
        throw error;
      }
    }
    this.#users++;
    return this.#event;
  }

  /** Ends the use of one user, whose sockets must be closed. After the last one, the thread is free and the event is closed. */
  async close(): Promise<void> {
    if (--this.#users > 0) return;
    await this.#watching;
    // Somebody may have come meanwhile.
    if (this.#users > 0) return;
    const event = this.#event;
    this.#event = undefined;
    try {
      event?.[Symbol.dispose]();
    } finally {
      this.#cleanUp();
    }
  }

  /** Runs `attempt` now, and again each time when something has happened to a socket, until it returns something. */
  until<T>(attempt: () => { readonly value: T } | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait: Wait = {
        retry() {
          try {
            const done = attempt();
            if (done === undefined) return false;
            resolve(done.value);
          } catch (error) {
            reject(error);
          }
          return true;
        },
        fail: reject,
      };
      if (wait.retry()) return;
      this.#waits.add(wait);
      this.#watching ??= this.#watch(this.#event!);
    });
  }

  /** Has all waits try again, as something has happened that no socket tells: one was closed, or a signal was aborted. */
  retry(): void {
    if (this.#waits.size === 0) return;
    this.#retryAll();
    // The thread has nothing to wait for any more.
    if (this.#waits.size > 0) return;
    this.#isStuck = true;
    try {
      this.free();
    } catch (error) {
      log("warn", () => `the thread that waited for sockets waits on: ${messageOf(error)}`);
    }
  }

  /** Frees the thread that waits for nothing any more, if that failed before. */
  free(): void {
    if (!this.#isStuck) return;
    this.#event?.set();
    this.#isStuck = false;
  }

  async #watch(event: SocketEvent): Promise<void> {
    while (this.#waits.size > 0) {
      try {
        await event.wait();
      } catch (error) {
        this.#waits.forEach((wait) => wait.fail(error));
        this.#waits.clear();
        break;
      }
      this.#retryAll();
    }
    this.#watching = undefined;
  }

  #retryAll(): void {
    for (const wait of this.#waits) {
      if (wait.retry()) this.#waits.delete(wait);
    }
  }

  #cleanUp(): void {
    this.#winsock?.[Symbol.dispose]();
    this.#winsock = undefined;
  }
}
