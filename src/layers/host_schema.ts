/**
 * Layers of process-isolated containers, in the form of documents.
 *
 * @module
 */

import { requireText, withHostOptions } from "../checks/arguments.ts";
import { kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realLayers } from "../checks/real_path.ts";
import { diskOf, scratchParents, volumeGuid, volumeRoot } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { NotMountedError } from "../errors/state_errors.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import type { Layer } from "../hcsschema/layer_document.ts";
import { cimVolumeName, imageOf } from "../host_holds/layer_image.ts";
import { layerId } from "../session/session.ts";
import { givenStack } from "./layer_stack.ts";
import type { WCOWLayers } from "./parse_layers.ts";

/**
 * Returns the read-only layers of a process-isolated container in the form in which the container's document names them.
 * Mounts nothing.
 *
 * If the layers are plain folders, it returns each of them, in the same order. If the topmost layer has a CIM image, it
 * returns one layer: the volume of the image, which this process or another must have mounted.
 *
 * ```ts
 * import { toHostHcsSchemaLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * console.log(await toHostHcsSchemaLayers("c1", ["C:\\layers\\app", "C:\\layers\\base"], { host }));
 * ```
 *
 * @param containerId Id of the container.
 * @param readOnlyLayers Absolute paths of the read-only layers' folders, from the topmost to the base, as for
 * `mountWCOWLayers` but without the scratch.
 * @throws {InvalidInputError} if an argument is refused, for instance because a layer is a scratch.
 * @throws {NotMountedError} if the image isn't mounted.
 * @category Layers on the host
 */
export async function toHostHcsSchemaLayers(
  containerId: string,
  readOnlyLayers: readonly string[],
  options: HostOptions = {},
): Promise<Layer[]> {
  requireText(containerId, "containerId");
  const named = scratchParents(readOnlyLayers, "readOnlyLayers");
  return await withHostOptions(options, {}, [containerId], async ({ host, signal }) => {
    signal?.throwIfAborted();
    requireGrantsFor(host, "layer");
    const folders = realLayers(host, named, "readOnlyLayers");
    folders.forEach((folder, i) => {
      if (kindOf(host, diskOf(folder)) !== undefined) {
        throw new InvalidInputError(`readOnlyLayers[${i}]`, "is a scratch: leave it out", folder);
      }
    });
    const top = folders[0]!;
    const image = imageOf(host, top, "readOnlyLayers[0]");
    if (image === undefined) {
      return folders.map((folder) => ({ Id: layerId(host, folder), Path: folder }));
    }
    const volume = await cimVolumeName(containerId);
    if (kindOf(host, volume) === undefined) {
      throw new NotMountedError(image, volume);
    }
    return [{ Id: layerId(host, top), Path: volume }];
  });
}

/**
 * Returns the read-only layers of a Windows container that something else has mounted, in the form in which the container's document
 * names them. Mounts nothing, and looks at nothing: images are named by the volume alone.
 *
 * ```ts
 * import { makeMountedWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * const layers = ["C:\\layers\\app", "C:\\layers\\base", "C:\\scratch"];
 * const volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
 * console.log(await makeMountedWCOWLayers(layers, volume, { host }));
 * ```
 *
 * @param layerFolders The layers, as for `mountWCOWLayers`.
 * @param volume Where they are mounted, `\\?\Volume{guid}\`: the scratch's volume for folders, or the image's.
 * @throws {InvalidInputError} if an argument is refused.
 * @category Layers of other tools
 */
export async function makeMountedWCOWLayers(
  layerFolders: readonly string[] | WCOWLayers,
  volume: string,
  options: HostOptions = {},
): Promise<Layer[]> {
  const stack = givenStack(layerFolders);
  const root = volumeRoot(volume, "volume");
  // deno-lint-ignore require-await
  return await withHostOptions(options, {}, [], async ({ host, signal }) => {
    signal?.throwIfAborted();
    if (stack.image !== undefined) return [{ Id: volumeGuid(root), Path: root }];
    requireGrantsFor(host, "layer");
    return stack.layers.map((folder) => ({ Id: layerId(host, folder), Path: folder }));
  });
}
