/**
 * Layers whose files are in CIM images: where the images are, and under which volumes they are mounted.
 *
 * @module
 */

import { generate } from "jsr:@std/uuid@^1.0.0/v5";
import { InvalidInputError } from "../errors/input_error.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, fileAttributes, fileSize } from "../ffi/kernel32.ts";

const CIM_FOLDER = "cim-layers";

// Upstream documents another one, and compiles this one in, two bytes short. Both tools find each other's volumes by it.
const CIM_VOLUME_NAMESPACE = "6827367b-c388-4e9b-961c-6d2c936c0000";

/** Path of the image of a layer, `cim-layers\<name>.cim` beside the layer's folder. There need not be one. */
export function cimPath(folder: string): string {
  const end = folder.lastIndexOf("\\") + 1;
  return `${folder.slice(0, end)}${CIM_FOLDER}\\${folder.slice(end)}.cim`;
}

/**
 * Path of the image of a layer, undefined if the layer has none and is a plain folder.
 *
 * @throws {InvalidInputError} if the image is empty, or no file.
 * @throws {NativeError} if Windows doesn't tell.
 */
export function imageOf(host: Host, folder: string, argument: string): string | undefined {
  const image = cimPath(folder);
  const attributes = fileAttributes(host, image);
  if (attributes === undefined) return undefined;
  if ((attributes & attribute.DIRECTORY) !== 0) {
    throw new InvalidInputError(argument, "has an image that is a folder", image);
  }
  if (fileSize(host, image) === 0n) {
    throw new InvalidInputError(argument, "has an image that is empty", image);
  }
  return image;
}

/** The volume under which the image of a container is mounted, `\\?\Volume{guid}\`. */
export async function cimVolumeName(containerId: string): Promise<string> {
  return `\\\\?\\Volume{${await generate(CIM_VOLUME_NAMESPACE, new TextEncoder().encode(containerId))}}\\`;
}
