/**
 * Layers and images as files, on any system: reading and checking, with no DLL and no grant but to read them.
 *
 * @module
 */

export { FormatError, UnreadableFileError } from "../errors/file_errors.ts";
export type { FilePlace, FormatProblem } from "../errors/file_errors.ts";
export { InvalidInputError } from "../errors/input_error.ts";
export { LayerError } from "../errors/layer_error.ts";
export { httpRange } from "./bytes/http_range.ts";
export type { HttpRangeOptions } from "./bytes/http_range.ts";
export { openFile } from "./bytes/open_file.ts";
export { fromBytes, streamOf } from "./bytes/random_access.ts";
export type { OpenBytes, RandomAccess } from "./bytes/random_access.ts";
export { checkCim } from "./cim/check_image.ts";
export type { CimEntry, CimStream } from "./cim/cim_entry.ts";
export type { CimFault, CimSeverity } from "./cim/cim_fault.ts";
export { filesOfCim } from "./cim/cim_files.ts";
export type { CimFile, CimFiles } from "./cim/cim_files.ts";
export type { CimFolder } from "./cim/cim_folder.ts";
export { layerOfCim } from "./cim/layer_of_cim.ts";
export { openCim } from "./cim/open_cim.ts";
export type { CimImage, CimLimits, CimSource, CimWalkOptions } from "./cim/open_cim.ts";
export type { CimVersion } from "./cim/headers.ts";
export { MOUNT_POINT_TAG, SYMLINK_TAG } from "./layer/entry.ts";
export type { ExtendedAttribute, FileTimes, LayerEntry, LayerEntryType, ReparsePoint } from "./layer/entry.ts";
export { sddlOf } from "./sddl.ts";
export { checkedEntries, lintLayer } from "./layer/check_layer.ts";
export type { CheckLayerOptions, LintLayerOptions } from "./layer/check_layer.ts";
export { diffLayers } from "./layer/diff_layers.ts";
export type { DifferingPart, LayerDifference } from "./layer/diff_layers.ts";
export { layerOfFolder } from "./layer/layer_of_folder.ts";
export type { EntriesOptions, LayerFinding, LayerForm, LayerRule, LayerSource } from "./layer/layer_source.ts";
export { mergeLayers, openLayerFile, traceLayers } from "./layer/merge_layers.ts";
export type { LayerTrace, MergedEntry } from "./layer/merge_layers.ts";
export type { UncomparedPart } from "./layer/verify_entry.ts";
export { verifyLayer } from "./layer/verify_layer.ts";
export type { LayerMismatch, LayerTotals, LayerVerification, MismatchPart } from "./layer/verify_layer.ts";
export { wrapFiles } from "./layer/wrap_files.ts";
export type { WrapFilesOptions } from "./layer/wrap_files.ts";
export { openLayer } from "./open_layer.ts";
export type { OpenLayer } from "./open_layer.ts";
export { layerOfTar } from "./tar/layer_of_tar.ts";
export { readLayerTar, writeLayerTar } from "./tar/layer_tar.ts";
export type { PaxRecords } from "./tar/pax_records.ts";
export { readTar } from "./tar/read_tar.ts";
export type { TarEntry } from "./tar/read_tar.ts";
export type { TarHeader } from "./tar/tar_header.ts";
export type { ReadTarOptions, TarLimits } from "./tar/tar_limits.ts";
export type { TarSource } from "./tar/tar_source.ts";
export { writeTar } from "./tar/write_tar.ts";
export type { NewTarEntry } from "./tar/write_tar.ts";
