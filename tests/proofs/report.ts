/**
 * What proofs have in common: how large they are, what they draw, and how they end.
 *
 * @module
 */

import { type Random, sequence } from "../support/random.ts";

/** How a proof is asked for: `--full`, `--count=N`, `--seed=N`. */
export interface ProofOptions {
  /** Whether to try everything, instead of what is drawn. */
  readonly full?: boolean;
  /** How many to draw. Default: that of the proof. */
  readonly count?: number;
  /** The seed of what is drawn. */
  readonly seed: number;
}

/** What a proof has found. */
export interface Findings {
  /** What was tried, for people. */
  readonly covered: readonly string[];
  /** What is left, lost or wrong. */
  readonly leaks: readonly string[];
}

/** Options of a proof that can repeat one of the sequences that it draws: `--path=…`. */
export interface ReplayOptions extends ProofOptions {
  /** Which sequence, as the proof names one that shows something wrong. Default: all. */
  readonly path?: string;
}

/** Runs a proof as the arguments say, prints what it covered, and ends with the number of leaks; then with the exit code 1. */
export async function report(
  proof: (options: ReplayOptions) => Promise<Findings>,
  { canReplay = false }: { readonly canReplay?: boolean } = {},
): Promise<void> {
  const options = optionsIn(Deno.args, canReplay);
  const { covered, leaks } = await proof(options);
  covered.forEach((line) => console.log(line));
  if (!options.full) console.log(`seed ${options.seed}: repeat it with --seed=${options.seed}`);
  leaks.forEach((leak) => console.log(`LEAK ${leak}`));
  console.log(`${leaks.length} leaks`);
  Deno.exit(leaks.length > 0 ? 1 : 0);
}

function optionsIn(args: readonly string[], canReplay: boolean): ReplayOptions {
  let options: ReplayOptions = { seed: crypto.getRandomValues(new Uint32Array(1))[0]! };
  for (const arg of args) {
    const [, name, value] = /^--(count|seed)=(\d{1,10})$/.exec(arg) ?? [];
    const path = canReplay ? /^--path=([\d:]+)$/.exec(arg)?.[1] : undefined;
    if (path !== undefined) options = { ...options, path };
    else if (arg === "--full") options = { ...options, full: true };
    else if (name !== undefined) options = { ...options, [name]: Number(value) };
    else throw new Error(`what is ${arg}? There are --full, --count=N, --seed=N${canReplay ? " and --path=P" : ""}`);
  }
  return options;
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
