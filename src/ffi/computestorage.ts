/**
 * computestorage.dll: layers by documents, formatting of scratch disks, and the filters of container volumes.
 *
 * All functions return an HRESULT and can be slow. They exist from build 17763 on unless their comment says otherwise.
 *
 * @module
 */

import { serialize } from "../hcsschema/serialize.ts";
import type { ExportLayerOptions, LayerData, OsLayerOptions } from "../hcsschema/storage.ts";
import type { Host } from "./host.ts";
import { checked, kernel32 } from "./kernel32.ts";
import { takeWide } from "./memory.ts";
import type { Dll } from "./table.ts";
import { wide } from "./wide.ts";

/** The functions of computestorage.dll. */
export const computestorageSymbols = {
  HcsAttachLayerStorageFilter: {
    parameters: ["buffer", /* PCWSTR layer path */ "buffer" /* PCWSTR layer data */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsAttachOverlayFilter: {
    parameters: ["buffer", /* PCWSTR volume path */ "buffer" /* PCWSTR layer data */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsDestroyLayer: {
    parameters: ["buffer" /* PCWSTR layer path */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsDetachLayerStorageFilter: {
    parameters: ["buffer" /* PCWSTR layer path */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsDetachOverlayFilter: {
    parameters: ["buffer", /* PCWSTR volume path */ "buffer" /* PCWSTR layer data */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsExportLayer: {
    parameters: [
      "buffer", /* PCWSTR layer path */
      "buffer", /* PCWSTR export folder path */
      "buffer", /* PCWSTR layer data */
      "buffer", /* PCWSTR options */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsFormatWritableLayerVhd: {
    parameters: ["usize" /* HANDLE vhd */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsGetLayerVhdMountPath: {
    parameters: ["usize", /* HANDLE vhd */ "buffer" /* PWSTR* mount path */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsImportLayer: {
    parameters: [
      "buffer", /* PCWSTR layer path */
      "buffer", /* PCWSTR source folder path */
      "buffer", /* PCWSTR layer data */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsInitializeWritableLayer: {
    parameters: [
      "buffer", /* PCWSTR writable layer path */
      "buffer", /* PCWSTR layer data */
      "buffer", /* PCWSTR options */
    ],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsSetupBaseOSLayer: {
    parameters: ["buffer", /* PCWSTR layer path */ "usize", /* HANDLE vhd or NULL */ "buffer" /* PCWSTR options */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
  HcsSetupBaseOSVolume: {
    parameters: ["buffer", /* PCWSTR layer path */ "buffer", /* PCWSTR volume path */ "buffer" /* PCWSTR options */],
    result: "i32", /* HRESULT */
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** computestorage.dll. */
export const computestorage: Dll<typeof computestorageSymbols> = {
  file: "computestorage.dll",
  symbols: computestorageSymbols,
  remedy:
    "It comes with Windows build 17763 (Server 2019, version 1809); the overlay filter and HcsSetupBaseOSVolume " +
    "with build 20348 (Server 2022)",
};

/** Imports the transport format in `sourceFolderPath` as a layer at `layerPath`, which must be another folder. */
export async function importLayer(
  host: Host,
  layerPath: string,
  sourceFolderPath: string,
  data: LayerData,
): Promise<void> {
  const { HcsImportLayer } = host.symbols(computestorage);
  await checked(
    host,
    "HcsImportLayer",
    HcsImportLayer(wide(layerPath), wide(sourceFolderPath), wide(serialize(data))),
    layerPath,
  );
}

/** Exports the layer at `layerPath` to `exportFolderPath`, in the transport format. */
export async function exportLayer(
  host: Host,
  layerPath: string,
  exportFolderPath: string,
  data: LayerData,
  options: ExportLayerOptions,
): Promise<void> {
  const { HcsExportLayer } = host.symbols(computestorage);
  await checked(
    host,
    "HcsExportLayer",
    HcsExportLayer(
      wide(layerPath),
      wide(exportFolderPath),
      wide(serialize(data)),
      wide(serialize(options)),
    ),
    layerPath,
  );
}

/** Deletes the layer at `layerPath`. */
export async function destroyLayer(host: Host, layerPath: string): Promise<void> {
  await checked(host, "HcsDestroyLayer", host.symbols(computestorage).HcsDestroyLayer(wide(layerPath)), layerPath);
}

/**
 * Sets up the operating system layer at `layerPath`. For a layer of type `Vm`, `vhd` is the handle of an attached disk;
 * for one of type `Container`, it is `0n`.
 */
export async function setupBaseOSLayer(
  host: Host,
  layerPath: string,
  vhd: bigint,
  options: OsLayerOptions,
): Promise<void> {
  const { HcsSetupBaseOSLayer } = host.symbols(computestorage);
  await checked(
    host,
    "HcsSetupBaseOSLayer",
    HcsSetupBaseOSLayer(wide(layerPath), vhd, wide(serialize(options))),
    layerPath,
  );
}

/** Sets up the operating system layer at `layerPath` on the volume `volumePath`. From build 19645. */
export async function setupBaseOSVolume(
  host: Host,
  layerPath: string,
  volumePath: string,
  options: OsLayerOptions,
): Promise<void> {
  const { HcsSetupBaseOSVolume } = host.symbols(computestorage);
  await checked(
    host,
    "HcsSetupBaseOSVolume",
    HcsSetupBaseOSVolume(wide(layerPath), wide(volumePath), wide(serialize(options))),
    layerPath,
  );
}

/** Initializes the folder or volume at `writableLayerPath` as a scratch layer. */
export async function initializeWritableLayer(
  host: Host,
  writableLayerPath: string,
  data: LayerData,
): Promise<void> {
  const { HcsInitializeWritableLayer } = host.symbols(computestorage);
  await checked(
    host,
    "HcsInitializeWritableLayer",
    // There are no options yet. The documentation says NULL, but the Windows tools pass an empty string.
    HcsInitializeWritableLayer(wide(writableLayerPath), wide(serialize(data)), wide("")),
    writableLayerPath,
  );
}

/** Attaches the filter that `data` names to the scratch volume at `layerPath`. */
export async function attachLayerStorageFilter(host: Host, layerPath: string, data: LayerData): Promise<void> {
  const { HcsAttachLayerStorageFilter } = host.symbols(computestorage);
  await checked(
    host,
    "HcsAttachLayerStorageFilter",
    HcsAttachLayerStorageFilter(wide(layerPath), wide(serialize(data))),
    layerPath,
  );
}

/** Detaches the filter from the scratch volume at `layerPath`. */
export async function detachLayerStorageFilter(host: Host, layerPath: string): Promise<void> {
  const { HcsDetachLayerStorageFilter } = host.symbols(computestorage);
  await checked(host, "HcsDetachLayerStorageFilter", HcsDetachLayerStorageFilter(wide(layerPath)), layerPath);
}

/** Attaches the overlay filter that `data` names to the volume at `volumePath`. From build 20348. */
export async function attachOverlayFilter(host: Host, volumePath: string, data: LayerData): Promise<void> {
  const { HcsAttachOverlayFilter } = host.symbols(computestorage);
  await checked(
    host,
    "HcsAttachOverlayFilter",
    HcsAttachOverlayFilter(wide(volumePath), wide(serialize(data))),
    volumePath,
  );
}

/** Detaches the overlay filter from the volume at `volumePath`. Only the filter type in `data` matters. From build 20348. */
export async function detachOverlayFilter(host: Host, volumePath: string, data: LayerData): Promise<void> {
  const { HcsDetachOverlayFilter } = host.symbols(computestorage);
  await checked(
    host,
    "HcsDetachOverlayFilter",
    HcsDetachOverlayFilter(wide(volumePath), wide(serialize(data))),
    volumePath,
  );
}

/** Formats a disk for a scratch layer. Build 17763 needs the handle of the disk device, later builds that of the VHD. */
export async function formatWritableLayerVhd(host: Host, vhd: bigint): Promise<void> {
  await checked(host, "HcsFormatWritableLayerVhd", host.symbols(computestorage).HcsFormatWritableLayerVhd(vhd));
}

/** Returns the volume on an attached VHD, `\\?\Volume{guid}`. */
export function layerVhdMountPath(host: Host, vhd: bigint): Promise<string> {
  return takeWide(
    host,
    // The documentation says that LocalAlloc allocated this string.
    (address) => host.symbols(kernel32).LocalFree(address),
    async (out) =>
      await checked(
        host,
        "HcsGetLayerVhdMountPath",
        host.symbols(computestorage).HcsGetLayerVhdMountPath(vhd, out),
      ),
  );
}
