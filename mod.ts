/**
 * Mounts and unmounts the layers of Windows containers.
 *
 * @module
 */

export { mountWCOWLayers, unmountWCOWLayers } from "./src/layers/wcow.ts";
export type { MountWCOWLayersOptions, UnmountWCOWLayersOptions } from "./src/layers/wcow.ts";
export { mountSandboxVolume, removeSandboxMountPoint } from "./src/layers/sandbox_volume.ts";
export type {
  HostOptions,
  MountSandboxVolumeOptions,
  RemoveSandboxMountPointOptions,
} from "./src/layers/sandbox_volume.ts";
export type { Mounted, MountedLayers, MountedVolume } from "./src/layers/mounted.ts";
export type { Hold } from "./src/holds/hold.ts";
export type { ReleasedHold, ReleaseOptions } from "./src/holds/hold_list.ts";
export { ReleaseError, UnwindError } from "./src/holds/errors.ts";
export { windowsHost } from "./src/ffi/host.ts";
export type { Host, WindowsHost, WindowsHostOptions } from "./src/ffi/host.ts";
export type { Dll, NativeFunction, NativeSymbols, SymbolTable } from "./src/ffi/table.ts";
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
