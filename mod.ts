/**
 * Mounts and unmounts the layers of Windows containers, and of Linux containers in utility VMs.
 *
 * @module
 */

export { mountWCOWLayers } from "./src/layers/wcow.ts";
export type { MountWCOWLayersOptions } from "./src/layers/wcow.ts";
export { releaseCimFSHostLayers, unmountWCOWLayers } from "./src/layers/unmount.ts";
export type { ReleaseCimFSHostLayersOptions, UnmountWCOWLayersOptions } from "./src/layers/unmount.ts";
export { mountLCOWLayers } from "./src/layers/lcow.ts";
export type { LCOWLayer, LCOWLayers, MountedLCOWLayers, MountLCOWLayersOptions } from "./src/layers/lcow.ts";
export { getHCSLayers } from "./src/layers/wcow_vm.ts";
export type { GetHCSLayersOptions } from "./src/layers/wcow_vm.ts";
export { NotMountedError, toHostHcsSchemaLayers } from "./src/layers/host_schema.ts";
export type { ToHostHcsSchemaLayersOptions } from "./src/layers/host_schema.ts";
export type { Layer } from "./src/hcsschema/layer.ts";
export { mountSandboxVolume, removeSandboxMountPoint } from "./src/layers/sandbox_volume.ts";
export type { MountSandboxVolumeOptions, RemoveSandboxMountPointOptions } from "./src/layers/sandbox_volume.ts";
export type { HostOptions } from "./src/storage/options.ts";
export type { Mounted, MountedLayers, MountedVolume } from "./src/layers/mounted.ts";
export type { Hold } from "./src/holds/hold.ts";
export type { ReleasedHold, ReleaseOptions } from "./src/holds/hold_list.ts";
export { ReleaseError, UnwindError } from "./src/holds/errors.ts";
export { createUtilityVM } from "./src/uvm/utility_vm.ts";
export type { CreateUtilityVMOptions, UtilityVM, UtilityVMOptions } from "./src/uvm/utility_vm.ts";
export type { WaitOptions } from "./src/uvm/compute_system.ts";
export type { LinuxVMOptions } from "./src/uvm/linux_vm.ts";
export type { WindowsVMOptions } from "./src/uvm/windows_vm.ts";
export type { CommonVMOptions } from "./src/uvm/vm_options.ts";
export type { GuestOS, Modifier, VMState } from "./src/uvm/modify.ts";
export type { LayerVM } from "./src/uvm/layer_vm.ts";
export type { SCSIAccess, SCSIAttachment, SCSIDisks, SCSIMount, SCSIMountOptions } from "./src/uvm/scsi.ts";
export type { VPMemDevices, VPMemFile } from "./src/uvm/vpmem.ts";
export type { VSMBShare, VSMBShares } from "./src/uvm/vsmb.ts";
export type { Device, DeviceUse } from "./src/uvm/device.ts";
export type { HostFile } from "./src/uvm/host_file.ts";
export { NoRoomError, VMStateError } from "./src/uvm/errors.ts";
export type { DeviceRoom, VMStateReason } from "./src/uvm/errors.ts";
export type { GuestConnectionInfo, GuestDefinedCapabilities, SystemProperties } from "./src/hcsschema/queries.ts";
export type { RegistryKey, RegistryValue } from "./src/hcsschema/create.ts";
export type {
  GuestModificationRequest,
  GuestResourceType,
  ModifySettingRequest,
  PMemDevice,
  RequestType,
  SCSISlot,
} from "./src/hcsschema/requests.ts";
export type { Version } from "./src/hcsschema/storage.ts";
export { windowsHost } from "./src/ffi/host.ts";
export type {
  Host,
  NativeCallback,
  NotificationListener,
  RawNotification,
  WindowsHost,
  WindowsHostOptions,
} from "./src/ffi/host.ts";
export type {
  Dll,
  NativeArgument,
  NativeArguments,
  NativeFunction,
  NativeResult,
  NativeSymbols,
  SymbolTable,
} from "./src/ffi/table.ts";
export {
  InvalidInputError,
  LayerError,
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  MissingPrivilegeError,
  NativeError,
  UnsupportedBuildError,
} from "./src/ffi/errors.ts";
export type { NativeErrorInit } from "./src/ffi/errors.ts";
