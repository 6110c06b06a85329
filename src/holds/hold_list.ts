/**
 * The list of holds: acquired in order, released in reverse. The only place that unwinds.
 *
 * @module
 */

import { messageOf } from "../errors/printable.ts";
import { neverReachedWindows } from "../errors/windows_errors.ts";
import { log } from "../log.ts";
import type { Held, Hold } from "./hold.ts";
import { ReleaseError, UnwindError } from "./release_errors.ts";

/** Options for adding a hold that was not acquired through the list. */
export interface AdoptOptions {
  /**
   * Whether it may already be gone although its release fails with this error. Then the holds that it rests on are released
   * nevertheless, after which it is tried again. Default: never.
   */
  mayBeGone?: (error: unknown) => boolean;
}

/**
 * Options of all functions that release holds.
 *
 * @category What a mount returns
 */
export interface ReleaseOptions {
  /** Stops the release between two steps. What is left stays held, and can be released later. */
  signal?: AbortSignal | undefined;
  /** The milliseconds after which it is stopped, as by `signal`, with a `TimeoutError` (`DOMException`). Default: none. */
  timeout?: number | undefined;
}

/**
 * A hold that was released.
 *
 * @category What a mount returns
 */
export interface ReleasedHold {
  /** The record. */
  readonly hold: Hold;
  /** False if it was already gone. */
  readonly wasHeld: boolean;
}

/**
 * Puts a hold into the list before the call that acquires it: a call can fail after it had its effect. If the acquisition
 * fails, the hold is released with the others, which has to look whether there is anything to release.
 */
export type Expect = (held: Held, options?: AdoptOptions) => void;

/** Options for acquiring several holds. */
export interface AcquireAllOptions {
  /** Cancels it. */
  readonly signal?: AbortSignal | undefined;
  /** Whether they are released concurrently too. Default: false, one after another, the last first. */
  readonly releasedTogether?: boolean;
}

interface Entry {
  readonly held: Held;
  readonly mayBeGone: (error: unknown) => boolean;
  /** The same object for neighbors that are released concurrently. */
  readonly neighbors: object;
}

/** Runs a release of a whole list, or finds that its owner has lost what is in it, and returns nothing. */
export type ReleaseGuard = (
  release: () => Promise<ReleasedHold[]>,
  signal: AbortSignal | undefined,
) => Promise<ReleasedHold[]>;

/** What one mount holds. */
export class HoldList {
  #entries: readonly Entry[] = [];
  #guard: ReleaseGuard = (release) => release();
  /** What was released while something that it rests on is still held. Windows may have reported that without doing it. */
  #released: readonly Held[] = [];
  #releasing: { readonly signal: AbortSignal | undefined; readonly done: Promise<ReleasedHold[]> } | undefined;

  /** The records of what is held, in the order in which it was acquired. */
  get holds(): readonly Hold[] {
    return this.#entries.map(({ held }) => held.hold);
  }

  /** What is held, in the order in which it was acquired. */
  get held(): readonly Held[] {
    return this.#entries.map(({ held }) => held);
  }

  /**
   * Runs `acquisition`, and adds the hold that it acquires to the end of the list.
   *
   * @throws the reason of `signal` if it is aborted: before anything is acquired, or after, with the hold in the list.
   */
  async acquire<T extends Held>(acquisition: (expect: Expect) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const { held, expected } = await this.#run(acquisition);
    this.disown(expected);
    this.#add(held);
    signal?.throwIfAborted();
    return held;
  }

