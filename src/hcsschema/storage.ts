/**
 * The documents of computestorage.dll.
 *
 * @module
 */

import type { Layer } from "./layer_document.ts";

/**
 * A version of the schema.
 *
 * @category Layers by documents
 */
export interface Version {
  /** Major version. */
  Major?: number;
  /** Minor version. */
  Minor?: number;
}

/**
 * The filter that shows layers through a volume: of plain folders, or of CIM images.
 *
 * @category Layers by documents
 */
export type FilterType = "WCIFS" | "UnionFS";

/**
 * What a layer is made of.
 *
 * @category Layers by documents
 */
export interface LayerData {
  /** Version of the schema. */
  SchemaVersion: Version;
  /** Read-only layers, topmost first. */
  Layers?: readonly Layer[];
  /** The filter. */
  FilterType?: FilterType;
}

/** How a layer is exported. */
export interface ExportLayerOptions {
  /** Whether it is a scratch layer. */
  IsWritableLayer?: boolean;
}

/**
 * What an operating system layer is for: containers on the host, or the utility VM.
 *
 * @category Layers by documents
 */
export type OsLayerType = "Container" | "Vm";

/**
 * How an operating system layer is set up.
 *
 * @category Layers by documents
 */
export interface OsLayerOptions {
  /** What the layer is for. */
  Type?: OsLayerType;
  /** Leaves code integrity caches as they are. */
  DisableCiCacheOptimization?: boolean;
  /** Leaves the boot configuration as it is. */
  SkipUpdateBcdForBoot?: boolean;
}

/** Returns {@linkcode LayerData}. `SchemaVersion` is always present, and empty. */
export function layerData(
  data: { layers?: readonly Layer[] | undefined; filterType?: FilterType | undefined } = {},
): LayerData {
  return {
    SchemaVersion: {},
    ...(data.layers && data.layers.length > 0 && { Layers: data.layers }),
    ...(data.filterType && { FilterType: data.filterType }),
  };
}
