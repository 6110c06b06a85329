/**
 * The notifications of the simulated compute service to a process.
 *
 * @module
 */

import type { NativeCallback, NotificationListener } from "../ffi/host.ts";
import { notification, type NotificationName } from "../ffi/vmcompute_hcs.ts";
import type { AddressSpace } from "./address_space.ts";
import type { Scheduler } from "./clock.ts";
import { SimulationError } from "./simulation_error.ts";

export type { NotificationName };

/**
 * How an operation on a compute system ends.
 *
 * - `"synchronous"`: its call returns success.
 * - `"atOnce"`: its call returns that it is pending, and the notification comes before the call has returned.
 * - A number: its call returns that it is pending, and the notification comes that many milliseconds later, of the host's
 *   clock if it has the option `clock`, and otherwise of real time.
 * - `"never"`: its call returns that it is pending, and the operation is never done.
 *
 * @category Simulation
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

/** The compute service from the point of view of one process. */
export class ComputeService {
  readonly #memory: AddressSpace;
  readonly #listeners = new Map<bigint, NotificationListener>();
  readonly #registrations = new Map<bigint, Registration>();
  readonly #lost = new Set<bigint>();
  // Notifications that came before a callback was registered.
  readonly #undelivered = new Map<string, Message[]>();
  readonly #outbox: Message[] = [];
  readonly #due = new Set<Due>();
  #next = 1n;

  readonly #scheduler: Scheduler;
  readonly #services: Set<ComputeService>;

  /** Returns how an operation ends, by its function. */
  readonly completionOf: (fn: string) => Completion;
  /** Returns the HRESULT of a failure that is injected for a notification, or 0. */
  readonly failureOf: (name: NotificationName) => number;

  /** A service for a process with some memory. `services` are those of all processes on the machine. */
  constructor(
    memory: AddressSpace,
    completionOf: (fn: string) => Completion,
    failureOf: (name: NotificationName) => number,
    scheduler: Scheduler,
    services: Set<ComputeService> = new Set(),
  ) {
    this.#memory = memory;
    this.#scheduler = scheduler;
    this.completionOf = completionOf;
    this.failureOf = failureOf;
    this.#services = services;
    services.add(this);
  }

  /** The number of callbacks that the process has created and not disposed of. */
  get callbacks(): number {
    return this.#listeners.size;
  }

  /** Makes a function callable by its address. */
  callback(listener: NotificationListener): NativeCallback {
    const address = this.#next++;
    this.#listeners.set(address, listener);
    return {
      address,
      [Symbol.dispose]: () => {
        for (const { callback, id } of this.#registrations.values()) {
          if (callback === address) {
            throw new SimulationError(`a callback for ${id} was disposed of while Windows may still call it`);
          }
        }
        this.#listeners.delete(address);
      },
    };
  }

  /** Registers a callback, and queues earlier notifications. Returns `undefined` if the handle already has a callback. */
  register(registration: Registration): bigint | undefined {
    if (!this.#listeners.has(registration.callback)) {
      throw new SimulationError(`0x${registration.callback.toString(16)} is not the address of a callback`);
    }
    for (const { system } of this.#registrations.values()) {
      if (system === registration.system) return undefined;
    }
    const handle = this.#next++;
    this.#registrations.set(handle, registration);
    this.#outbox.push(...this.#undelivered.get(registration.id) ?? []);
    this.#undelivered.delete(registration.id);
    return handle;
  }

  /** Ends a registration. Returns false if there is none. */
  unregister(handle: bigint): boolean {
    return this.#registrations.delete(handle);
  }

  /** The value that the next registration gets. */
  get next(): bigint {
    return this.#next;
  }

  /** Notes that nobody knows the registrations from a value on. They end with the handle of their system. */
  loseSince(value: bigint): void {
    [...this.#registrations.keys()].filter((handle) => handle >= value).forEach((handle) => this.#lost.add(handle));
  }

  /** Ends the registrations for a handle that is closed. Returns false if somebody has one yet. */
  close(system: bigint): boolean {
    const open = [...this.#registrations].filter(([, registration]) => registration.system === system);
    if (!open.every(([handle]) => this.#lost.has(handle))) return false;
    open.forEach(([handle]) => this.#registrations.delete(handle));
    return true;
  }

  /** Queues a notification about a system, which is delivered once the machine's state is unlocked. */
  notify(id: string, name: NotificationName, status = 0, data = ""): void {
    this.#outbox.push({ id, name, status, data });
    if (name !== "SystemExited") return;
    for (const other of this.#services) {
      if (other !== this && other.#listensTo(id)) other.#outbox.push({ id, name, status, data });
    }
  }

  #listensTo(id: string): boolean {
    return [...this.#registrations.values()].some((registration) => registration.id === id);
  }

  /** Delivers all queued notifications, in all processes. */
  deliver(): void {
    this.#services.forEach((service) => service.#deliver());
  }

  #deliver(): void {
    for (let message = this.#outbox.shift(); message !== undefined; message = this.#outbox.shift()) {
      const { id, name, status, data } = message;
      const listening = [...this.#registrations.values()].filter((registration) => registration.id === id);
      if (listening.length === 0) this.#undelivered.set(id, [...this.#undelivered.get(id) ?? [], message]);
      for (const { callback, context } of listening) {
        const address = data === "" ? 0n : this.#memory.allocateWide(data);
        this.#listeners.get(callback)!({ type: notification[name], context, status: status | 0, data: address });
        if (address !== 0n) this.#memory.free(address);
      }
    }
  }

  /** Runs `happen` for a system after `ms` milliseconds. */
  later(id: string, ms: number, happen: () => void): void {
    // A guest can have got all that it needs to boot before its process ended.
    if (!this.#services.has(this)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#scheduler.lasting(ms, () => {
      this.#due.delete(due);
      resolve();
      happen();
    });
    const due: Due = {
      id,
      done: promise,
      cancel: () => {
        timer[Symbol.dispose]();
        this.#due.delete(due);
        resolve();
      },
    };
    this.#due.add(due);
  }

  /** Forgets a system that is gone, with everything scheduled for it. */
  forget(id: string): void {
    this.#undelivered.delete(id);
    [...this.#due].filter((due) => due.id === id).forEach((due) => due.cancel());
  }

  /**
   * Ends with its process: nothing is called back any more. Code of the process that waits for a notification would wait for
   * ever, so it learns that the service is lost.
   */
  end(): void {
    this.#services.delete(this);
    for (const { callback, context } of this.#registrations.values()) {
      this.#listeners.get(callback)!({ type: notification.ServiceDisconnect, context, status: 0, data: 0n });
    }
    this.#registrations.clear();
    this.#listeners.clear();
    this.#outbox.length = 0;
    [...this.#due].forEach((due) => due.cancel());
  }

  /** Resolves when everything scheduled has happened. */
  async settled(): Promise<void> {
    while (this.#due.size > 0) {
      await Promise.all([...this.#due].map((due) => due.done));
    }
  }
}
