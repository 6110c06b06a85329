/**
 * The overlay filter of computestorage.dll, simulated.
 *
 * @module
 */

import type { LayerData } from "../hcsschema/storage.ts";
import { define, HRESULT, type SimulatedDll, text, win32Failure } from "./call.ts";
import { unknown } from "./simulation_error.ts";
import { keyOf, volumeKey, type Windows } from "./windows.ts";

/** The functions for overlay filters. */
export const overlayFunctions: SimulatedDll = {
  HcsAttachOverlayFilter: define(HRESULT, { volumePath: text, layerData: text }, ({ windows }, args) => {
    const { Layers = [], FilterType } = JSON.parse(args.layerData) as LayerData;
    requireVolume(windows, args.volumePath);
    const volume = volumeKey(args.volumePath);
    if (windows.state.overlays[volume] !== undefined) unknown("attaching an overlay filter twice");
    if (FilterType !== "UnionFS" || Layers.length === 0) unknown(`attaching an overlay filter with ${args.layerData}`);
    const layers = Layers.map(({ Path = "" }) => {
      if (!isFilesOfImage(windows, Path)) throw win32Failure(3);
      return Path;
    });
    windows.state.overlays[volume] = { volume: args.volumePath, layers, by: windows.by };
  }),

  HcsDetachOverlayFilter: define(HRESULT, { volumePath: text, layerData: text }, ({ windows }, { volumePath }) => {
    const volume = volumeKey(volumePath);
    if (windows.state.overlays[volume] === undefined) unknown("detaching an overlay filter that doesn't exist");
    delete windows.state.overlays[volume];
  }),
};

function requireVolume(windows: Windows, path: string): void {
  if (!windows.hasVolume(path)) unknown(`attaching an overlay filter to a volume that doesn't exist: ${path}`);
}

function isFilesOfImage(windows: Windows, path: string): boolean {
  const key = keyOf(path);
  return key.endsWith("\\files") && windows.state.images[volumeKey(key.slice(0, -"\\files".length))] !== undefined;
}
