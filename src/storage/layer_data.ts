/**
 * The document that tells Windows what a layer is made of.
 *
 * @module
 */

import { documentOf, text, wholeNumber } from "../checks/arguments.ts";
import type { Layer } from "../hcsschema/layer_document.ts";
import { type FilterType, type LayerData, layerData as documentFor, type Version } from "../hcsschema/storage.ts";
import { type Check, fieldsOf, itemsOf, oneOf, optional } from "../options.ts";

const layer = documentOf<Layer>({
  Id: optional(text),
  Path: optional(text),
  PathType: optional(text),
  Cache: optional(text),
});
const layers: Check<Layer[]> = (value, argument) => itemsOf(value, argument, layer);
const filterType: Check<FilterType> = oneOf("WCIFS", "UnionFS");

/** A check of {@linkcode LayerData}. */
export const layerDataOf = documentOf<LayerData>({
  SchemaVersion: documentOf<Version>({ Major: optional(wholeNumber()), Minor: optional(wholeNumber()) }),
  Layers: optional(layers),
  FilterType: optional(filterType),
});

/**
 * Returns {@linkcode LayerData}. `SchemaVersion` is always present, and empty.
 *
 * ```ts
 * import { layerData } from "@hcs-layers/hcs-layers/storage";
 *
 * const layer = { Id: "00000000-0000-5000-8000-000000000001", Path: "C:\\layers\\base" };
 * console.log(layerData({ layers: [layer] })); // { SchemaVersion: {}, Layers: [ … ] }
 * ```
 *
 * @category Layers by documents
 */
export function layerData(data: { layers?: readonly Layer[]; filterType?: FilterType } = {}): LayerData {
  return documentFor(fieldsOf(data, { layers: optional(layers), filterType: optional(filterType) }, "data"));
}
