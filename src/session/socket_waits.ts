/**
 * Waiting for sockets: all waits of this process share one thread of Deno's pool, however many VMs there are.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { createSocketEvent, type SocketEvent, startWinsock } from "../ffi/ws2_32.ts";

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
    if (this.#watching !== undefined) {
      // It may not have been set when the last wait ended.
      if (this.#waits.size === 0) this.#event?.set();
      await this.#watching;
    }
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
    if (this.#waits.size === 0) this.#event?.set();
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
