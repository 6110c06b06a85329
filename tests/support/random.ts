/**
 * Random numbers that a seed determines, and tests that draw them.
 *
 * The seed is 1, or what the environment variable `HCS_LAYERS_SEED` says: the nightly workflow draws one at random. The
 * name of each such test ends with the seed, so that a report of a failure tells how to repeat it, and
 * `deno test -A --filter=HCS_LAYERS_SEED tests` runs these tests alone.
 *
 * @module
 */

/** Returns the next number of a sequence: from 0 on, below `below`. */
export type Random = (below: number) => number;

const SEED = seedOf(Deno.env.get("HCS_LAYERS_SEED") ?? "1");

function seedOf(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`HCS_LAYERS_SEED must be a whole number below 10^10, not "${text}"`);
  return Number(text);
}

/** A sequence of numbers for each `stream` of a seed (mulberry32). */
export function sequence(seed: number, stream: number): Random {
  let state = Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b);
  return (below) => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) % below;
  };
}

/** Defines a test that draws random numbers. It gets a function that starts a sequence; each stream has its own. */
export function randomTest(name: string, body: (random: (stream?: number) => Random) => void | Promise<void>): void {
  Deno.test(`${name} (HCS_LAYERS_SEED=${SEED})`, () => body((stream = 0) => sequence(SEED, stream)));
}
