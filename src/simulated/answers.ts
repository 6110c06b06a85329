/**
 * What a real host was observed to return, in place of what is simulated.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";

/**
 * What `deno task observe` has seen on a real host: the parsed JSON of its report.
 *
 * @category Simulation
 */
export interface ObservedAnswers {
  /** The rules that were played. All other members of the report are left aside. */
  readonly rules: readonly {
    /** The situation in which the simulated host was, by its own name for it. */
    readonly situation?: string;
    /** What Windows returned. */
    readonly observed?: { readonly code?: string };
  }[];
}

/**
 * Returns the codes of failures by the situations in which Windows returned them.
 *
 * A success is left aside: it doesn't tell what Windows did.
 *
 * @throws {InvalidInputError} if it isn't a report.
 */
export function failuresIn(answers: ObservedAnswers): ReadonlyMap<string, number> {
  const rules: unknown = answers?.rules;
  if (!Array.isArray(rules)) {
    throw new InvalidInputError("answers", "is not the parsed report of `deno task observe`", answers);
  }
  const failures = new Map<string, number>();
  for (const { situation, observed } of rules as ObservedAnswers["rules"]) {
    const { code } = observed ?? {};
    if (situation === undefined || code === undefined) continue;
    if (!/^0x[0-9a-f]{8}$/.test(code)) {
      throw new InvalidInputError("answers", `has a code that isn't 0x and eight digits for ${situation}`, code);
    }
    if (Number(code) >= 0x80000000) failures.set(situation, Number(code));
  }
  return failures;
}
