/**
 * The idea that the library hangs on. Everything that is taken from Windows is a hold: a plain record of what is held
 * and where. For each kind of hold one place knows how to take it and how to give it back; a mount is a list of holds.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";

/** Something held. A record can be serialised, and is all that another process needs to give the thing back. */
export interface Hold {
  /** What is held. */
  readonly kind: string;
}

/** How one kind of hold is taken and given back. `T` is a record complete enough to take it by. */
export interface HoldKind<H extends Hold, T extends H = H> {
  /** The {@linkcode Hold.kind} of its records. */
  readonly kind: H["kind"];

  /**
   * Takes what `hold` describes and answers the record of it. Leaves nothing behind where it throws.
   *
   * `signal` ends waiting, never a call that Windows is at work on.
   */
  readonly take: (host: Host, hold: T, signal?: AbortSignal) => Promise<T>;

  /**
   * Gives back what `hold` describes. Answers false where there was nothing to give back, which is a success too: the
   * record may be from before a crash.
   */
  readonly give: (host: Host, hold: H) => Promise<boolean>;

  /** Whether `other` rests on `hold`, so that `hold` can't be given back while `other` is still held. */
  readonly carries?: (hold: H, other: Hold) => boolean;
}
