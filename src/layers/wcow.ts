/**
 * Layers of Windows containers.
 *
 * @module
 */

import { defaultHost } from "../ffi/host.ts";
import { acquire } from "../holds/hold_list.ts";
import { checkMountable } from "../storage/folder.ts";
import type { HostOptions } from "../storage/options.ts";
import { checkText, namedFolder } from "../storage/paths.ts";
import { layerStack } from "./layer_stack.ts";
import { mounted, type MountedLayers } from "./mounted.ts";
import { takeMountPoint } from "./sandbox_volume.ts";
import { planHostMount } from "./wcow_host.ts";

/** Options of {@linkcode mountWCOWLayers}. */
export interface MountWCOWLayersOptions extends HostOptions {
  /** Absolute path of a folder at which the scratch volume is mounted as well: missing or empty. */
  volumeMountPath?: string | undefined;
}

/**
 * Mounts the layers of a process-isolated Windows container on the host.
 *
 * The scratch disk is attached (`ActivateLayer`). Then the read-only layers are made to show through its volume: plain
 * folders by the WCIFS filter (`PrepareLayer`); where the topmost layer has a CIM image (`cim-layers\<name>.cim` beside
 * its folder), by mounting that (`CimMountImage`) and the UnionFS filter (`HcsAttachOverlayFilter`). An image holds the
 * files of all layers, so the folders under it play no part, whatever they are.
 *
 * With the WCIFS filter, both steps together are tried up to five times, 100 ms apart, where Windows says that the disk
 * isn't ready. A failure, or an aborted signal, gives back all that was taken before the call rejects.
 *
 * ```ts
 * import { mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await using layers = await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
 * console.log(layers.path);
 * ```
 *
 * @param containerId Id of the container. The volume of a CIM image is named after it.
 * @param layerFolders Absolute paths of the layers' folders: read-only ones from the topmost to the base, the scratch
 * last. No two read-only folders may have the same name, as Windows knows a layer by it.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {UnsupportedBuildError} if Windows is older than build 17763; for CIM images, if it is neither 20348.2031 or a
 * later revision of it, nor 26100 or later.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if Windows refuses and what was taken before couldn't be given back.
 */
export async function mountWCOWLayers(
  containerId: string,
  layerFolders: readonly string[],
  options: MountWCOWLayersOptions = {},
): Promise<MountedLayers> {
  const { host = defaultHost(), signal } = options;
  checkText(containerId, "containerId");
  const stack = layerStack(layerFolders);
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  signal?.throwIfAborted();
  const mount = planHostMount(host, containerId, stack);
  if (volumeMountPath !== undefined) {
    checkMountable(host, volumeMountPath, "volumeMountPath");
  }
  return await acquire(host, async (holds) => {
    const path = await mount(holds, signal);
    if (volumeMountPath !== undefined) {
      await takeMountPoint(holds, volumeMountPath, path, signal);
    }
    return mounted(holds, { path, volumeMountPath });
  });
}
