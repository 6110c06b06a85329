/**
 * The error for a refused argument.
 *
 * @module
 */

import { LayerError } from "./layer_error.ts";
import { printable } from "./printable.ts";

/**
 * An argument was refused before anything was changed.
 *
 * @category Errors
 */
export class InvalidInputError extends LayerError {
  /** The class name. */
  override readonly name = "InvalidInputError";
  /**
   * The argument from the caller's point of view, such as `layerFolders[1]` or `layers.layers[2].vhdPath`. An option in
   * the last argument has its plain name: `volumeMountPath`.
   */
  readonly argument: string;
  /** The value that was refused. */
  readonly value: unknown;

  /** An error that reads `<argument> <problem>: <value>`. */
  constructor(argument: string, problem: string, value?: unknown, options?: ErrorOptions) {
    super(`${argument} ${problem}${value === undefined ? "" : `: ${printable(value)}`}`, options);
    this.argument = argument;
    this.value = value;
  }
}
