/**
 * Recorded runs of the Go original that write CIM images, as they lie in the files.
 *
 * @module
 */

/** The folder with the runs of this checkout. */
export const IMAGE_RECORDINGS = `${import.meta.dirname}/cimwrite`;

/** One run: the import of a layer into an image, or a merge of images. */
export interface ImageRun {
  readonly name: string;
  /** `forked LAYER CIM [PARENT PARENTCIM]…`, `block BLOCK NAME [BLOCK NAME]…`, `merge BLOCK NAME [SOURCE NAME]…`. */
  readonly arguments: readonly string[];
  readonly options?: { readonly integrity?: boolean; readonly vhdfooter?: boolean };
  /** What lay below `C:\snap`. */
  readonly filesBefore?: readonly string[];
  readonly entries?: readonly ImageEntry[];
  /** `FUNCTION:NTH:HRESULT`. */
  readonly fail?: string;
  readonly note?: string;
  readonly calls: readonly ImageCall[];
  readonly result: string;
}

/** An entry of a tar. */
export interface ImageEntry {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly linkname?: string;
  readonly pax?: Readonly<Record<string, string>>;
  readonly mtime?: string | number;
  readonly atime?: string;
  readonly ctime?: string;
  /** Hex, or in words. */
  readonly data?: string;
}

/** A native call. */
export interface ImageCall {
  readonly dll: string;
  readonly fn: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly hr: string;
}

/** Whether a recording is one of writing an image. */
export function isImageRun(run: object): run is ImageRun {
  const [kind] = (run as ImageRun).arguments ?? [];
  return kind === "forked" || kind === "block" || kind === "merge";
}
