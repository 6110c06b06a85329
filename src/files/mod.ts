/**
 * Layers and images as files, on any system: reading and checking, with no DLL and no grant but to read them.
 *
 * @module
 */

export { FormatError, UnreadableFileError } from "../errors/file_errors.ts";
export type { FilePlace, FormatProblem } from "../errors/file_errors.ts";
export { LayerError } from "../errors/layer_error.ts";
export { httpRange } from "./bytes/http_range.ts";
export type { HttpRangeOptions } from "./bytes/http_range.ts";
export { openFile } from "./bytes/open_file.ts";
export { fromBytes } from "./bytes/random_access.ts";
export type { OpenBytes, RandomAccess } from "./bytes/random_access.ts";
