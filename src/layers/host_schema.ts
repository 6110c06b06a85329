/**
 * Layers of process-isolated containers, as documents name them.
 *
 * @module
 */

import { InvalidInputError, LayerError } from "../errors/windows_errors.ts";
import { defaultHost } from "../ffi/host.ts";
import { fileAttributes } from "../ffi/kernel32.ts";
import type { Layer } from "../hcsschema/layer.ts";
import { parentFolders } from "../checks/existing.ts";
import { cimVolumeName, imageOf } from "../host_holds/layer_image.ts";
import { layerId } from "../host_holds/layer_id.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { checkText } from "../checks/windows_path.ts";

/** Options of {@linkcode toHostHcsSchemaLayers}. */
export type ToHostHcsSchemaLayersOptions = HostOptions;

/** The image of a container's layers has to be mounted, and isn't. */
export class NotMountedError extends LayerError {
  /** The class name. */
  override readonly name = "NotMountedError";
  /** Path of the image. */
  readonly path: string;

  /** An error that names the image and the volume where it is missed. */
  constructor(image: string, volume: string) {
    super(`${image} is not mounted as ${volume}. Mount the container's layers first with mountWCOWLayers`);
    this.path = image;
  }
}

/**
 * The read-only layers of a process-isolated container as the document of the container names them. Mounts nothing.
 *
 * Plain folders come back one by one, in the order given. Where the topmost layer has a CIM image, there is one layer:
 * the volume of the image, which has to be mounted, by this process or another.
 *
 * @param containerId Id of the container.
 * @param layerFolders Absolute paths of the read-only layers' folders, from the topmost to the base.
 * @throws {InvalidInputError} if an argument is refused.
 * @throws {NotMountedError} if the image isn't mounted.
 */
export async function toHostHcsSchemaLayers(
  containerId: string,
  layerFolders: readonly string[],
  options: ToHostHcsSchemaLayersOptions = {},
): Promise<Layer[]> {
  const { host = defaultHost(), signal } = options;
  checkText(containerId, "containerId");
  if (!Array.isArray(layerFolders) || layerFolders.length === 0) {
    throw new InvalidInputError("layerFolders", "needs at least one folder", layerFolders);
  }
  const folders = parentFolders(layerFolders, "layerFolders");
  signal?.throwIfAborted();
  const top = folders[0]!;
  const image = imageOf(host, top, "layerFolders[0]");
  if (image === undefined) {
    return folders.map((folder) => ({ Id: layerId(host, folder), Path: folder }));
  }
  const volume = await cimVolumeName(containerId);
  if (fileAttributes(host, volume) === undefined) {
    throw new NotMountedError(image, volume);
  }
  return [{ Id: layerId(host, top), Path: volume }];
}
