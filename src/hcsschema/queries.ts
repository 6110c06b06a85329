/**
 * Queries to the compute service, and its results. Windows may add keys to a result; they are kept.
 *
 * @module
 */

import type { Version } from "./storage.ts";

/** The properties to query. Default: the basic ones. */
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
  /** Name of the program that created it. */
  readonly Owner?: string;
  /** The GUID of the VM in Hyper-V, for instance for its sockets. */
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

/** What the service in a guest can do. An absent capability is off. */
export interface GuestDefinedCapabilities {
  /** Network namespaces can be added. */
  readonly NamespaceAddRequestSupported?: boolean;
  /** Processes can be signaled. */
  readonly SignalProcessSupported?: boolean;
  /** The service can log its stacks. */
  readonly DumpStacksSupported?: boolean;
  /** The state of a container can be deleted. */
  readonly DeleteContainerStateSupported?: boolean;
  /** A container can be updated. */
  readonly UpdateContainerSupported?: boolean;
}

/** The compute systems to query. Default: all. */
export interface SystemQuery {
  /** Their ids. */
  readonly Ids?: readonly string[];
  /** Their kinds. */
  readonly Types?: readonly ("VirtualMachine" | "Container")[];
  /** Their names. */
  readonly Names?: readonly string[];
  /** Names of the programs that created them. */
  readonly Owners?: readonly string[];
}

/** Properties of the compute service. */
export interface ServiceProperties {
  /** One for each group of properties in the query. */
  readonly Properties?: readonly ProcessorTopology[];
}

/** The processors of the host. */
export interface ProcessorTopology {
  /** How many logical processors there are. */
  readonly LogicalProcessorCount?: number;
}
