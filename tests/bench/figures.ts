/**
 * Figures of the benchmark: what is measured against what, in the same run and in turns, so that other programs on the
 * machine slow down both.
 *
 * @module
 */

/** What one thing took, once for each of its batches. */
export type Samples = readonly number[];

/** A figure, and the goal for it. */
export interface Figure {
  /** What was measured. */
  readonly name: string;
  /** The unit of the samples. */
  readonly unit: string;
  /** What it takes. */
  readonly ours: Spread;
  /** What it is compared with, and what that takes; undefined for what stands for itself. */
  readonly against?: { readonly name: string } & Spread;
  /** The first as a multiple of the second, for both figures of each. */
  readonly ratio: Spread;
  /** The most that the ratio may be; undefined where nobody has set one. */
  readonly goal?: number;
  /** Whether the goal is reached; undefined where there is none, or the machine was too busy to tell. */
  readonly isReached?: boolean;
  /** Whether the quarter of the batches that took longest took more than twice as long as the quickest quarter. */
  readonly isBusy: boolean;
}

/** The tenth and the half of the samples that took least. */
export interface Spread {
  readonly p10: number;
  readonly median: number;
}

/** How a figure is made. */
export interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly ours: Samples;
  /** What it is compared with. Default: 1, so that the samples are ratios themselves. */
  readonly against?: { readonly name: string; readonly samples: Samples } | undefined;
  readonly goal?: number | undefined;
}

function quantile(samples: Samples, part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}

function spread(samples: Samples): Spread {
  return { p10: quantile(samples, 0.1), median: quantile(samples, 0.5) };
}

/** Makes a figure. The goal is for the tenth that took least, which is what nobody has interrupted. */
export function figure({ name, unit, ours, against, goal }: Comparison): Figure {
  const [a, b] = [spread(ours), against === undefined ? { p10: 1, median: 1 } : spread(against.samples)];
  const ratio = { p10: a.p10 / b.p10, median: a.median / b.median };
  const isBusy = [ours, against?.samples ?? []].some((samples) =>
    samples.length > 1 && quantile(samples, 0.75) > 2 * quantile(samples, 0.25)
  );
  const isReached = goal === undefined ? undefined : ratio.p10 <= goal ? true : isBusy ? undefined : false;
  return {
    name,
    unit,
    ours: a,
    ...(against !== undefined && { against: { name: against.name, ...b } }),
    ratio,
    ...(goal !== undefined && { goal }),
    ...(isReached !== undefined && { isReached }),
    isBusy,
  };
}

/** Runs each of some things in turn, so many rounds, and returns the samples of each. */
export async function inTurns<K extends string>(
  rounds: number,
  things: Readonly<Record<K, () => number | Promise<number>>>,
): Promise<Record<K, number[]>> {
  const names = Object.keys(things) as K[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples[name].push(await things[name]());
  }
  return samples;
}

/** Figures as a table, with a line for each. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, unit, ours, against, ratio, goal, isReached, isBusy }) => [
    name,
    `${short(ours.p10)} ${unit}`,
    against === undefined ? "" : `${short(against.p10)} ${unit}`,
    `${ratio.p10.toFixed(2)} (${ratio.median.toFixed(2)})`,
    goal === undefined ? "" : `≤ ${goal}`,
    [isReached === undefined ? "" : isReached ? "reached" : "short", isBusy ? "busy" : ""].filter(Boolean).join(", "),
  ]);
  const heading = ["figure, p10", "ours", "against", "ratio (of medians)", "goal", ""];
  const widths = heading.map((_, i) => Math.max(...[heading, ...rows].map((row) => row[i]!.length)));
  return [heading, ...rows].map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd()).join("\n");
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
