/**
 * vmcompute.dll, the storage functions, simulated.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { hresult } from "../errors/codes.ts";
import { guidBytes, guidText } from "../ffi/guid.ts";
import type { AddressSpace } from "./address_space.ts";
import {
  big,
  buffer,
  type Context,
  type Decoder,
  define,
  HRESULT,
  optionalBuffer,
  put32,
  put64,
  putText,
  type SimulatedDll,
  text,
  win32Failure,
} from "./call.ts";
import { copyFolder } from "./contents.ts";
import { freeNumber, letGo, volumeText } from "./disks.ts";
import { simulatedLayerId } from "./name_to_guid.ts";
import { lastName } from "./names.ts";
import { ATTACHED, isOpenWithin, requireOpenable } from "./open_files.ts";
import { Failure, SimulationError, unknown } from "./simulation_error.ts";
import { exportFiles, importFiles } from "./transport.ts";
import { type ActiveLayer, volumeKey, volumeOn, type Windows } from "./windows.ts";

interface Descriptor {
  readonly LayerId: string;
  readonly Flags: number;
  readonly Path: string;
}

const driverInfo: Decoder<{ Flavour: number; HomeDir: string }> = (raw, memory) => {
  const view = viewOf(raw);
  const home = view.getBigUint64(8, true);
  if (home === 0n) throw new SimulationError("vmcompute.dll crashes on a DriverInfo without a home folder");
  return { Flavour: view.getInt32(0, true), HomeDir: memory.readWide(home) };
};

/** Reads the descriptors in `raw`, whose size determines how many there are. */
const descriptors: Decoder<Descriptor[]> = (raw, memory) => {
  if (raw === null) return [];
  const bytes = raw as Uint8Array;
  return Array.from({ length: bytes.byteLength / 32 }, (_, i) => descriptorAt(bytes, 32 * i, memory));
};

function descriptorAt(bytes: Uint8Array, offset: number, memory: AddressSpace): Descriptor {
  const view = viewOf(bytes);
  return {
    LayerId: guidText(bytes, offset),
    Flags: view.getUint32(offset + 16, true),
    Path: memory.readWide(view.getBigUint64(offset + 24, true)),
  };
}

