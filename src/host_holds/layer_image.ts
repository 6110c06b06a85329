/**
 * Layers whose files are in CIM images: the paths of the images, and the volumes under which they are mounted.
 *
 * @module
 */

import { generate } from "jsr:@std/uuid@^1.0.0/v5";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, fileAttributes, fileSize } from "../ffi/kernel32.ts";

const CIM_FOLDER = "cim-layers";

// The Windows container tools use this namespace, although they document another one, whose last two bytes it lacks. With
// the same namespace, this library finds their volumes, and they find its volumes.
const CIM_VOLUME_NAMESPACE = "6827367b-c388-4e9b-961c-6d2c936c0000";

/** Returns the path of the image of a layer, `cim-layers\<name>.cim` next to the layer's folder. It need not exist. */
export function cimPath(folder: string): string {
  const end = folder.lastIndexOf("\\") + 1;
  return `${folder.slice(0, end)}${CIM_FOLDER}\\${folder.slice(end)}.cim`;
}

/**
 * Returns the path of the image of a layer, or undefined if the layer is a plain folder.
 *
 * @throws {InvalidInputError} if the image is empty, or not a file.
 * @throws {NativeError} if Windows refuses.
 */
export function imageOf(host: Host, folder: string, argument: string): string | undefined {
  const image = cimPath(folder);
  return isImageFile(host, image, argument) ? image : undefined;
}

/**
 * Refuses the path of an image at which there is none.
 *
 * @throws {InvalidInputError} if it is missing, empty, or not a file.
 */
export function requireImageFile(host: Host, image: string, argument: string): void {
  if (!isImageFile(host, image, argument)) throw new InvalidInputError(argument, "doesn't exist", image);
}

function isImageFile(host: Host, image: string, argument: string): boolean {
  const attributes = fileAttributes(host, image);
  if (attributes === undefined) return false;
  if ((attributes & attribute.DIRECTORY) !== 0) {
    throw new InvalidInputError(argument, "has an image that is a folder", image);
  }
  if (fileSize(host, image) === 0n) {
    throw new InvalidInputError(argument, "has an image that is empty", image);
  }
  return true;
}

/** Returns the volume under which the image of a container is mounted, `\\?\Volume{guid}\`. */
export async function cimVolumeName(containerId: string): Promise<string> {
  return `\\\\?\\Volume{${await generate(CIM_VOLUME_NAMESPACE, new TextEncoder().encode(containerId))}}\\`;
}
