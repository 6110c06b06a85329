/**
 * A simulated Windows host, for testing tools that mount layers, on any operating system.
 *
 * @module
 */

export { SimulatedHost } from "./simulated_host.ts";
export type {
  AnsweredCall,
  HeldResource,
  InjectedFailure,
  NativeCall,
  SimulatedHostOptions,
} from "./simulated_host.ts";
export type { Completion, NotificationName } from "./compute_service.ts";
export type { Connection, GuestNetwork } from "./guest_network.ts";
export type { Acquirer } from "./windows.ts";
export { SimulationError } from "./simulation_error.ts";