function viewOf(raw: unknown): DataView {
  const bytes = raw as Uint8Array;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const onLayer = { info: driverInfo, id: text };

/** File name of the disk of a scratch layer. */
const DISK = "sandbox.vhdx";
const SERVER_2019 = 17763;
const DEFAULT_DISK_SIZE = 20 * 2 ** 30;

/** vmcompute.dll. */
export const vmcomputeFunctions: SimulatedDll = {
  ActivateLayer: define(HRESULT, onLayer, ({ windows }, { id }) => {
    if (windows.node(id)?.type !== "folder") unknown(`activating a folder that doesn't exist: ${id}`);
    if (windows.state.active[windows.key(id)] !== undefined) unknown(`activating a layer twice: ${id}`);
    const layer: ActiveLayer = { path: id, activatedBy: windows.by };
    if (windows.node(`${id}\\${DISK}`) === undefined) {
      windows.state.active[windows.key(id)] = layer;
      return;
    }
    const disk = windows.existing(`${id}\\${DISK}`);
    requireOpenable(windows, disk, ATTACHED, "activating a scratch whose disk is in use");
    windows.requireAttachable(`${id}\\${DISK}`);
    const volume = windows.diskVolume(`${id}\\${DISK}`);
    const hasNumber = windows.state.build <= SERVER_2019;
    windows.state.active[windows.key(id)] = { ...layer, volume, ...hasNumber && { number: freeNumber(windows) } };
    windows.addDiskVolume(volume);
  }),

  CopyLayer: define(
    HRESULT,
    { info: driverInfo, source: text, destination: text, layers: descriptors, layerCount: big },
    (context, { source, destination, layers, layerCount }) => {
      requireLayerFolder(context, source);
      requireParents(context, layers, layerCount);
      if (context.windows.node(destination) !== undefined) unknown("copying a layer to an existing folder");
      copyFolder(context.windows, source, destination);
    },
  ),

  CreateLayer: define(HRESULT, { ...onLayer, parent: text }, ({ windows }, { id }) => {
    if (windows.node(id) !== undefined) unknown("creating a layer in an existing folder");
    windows.addFolders(id);
  }),

  CreateSandboxLayer: define(
    HRESULT,
    { ...onLayer, parent: big, layers: descriptors, layerCount: big },
    (context, { id, layers, layerCount }) => {
      const { windows } = context;
      requireParents(context, layers, layerCount);
      if (windows.node(`${id}\\${DISK}`) !== undefined) unknown("creating a scratch over an existing one");
      windows.addFolders(id);
      if (layers.length > 0) {
        windows.add({ path: `${id}\\${DISK}`, type: "file", size: DEFAULT_DISK_SIZE, createdBy: windows.by });
      }
    },
  ),

  DeactivateLayer: define(HRESULT, onLayer, ({ windows }, { id }) => {
    const active = windows.state.active[windows.key(id)];
    if (active === undefined) throw new Failure(0, "deactivating a layer that isn't activated");
    if (active.preparedBy !== undefined) unknown(`deactivating a layer that has a filter: ${id}`);
    if (active.volume !== undefined && windows.state.overlays[volumeKey(active.volume)] !== undefined) {
      unknown(`deactivating a layer that has an overlay filter: ${id}`);
    }
    delete windows.state.active[windows.key(id)];
    if (active.volume === undefined) return;
    windows.removeVolume(active.volume);
    letGo(windows, `${id}\\${DISK}`);
  }),

  DestroyLayer: define(HRESULT, onLayer, ({ windows }, { id }) => {
    if (windows.state.active[windows.key(id)] !== undefined) {
      throw win32Failure(win32.ERROR_SHARING_VIOLATION, "destroying a layer that is activated");
    }
    if (windows.node(id) === undefined) {
      throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "destroying a layer that doesn't exist");
    }
    const mounted = Object.values(windows.state.active);
    // Mounts share their layers.
    const layers = [...new Set(mounted.flatMap(({ parents = [] }) => parents))];
    const layer = layers.find((path) => windows.key(path) === windows.key(id));
    if (layer !== undefined) {
      const { path } = mounted.find(({ parents }) => parents?.includes(layer))!;
      throw new SimulationError(`Windows ends the process (0xc0000420): ${id} is a layer of ${path}, which is mounted`);
    }
    if (isOpenWithin(windows, id)) throw win32Failure(win32.ERROR_SHARING_VIOLATION);
    windows.remove(id);
  }),

  ExpandSandboxSize: define(HRESULT, { ...onLayer, size: big }, ({ windows }, { id, size }) => {
    if (size === 0n) throw new Failure(0, "expanding a scratch to size 0");
    if (windows.node(`${id}\\${DISK}`) === undefined) unknown("expanding a scratch without a disk");
    const file = windows.existing(`${id}\\${DISK}`);
    requireOpenable(windows, file, ATTACHED, "expanding a scratch whose disk is in use");
    const disk = windows.disk(`${id}\\${DISK}`);
    if (size <= BigInt(disk.size)) unknown("expanding a scratch to a size that isn't larger");
    disk.size = Number(size);
    letGo(windows, `${id}\\${DISK}`);
  }),

  ExportLayer: define(
    HRESULT,
    { ...onLayer, path: text, layers: descriptors, layerCount: big },
    (context, { id, path, layers, layerCount }) => {
      requireLayerFolder(context, id);
      requireParents(context, layers, layerCount);
      exportFiles(context.windows, id, path, layers.map((layer) => layer.Path));
    },
  ),

  GetBaseImages: define(HRESULT, { images: buffer }, ({ process }, { images }) => {
    put64(images, process.memory.allocateWide('{"Images":[]}'));
  }),

  GetLayerMountPath: define(
    HRESULT,
    { ...onLayer, length: buffer, buffer: optionalBuffer },
    ({ windows, process }, { id, length, buffer }) => {
      const disk = `${id}\\${DISK}`;
      const scratch = windows.node(disk) !== undefined;
      if (scratch && !windows.hasVolume(windows.diskVolume(disk))) {
        unknown(`getting the mount path of a scratch that isn't activated: ${id}`);
      }
      const path = scratch ? volumeText(process, windows.diskVolume(disk)) : windows.existing(id).path;
      if (buffer !== null) {
        putText(buffer, path, Number(viewOf(length).getBigUint64(0, true)));
      }
      put64(length, BigInt(path.length + 1));
    },
  ),

  GrantVmAccess: define(HRESULT, { vmid: text, filepath: text }, ({ windows }, { vmid, filepath }) => {
    const node = windows.node(filepath);
    if (node === undefined) unknown(`granting access to a file that doesn't exist: ${filepath}`);
    const who = vmid.toLowerCase();
    const isNew = !node.grants?.includes(who);
    // Windows grants a folder with what is in it: (OI)(CI).
    if (isNew) windows.setGrants(node.path, [...node.grants ?? [], who], [...node.inherited ?? [], who]);
  }),

  ImportLayer: define(
    HRESULT,
    { ...onLayer, path: text, layers: descriptors, layerCount: big },
    (context, { id, path, layers, layerCount }) => {
      requireLayerFolder(context, path);
      requireParents(context, layers, layerCount);
      importFiles(context.windows, id, path, layers.map((layer) => layer.Path));
    },
  ),

  LayerExists: define(HRESULT, { ...onLayer, exists: buffer }, ({ windows }, { id, exists }) => {
    put32(exists, windows.node(id)?.type === "folder" ? 1 : 0);
  }),

  NameToGuid: define(HRESULT, { name: text, guid: buffer }, (_, { name, guid }) => {
    guid.set(guidBytes(simulatedLayerId(name)));
  }),

  PrepareLayer: define(
    HRESULT,
    { ...onLayer, layers: descriptors, layerCount: big },
    (context, { id, layers, layerCount }) => {
      const { windows } = context;
      const active = windows.state.active[windows.key(id)];
      if (active === undefined) unknown(`attaching the filter to a layer that isn't activated: ${id}`);
      if (active.preparedBy !== undefined) {
        throw win32Failure(win32.ERROR_INVALID_PARAMETER, "attaching the filter twice");
      }
      // Seen for layers on a ReFS volume (microsoft/Windows-Containers#416).
      if (windows.fileSystem(id) === "ReFS") {
        throw win32Failure(win32.ERROR_INVALID_FUNCTION, "attaching the filter to a layer on ReFS");
      }
      const ids = layers.map((layer) => layer.LayerId);
      if (new Set(ids).size < ids.length) unknown("receiving two layers with one id");
      for (const { Path } of layers) {
        if (windows.node(Path)?.type !== "folder") unknown(`receiving a layer whose folder doesn't exist: ${Path}`);
        if (windows.node(`${Path}\\${DISK}`) !== undefined) unknown(`receiving a layer that is a scratch: ${Path}`);
      }
      requireParents(context, layers, layerCount);
      growVolume(windows, active);
      active.preparedBy = windows.by;
      active.parents = layers.map((layer) => windows.place(layer.Path).path);
    },
  ),

  ProcessBaseImage: define(HRESULT, { path: text }, requireImageFolder),

  ProcessUtilityImage: define(HRESULT, { path: text }, requireImageFolder),

  RevokeVmAccess: define(HRESULT, { vmid: text, filepath: text }, ({ windows }, { vmid, filepath }) => {
    const node = windows.existing(filepath);
    const grants = node.grants ?? [];
    if (!grants.includes(vmid.toLowerCase())) unknown(`revoking an access that was never granted: ${filepath}`);
    node.grants = grants.filter((other) => other !== vmid.toLowerCase());
  }),

  UnprepareLayer: define(HRESULT, onLayer, ({ windows }, { id }) => {
    const active = windows.state.active[windows.key(id)];
    if (active === undefined) {
      throw win32Failure(win32.ERROR_DEV_NOT_EXIST, "removing the filter from a layer that isn't activated");
    }
    if (active.preparedBy === undefined) {
      throw new Failure(hresult.ERROR_FLT_INSTANCE_NOT_FOUND, "removing the filter from a layer that has none");
    }
    delete active.preparedBy;
    delete active.parents;
  }),
};

