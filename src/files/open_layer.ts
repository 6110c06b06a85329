/**
 * Opening a layer, whatever it is kept in.
 *
 * @module
 */

import { UnreadableFileError } from "../errors/file_errors.ts";
import { openFile } from "./bytes/open_file.ts";
import { layerOfCim } from "./cim/layer_of_cim.ts";
import { openCim } from "./cim/open_cim.ts";
import { layerOfFolder } from "./layer/layer_of_folder.ts";
import type { LayerSource } from "./layer/layer_source.ts";
import { layerOfTar } from "./tar/layer_of_tar.ts";
import { text } from "./option_checks.ts";
import type { TarLimits } from "./tar/tar_limits.ts";

/** A layer that holds something open until it is disposed of. */
export interface OpenLayer extends LayerSource, AsyncDisposable {}

/**
 * Opens a layer by its path: a tar, packed with gzip or not, the folder of a layer, mounted or copied, or a CIM image, whose name
 * ends in `.cim`. `await using` closes it.
 *
 * @throws {UnreadableFileError} if there is nothing that can be read.
 */
export async function openLayer(path: string, limits: TarLimits = {}): Promise<OpenLayer> {
  text(path, "path");
  let isFolder: boolean;
  try {
    isFolder = (await Deno.stat(path)).isDirectory;
  } catch (cause) {
    throw new UnreadableFileError(path, cause);
  }
  if (isFolder) return { ...layerOfFolder(path), [Symbol.asyncDispose]: () => Promise.resolve() };
  if (/\.cim$/i.test(path)) {
    const image = await openCim(path);
    return { ...layerOfCim(image), [Symbol.asyncDispose]: () => image[Symbol.asyncDispose]() };
  }
  const file = await openFile(path);
  return {
    ...layerOfTar(file, limits),
    [Symbol.asyncDispose]: () => Promise.resolve(file[Symbol.dispose]()),
  };
}
