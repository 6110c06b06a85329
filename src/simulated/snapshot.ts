/**
 * A machine as plain data, to keep and to come back to.
 *
 * @module
 */

import { SimulationError } from "./simulation_error.ts";
import type { WindowsState } from "./windows.ts";

/**
 * A {@linkcode SimulatedHost} at some time, as plain data that survives JSON. What is in it can change with each version.
 *
 * @category Simulation
 */
export interface MachineSnapshot {
  /** The version of its form. */
  readonly format: number;
  /** The machine. */
  readonly state: object;
}

/** Returns a copy of the machine in a snapshot. */
export function stateOf(snapshot: MachineSnapshot): WindowsState {
  if (snapshot?.format !== 1) throw new SimulationError("it is no snapshot of this version of the simulated host");
  return structuredClone(snapshot.state) as WindowsState;
}