const EXPANDED_REFUSED = { from: 18362, to: 18363, over: 20 * 2 ** 30 };

// Attaching the filter expands the volume to the size of its disk. Two builds fail instead if the disk was expanded.
function growVolume(windows: Windows, { path, volume }: ActiveLayer): void {
  if (volume === undefined) return;
  const disk = windows.disk(`${path}\\${DISK}`);
  if (disk.volume === undefined) unknown("attaching the filter to a disk without a volume");
  if (disk.volume >= volumeOn(disk.size)) return;
  const { build } = windows.state;
  const { from, to, over } = EXPANDED_REFUSED;
  if (build >= from && build <= to && disk.size > over) {
    throw win32Failure(win32.ERROR_INVALID_PARAMETER, "attaching the filter to an expanded disk");
  }
  disk.volume = volumeOn(disk.size);
}

function requireImageFolder(context: Context, { path }: { path: string }): void {
  requireLayerFolder(context, path);
}

function requireLayerFolder({ windows }: Context, path: string): void {
  if (windows.node(path)?.type !== "folder") {
    throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "receiving a folder that doesn't exist");
  }
}

function requireParents({ windows }: Context, layers: readonly Descriptor[], count: bigint): void {
  if (BigInt(layers.length) !== count) {
    throw new SimulationError(`the count says ${count} layers, but ${layers.length} were passed`);
  }
  for (const { LayerId, Path } of layers) {
    // The id of a layer comes from the folder's own name, whatever path leads to it.
    if (LayerId !== simulatedLayerId(lastName(windows.place(Path).path)) || windows.node(Path)?.type !== "folder") {
      throw win32Failure(win32.ERROR_PATH_NOT_FOUND, "receiving a layer with another id than that of its name");
    }
  }
}
