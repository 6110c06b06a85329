/**
 * Time on the simulated machine, and the order in which things happen that don't happen at once.
 *
 * @module
 */

import { SimulationError } from "./simulation_error.ts";

/**
 * The clock of a {@linkcode SimulatedHost}. It starts at 0, and has nothing to do with the time of the real machine.
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.0";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost({ clock: "manual" });
 * let slept = false;
 * host.sleep(1000).then(() => slept = true);
 * await host.clock.advance(999);
 * assertEquals([host.clock.now, slept], [999, false]);
 * await host.clock.advance(1);
 * assertEquals([host.clock.now, slept], [1000, true]);
 * ```
 *
 * @category Simulation
 */
export interface SimulatedClock {
  /** Milliseconds since the start of the machine. */
  readonly now: number;
  /**
   * Moves the clock on by `ms` milliseconds. What is due meanwhile happens at its time, and code that waits for it runs
   * before the clock moves on. Resolves when nothing is left that can run without the clock.
   */
  advance(ms: number): Promise<void>;
  /** Runs `happen` once the clock has moved on by `ms` milliseconds. Disposing of the result takes that back. */
  after(ms: number, happen: () => void): Disposable;
}

/** How a clock moves. */
export type ClockMode = "manual" | "automatic" | "real";

interface Event {
  readonly due: number;
  readonly isAwaited: boolean;
  readonly happen: () => void;
}

/** What a scheduler needs. */
export interface SchedulerOptions {
  /**
   * How the clock moves: by `advance()` alone, or also by itself once nothing else can run. `"real"`: it moves by what is
   * slept, and what is awaited takes real milliseconds.
   */
  readonly mode: ClockMode;
  /** Chooses the order of what could happen at the same time. Without it, what began first comes first. */
  readonly seed: number | undefined;
  /** Receives the errors of what happens later. */
  fault(error: unknown): void;
}

/** The clock of one process, with all that is going to happen in it. */
export class Scheduler implements SimulatedClock {
  readonly #options: SchedulerOptions;
  readonly #random: (() => number) | undefined;
  #events: Event[] = [];
  #running = false;
  #now = 0;

  /** A clock at 0. */
  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#random = options.seed === undefined ? undefined : randomNumbers(options.seed);
  }

  get now(): number {
    return this.#now;
  }

  /** Whether what takes no time is put in an order, too. */
  get isSeeded(): boolean {
    return this.#random !== undefined;
  }

  /** Whether durations are those of this clock, and not real ones. */
  get isSimulated(): boolean {
    return this.#options.mode !== "real";
  }

  /** Moves the clock to `time`, to which another process of the machine has moved it, if that is later. */
  catchUp(time: number): void {
    this.#now = Math.max(this.#now, time);
  }

  after(ms: number, happen: () => void): Disposable {
    return this.#add(ms, happen, true);
  }

  /** Runs `happen` later, though nobody waits for it: a clock that moves by itself doesn't move for this alone. */
  afterward(ms: number, happen: () => void): Disposable {
    return this.#add(ms, happen, false);
  }

  /** Like {@linkcode after}. If the clock isn't simulated, the milliseconds are real ones. */
  lasting(ms: number, happen: () => void): Disposable {
    if (this.isSimulated) return this.after(ms, happen);
    const timer = setTimeout(() => this.#run(happen), ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  }

  /** Moves the clock on by `ms` milliseconds at once, through all that is due meanwhile. */
  skip(ms: number): void {
    const target = this.#now + requireDuration(ms);
    for (let event; (event = this.#next(target)) !== undefined;) this.#run(event.happen);
    this.catchUp(target);
  }

  async advance(ms: number): Promise<void> {
    const target = this.#now + requireDuration(ms);
    for (;;) {
      await idle();
      const event = this.#next(target);
      if (event === undefined) break;
      this.#run(event.happen);
    }
    this.catchUp(target);
    await idle();
  }

  #add(ms: number, happen: () => void, isAwaited: boolean): Disposable {
    const event: Event = { due: this.#now + requireDuration(ms), isAwaited, happen };
    // In the order of their times, and of their beginnings if the times are the same.
    let at = this.#events.length;
    while (at > 0 && this.#events[at - 1]!.due > event.due) at--;
    this.#events.splice(at, 0, event);
    if (isAwaited) this.#start();
    return { [Symbol.dispose]: () => void (this.#events = this.#events.filter((other) => other !== event)) };
  }

  // Lets happen what can happen by itself, one thing at a time, each when all code that can run has run.
  async #start(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (;;) {
      await idle();
      const moves = this.#options.mode === "automatic" && this.#events.some(({ isAwaited }) => isAwaited);
      const event = this.#next(moves ? Infinity : this.#now);
      if (event === undefined) break;
      this.#run(event.happen);
    }
    this.#running = false;
  }

  // Takes one of the events that come next, if they are due by `limit`, and moves the clock to it.
  #next(limit: number): Event | undefined {
    const first = this.#events[0];
    if (first === undefined || first.due > limit) return undefined;
    this.catchUp(first.due);
    let ready = 1;
    if (this.#random !== undefined) {
      while (ready < this.#events.length && this.#events[ready]!.due <= this.#now) ready++;
    }
    return this.#events.splice(ready === 1 ? 0 : Math.floor(this.#random!() * ready), 1)[0];
  }

  #run(happen: () => void): void {
    try {
      happen();
    } catch (error) {
      this.#options.fault(error);
    }
  }
}

function requireDuration(ms: number): number {
  if (!(ms >= 0 && ms < Infinity)) throw new SimulationError(`${ms} is not a number of milliseconds`);
  return ms;
}

// Resolves when all code has run that waits for nothing but promises.
function idle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// Mulberry32: small, and the same on every machine.
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
