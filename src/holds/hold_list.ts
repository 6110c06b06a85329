/**
 * The list of holds: taken in order, given back in reverse. The only place that unwinds.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { logger } from "../log.ts";
import { ReleaseError, UnwindError } from "./errors.ts";
import type { Hold, HoldKind } from "./hold.ts";

interface Entry {
  readonly hold: Hold;
  give(): Promise<boolean>;
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
   * @throws the reason of `signal` if it is aborted, before anything is taken.
   */
  async take<H extends Hold, T extends H>(kind: HoldKind<H, T>, hold: NoInfer<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const taken = await kind.take(this.#host, hold, signal);
    logger().debug(`took ${JSON.stringify(taken)}`);
    this.adopt(kind, taken);
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
      logger().debug(`took ${JSON.stringify(hold)}`);
      this.adopt(kind, hold);
    }
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return taken;
  }

  /** Puts something at the end of the list that is held already, by this process or another. */
  adopt<H extends Hold>(kind: Pick<HoldKind<H>, "give">, hold: NoInfer<H>): void {
    this.#entries.push({ hold, give: () => kind.give(this.#host, hold) });
  }

  /**
   * Gives everything back, last first. Each step is tried even when an earlier one failed; what failed stays in the
   * list, so that another call goes on from there. Calls side by side are one call.
   *
   * @throws {ReleaseError} with all errors if something is held still.
   * @throws the reason of the signal if it was aborted between two steps.
   */
  release(options: ReleaseOptions = {}): Promise<ReleasedHold[]> {
    return this.#releasing ??= this.#release(options.signal).finally(() => this.#releasing = undefined);
  }

  async #release(signal: AbortSignal | undefined): Promise<ReleasedHold[]> {
    const released: ReleasedHold[] = [];
    const errors: unknown[] = [];
    for (const entry of this.#entries.toReversed()) {
      if (signal?.aborted) {
        errors.push(signal.reason);
        break;
      }
      try {
        const wasHeld = await entry.give();
        logger().debug(`gave back ${JSON.stringify(entry.hold)}`);
        this.#entries = this.#entries.filter((other) => other !== entry);
        released.push({ hold: entry.hold, wasHeld });
      } catch (error) {
        errors.push(error);
      }
    }
    if (signal?.aborted && errors.length === 1 && errors[0] === signal.reason) {
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
   */
  async unwind(error: unknown): Promise<unknown> {
    try {
      await this.release();
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
