/**
 * The messages that a host sends to the service in a guest. Keys are in the order in which the container tools write them.
 *
 * @module
 */

import type { GuestModificationRequest } from "./requests.ts";
import { serialize } from "./serialize.ts";

/** Stands for the VM itself where a message names a container. */
export const THE_VM = "00000000-0000-0000-0000-000000000000";

/** The address of the host, as a Windows guest is told it. */
export const HOST_ADDRESS = "894cc2d6-9d79-424f-93fe-42969ae6d8d1";

/** The version of the protocol that both sides have to speak. */
export const PROTOCOL_VERSION = 4;

const NO_ACTIVITY = "00000000-0000-0000-0000-000000000000";

/** Returns a message about a container. */
export function messageFor(container: string, body: object = {}): object {
  return { ContainerId: container, ActivityId: NO_ACTIVITY, ...body };
}

/** The body of `NegotiateProtocol`. */
export const negotiation = { MinimumVersion: PROTOCOL_VERSION, MaximumVersion: PROTOCOL_VERSION } as const;

/** A time zone. An absent key means 0, or `""`. */
export interface TimeZoneInformation {
  /** Minutes from local time to UTC. */
  readonly Bias?: number;
  /** Name of the standard time. */
  readonly StandardName?: string;
  /** When the standard time begins. */
  readonly StandardDate: TimeZoneDate;
  /** Minutes to add to `Bias` during the standard time. */
  readonly StandardBias?: number;
  /** Name of the daylight saving time. */
  readonly DaylightName?: string;
  /** When the daylight saving time begins. */
  readonly DaylightDate: TimeZoneDate;
  /** Minutes to add to `Bias` during the daylight saving time. */
  readonly DaylightBias?: number;
}

/** A day of each year: `Day` counts the weeks of the month, and 5 is the last one. `{}` if there is none. */
export interface TimeZoneDate {
  /** The year. */
  readonly Year?: number;
  /** The month, from 1. */
  readonly Month?: number;
  /** The day of the week, from Sunday. */
  readonly DayOfWeek?: number;
  /** The week of the month. */
  readonly Day?: number;
  /** The hour. */
  readonly Hour?: number;
  /** The minute. */
  readonly Minute?: number;
  /** The second. */
  readonly Second?: number;
  /** The millisecond. */
  readonly Milliseconds?: number;
}

/** The time zone of a guest that isn't to have the host's. */
export const UTC: TimeZoneInformation = {
  StandardName: "Coordinated Universal Time",
  StandardDate: {},
  DaylightName: "Coordinated Universal Time",
  DaylightDate: {},
};

/** Returns the body of `Create` for the VM itself. Without a time zone, a Windows guest was seen to crash. */
export function vmConfiguration(timeZone: TimeZoneInformation | null): object {
  return { ContainerConfig: serialize({ SystemType: "Container", TimeZoneInformation: timeZone }) };
}

/** Returns the body of `ModifySettings`. */
export function modification(request: GuestModificationRequest): object {
  return { Request: request };
}

/** Returns the body of `GetProperties`. Without types, it is the basic properties. */
export function propertyQuery(types: readonly string[]): object {
  return { Query: serialize(types.length === 0 ? {} : { PropertyTypes: types }) };
}

/** Returns the request that tells a Windows guest its address and the host's. */
export function socketAddresses(runtimeId: string): GuestModificationRequest {
  return {
    RequestType: "Update",
    ResourceType: "HvSocket",
    Settings: { LocalAddress: runtimeId, ParentAddress: HOST_ADDRESS },
  };
}

/** What a guest enforces. Without a policy, it accepts all containers. */
export interface SecurityPolicy {
  /** How it is enforced. */
  readonly EnforcerType?: string;
  /** The policy, in base64. */
  readonly EncodedSecurityPolicy?: string;
  /** The signed description of the VM's files, in base64. */
  readonly EncodedUVMReference?: string;
}

/** Returns the request that sets the policy of a guest, which it accepts once per boot. */
export function securityPolicy(policy: SecurityPolicy): GuestModificationRequest {
  return { RequestType: "Add", ResourceType: "SecurityPolicy", Settings: policy };
}
