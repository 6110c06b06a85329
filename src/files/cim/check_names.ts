/**
 * What is wrong with the names in a folder, and with their order.
 *
 * @module
 */

import type { FormatError } from "../../errors/file_errors.ts";
import { nameProblem } from "../layer/layer_path.ts";
import type { Report } from "./cim_fault.ts";

// deno-lint-ignore no-control-regex
const FORBIDDEN = /[\x00-\x1f<>"|?*]/;
const SURROGATE = /[\ud800-\udfff]/;

/** Looks at a name by itself. `fault` makes an error at it. */
export function checkName(name: string, report: Report, fault: (problem: string) => FormatError): void {
  const problem = nameProblem(name);
  if (problem === undefined) return;
  report(FORBIDDEN.test(name) ? "error" : "warning", fault(`its name ${problem}: ${JSON.stringify(name)}`));
}

/** How the names up to one are ordered; `same` if it is that before it. */
export type NameOrder = "ordered" | "by units" | "same" | "unordered";

/** Follows the order of names, in large letters: by code points or by units, as it isn't known which one Windows wants. */
export class NameOrders {
  #last: string | undefined;
  #isByPoints = true;
  #isByUnits = true;

  /** Tells about the next name. */
  next(large: string): NameOrder {
    const last = this.#last;
    this.#last = large;
    if (last === undefined) return "ordered";
    this.#isByPoints &&= comparePoints(last, large) <= 0;
    this.#isByUnits &&= last <= large;
    if (!this.#isByPoints && !this.#isByUnits) return "unordered";
    if (last === large) return "same";
    return this.#isByPoints ? "ordered" : "by units";
  }
}

function comparePoints(a: string, b: string): number {
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : a > b ? 1 : 0;
  const [left, right] = [[...a], [...b]];
  const at = left.findIndex((char, i) => char !== right[i]);
  if (at < 0) return left.length - right.length;
  return left[at]!.codePointAt(0)! - (right[at]?.codePointAt(0) ?? -1);
}
