/**
 * The life of a device of a VM, whatever kind of device: placed, added, used by several, removed.
 *
 * ```text
 *              place()          ready()            request done
 *   (nothing) --------> placed --------> adding ------------------> present
 *       ^                 ^ |  ^            |                        |   ^
 *       |     last drop() | |  +------------+                        |   | ready(), nothing removed yet
 *       +-----------------|-+   request failed                       |   |
 *                         |                      last release()      v   |
 *                         +------------------------------------- removing <---- release() or ready() --- stuck
 *                            all steps done                          |                                    ^
 *                                                                    +------------------------------------+
 *                                                                       a step failed
 * ```
 *
 * | state | place | in the VM | who holds it |
 * | --- | --- | --- | --- |
 * | placed | reserved | no | nobody |
 * | adding | reserved | being asked for, once | all who wait for the outcome, which they share |
 * | present | reserved | yes | each use whose `ready()` succeeded and whose `release()` didn't yet |
 * | removing | reserved | being asked to go, once | the last use |
 * | stuck | reserved | in part: `removed` steps of its removal are done | the use whose `release()` failed |
 *
 * - An addition that failed leaves the device placed, and nobody holding it: who comes next may try again.
 * - A removal that failed leaves the device with the use that wanted it gone; its next `release()` goes on with the step
 *   that failed. Who wants the device meanwhile takes it over as it is where no step was done yet, so that the first
 *   use's release then finds nothing to do; else the removal is finished first, and the device added anew in its place.
 * - A wait that is aborted gives up its hold, unless it is the only one: the request is under way, and somebody has to
 *   be there to give back what comes of it.
 *
 * @module
 */

/** What a registry has to know about one device. */
export interface Device {
  /** Asks for it. Leaves nothing behind where it throws. */
  add(): Promise<void>;
  /** Asks for it to go, step by step. A step that was done isn't asked for again. */
  readonly removal: readonly (() => Promise<void>)[];
  /** Gives its place back. */
  free(): void;
}

/** The devices of one kind in a VM, by what they are made of. */
export class DeviceRegistry<D extends Device> {
  readonly #entries = new Map<string, Entry<D>>();

  /** Whether there is a device for `key`, if only its place. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The device for `key`, if it is in the VM. */
  find(key: string): D | undefined {
    const entry = this.#entries.get(key);
    return entry?.state === "present" ? entry.device : undefined;
  }

  /** A use of the device for `key`. Where there is none, `make` makes one, with its place, if it finds one. */
  place(key: string, make: () => D): DeviceUse<D>;
  place(key: string, make: () => D | undefined): DeviceUse<D> | undefined;
  place(key: string, make: () => D | undefined): DeviceUse<D> | undefined {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const device = make();
      if (device === undefined) return undefined;
      entry = new Entry(device, () => void this.#entries.delete(key));
      this.#entries.set(key, entry);
    }
    return new DeviceUse(entry);
  }
}

class Entry<D extends Device> {
  state: "placed" | "adding" | "present" | "removing" | "stuck" = "placed";
  /** The request under way. Never rejects unheard. */
  pending: Promise<void> = Promise.resolve();
  /** Steps of the removal that are done. */
  removed = 0;
  /** Who keeps the place. */
  readonly uses = new Set<DeviceUse<D>>();
  /** Who of them has the device, or waits for it to be added. */
  readonly holders = new Set<DeviceUse<D>>();

  constructor(readonly device: D, readonly forget: () => void) {}

  add(): void {
    this.state = "adding";
    this.#run(
      this.device.add(),
      () => this.state = "present",
      () => {
        this.state = "placed";
        this.holders.clear();
      },
    );
  }

  remove(): void {
    this.state = "removing";
    this.#run(
      this.#removeSteps(),
      () => {
        this.state = "placed";
        this.removed = 0;
        this.holders.clear();
      },
      () => this.state = "stuck",
    );
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

/** One use of a device, from its place on. Gives back exactly what it took, once. */
export class DeviceUse<D extends Device> implements Disposable {
  readonly #entry: Entry<D>;
  #releasing: Promise<boolean> | undefined;

  /** Made by {@linkcode DeviceRegistry.place}. */
  constructor(entry: unknown) {
    this.#entry = entry as Entry<D>;
    this.#entry.uses.add(this);
  }

  /** The device. What isn't known before it is added, such as the name of a share, isn't there before. */
  get device(): D {
    return this.#entry.device;
  }

  /**
   * Has the device added, unless it is there already.
   *
   * @throws what the VM answers; nothing is held then.
   * @throws the reason of `signal`, if others wait for the device as well. Who waits alone gets the outcome, as the
   * request can't be called back.
   */
  async ready(signal?: AbortSignal): Promise<void> {
    const entry = this.#entry;
    if (!entry.uses.has(this)) throw new TypeError("this use of a device was given back");
    for (;;) {
      signal?.throwIfAborted();
      switch (entry.state) {
        case "placed":
          entry.holders.add(this);
          entry.add();
          return await this.#added(signal);
        case "adding":
          entry.holders.add(this);
          return await this.#added(signal);
        case "present":
          entry.holders.add(this);
          return;
        case "removing":
          await unlessAborted(entry.pending.catch(() => {}), signal);
          continue;
        case "stuck":
          if (entry.removed === 0) {
            entry.holders.clear();
            entry.state = "present";
            continue;
          }
          entry.remove();
          await unlessAborted(entry.pending, signal);
      }
    }
  }

  #added(signal: AbortSignal | undefined): Promise<void> {
    const { holders, pending } = this.#entry;
    return unlessAborted(pending, signal, () => {
      if (holders.size === 1) return false;
      holders.delete(this);
      return true;
    });
  }

  /**
   * Gives the device up; the last one has it removed. Calls side by side are one. Answers false where there was nothing
   * left to give up.
   *
   * @throws what the VM answers; the device is held still, and another call goes on where this one stopped.
   */
  release(): Promise<boolean> {
    return this.#releasing ??= this.#release().finally(() => this.#releasing = undefined);
  }

  async #release(): Promise<boolean> {
    const entry = this.#entry;
    while (entry.holders.has(this)) {
      if (entry.state === "adding" || entry.state === "removing") {
        await entry.pending.catch(() => {});
      } else if (entry.holders.size > 1) {
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

  /** Gives up the place of a device that this use doesn't have; one that it has stays as it is. */
  [Symbol.dispose](): void {
    if (!this.#entry.holders.has(this)) this.#leave();
  }

  #leave(): void {
    const { uses, device, forget } = this.#entry;
    if (uses.delete(this) && uses.size === 0) {
      forget();
      device.free();
    }
  }
}

/** What `promise` answers, or the reason of `signal` once it is aborted and `give` agrees to give up. */
function unlessAborted(
  promise: Promise<void>,
  signal: AbortSignal | undefined,
  give: () => boolean = () => true,
): Promise<void> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      if (give()) reject(signal.reason);
    };
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
