/**
 * The life of a device of a VM, for all kinds of devices: reserved, attached, used by several, removed.
 *
 * ```text
 *             reserve()          attach()           request done
 *   (nothing) --------> reserved --------> attaching --------------> attached
 *       ^                  ^ |  ^             |                       |   ^
 *       |   last dispose() | |  +-------------+                       |   | attach(), nothing removed yet
 *       +------------------|-+   request failed                       |   |
 *                          |                      last release()      v   |
 *                          +------------------------------------- removing <-- release() or attach() --- stuck
 *                             all steps done                          |                                   ^
 *                                                                     +-----------------------------------+
 *                                                                        a step failed
 * ```
 *
 * | state | slot | in the VM | which uses hold it |
 * | --- | --- | --- | --- |
 * | reserved | allocated | no | none |
 * | attaching | allocated | requested, once | all uses that wait for the outcome, which they share |
 * | attached | allocated | yes | each use whose `attach()` succeeded and whose `release()` has not yet |
 * | removing | allocated | removal requested, once | the last use |
 * | stuck | allocated | in part: `removed` steps of its removal are done | the use whose `release()` failed |
 *
 * - If attaching fails, what it may have left is undone, the device is reserved again, and no use holds it. The next
 *   `attach()` tries again. If undoing fails as well, nobody knows whether the device is attached. It is stuck, with all
 *   uses that waited: the next `release()` of the last of them, or the next `attach()`, undoes it first.
 * - If removing fails, the device stays with the use that released it. Its next `release()` continues with the step that
 *   failed. Another use may attach the device meanwhile: it continues the removal as well, as the step that failed may have
 *   had its effect, and attaches the device again. If the first step is refused again, the device is there: it passes to
 *   that use, and the next `release()` of the first use does nothing.
 * - A device that stays in the VM is still attached after the last release, without any use, and the next use takes it.
 * - If a wait is aborted, its use no longer holds the device, unless it is the only one: the request is under way, and
 *   its outcome needs a use that can release it.
 *
 * @module
 */

import { messageOf } from "../../errors/printable.ts";
import type { Held, Hold } from "../../holds/hold.ts";
import type { Expect } from "../../holds/hold_list.ts";
import { log } from "../../log.ts";

/** What a registry needs to know about one device. */
export interface Device<H extends Hold = Hold> {
  /** The record of it. A property that is known only once it is attached, such as the name of a share, is empty before. */
  readonly hold: H;
  /** Requests that it is attached. */
  attach(): Promise<void>;
  /**
   * Removes what {@linkcode attach} may have left although it failed with `error`. Throws if something may still be there.
   * Default: nothing is left.
   */
  undo?(error: unknown): Promise<void>;
  /** Requests its removal, step by step. A completed step isn't requested again. */
  readonly removal: readonly (() => Promise<void>)[];
  /** Frees its slot. */
  free(): void;
  /** Whether it stays in the VM after its last use, until the VM ends, for the next one. Default: false. */
  readonly stays?: boolean;
}

/** The devices of one kind in a VM, by keys such as the file. */
export class DeviceRegistry<D extends Device> {
  readonly #entries = new Map<string, Entry<D>>();

  /** Returns whether there is a device for `key`, attached or reserved. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Returns the device for `key`, if it is attached and in use. */
  find(key: string): D | undefined {
    const entry = this.#entries.get(key);
    return entry?.state === "attached" && entry.holders.size > 0 ? entry.device : undefined;
  }

  /**
   * Reserves the device for `key`, and returns a use of it. If there is no such device yet, `make` creates it with its
   * slot, or returns undefined if no slot is free. Once attached, the use rests on `restsOn`.
   */
  reserve(key: string, make: () => D, restsOn?: readonly Held[]): DeviceUse<D>;
  reserve(key: string, make: () => D | undefined, restsOn?: readonly Held[]): DeviceUse<D> | undefined;
  reserve(key: string, make: () => D | undefined, restsOn: readonly Held[] = []): DeviceUse<D> | undefined {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const device = make();
      if (device === undefined) return undefined;
      entry = new Entry(device, () => void this.#entries.delete(key));
      this.#entries.set(key, entry);
    }
    return new DeviceUse(entry, restsOn);
  }
}

class Entry<D extends Device> {
  state: "reserved" | "attaching" | "attached" | "removing" | "stuck" = "reserved";
  /** The running request. Its rejection is always handled. */
  pending: Promise<void> = Promise.resolve();
  /** Number of steps of the removal that are done. */
  removed = 0;
  /** The error with which it was attached, if nobody knows whether it is. */
  unclear: { readonly error: unknown } | undefined;
  /** The uses that keep the slot. */
  readonly uses = new Set<DeviceUse<D>>();
  /** The uses that hold the device, or wait for it to be attached. */
  readonly holders = new Set<DeviceUse<D>>();

  constructor(readonly device: D, readonly forget: () => void) {}

  /** Whether it remains attached without any use. */
  get stays(): boolean {
    return this.device.stays === true && this.state === "attached";
  }

