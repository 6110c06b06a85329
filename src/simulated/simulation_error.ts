/**
 * The error of the simulation, and the failures that its functions return.
 *
 * @module
 */

import { hex, nameOf } from "../errors/codes.ts";
import { LayerError } from "../errors/layer_error.ts";

/**
 * The simulation can't continue: nobody has seen what Windows does in this situation, or Windows would end the process. On
 * a real host, the outcome of the same code is unknown.
 *
 * @category Errors
 */
export class SimulationError extends LayerError {
  /** The class name. */
  override readonly name = "SimulationError";

  /** An error that describes the situation. */
  constructor(what: string) {
    super(`The simulated host can't continue: ${what}`);
  }
}

/** It isn't known what Windows does in a situation. A name of a file follows in it after `: `. To the outside, this is a plain {@linkcode SimulationError}. */
export class UnknownSituation extends SimulationError {
  /** An error for a situation, such as `activating a layer twice`. */
  constructor(readonly situation: string) {
    super(`nobody knows what Windows does on ${situation}`);
  }
}

/** Throws because it isn't known what Windows returns in a situation. */
export function unknown(situation: string): never {
  throw new UnknownSituation(situation);
}

/** Makes a simulated function fail with an HRESULT. A method for testers throws it for a path that doesn't exist. */
export class Failure extends Error {
  /**
   * A failure with an HRESULT.
   *
   * @param situation The situation, if a file of answers may name another code for it.
   */
  constructor(readonly code: number, readonly situation?: string) {
    super(`the simulated host failed with ${[hex(code), nameOf(code)].filter(Boolean).join(" ")}`);
  }
}
