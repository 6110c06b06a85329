/**
 * Types of the documents of the Host Compute Service that this library writes and reads.
 *
 * @module
 */

export type { Layer } from "./layer_document.ts";
export type {
  GuestModificationRequest,
  GuestResourceType,
  ModifySettingRequest,
  PMemDevice,
  RequestType,
  SCSISlot,
} from "./requests.ts";
export type { GuestConnectionInfo, GuestDefinedCapabilities, SystemProperties } from "./queries.ts";
export type { RegistryKey, RegistryValue } from "./create.ts";
