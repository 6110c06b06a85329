/**
 * vmcompute.dll, the storage functions: layers with the WCIFS filter. Microsoft doesn't document them; the signatures are
 * those of the Windows container tools. All need an elevated process, and Windows build 17763 or later.
 *
 * A layer is named by the full path of its folder. Each function except `NameToGuid` can be slow.
 *
 * @module
 */

import { buffer, viewOf } from "./buffer.ts";
import { guidText, putGuid } from "./guid.ts";
import type { Host } from "./host.ts";
import { check, checked, textLength } from "./kernel32.ts";
import { nativeCopy, nativeTexts, takeWide } from "./memory.ts";
import { coTaskMemFree } from "./ole32.ts";
import type { Dll } from "./table.ts";
import { fromWide, wide } from "./wide.ts";

/** The storage functions of vmcompute.dll. */
export const vmcomputeSymbols = {
  ActivateLayer: {
    parameters: ["buffer", /* DriverInfo* */ "buffer" /* LPCWSTR layer */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CopyLayer: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR source */
      "buffer", /* LPCWSTR destination */
      "buffer", /* WC_LAYER_DESCRIPTOR* parents */
      "usize", /* SIZE_T parents */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CreateLayer: {
    parameters: ["buffer", /* DriverInfo* */ "buffer", /* LPCWSTR layer */ "buffer" /* LPCWSTR parent */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  CreateSandboxLayer: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR layer */
      "usize", /* LPCWSTR parent, NULL */
      "buffer", /* WC_LAYER_DESCRIPTOR* parents */
      "usize", /* SIZE_T parents */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  DeactivateLayer: {
    parameters: ["buffer", /* DriverInfo* */ "buffer" /* LPCWSTR layer */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  DestroyLayer: {
    parameters: ["buffer", /* DriverInfo* */ "buffer" /* LPCWSTR layer */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  ExpandSandboxSize: {
    parameters: ["buffer", /* DriverInfo* */ "buffer", /* LPCWSTR layer */ "u64" /* ULONGLONG bytes */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  ExportLayer: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR layer */
      "buffer", /* LPCWSTR folder */
      "buffer", /* WC_LAYER_DESCRIPTOR* parents */
      "usize", /* SIZE_T parents */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  GetBaseImages: {
    parameters: ["buffer" /* LPWSTR* images */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  GetLayerMountPath: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR layer */
      "buffer", /* SIZE_T* units, NUL included */
      "buffer", /* LPWSTR path */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  GrantVmAccess: {
    parameters: ["buffer", /* LPCWSTR VM id */ "buffer" /* LPCWSTR file */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  ImportLayer: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR layer */
      "buffer", /* LPCWSTR folder */
      "buffer", /* WC_LAYER_DESCRIPTOR* parents */
      "usize", /* SIZE_T parents */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  LayerExists: {
    parameters: ["buffer", /* DriverInfo* */ "buffer", /* LPCWSTR layer */ "buffer" /* UINT32* exists */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  NameToGuid: {
    parameters: ["buffer", /* LPCWSTR name */ "buffer" /* GUID* */],
    result: "i32", /* HRESULT */
    optional: true,
  },
  PrepareLayer: {
    parameters: [
      "buffer", /* DriverInfo* */
      "buffer", /* LPCWSTR layer */
      "buffer", /* WC_LAYER_DESCRIPTOR* parents, topmost first */
      "usize", /* SIZE_T parents */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  ProcessBaseImage: {
    parameters: ["buffer" /* LPCWSTR folder */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  ProcessUtilityImage: {
    parameters: ["buffer" /* LPCWSTR folder */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  RevokeVmAccess: {
    parameters: ["buffer", /* LPCWSTR VM id */ "buffer" /* LPCWSTR file */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  UnprepareLayer: {
    parameters: ["buffer", /* DriverInfo* */ "buffer" /* LPCWSTR layer */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** vmcompute.dll. */
export const vmcompute: Dll<typeof vmcomputeSymbols> = {
  file: "vmcompute.dll",
  symbols: vmcomputeSymbols,
  remedy: "It comes with Windows build 17763 (Server 2019, version 1809) and the feature Containers: " +
    "`Enable-WindowsOptionalFeature -Online -FeatureName Containers`, on Server `Install-WindowsFeature Containers`",
};

/** A read-only layer, in the form in which the parents of a layer are passed. */
export interface ParentLayer {
  /** `nameToGuid` of the folder's name. */
  readonly id: string;
  /** Full path of the folder. */
  readonly path: string;
}

const DRIVER_INFO_BYTES = 16;
const FILTER_DRIVER = 1;
const DESCRIPTOR_BYTES = 32;
const DESCRIPTOR_PATH = 24;

const driverInfos = new WeakMap<Host, Uint8Array<ArrayBuffer>>();

// Selects the filter driver, with full paths. It is the same for all calls, so its 2 bytes of native memory are kept.
function driverInfo(host: Host): Uint8Array<ArrayBuffer> {
  let info = driverInfos.get(host);
  if (info === undefined) {
    info = new Uint8Array(DRIVER_INFO_BYTES);
    const view = new DataView(info.buffer);
    view.setInt32(0, FILTER_DRIVER, true);
    // An empty string, because vmcompute.dll crashes on NULL.
    view.setBigUint64(8, nativeCopy(host, wide("")).address, true);
    driverInfos.set(host, info);
  }
  return info;
}

// The descriptors point to the paths, which must stay in memory until the call has settled.
async function withParents(
  host: Host,
  parents: readonly ParentLayer[],
  call: (descriptors: Uint8Array<ArrayBuffer> | null, count: bigint) => number | Promise<number>,
): Promise<number> {
  if (parents.length === 0) {
    return await call(null, 0n);
  }
  using paths = nativeTexts(host, parents.map(({ path }) => path));
  const descriptors = buffer(DESCRIPTOR_BYTES * parents.length);
  const view = viewOf(descriptors);
  parents.forEach(({ id }, i) => {
    putGuid(descriptors, DESCRIPTOR_BYTES * i, id);
    view.setBigUint64(DESCRIPTOR_BYTES * i + DESCRIPTOR_PATH, paths.addresses[i]!, true);
  });
  return await call(descriptors, BigInt(parents.length));
}

async function onLayer(
  host: Host,
  fn: "ActivateLayer" | "DeactivateLayer" | "DestroyLayer" | "UnprepareLayer",
  layer: string,
): Promise<void> {
  await checked(host, fn, host.symbols(vmcompute)[fn](driverInfo(host), wide(layer)), layer);
}

/** Attaches the scratch disk `<layer>\sandbox.vhdx`. */
export function activateLayer(host: Host, layer: string): Promise<void> {
  return onLayer(host, "ActivateLayer", layer);
}

/** Detaches the scratch disk. Succeeds if it isn't attached. */
export function deactivateLayer(host: Host, layer: string): Promise<void> {
  return onLayer(host, "DeactivateLayer", layer);
}

/** Attaches to the scratch volume the filter that shows the parents through it. `parents` is topmost first. */
export async function prepareLayer(host: Host, layer: string, parents: readonly ParentLayer[]): Promise<void> {
  await checked(
    host,
    "PrepareLayer",
    withParents(
      host,
      parents,
      (descriptors, count) => host.symbols(vmcompute).PrepareLayer(driverInfo(host), wide(layer), descriptors, count),
    ),
    layer,
  );
}

/** Removes the filter from the scratch volume. */
export function unprepareLayer(host: Host, layer: string): Promise<void> {
  return onLayer(host, "UnprepareLayer", layer);
}

/** Returns the path of an activated layer: `\\?\Volume{guid}`, maybe with a closing `\`; `""` if Windows returns none. */
export async function getLayerMountPath(host: Host, layer: string): Promise<string> {
  const { GetLayerMountPath } = host.symbols(vmcompute);
  const length = buffer(8);
  const name = wide(layer);
  await checked(host, "GetLayerMountPath", GetLayerMountPath(driverInfo(host), name, length, null), layer);
  const units = textLength("GetLayerMountPath", Number(viewOf(length).getBigUint64(0, true)));
  if (units === 0) {
    return "";
  }
  const path = buffer(2 * units);
  await checked(host, "GetLayerMountPath", GetLayerMountPath(driverInfo(host), name, length, path), layer);
  return fromWide(path);
}

/** Returns whether there is a layer in a folder. */
export async function layerExists(host: Host, layer: string): Promise<boolean> {
  const exists = new Uint8Array(4);
  await checked(
    host,
    "LayerExists",
    host.symbols(vmcompute).LayerExists(driverInfo(host), wide(layer), exists),
    layer,
  );
  return exists.some((byte) => byte !== 0);
}

/** Creates the folder of a read-only layer; `parent` is `""` for a base layer. */
export async function createLayer(host: Host, layer: string, parent: string): Promise<void> {
  await checked(
    host,
    "CreateLayer",
    host.symbols(vmcompute).CreateLayer(driverInfo(host), wide(layer), wide(parent)),
    layer,
  );
}

/** Creates the folder of a scratch layer with its disk `sandbox.vhdx`, formatted. `parents` is topmost first. */
export async function createSandboxLayer(
  host: Host,
  layer: string,
  parents: readonly ParentLayer[],
): Promise<void> {
  await checked(
    host,
    "CreateSandboxLayer",
    withParents(
      host,
      parents,
      (descriptors, count) =>
        host.symbols(vmcompute).CreateSandboxLayer(driverInfo(host), wide(layer), 0n, descriptors, count),
    ),
    layer,
  );
}

/** Expands the scratch disk to `bytes`. The volume on it keeps its size. */
export async function expandSandboxSize(host: Host, layer: string, bytes: bigint): Promise<void> {
  await checked(
    host,
    "ExpandSandboxSize",
    host.symbols(vmcompute).ExpandSandboxSize(driverInfo(host), wide(layer), bytes),
    layer,
  );
}

/** Deletes the folder of a layer. Never call it for a parent of a mounted layer: Windows ends the process. */
export function destroyLayer(host: Host, layer: string): Promise<void> {
  return onLayer(host, "DestroyLayer", layer);
}

/** Copies a layer into a new folder. */
export async function copyLayer(
  host: Host,
  source: string,
  destination: string,
  parents: readonly ParentLayer[],
): Promise<void> {
  await checked(
    host,
    "CopyLayer",
    withParents(
      host,
      parents,
      (descriptors, count) =>
        host.symbols(vmcompute).CopyLayer(
          driverInfo(host),
          wide(source),
          wide(destination),
          descriptors,
          count,
        ),
    ),
    source,
  );
}

/** Exports a layer to `folder`, in the transport format. */
export async function exportLayer(
  host: Host,
  layer: string,
  folder: string,
  parents: readonly ParentLayer[],
): Promise<void> {
  await checked(
    host,
    "ExportLayer",
    withParents(
      host,
      parents,
      (descriptors, count) =>
        host.symbols(vmcompute).ExportLayer(driverInfo(host), wide(layer), wide(folder), descriptors, count),
    ),
    layer,
  );
}

/** Imports a layer from the transport format in `folder`. */
export async function importLayer(
  host: Host,
  layer: string,
  folder: string,
  parents: readonly ParentLayer[],
): Promise<void> {
  await checked(
    host,
    "ImportLayer",
    withParents(
      host,
      parents,
      (descriptors, count) =>
        host.symbols(vmcompute).ImportLayer(driverInfo(host), wide(layer), wide(folder), descriptors, count),
    ),
    layer,
  );
}

/** Returns the GUID by which Windows knows a layer whose folder has this name. It depends only on the name. */
export function nameToGuid(host: Host, name: string): string {
  const guid = new Uint8Array(16);
  check(host, "NameToGuid", host.symbols(vmcompute).NameToGuid(wide(name), guid), name);
  return guidText(guid);
}

/** Lets a VM open a file. */
export async function grantVmAccess(host: Host, vmId: string, file: string): Promise<void> {
  await checked(host, "GrantVmAccess", host.symbols(vmcompute).GrantVmAccess(wide(vmId), wide(file)), file);
}

/**
 * Revokes what {@linkcode grantVmAccess} granted.
 *
 * @throws {MissingExportError} if this Windows lacks the function.
 */
export async function revokeVmAccess(host: Host, vmId: string, file: string): Promise<void> {
  await checked(host, "RevokeVmAccess", host.symbols(vmcompute).RevokeVmAccess(wide(vmId), wide(file)), file);
}

/** Returns the base images installed on the host, as the JSON text of Windows. */
export function getBaseImages(host: Host): Promise<string> {
  return takeWide(
    host,
    (address) => coTaskMemFree(host, address),
    async (out) => await checked(host, "GetBaseImages", host.symbols(vmcompute).GetBaseImages(out)),
  );
}

/** Makes a base layer out of the files in `folder`. Runs for minutes. */
export async function processBaseImage(host: Host, folder: string): Promise<void> {
  await checked(host, "ProcessBaseImage", host.symbols(vmcompute).ProcessBaseImage(wide(folder)), folder);
}

/** Makes the utility VM of a base layer out of the files in `folder`. Runs for minutes. */
export async function processUtilityImage(host: Host, folder: string): Promise<void> {
  await checked(
    host,
    "ProcessUtilityImage",
    host.symbols(vmcompute).ProcessUtilityImage(wide(folder)),
    folder,
  );
}
