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
} from "./layers.ts";
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
} from "./layers.ts";
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
} from "./hcs_layers.ts";
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
} from "./hcs_layers.ts";
export { layerData } from "../hcsschema/storage.ts";
export type { FilterType, LayerData, OsLayerOptions, OsLayerType, Version } from "../hcsschema/storage.ts";
export type { Layer } from "../hcsschema/layer.ts";
export { attachDisk, createDifferencingDisk, createVhdx, detachDisk, Disk, isDiskInUse, openDisk } from "./disks.ts";
export type {
  AttachDiskOptions,
  AttachOptions,
  CreateDifferencingDiskOptions,
  CreateVhdxOptions,
  DetachDiskOptions,
  DiskInfo,
  IsDiskInUseOptions,
  OpenDiskOptions,
} from "./disks.ts";
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
export { resolvePath } from "./resolve.ts";
export type { ResolvePathOptions } from "./resolve.ts";
export type { HostOptions } from "./options.ts";
export type { Mounted } from "../holds/mounted.ts";
export type { Hold } from "../holds/hold.ts";
export type { ReleaseOptions } from "../holds/hold_list.ts";
export { ReleaseError, UnwindError } from "../holds/errors.ts";
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
} from "../ffi/errors.ts";
export type { NativeErrorInit } from "../ffi/errors.ts";
