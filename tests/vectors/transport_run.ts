/**
 * Recorded runs of the Go original that import and export layers of plain folders, as they lie in the files.
 *
 * @module
 */

import type { ImageCall, ImageEntry } from "./image_run.ts";

/** The folder with the runs of this checkout. */
export const TRANSPORT_RECORDINGS = `${import.meta.dirname}/transport`;

/** One run. */
export interface TransportRun {
  readonly name: string;
  /** `import LAYER [PARENT…]` or `export LAYER [PARENT…]`, the topmost parent first. */
  readonly arguments: readonly string[];
  /** What lay below `C:\snap`. */
  readonly filesBefore?: readonly string[];
  /** The tar that is imported. */
  readonly entries?: readonly ImageEntry[];
  /** `FUNCTION:NTH:HRESULT`. */
  readonly fail?: string;
  /** What ImportLayer saw. */
  readonly importFolder?: readonly TransportedFile[];
  /** What ExportLayer left. */
  readonly exportFolder?: readonly TransportedFile[];
  /** The tar that was exported. */
  readonly tar?: readonly ImageEntry[];
  readonly calls: readonly ImageCall[];
  /** The names in the layer at the end. */
  readonly layerAfter?: readonly string[];
  readonly result: string;
}

/** A file or folder in the folder between the original and Windows. */
export interface TransportedFile {
  readonly path: string;
  readonly folder?: boolean;
  /** Hex. */
  readonly bytes?: string;
}

/** Whether a recording is one of importing or exporting. */
export function isTransportRun(run: object): run is TransportRun {
  const [kind] = (run as TransportRun).arguments ?? [];
  return kind === "import" || kind === "export";
}
