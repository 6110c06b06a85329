/**
 * The list of holds: taken in order, given back in reverse. The only place that unwinds.
 *
 * @module
 */

import { isUnasked } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { log } from "../log.ts";
import { printable } from "../printable.ts";
import { ReleaseError, UnwindError } from "./release_errors.ts";
import type { Hold, HoldKind } from "./hold.ts";

/** What is known of a hold that is put into a list without being taken. */
export interface AdoptOptions {
  /** Whether it may be gone already, and Windows has no answer of its own for that: it keeps nothing from being given back. */
  mayBeGone?: boolean;
}

interface Entry {
  readonly hold: Hold;
  readonly mayBeGone: boolean;
  give(): Promise<boolean>;
  carries(other: Hold): boolean;
}

/** Options of everything that gives back. */
export interface ReleaseOptions {
  /** Stops between two steps; what is left stays held, and can be released later. */
  signal?: AbortSignal | undefined;
}

/** A hold that was given back. */
export interface ReleasedHold {
  /** The record. */
  readonly hold: Hold;
  /** False where Windows said that it was gone already. */
  readonly wasHeld: boolean;
}

/** What one mount holds. */
export class HoldList {
  readonly #host: Host;
  #entries: Entry[] = [];
  #releasing: Promise<ReleasedHold[]> | undefined;

  /** An empty list. */
  constructor(host: Host) {
    this.#host = host;
  }

  /** What is held, in the order in which it was taken. */
  get holds(): readonly Hold[] {
    return this.#entries.map((entry) => entry.hold);
  }

  /**
   * Takes a hold and puts it at the end of the list.
   *
   * @throws the reason of `signal` if it is aborted: before anything is taken, or after, with the hold in the list.
   */
  async take<H extends Hold, T extends H>(kind: HoldKind<H, T>, hold: NoInfer<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const taken = await kind.take(this.#host, hold, signal);
    log("debug", () => `took ${printable(taken)}`);
    this.adopt(kind, taken);
    signal?.throwIfAborted();
    return taken;
  }

  /**
   * Takes several holds of a kind side by side, and puts them at the end of the list in the order given. Where some fail,
   * all have settled before this throws, and those that were taken are in the list.
   *
   * @throws the first error in the order given.
   */
  async takeAll<H extends Hold, T extends H>(
    kind: HoldKind<H, T>,
    holds: readonly NoInfer<T>[],
    signal?: AbortSignal,
  ): Promise<T[]> {
    signal?.throwIfAborted();
    const outcomes = await Promise.allSettled(holds.map((hold) => kind.take(this.#host, hold, signal)));
    const taken = outcomes.filter((outcome) => outcome.status === "fulfilled").map((outcome) => outcome.value);
    for (const hold of taken) {
      log("debug", () => `took ${printable(hold)}`);
      this.adopt(kind, hold);
    }
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    signal?.throwIfAborted();
    return taken;
  }

  /** Puts something at the end of the list that is held already, by this process or another. */
  adopt<H extends Hold>(
    kind: Pick<HoldKind<H>, "give" | "carries">,
    hold: NoInfer<H>,
    { mayBeGone = false }: AdoptOptions = {},
  ): void {
    this.#entries.push({
      hold,
      mayBeGone,
      give: () => kind.give(this.#host, hold),
      carries: (other) => kind.carries?.(hold, other) ?? false,
    });
  }

  /** Takes holds out of the list without giving them back: they are there to stay. */
  keep(holds: readonly Hold[]): void {
    this.#entries = this.#entries.filter(({ hold }) => !holds.includes(hold));
  }

  /**
   * Gives everything back, last first. Where a step fails, the others are tried all the same, but for those that carry
   * what is stuck: nobody knows what Windows does when a filter loses its disk, say. What failed stays in the list, so
   * that another call goes on from there. Calls side by side are one call.
   *
   * @throws {ReleaseError} with all errors if something is held still.
   * @throws the reason of the signal if it was aborted between two steps.
   */
  release(options: ReleaseOptions = {}): Promise<ReleasedHold[]> {
    return this.#releasing ??= this.#release(options.signal, 0).finally(() => this.#releasing = undefined);
  }

  async #release(signal: AbortSignal | undefined, from: number): Promise<ReleasedHold[]> {
    const released: ReleasedHold[] = [];
    const errors: unknown[] = [];
    const stuck: Hold[] = [];
    for (const entry of this.#entries.slice(from).toReversed()) {
      if (signal?.aborted) {
        errors.push(signal.reason);
        break;
      }
      if (stuck.some((other) => entry.carries(other))) {
        stuck.push(entry.hold);
        continue;
      }
      try {
        const wasHeld = await entry.give();
        log("debug", () => `gave back ${printable(entry.hold)}`);
        this.#entries = this.#entries.filter((other) => other !== entry);
        released.push({ hold: entry.hold, wasHeld });
      } catch (error) {
        errors.push(error);
        if (!entry.mayBeGone || isUnasked(error)) stuck.push(entry.hold);
      }
    }
    if (signal?.aborted && errors.length === 1 && Object.is(errors[0], signal.reason)) {
      throw signal.reason;
    }
    if (errors.length > 0) {
      throw new ReleaseError(this.holds, errors);
    }
    return released;
  }

  /**
   * Gives everything back because of `error`, and answers the error to throw: that one, or an {@linkcode UnwindError}
   * around it where giving back failed as well. Knows no signal: what was begun is undone, whoever waits for it or not.
   * `from` leaves alone what was taken before: so many holds.
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
 * Runs `body` with an empty list; where it throws, everything that it took is given back before the error goes on.
 *
 * @throws {UnwindError} if `body` threw and something couldn't be given back.
 */
export async function acquire<T>(host: Host, body: (holds: HoldList) => Promise<T>): Promise<T> {
  const holds = new HoldList(host);
  try {
    return await body(holds);
  } catch (error) {
    throw await holds.unwind(error);
  }
}
