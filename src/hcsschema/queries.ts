/**
 * Queries to the compute service, and what it answers. Windows may add keys to an answer; they are kept.
 *
 * @module
 */

import type { Version } from "./storage.ts";

/** Which properties are asked for; the basic ones where none is named. */
export interface PropertyQuery {
  /** Names of groups of properties. */
  readonly PropertyTypes?: readonly ("GuestConnection" | "ProcessorTopology")[];
}

/** The basic properties of a compute system: its ids, its kind, its state. */
export const basicProperties: PropertyQuery = {};

/** What the guest in a VM can do. */
export const guestConnectionProperties: PropertyQuery = { PropertyTypes: ["GuestConnection"] };

/** The processors of the host. */
export const processorTopology: PropertyQuery = { PropertyTypes: ["ProcessorTopology"] };

/** Properties of a compute system. */
export interface SystemProperties {
  /** Its id. */
  readonly Id?: string;
  /** `VirtualMachine` or `Container`. */
  readonly SystemType?: string;
  /** `Windows` or `Linux`. */
  readonly RuntimeOsType?: string;
  /** Its name. */
  readonly Name?: string;
  /** Who created it. */
  readonly Owner?: string;
  /** The GUID under which the VM is known to Hyper-V, such as to its sockets. */
  readonly RuntimeId?: string;
  /** Its state, such as `Created`, `Running`. */
  readonly State?: string;
  /** Whether it has stopped. */
  readonly Stopped?: boolean;
  /** How it stopped, such as `ForcedExit`. */
  readonly ExitType?: string;
  /** What the guest can do. */
  readonly GuestConnectionInfo?: GuestConnectionInfo;
}

/** What the guest in a VM can do. */
export interface GuestConnectionInfo {
  /** Versions of the schema that it knows. */
  readonly SupportedSchemaVersions?: readonly Version[];
  /** Version of the protocol that it speaks. */
  readonly ProtocolVersion?: number;
  /** What it can do. */
  readonly GuestDefinedCapabilities?: GuestDefinedCapabilities;
}

/** What the service in a guest can do. All are off where absent. */
export interface GuestDefinedCapabilities {
  /** Network namespaces can be added. */
  readonly NamespaceAddRequestSupported?: boolean;
  /** Processes can be signalled. */
  readonly SignalProcessSupported?: boolean;
  /** The service can log its stacks. */
  readonly DumpStacksSupported?: boolean;
  /** The state of a container can be deleted. */
  readonly DeleteContainerStateSupported?: boolean;
  /** A container can be updated. */
  readonly UpdateContainerSupported?: boolean;
}

/** Which compute systems are asked for; all where nothing is named. */
export interface SystemQuery {
  /** Their ids. */
  readonly Ids?: readonly string[];
  /** Their kinds. */
  readonly Types?: readonly ("VirtualMachine" | "Container")[];
  /** Their names. */
  readonly Names?: readonly string[];
  /** Who created them. */
  readonly Owners?: readonly string[];
}

/** Properties of the compute service. */
export interface ServiceProperties {
  /** One for each group that was asked for. */
  readonly Properties?: readonly ProcessorTopology[];
}

/** The processors of the host. */
export interface ProcessorTopology {
  /** How many logical processors there are. */
  readonly LogicalProcessorCount?: number;
}