  attach(): void {
    this.state = "attaching";
    this.#run(
      this.#attach(),
      () => this.state = "attached",
      () => this.unclear === undefined ? this.#detached() : this.state = "stuck",
    );
  }

  async #attach(): Promise<void> {
    try {
      await this.device.attach();
    } catch (error) {
      try {
        await this.device.undo?.(error);
      } catch (failure) {
        log("warn", () => `undoing ${JSON.stringify(this.device.hold)}: ${messageOf(failure)}`);
        this.unclear = { error };
      }
      throw error;
    }
  }

  remove(): void {
    this.state = "removing";
    this.#run(
      this.unclear === undefined ? this.#removeSteps() : this.device.undo!(this.unclear.error),
      () => this.#detached(),
      () => this.state = "stuck",
    );
  }

  /** Continues the removal. If its first step is refused again, the device is there, and nobody holds it. */
  removeOrKeep(): void {
    this.remove();
    if (this.removed > 0 || this.unclear !== undefined) return;
    this.pending = this.pending.catch((error) => {
      if (this.removed > 0) throw error;
      this.holders.clear();
      this.state = "attached";
    });
    this.pending.catch(() => {});
  }

  #detached(): void {
    this.state = "reserved";
    this.removed = 0;
    this.unclear = undefined;
    this.holders.clear();
  }

  async #removeSteps(): Promise<void> {
    for (const step of this.device.removal.slice(this.removed)) {
      await step();
      this.removed++;
    }
  }

  #run(request: Promise<void>, done: () => void, failed: () => void): void {
    this.pending = request.then(done, (error) => {
      failed();
      throw error;
    });
    this.pending.catch(() => {});
  }
}

/** One use of a device, from its reservation on. Releases exactly what it attached, and only once. */
export class DeviceUse<D extends Device> implements Held<D["hold"]>, Disposable {
  /** What it rests on. */
  readonly restsOn: readonly Held[];
  readonly #entry: Entry<D>;
  #releasing: Promise<boolean> | undefined;

  /** Called by {@linkcode DeviceRegistry.reserve}. */
  constructor(entry: Entry<D>, restsOn: readonly Held[]) {
    this.#entry = entry;
    this.restsOn = restsOn;
    this.#entry.uses.add(this);
  }

  /** The device. */
  get device(): D {
    return this.#entry.device;
  }

  /** The record of it. */
  get hold(): D["hold"] {
    return this.device.hold;
  }

  /**
   * Attaches the device, unless it is already attached. Resolves with this use.
   *
   * @throws what the VM reports. Nothing is held, unless this use was passed to `expect`: then the device may be attached.
   * @throws the reason of `signal`, if other uses wait for the device as well. If this use is the only one, it waits for the
   * outcome, because the request can't be canceled.
   */
  async attach(signal?: AbortSignal, expect?: Expect): Promise<this> {
    try {
      return await this.#attach(signal);
    } catch (error) {
      if (this.#entry.unclear !== undefined && this.#entry.holders.has(this)) expect?.(this);
      throw error;
    }
  }

  async #attach(signal: AbortSignal | undefined): Promise<this> {
    const entry = this.#entry;
    if (!entry.uses.has(this)) throw new TypeError("this use of a device was released");
    for (;;) {
      signal?.throwIfAborted();
      switch (entry.state) {
        case "reserved":
          entry.holders.add(this);
          entry.attach();
          await this.#attached(signal);
          return this;
        case "attaching":
          entry.holders.add(this);
          await this.#attached(signal);
          return this;
        case "attached":
          entry.holders.add(this);
          return this;
        case "removing":
          await unlessAborted(entry.pending.catch(() => {}), signal);
          continue;
        case "stuck":
          entry.removeOrKeep();
          await unlessAborted(entry.pending, signal);
      }
    }
  }

  #attached(signal: AbortSignal | undefined): Promise<void> {
    const { holders, pending } = this.#entry;
    return unlessAborted(pending, signal, () => {
      if (holders.size === 1) return false;
      holders.delete(this);
      return true;
    });
  }

  /**
   * Releases the device; the last use removes it from the VM, unless it stays there. Concurrent calls share one release. Returns false if there was
   * nothing left to release.
   *
   * @throws what the VM reports. The device is still held, and another call continues where this one stopped.
   */
  release(): Promise<boolean> {
    return this.#releasing ??= this.#release().finally(() => this.#releasing = undefined);
  }

  async #release(): Promise<boolean> {
    const entry = this.#entry;
    while (entry.holders.has(this)) {
      if (entry.state === "attaching" || entry.state === "removing") {
        await entry.pending.catch(() => {});
      } else if (entry.holders.size > 1 || entry.stays) {
        entry.holders.delete(this);
        this.#leave();
        return true;
      } else {
        entry.remove();
        await entry.pending;
        this.#leave();
        return true;
      }
    }
    this.#leave();
    return false;
  }

  /** Frees the reservation of a device that was not attached. A device that this use holds stays. */
  [Symbol.dispose](): void {
    if (!this.#entry.holders.has(this)) this.#leave();
  }

  #leave(): void {
    const { uses, device, forget, stays } = this.#entry;
    if (uses.delete(this) && uses.size === 0 && !stays) {
      forget();
      device.free();
    }
  }
}

/** Waits for `promise`, or until `signal` is aborted, if `giveUp` then returns true. */
function unlessAborted(
  promise: Promise<void>,
  signal: AbortSignal | undefined,
  giveUp: () => boolean = () => true,
): Promise<void> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      if (giveUp()) reject(signal.reason);
    };
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
