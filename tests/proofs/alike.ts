/**
 * Failures that are alike: those of one function after which the same is asked and answered, wherever they come. Codes that
 * nobody tells apart are such, or a failure before and after an effect that the call doesn't have.
 *
 * @module
 */

/** A failure: of the nth call of a function, and in which way. */
export interface Place {
  readonly of: string;
  readonly nth: number;
  readonly way: string;
}

/** A failure, and what followed it. */
export interface Outcome extends Place {
  readonly followed: string;
}

/**
 * Returns how to tell whether a failure is the first one of those that are alike. That of a function or in a way that wasn't
 * among those that were tried is.
 */
export function firstOfAlike(tried: readonly Outcome[]): (failure: Place) => boolean {
  const outcomes = new Map<string, string>();
  for (const { of, nth, way, followed } of tried) {
    const key = `${of} ${way}`;
    outcomes.set(key, `${outcomes.get(key) ?? of}\n${nth}: ${followed}`);
  }
  const alike = Map.groupBy(outcomes.keys(), (key) => outcomes.get(key));
  const others = new Set([...alike.values()].flatMap(([, ...others]) => others));
  return ({ of, way }) => !others.has(`${of} ${way}`);
}
