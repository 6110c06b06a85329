/**
 * What only a simulation can say.
 *
 * @module
 */

import { LayerError } from "../errors/layer_error.ts";

/**
 * The simulated host can't answer: nobody has seen what Windows does here, or Windows would end the process. Code that
 * meets this error relies on luck.
 *
 * @category Errors
 */
export class SimulationError extends LayerError {
  /** The class name. */
  override readonly name = "SimulationError";

  /** An error with what was asked. */
  constructor(what: string) {
    super(`The simulated host can't go on: ${what}`);
  }
}

/** Refuses to guess: the answer of Windows to `situation` isn't known. */
export function unknown(situation: string): never {
  throw new SimulationError(`nobody knows what Windows answers to ${situation}`);
}

/** A simulated function fails with this code, an HRESULT. Never leaves the simulated host. */
export class Failure {
  /** The failure with an HRESULT. */
  constructor(readonly code: number) {}
}
