/**
 * What proofs have in common: how large they are, what they draw, and how they end.
 *
 * @module
 */

import { type Random, sequence } from "../support/random.ts";

/** How a proof is asked for: `--full`, `--count=N`, `--seed=N`, and for some `--shard=K/N`, `--minutes=N`, `--path=P`. */
export interface ProofOptions {
  /** Whether to try everything, instead of what is drawn. */
  readonly full?: boolean;
  /** How many to draw. Default: that of the proof. */
  readonly count?: number;
  /** The seed of what is drawn. */
  readonly seed: number;
  /** Which part of everything to try, of how many: from [1, 1] on. */
  readonly shard?: readonly [part: number, parts: number];
  /** How long to go on. */
  readonly minutes?: number;
  /** Which of the sequences that it draws to repeat, as it names one that shows something wrong. Default: all. */
  readonly path?: string;
  /** Tells people how far it is, if it takes long. */
  readonly progress?: (line: string) => void;
}

/** What a proof has found. */
export interface Findings {
  /** What was tried, for people. */
  readonly covered: readonly string[];
  /** What is left, lost or wrong. */
  readonly leaks: readonly string[];
}

/**
 * Runs a proof as the arguments say, prints what it covered, and ends with the number of leaks; then with the exit code 1. With
 * `--full` and `--minutes`, it prints meanwhile how far it is.
 *
 * @param more The options that this proof has besides.
 */
export async function report(
  proof: (options: ProofOptions) => Promise<Findings>,
  ...more: readonly ("shard" | "minutes" | "path")[]
): Promise<void> {
  const begin = performance.now();
  const seconds = () => `${((performance.now() - begin) / 1000).toFixed(1)} s`;
  const options = optionsIn(Deno.args, more);
  const isLong = options.full || options.minutes !== undefined;
  const { covered, leaks } = await proof({
    ...options,
    ...(isLong && { progress: (line: string) => console.log(`${seconds()}: ${line}`) }),
  });
  covered.forEach((line) => console.log(line));
  console.log(`seed ${options.seed}: repeat it with --seed=${options.seed}`);
  console.log(`took ${seconds()}`);
  leaks.forEach((leak) => console.log(`LEAK ${leak}`));
  console.log(`${leaks.length} leaks`);
  Deno.exit(leaks.length > 0 ? 1 : 0);
}

function optionsIn(args: readonly string[], more: readonly string[]): ProofOptions {
  let options: ProofOptions = { seed: crypto.getRandomValues(new Uint32Array(1))[0]! };
  const names = ["count", "seed", ...more];
  for (const arg of args) {
    const [, name = "", value, of] = /^--(count|seed|minutes|shard)=(\d{1,10})(?:\/(\d{1,3}))?$/.exec(arg) ?? [];
    const path = more.includes("path") ? /^--path=([\d:]+)$/.exec(arg)?.[1] : undefined;
    if (path !== undefined) options = { ...options, path };
    else if (arg === "--full") options = { ...options, full: true };
    else if (!names.includes(name) || (of === undefined) === (name === "shard")) refuse(arg, names);
    else if (name !== "shard") options = { ...options, [name]: Number(value) };
    else if (!(Number(value) >= 1 && Number(value) <= Number(of))) refuse(arg, names);
    else options = { ...options, shard: [Number(value), Number(of)] };
  }
  return options;
}

function refuse(arg: string, names: readonly string[]): never {
  const known = names.map((name) => `--${name}=${name === "shard" ? "K/N" : "N"}`);
  throw new Error(`what is ${arg}? There are --full, ${known.join(", ")}`);
}

/** Returns `count` of the items, drawn without repetition, or all. */
export function drawn<T>(items: readonly T[], count: number, random: Random): T[] {
  const left = [...items];
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(random(left.length), 1)[0]!);
}

/** Returns the random numbers of a seed. */
export function randomOf({ seed }: ProofOptions): Random {
  return sequence(seed, 0);
}
