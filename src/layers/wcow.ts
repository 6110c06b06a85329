/**
 * Layers of Windows containers.
 *
 * @module
 */

import { InvalidInputError } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { acquire } from "../holds/hold_list.ts";
import { setMountOf } from "../host_holds/activation.ts";
import { requireParents } from "../checks/existing.ts";
import { imageOf } from "../host_holds/layer_image.ts";
import { checkMountable } from "../host_holds/mount_folder.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { checkText, namedFolder } from "../checks/windows_path.ts";
import { takeNewScratch } from "../storage/scratch.ts";
import type { LayerVM } from "../uvm/devices/vm_devices.ts";
import { hasScratchDisk, type LayerStack, layerStack, requireScratch } from "./layer_stack.ts";
import { mounted, type MountedLayers } from "./mounted_layers.ts";
import { takeMountPoint } from "./sandbox_volume.ts";
import { planHostMount } from "./wcow_host.ts";
import { planVMMount } from "./wcow_vm.ts";

/** Options of {@linkcode mountWCOWLayers}. */
export interface MountWCOWLayersOptions extends HostOptions {
  /** Absolute path of a folder at which the scratch volume is mounted as well: missing or empty. Not with `vm`. */
  volumeMountPath?: string | undefined;
  /**
   * Creates the scratch where its folder lacks the disk, from the read-only layers, which have to be plain folders. It
   * stays when the layers are released, and is removed again only if the mount fails. Default: false.
   */
  createScratch?: boolean | undefined;
  /** A running Windows VM to mount the layers in, instead of on the host. It brings its own `host`. */
  vm?: LayerVM | undefined;
}

/**
 * Mounts the layers of a Windows container: of a process-isolated one on the host, or in a utility VM.
 *
 * On the host the scratch disk is attached (`ActivateLayer`). Then the read-only layers are made to show through its
 * volume: plain folders by the WCIFS filter (`PrepareLayer`); where the topmost layer has a CIM image
 * (`cim-layers\<name>.cim` beside its folder), by mounting that (`CimMountImage`) and the UnionFS filter
 * (`HcsAttachOverlayFilter`). An image holds the files of all layers, so the folders under it play no part, whatever they
 * are. With the WCIFS filter, both steps together are tried up to five times, 100 ms apart, where Windows says that the
 * disk isn't ready.
 *
 * In a VM the read-only layers are shared (VSMB), the scratch disk is attached (SCSI), and the guest combines them.
 *
 * A failure, or an aborted signal, gives back all that was taken before the call rejects.
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
 * @throws {NoRoomError} if the VM has no room for the scratch disk; nothing was changed then.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if Windows refuses and what was taken before couldn't be given back.
 */
export async function mountWCOWLayers(
  containerId: string,
  layerFolders: readonly string[],
  options: MountWCOWLayersOptions = {},
): Promise<MountedLayers> {
  checkText(containerId, "containerId");
  const stack = layerStack(layerFolders);
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  const { vm, signal, createScratch = false } = options;
  if (vm !== undefined && volumeMountPath !== undefined) {
    throw new InvalidInputError("volumeMountPath", "can't be had with a VM", volumeMountPath);
  }
  const { host = defaultHost() } = vm ?? options;
  signal?.throwIfAborted();
  const mount = vm === undefined ? planHostMount(host, containerId, stack) : planVMMount(vm, stack);
  const newScratch = createScratch && !hasScratchDisk(host, stack);
  if (newScratch) {
    requireFolders(host, stack);
  } else {
    requireScratch(host, stack);
  }
  if (volumeMountPath !== undefined) {
    checkMountable(host, volumeMountPath, "volumeMountPath");
  }
  return await acquire(host, async (holds) => {
    if (newScratch) {
      await takeNewScratch(host, holds, stack.scratch, stack.layers, signal);
    }
    const scratch = holds.holds;
    const path = await mount(holds, signal);
    signal?.throwIfAborted();
    if (volumeMountPath !== undefined) {
      await takeMountPoint(holds, volumeMountPath, path, signal);
    }
    holds.keep(scratch);
    if (vm === undefined) {
      setMountOf(host, stack.scratch, holds);
    }
    return mounted(holds, { path, volumeMountPath });
  });
}

// A scratch can be made of plain folders only.
function requireFolders(host: Host, { layers }: LayerStack): void {
  if (imageOf(host, layers[0]!, "layerFolders[0]") !== undefined) {
    throw new InvalidInputError("createScratch", "works with layers that are plain folders only", layers[0]);
  }
  requireParents(host, layers, "layerFolders");
}
