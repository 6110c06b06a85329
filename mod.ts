/**
 * Mounts and unmounts the layers of Windows containers.
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
  NativeError,
  UnsupportedBuildError,
} from "./src/ffi/errors.ts";
export type { NativeErrorInit } from "./src/ffi/errors.ts";
