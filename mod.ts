/**
 * Mounts and unmounts the layers of Windows containers, and of Linux containers in utility VMs.
 *
 * The file system of a Windows container is a stack of read-only layers and one writable scratch disk. {@linkcode
 * mountWCOWLayers} mounts it on the host, and returns an object that unmounts it again. Everything that is acquired from
 * Windows is a {@linkcode Hold}. Holds are released in reverse order, and a failed mount leaves nothing behind.
 *
 * ```ts
 * import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\app");
 * host.addLayer("C:\\layers\\servercore");
 * host.addScratch("C:\\containers\\web");
 *
 * // On a Windows host, leave `host` out.
 * await using layers = await mountWCOWLayers(
 *   "web",
 *   ["C:\\layers\\app", "C:\\layers\\servercore", "C:\\containers\\web"],
 *   { host, volumeMountPath: "C:\\mnt\\web" },
 * );
 * console.log(layers.path); // \\?\Volume{…}\
 * for (const { layer, device } of layers.placements) console.log(layer, device.kind);
 * ```
 *
 * Another process, or this program after a crash, unmounts with {@linkcode unmountWCOWLayers}, which needs only the scratch
 * folder. Functions have the options `signal`, `timeout`, and `host`: {@linkcode windowsHost} returns a host for this machine, and
 * `@hcs-layers/hcs-layers/simulated` has a simulated host for tests on any operating system.
 *
 * All errors of the library are {@linkcode LayerError}s. Compare classes and codes, never texts.
 *
 * Other entry points: `/simulated` (the simulated host), `/storage` (scratches, virtual disks, base layers, and single
 * functions of Windows), `/files` (layers and images as files, on any operating system), `/host` (for programs with their
 * own host), `/hcsschema` (types of the documents of the Host Compute Service).
 *
 * @module
 */

// Layers on the host
export { mountWCOWLayers } from "./src/layers/wcow.ts";
export type { MountWCOWLayersOptions } from "./src/layers/wcow.ts";
export { releaseCimFSHostLayers, unmountWCOWLayers } from "./src/layers/unmount.ts";
export type { UnmountWCOWLayersOptions } from "./src/layers/unmount.ts";
export { findMounts, listMounts } from "./src/layers/list_mounts.ts";
export type { MountInfo, MountOwner } from "./src/layers/list_mounts.ts";
export { releaseMount } from "./src/layers/release_mount.ts";
export type { SavedMount } from "./src/layers/release_mount.ts";
export { recover } from "./src/layers/recover.ts";
export type { RecoveredMount, RecoverOptions } from "./src/layers/recover.ts";
export { mountSandboxVolume, removeSandboxMountPoint } from "./src/layers/sandbox_volume.ts";
export { toHostHcsSchemaLayers } from "./src/layers/host_schema.ts";

// Layers in utility VMs
export { createUtilityVM, getHCSLayers, mountLCOWLayers } from "./src/layers/vms.ts";
export type { LCOWLayer, LCOWLayers, MountedLCOWLayers, MountLCOWLayersOptions } from "./src/layers/lcow.ts";
export type { UtilityVM, UtilityVMOptions } from "./src/uvm/utility_vm.ts";
export type { LinuxVMOptions } from "./src/uvm/plans/linux_vm.ts";
export type { BootLayers, WindowsVMOptions } from "./src/uvm/plans/windows_vm.ts";
export type { CommonVMOptions } from "./src/uvm/plans/vm_plan.ts";

// Layers of other tools
export { makeMountedWCOWLayers } from "./src/layers/host_schema.ts";
export { parseLCOWLayers, parseWCOWLayers } from "./src/layers/parse_layers.ts";
export type { BlockImage, ContainerdMount, LayerSource, WCOWLayers } from "./src/layers/parse_layers.ts";

// What a mount returns
export type { LayerDevice, LayerPlacement, MountedLayers, MountedVolume } from "./src/layers/mounted_layers.ts";
export type { Mounted } from "./src/holds/mounted.ts";
export type { Hold } from "./src/holds/hold.ts";
export type { ReleasedHold, ReleaseOptions } from "./src/holds/hold_list.ts";

// Images and layers that are made
export {
  exportLayer,
  importBlockCimLayer,
  importCimLayer,
  importLayer,
  mergeBlockCims,
  writeBlockCim,
  writeCim,
} from "./src/transfer/transfers.ts";
export type { BlockCim, WriteBlockCimOptions, WriteCimOptions } from "./src/transfer/cim_writing.ts";
export type {
  ImportBlockCimLayerOptions,
  ImportCimLayerOptions,
  ImportedImageLayer,
} from "./src/transfer/import_image.ts";
export type { ExportedLayer } from "./src/transfer/export_layer.ts";
export type { ImportedLayer } from "./src/transfer/import_layer.ts";
export type { ImportOptions, TransferOptions, TransferProgress } from "./src/transfer/transfer_options.ts";
export type { CimMetadata } from "./src/ffi/cim_writer.ts";
export type { CimWriter } from "./src/transfer/image_writer.ts";
export type { Contents } from "./src/transfer/pieces.ts";

// The host
export type { VolumeSpace } from "./src/ffi/kernel32.ts";
export { windowsHost } from "./src/ffi/host.ts";
export type { Host, WindowsHost, WindowsHostOptions } from "./src/ffi/host.ts";
export type { HostOptions, MountOptions } from "./src/ffi/host_options.ts";

// Errors
export { LayerError } from "./src/errors/layer_error.ts";
export { InvalidInputError } from "./src/errors/input_error.ts";
export {
  ClosedError,
  HungCallError,
  InUseError,
  NotMountedError,
  OwnHoldError,
  RecordError,
  UnexpectedAnswerError,
  UntrustedFolderError,
} from "./src/errors/state_errors.ts";
export {
  MissingDllError,
  MissingExportError,
  MissingPermissionError,
  NativeError,
  UnsupportedBuildError,
} from "./src/errors/windows_errors.ts";
export { GuestConnectionError, GuestError, NoRoomError, VMStateError } from "./src/errors/vm_errors.ts";
export type { DeviceCapacity, GuestConnectionEnd } from "./src/errors/vm_errors.ts";
export { ReleaseError, UnwindError } from "./src/holds/release_errors.ts";
