/**
 * computestorage.dll, simulated, except the overlay filter.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import type { LayerData, OsLayerOptions } from "../hcsschema/storage.ts";
import {
  big,
  buffer,
  type Context,
  define,
  HRESULT,
  put64,
  type SimulatedDll,
  since,
  text,
  win32Failure,
} from "./call.ts";
import { type DiskHandle, diskOfDevice, volumeText } from "./disks.ts";
import { simulatedLayerId } from "./name_to_guid.ts";
import { lastName } from "./names.ts";
import { SimulationError, unknown } from "./simulation_error.ts";
import { exportFiles, importFiles } from "./transport.ts";
import { volumeKey, volumeOn, type Windows } from "./windows.ts";

const SERVER_2019 = 17763;
const HIVES = ["DefaultUser_Base", "Sam_Base", "Security_Base", "Software_Base", "System_Base"];

/** The functions of computestorage.dll, except those for overlay filters. */
export const computestorageFunctions: SimulatedDll = {
  HcsAttachLayerStorageFilter: define(HRESULT, { path: text, data: text }, ({ windows }, { path, data }) => {
    const layers = requireLayers(windows, data).map(({ Path = "" }) => windows.place(Path).path);
    const volume = volumeAt(windows, path);
    if (windows.state.storageFilters[volume] !== undefined) unknown("attaching a storage filter twice");
    windows.state.storageFilters[volume] = { volume: path, layers, by: windows.by };
  }),

  HcsDestroyLayer: define(HRESULT, { path: text }, ({ windows }, { path }) => {
    if (windows.node(path)?.type !== "folder") unknown(`destroying a layer that doesn't exist: ${path}`);
    const used = Object.values(windows.state.active).flatMap((layer) => [layer.path, ...layer.parents ?? []]);
    if (used.some((layer) => windows.key(layer) === windows.key(path))) {
      throw new SimulationError(`Windows may end the process: ${path} is in use`);
    }
    windows.remove(path);
  }),

  HcsDetachLayerStorageFilter: define(HRESULT, { path: text }, ({ windows }, { path }) => {
    const volume = volumeAt(windows, path);
    if (windows.state.storageFilters[volume] === undefined) unknown("detaching a storage filter that doesn't exist");
    delete windows.state.storageFilters[volume];
  }),

  HcsExportLayer: define(
    HRESULT,
    { path: text, folder: text, data: text, options: text },
    ({ windows }, { path, folder, data, options }) => {
      requireFolder(windows, path);
      requireFolder(windows, folder);
      const layers = requireLayers(windows, data);
      JSON.parse(options);
      exportFiles(windows, path, folder, layers.map((layer) => layer.Path ?? ""));
    },
  ),

  HcsFormatWritableLayerVhd: define(HRESULT, { vhd: big }, (context, { vhd }) => {
    const { windows } = context;
    const path = formatted(context, vhd);
    const disk = windows.disk(path);
    if (disk.volume !== undefined) unknown(`formatting a disk that is already formatted: ${path}`);
    disk.volume = volumeOn(disk.size);
    if (windows.isAttached(path)) windows.addDiskVolume(windows.diskVolume(path));
    windows.changed.add(windows.existing(path).path);
  }),

  HcsGetLayerVhdMountPath: define(HRESULT, { vhd: big, mountPath: buffer }, ({ windows, process }, args) => {
    const { type, target } = process.handles.get(args.vhd);
    if (type !== "disk" || !windows.isAttached(target) || !windows.hasVolume(windows.diskVolume(target))) {
      unknown(`getting the volume of a disk that isn't attached or has none: ${target}`);
    }
    put64(args.mountPath, process.memory.allocateWide(volumeText(process, windows.diskVolume(target))));
  }),

  HcsImportLayer: define(HRESULT, { path: text, source: text, data: text }, ({ windows }, { path, source, data }) => {
    requireFolder(windows, source);
    if (windows.key(path) === windows.key(source)) unknown("importing a layer from its own folder");
    const layers = requireLayers(windows, data);
    for (const { Id, Path = "" } of layers) {
      if (Id !== simulatedLayerId(lastName(windows.place(Path).path))) {
        throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "receiving a layer with another id than that of its name");
      }
    }
    importFiles(windows, path, source, layers.map((layer) => layer.Path ?? ""));
  }),

  HcsInitializeWritableLayer: define(
    HRESULT,
    { path: text, data: text, options: text },
    ({ windows }, { path, data, options }) => {
      if (options !== "") unknown(`initializing a writable layer with options: ${options}`);
      requireFolder(windows, path);
      requireLayers(windows, data);
    },
  ),

  HcsSetupBaseOSLayer: define(HRESULT, { path: text, vhd: big, options: text }, (context, { path, vhd, options }) => {
    const { windows, process } = context;
    const { Type } = JSON.parse(options) as OsLayerOptions;
    requireFolder(windows, path);
    if (Type === "Vm") {
      const { type, target } = process.handles.get<DiskHandle>(vhd);
      if (type !== "disk" || !windows.isAttached(target)) unknown("setting up a utility VM without its disk attached");
      const disk = windows.disk(target);
      disk.volume = volumeOn(disk.size);
      windows.addDiskVolume(windows.diskVolume(target));
      return;
    }
    if (vhd !== 0n) unknown("setting up a layer for containers with a disk");
    if (process.handles.list().some(({ type }) => type === "disk")) {
      unknown("setting up a layer for containers while its disk is open");
    }
    for (const name of ["Hives", "Layout"]) {
      if (windows.node(`${path}\\${name}`) !== undefined) {
        unknown(`setting up a layer that already has ${name}: ${path}`);
      }
    }
    windows.add({ path: `${path}\\Hives`, type: "folder", createdBy: windows.by });
    for (const name of HIVES) {
      windows.add({ path: `${path}\\Hives\\${name}`, type: "file", size: 8192, createdBy: windows.by });
    }
    windows.add({ path: `${path}\\Layout`, type: "file", size: 4096, createdBy: windows.by });
  }),

  ...since(19645, {
    HcsSetupBaseOSVolume: define(
      HRESULT,
      { path: text, volume: text, options: text },
      ({ windows }, { path, volume, options }) => {
        JSON.parse(options);
        requireFolder(windows, path);
        volumeAt(windows, volume);
      },
    ),
  }),
};

