/**
 * What the simulated compute service tells a process: when operations are done, and what happens to systems.
 *
 * @module
 */

import type { NativeCallback, NotificationListener } from "../ffi/host.ts";
import { notification, type NotificationName } from "../ffi/vmcompute_hcs.ts";
import { SimulationError } from "./simulation_error.ts";
import type { AddressSpace } from "./address_space.ts";

export type { NotificationName };

/**
 * How an operation on a compute system ends. `"synchronous"`: its call answers success. The others answer that it goes
 * on, and then the notification comes: `"atOnce"` before the call has returned, a number of milliseconds later, or
 * `"never"`, in which case the operation isn't done either.
 */
export type Completion = "synchronous" | "atOnce" | "never" | number;

interface Registration {
  readonly system: bigint;
  readonly id: string;
  readonly callback: bigint;
  readonly context: bigint;
}

interface Message {
  readonly id: string;
  readonly name: NotificationName;
  readonly status: number;
  readonly data: string;
}

interface Due {
  readonly id: string;
  readonly done: Promise<void>;
  cancel(): void;
}

/** The compute service, as far as one process sees it. */
export class ComputeService {
  readonly #memory: AddressSpace;
  readonly #listeners = new Map<bigint, NotificationListener>();
  readonly #registrations = new Map<bigint, Registration>();
  // Told before a callback was registered, which may be after the fact.
  readonly #untold = new Map<string, Message[]>();
  readonly #outbox: Message[] = [];
  readonly #due = new Set<Due>();
  #next = 1n;

  /** How an operation ends, by its function. */
  readonly completionOf: (fn: string) => Completion;
  /** The HRESULT of a failure that is injected for a notification; 0 for none. */
  readonly failureOf: (name: NotificationName) => number;

  /** A service that works on the memory of a process. */
  constructor(
    memory: AddressSpace,
    completionOf: (fn: string) => Completion,
    failureOf: (name: NotificationName) => number,
  ) {
    this.#memory = memory;
    this.completionOf = completionOf;
    this.failureOf = failureOf;
  }

  /** How many callbacks the process has open. */
  get callbacks(): number {
    return this.#listeners.size;
  }

  /** Makes a function callable at an address. */
  callback(listener: NotificationListener): NativeCallback {
    const address = this.#next++;
    this.#listeners.set(address, listener);
    return {
      address,
      [Symbol.dispose]: () => {
        for (const { callback, id } of this.#registrations.values()) {
          if (callback === address) {
            throw new SimulationError(`a callback was closed that Windows may call still, about ${id}`);
          }
        }
        this.#listeners.delete(address);
      },
    };
  }

  /** Registers a callback, and tells what happened before. `undefined` where the handle has one. */
  register(registration: Registration): bigint | undefined {
    if (!this.#listeners.has(registration.callback)) {
      throw new SimulationError(`0x${registration.callback.toString(16)} is no address of a callback`);
    }
    for (const { system } of this.#registrations.values()) {
      if (system === registration.system) return undefined;
    }
    const handle = this.#next++;
    this.#registrations.set(handle, registration);
    this.#outbox.push(...this.#untold.get(registration.id) ?? []);
    this.#untold.delete(registration.id);
    return handle;
  }

  /** Ends a registration. Answers false where there is none. */
  unregister(handle: bigint): boolean {
    return this.#registrations.delete(handle);
  }

  /** Whether a handle of a system has a callback. */
  hasCallback(system: bigint): boolean {
    return [...this.#registrations.values()].some((registration) => registration.system === system);
  }

  /** Has something told about a system, once the machine's state is let go of. */
  notify(id: string, name: NotificationName, status = 0, data = ""): void {
    this.#outbox.push({ id, name, status, data });
  }

  /** Tells what there is to tell. */
  tell(): void {
    for (let message = this.#outbox.shift(); message !== undefined; message = this.#outbox.shift()) {
      const { id, name, status, data } = message;
      const listening = [...this.#registrations.values()].filter((registration) => registration.id === id);
      if (listening.length === 0) this.#untold.set(id, [...this.#untold.get(id) ?? [], message]);
      for (const { callback, context } of listening) {
        const address = data === "" ? 0n : this.#memory.allocateWide(data);
        this.#listeners.get(callback)!({ type: notification[name], context, status: status | 0, data: address });
        if (address !== 0n) this.#memory.free(address);
      }
    }
  }

  /** Has something happen to a system after a while of real time. */
  later(id: string, ms: number, happen: () => void): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#due.delete(due);
      happen();
      resolve();
    }, ms);
    const due: Due = {
      id,
      done: promise,
      cancel: () => {
        clearTimeout(timer);
        this.#due.delete(due);
        resolve();
      },
    };
    this.#due.add(due);
  }

  /** Forgets a system that is gone. */
  forget(id: string): void {
    this.#untold.delete(id);
    [...this.#due].filter((due) => due.id === id).forEach((due) => due.cancel());
  }

  /** Resolves when all that is to happen has happened. */
  async settled(): Promise<void> {
    while (this.#due.size > 0) {
      await Promise.all([...this.#due].map((due) => due.done));
    }
  }
}