  async #run<T>(acquisition: (expect: Expect) => Promise<T>): Promise<{ held: T; expected: readonly Held[] }> {
    const expected: Held[] = [];
    const held = await acquisition((maybe, options) => {
      expected.push(maybe);
      this.adopt(maybe, options);
    });
    return { held, expected };
  }

  /**
   * Acquires several holds concurrently, and adds them to the end of the list in the order of `acquisitions`, each of which
   * returns one or more. If some fail, this throws once all have settled, and those that were acquired are in the list.
   *
   * @throws the first error in the order of `acquisitions`.
   */
  async acquireAll<T extends Held>(
    acquisitions: readonly ((expect: Expect) => Promise<T | readonly T[]>)[],
    { signal, releasedTogether = false }: AcquireAllOptions = {},
  ): Promise<T[]> {
    signal?.throwIfAborted();
    const outcomes = await Promise.allSettled(acquisitions.map((acquisition) => this.#run(acquisition)));
    const done = outcomes.filter((outcome) => outcome.status === "fulfilled").map((outcome) => outcome.value);
    this.disown(done.flatMap(({ expected }) => expected));
    const acquired = done.flatMap(({ held }) => held);
    const neighbors = releasedTogether ? {} : undefined;
    acquired.forEach((held) => this.#add(held, neighbors));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    signal?.throwIfAborted();
    return acquired;
  }

  #add(held: Held, neighbors: object = {}): void {
    this.#append({ held, mayBeGone: () => false, neighbors });
    log("debug", () => `acquired ${JSON.stringify(held.hold)}`);
  }

  /** Adds a hold to the end of the list that this process or another has already acquired. */
  adopt(held: Held, { mayBeGone = () => false }: AdoptOptions = {}): void {
    this.#append({ held, mayBeGone, neighbors: {} });
  }

  #append(entry: Entry): void {
    this.#entries = [...this.#entries, entry];
  }

  /** Has `guard` run each release that begins after this. Unwinding is part of the acquisition, so it isn't concerned. */
  guardReleases(guard: ReleaseGuard): void {
    this.#guard = guard;
  }

  /** Removes holds from the list without releasing them: they stay, or other code releases them. */
  disown(held: readonly Held[]): void {
    this.#entries = this.#entries.filter((entry) => !held.includes(entry.held));
  }

  /**
   * Releases everything, last first, and concurrently what was acquired with `releasedTogether`. If a step fails, the others
   * are still tried, except for what the failed hold rests on: nobody knows what Windows does if, for instance, a filter
   * loses its disk. What failed stays in the list, so that another call continues from there. If it fails in that call too, what rested on it is released once more, because that
   * may be what prevents it. Concurrent calls share one release, but each is stopped only by its own signal.
   *
   * @throws {ReleaseError} with all errors if something is still held.
   * @throws the reason of the signal if it was aborted between two steps.
   */
  async release({ signal }: Pick<ReleaseOptions, "signal"> = {}): Promise<ReleasedHold[]> {
    for (;;) {
      if (this.#entries.length === 0 && this.#releasing === undefined) return [];
      const releasing = this.#releasing ??= {
        signal,
        done: this.#guarded(signal).finally(() => this.#releasing = undefined),
      };
      try {
        return await releasing.done;
      } catch (error) {
        // The signal of another call stopped the release, so this call continues with what is left.
        if (releasing.signal?.aborted && !signal?.aborted) continue;
        throw error;
      }
    }
  }

  async #guarded(signal: AbortSignal | undefined): Promise<ReleasedHold[]> {
    try {
      return await this.#guard(() => this.#release(signal, 0), signal);
    } catch (error) {
      // The guard failed, so that nothing was released.
      if (signal?.aborted || error instanceof ReleaseError) throw error;
      throw new ReleaseError(this, [error]);
    }
  }

  async #release(signal: AbortSignal | undefined, from: number): Promise<ReleasedHold[]> {
    const released: ReleasedHold[] = [];
    const errors: unknown[] = [];
    const stuck: Held[] = [];
    const unclear: { readonly entry: Entry; readonly error: unknown }[] = [];
    const postponed: Entry[] = [];
    const gone: Held[] = [];
    const tryOne = async (entry: Entry, release = () => entry.held.release()) => {
      const wasHeld = await release();
      this.#entries = this.#entries.filter((other) => other !== entry);
      released.push({ hold: entry.held.hold, wasHeld });
      gone.push(entry.held);
      log("debug", () => `released ${JSON.stringify(entry.held.hold)}`);
    };
    const tryWithAbove = async (entry: Entry) => {
      try {
        await tryOne(entry);
      } catch (error) {
        const above = this.#released.filter(({ restsOn }) => restsOn.includes(entry.held));
        if (above.length === 0 || neverReachedWindows(error)) throw error;
        for (const held of above) {
          // An error can mean that it is gone, as was reported. Then only what it rests on is stuck.
          const wasHeld = await held.release().catch((again) => log("debug", () => messageOf(again)));
          if (wasHeld) released.push({ hold: held.hold, wasHeld });
        }
        await tryOne(entry);
      }
    };
    const tryOrNote = async (entry: Entry) => {
      const { held, mayBeGone } = entry;
      if (stuck.some((other) => other.restsOn.includes(held))) {
        stuck.push(held);
        return;
      }
      try {
        await (held.releaseNow === undefined ? tryWithAbove(entry) : tryOne(entry, held.releaseNow));
      } catch (error) {
        if (held.releaseNow !== undefined && !neverReachedWindows(error)) {
          postponed.push(entry);
        } else if (mayBeGone(error)) {
          unclear.push({ entry, error });
        } else {
          errors.push(error);
          stuck.push(held);
        }
      }
    };
    const tryTogether = async (neighbors: readonly Entry[]) => {
      const tried = new Map<Held, Promise<void>>();
      for (const entry of neighbors) {
        const above = neighbors.filter(({ held }) => held.restsOn.includes(entry.held)).map(({ held }) =>
          tried.get(held)
        );
        tried.set(entry.held, above.length === 0 ? tryOrNote(entry) : Promise.all(above).then(() => tryOrNote(entry)));
      }
      await Promise.all(tried.values());
    };
    let aborted = false;
    for (const neighbors of Map.groupBy(this.#entries.slice(from).toReversed(), (entry) => entry.neighbors).values()) {
      if (signal?.aborted) {
        aborted = true;
        break;
      }
      await tryTogether(neighbors);
    }
    // What it rested on is gone by now, so it is too.
    for (const { entry, error } of unclear) {
      await tryOne(entry).catch(() => errors.push(error));
    }
    for (const entry of aborted ? [] : postponed) {
      await tryOne(entry).catch((error) => errors.push(error));
    }
    const left = this.held;
    this.#released = [...this.#released, ...gone].filter(({ restsOn }) => restsOn.some((held) => left.includes(held)));
    if (errors.length > 0) throw new ReleaseError(this, aborted ? [...errors, signal?.reason] : errors);
    if (aborted) throw signal?.reason;
    return released;
  }

  /**
   * Releases everything because of `error`, and returns the error to throw: `error` itself, or an {@linkcode UnwindError}
   * with it as the cause if the release failed too. This can't be aborted, because nothing may be left behind. The first
   * `from` holds of the list stay.
   */
  async unwind(error: unknown, from = 0): Promise<unknown> {
    try {
      await this.#release(undefined, from);
      return error;
    } catch (release) {
      return new UnwindError(this, error, release as ReleaseError);
    }
  }
}

/**
 * Runs `body` with an empty list. If it throws, everything that it acquired is released before the error is rethrown.
 *
 * @throws {UnwindError} if `body` threw and something couldn't be released.
 */
export async function withHolds<T>(body: (holds: HoldList) => Promise<T>): Promise<T> {
  const holds = new HoldList();
  try {
    return await body(holds);
  } catch (error) {
    throw await holds.unwind(error);
  }
}
