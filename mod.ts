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
export type { HostOptions } from "./src/ffi/host_options.ts";
export type { Mounted, MountedLayers, MountedVolume } from "./src/layers/mounted_layers.ts";
export type { Hold } from "./src/holds/hold.ts";
export type { ReleasedHold, ReleaseOptions } from "./src/holds/hold_list.ts";
export { ReleaseError, UnwindError } from "./src/holds/release_errors.ts";
export { createUtilityVM } from "./src/uvm/utility_vm.ts";
export type { CreateUtilityVMOptions, UtilityVM, UtilityVMOptions } from "./src/uvm/utility_vm.ts";
export type { WaitOptions } from "./src/uvm/compute_system.ts";
export type { LinuxVMOptions } from "./src/uvm/plans/linux_vm.ts";
export type { WindowsVMOptions } from "./src/uvm/plans/windows_vm.ts";
export type { CommonVMOptions } from "./src/uvm/plans/vm_plan.ts";
export type { GuestOS, Modifier, VMState } from "./src/uvm/running_vm.ts";
export type { LayerVM } from "./src/uvm/devices/vm_devices.ts";
export type { SCSIAccess, SCSIAttachment, SCSIDisks, SCSIMount, SCSIMountOptions } from "./src/uvm/devices/scsi.ts";
export type { VPMemDevices, VPMemFile } from "./src/uvm/devices/vpmem.ts";
export type { VSMBShare, VSMBShares } from "./src/uvm/devices/vsmb.ts";
export type { Device, DeviceUse } from "./src/uvm/devices/device.ts";
export type { HostFile } from "./src/checks/host_file.ts";
export { NoRoomError, VMStateError } from "./src/errors/vm_errors.ts";
export type { DeviceRoom, VMStateReason } from "./src/errors/vm_errors.ts";
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
} from "./src/errors/windows_errors.ts";
export type { NativeErrorInit } from "./src/errors/windows_errors.ts";
