/**
 * The storage functions behind mounting layers, for use one by one: layers, virtual disks, scratches, base layers and CIM
 * images.
 *
 * If a function that creates something fails, it removes what it created, unless its documentation says otherwise. Nothing
 * that existed before is ever replaced or deleted, except by functions whose names say so.
 *
 * ```ts
 * import { createScratch, expandScratch } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 *
 * // On a Windows host, leave `host` out.
 * await createScratch("C:\\containers\\web", ["C:\\layers\\base"], { host });
 * await expandScratch("C:\\containers\\web", 40 * 2 ** 30, { host });
 * ```
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
export type { BaseImage, CreateLayerOptions, ParentOptions } from "./layer.ts";
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
  HcsExportLayerOptions,
  HcsImportLayerOptions,
  HcsSetupBaseOSLayerOptions,
  HcsSetupBaseOSVolumeOptions,
} from "./hcs_layer.ts";
export { layerData } from "./layer_data.ts";
export type { FilterType, LayerData, OsLayerOptions, OsLayerType, Version } from "../hcsschema/storage.ts";
export type { Layer } from "../hcsschema/layer_document.ts";
export { attachDisk, createDifferencingDisk, createVhdx, detachDisk, isDiskInUse, openDisk } from "./virtual_disk.ts";
export type { AttachDiskOptions, CreateDifferencingDiskOptions, CreateVhdxOptions } from "./virtual_disk.ts";
export type { AttachOptions, Disk, DiskInfo } from "../host_holds/disk.ts";
export type { DiskSizes } from "../ffi/virtdisk.ts";
export { formatWritableLayerDisk, mountWritableLayerDisk } from "./writable_disk.ts";
export type { MountedDisk } from "./writable_disk.ts";
export { setupContainerBaseLayer, setupUtilityVMBaseLayer } from "./base_layer.ts";
export type { BaseLayerDisks } from "./base_layer.ts";
export { dismountCimImage, mountCimImage } from "./cim_image.ts";
export type { MountedCimImage } from "./cim_image.ts";
export { createScratch, createUtilityVMScratch, expandScratch } from "./scratch.ts";
export type { CreateScratchOptions, CreateUtilityVMScratchOptions } from "./scratch.ts";
export { grantVmAccess, grantVmGroupAccess } from "./vm_access.ts";
export { enablePrivileges } from "./privileges.ts";
export { resolvePath } from "./resolve_path.ts";
export type { HostOptions, MountOptions } from "../ffi/host_options.ts";
export type { Mounted } from "../holds/mounted.ts";
export type { Hold } from "../holds/hold.ts";
export type { ReleaseOptions } from "../holds/hold_list.ts";
export { ReleaseError, UnwindError } from "../holds/release_errors.ts";
export { windowsHost } from "../ffi/host.ts";
export type { Host, WindowsHost, WindowsHostOptions } from "../ffi/host.ts";
export { LayerError } from "../errors/layer_error.ts";
export { InvalidInputError } from "../errors/input_error.ts";
export {
  ClosedError,
  HungCallError,
  InUseError,
  UnexpectedAnswerError,
  UntrustedFolderError,
} from "../errors/state_errors.ts";
export {
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  MissingPrivilegeError,
  NativeError,
  PrivilegeRestoreError,
  UnsupportedBuildError,
} from "../errors/windows_errors.ts";
