/**
 * The storage functions that mounting layers stands on, one by one: layers, virtual disks, and what is built of them.
 *
 * What a function makes it owns until it has succeeded, and a failure removes it; nothing that existed before is ever
 * replaced or deleted, but by the functions whose names say so.
 *
 * @module
 */

export {
  activateLayer,
  baseImages,
  copyLayer,
  createLayer,
  createScratchLayer,
  deactivateLayer,
  destroyLayer,
  expandScratchLayer,
  exportLayer,
  importLayer,
  layerExists,
  layerId,
  layerMountPath,
  prepareLayer,
  unprepareLayer,
} from "./layer.ts";
export type {
  ActivateLayerOptions,
  BaseImage,
  BaseImagesOptions,
  CopyLayerOptions,
  CreateLayerOptions,
  CreateScratchLayerOptions,
  DeactivateLayerOptions,
  DestroyLayerOptions,
  ExpandScratchLayerOptions,
  ExportLayerOptions,
  ImportLayerOptions,
  LayerExistsOptions,
  LayerIdOptions,
  LayerMountPathOptions,
  PrepareLayerOptions,
  UnprepareLayerOptions,
} from "./layer.ts";
export {
  hcsAttachLayerStorageFilter,
  hcsAttachOverlayFilter,
  hcsDestroyLayer,
  hcsDetachLayerStorageFilter,
  hcsDetachOverlayFilter,
  hcsExportLayer,
  hcsFormatWritableLayerVhd,
  hcsGetLayerVhdMountPath,
  hcsImportLayer,
  hcsInitializeWritableLayer,
  hcsSetupBaseOSLayer,
  hcsSetupBaseOSVolume,
} from "./hcs_layer.ts";
export type {
  HcsAttachLayerStorageFilterOptions,
  HcsAttachOverlayFilterOptions,
  HcsDestroyLayerOptions,
  HcsDetachLayerStorageFilterOptions,
  HcsDetachOverlayFilterOptions,
  HcsExportLayerOptions,
  HcsFormatWritableLayerVhdOptions,
  HcsGetLayerVhdMountPathOptions,
  HcsImportLayerOptions,
  HcsInitializeWritableLayerOptions,
  HcsSetupBaseOSLayerOptions,
  HcsSetupBaseOSVolumeOptions,
} from "./hcs_layer.ts";
export { layerData } from "../hcsschema/storage.ts";
export type { FilterType, LayerData, OsLayerOptions, OsLayerType, Version } from "../hcsschema/storage.ts";
export type { Layer } from "../hcsschema/layer.ts";
export {
  attachDisk,
  createDifferencingDisk,
  createVhdx,
  detachDisk,
  Disk,
  isDiskInUse,
  openDisk,
} from "./virtual_disk.ts";
export type {
  AttachDiskOptions,
  AttachOptions,
  CreateDifferencingDiskOptions,
  CreateVhdxOptions,
  DetachDiskOptions,
  DiskInfo,
  IsDiskInUseOptions,
  OpenDiskOptions,
} from "./virtual_disk.ts";
export type { DiskSizes } from "../ffi/virtdisk.ts";
export { formatWritableLayerDisk, mountWritableLayerDisk } from "./writable_disk.ts";
export type { FormatWritableLayerDiskOptions, MountedDisk, MountWritableLayerDiskOptions } from "./writable_disk.ts";
export { setupContainerBaseLayer, setupUtilityVMBaseLayer } from "./base_layer.ts";
export type { BaseLayerDisks, SetupContainerBaseLayerOptions, SetupUtilityVMBaseLayerOptions } from "./base_layer.ts";
export { dismountCimImage, mountCimImage } from "./cim_image.ts";
export type { DismountCimImageOptions, MountCimImageOptions, MountedCimImage } from "./cim_image.ts";
export { createScratch, createUtilityVMScratch, expandScratch } from "./scratch.ts";
export type { CreateScratchOptions, CreateUtilityVMScratchOptions, ExpandScratchOptions } from "./scratch.ts";
export { grantVmAccess, grantVmGroupAccess } from "./vm_access.ts";
export type { GrantVmAccessOptions, GrantVmGroupAccessOptions } from "./vm_access.ts";
export { enablePrivileges } from "./privileges.ts";
export type { EnablePrivilegesOptions } from "./privileges.ts";
export { resolvePath } from "./resolve_path.ts";
export type { ResolvePathOptions } from "./resolve_path.ts";
export type { HostOptions } from "../ffi/host_options.ts";
export type { Mounted } from "../holds/mounted.ts";
export type { Hold } from "../holds/hold.ts";
export type { ReleaseOptions } from "../holds/hold_list.ts";
export { ReleaseError, UnwindError } from "../holds/release_errors.ts";
export { windowsHost } from "../ffi/host.ts";
export type { Host, WindowsHost, WindowsHostOptions } from "../ffi/host.ts";
export type { Handle } from "../ffi/kernel32.ts";
export type { Dll, NativeFunction, NativeSymbols, SymbolTable } from "../ffi/table.ts";
export {
  InvalidInputError,
  LayerError,
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  MissingPrivilegeError,
  NativeError,
  UnsupportedBuildError,
} from "../errors/windows_errors.ts";
export type { NativeErrorInit } from "../errors/windows_errors.ts";