// Server 2019 needs the device of an attached disk. All later builds need the disk's handle from virtdisk.dll.
function formatted({ windows, process }: Context, vhd: bigint): string {
  const { type, target } = process.handles.get(vhd);
  const device = diskOfDevice(windows, target);
  if (windows.state.build <= SERVER_2019) {
    if (device === undefined) unknown(`formatting something that isn't a device on Server 2019: ${target}`);
    return device;
  }
  if (type === "disk") return target;
  if (device !== undefined) unknown(`formatting a device on a build later than Server 2019: ${target}`);
  throw win32Failure(win32.ERROR_INVALID_PARAMETER, "formatting a file that isn't open as a disk");
}

function requireFolder(windows: Windows, path: string): void {
  if (windows.node(path)?.type !== "folder") {
    throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "receiving a folder that doesn't exist");
  }
}

function requireLayers(windows: Windows, data: string): NonNullable<LayerData["Layers"]> {
  const { SchemaVersion, Layers = [] } = JSON.parse(data) as LayerData;
  if (SchemaVersion === undefined) unknown(`receiving layer data without a version: ${data}`);
  for (const { Path = "" } of Layers) requireFolder(windows, Path);
  return Layers;
}

function volumeAt(windows: Windows, path: string): string {
  const volume = windows.place(path).path;
  if (!windows.hasVolume(volume)) unknown(`using a filter or layer on a volume that doesn't exist: ${path}`);
  return volumeKey(volume);
}
