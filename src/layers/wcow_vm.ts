/**
 * Layers of Windows containers in a utility VM.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../errors/windows_errors.ts";
import type { Layer } from "../hcsschema/layer.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { SCRATCH_DISK } from "../host_holds/activation.ts";
import { requireKind, requireParents } from "../checks/existing.ts";
import { layerId } from "../host_holds/layer_id.ts";
import { namedFolder } from "../checks/windows_path.ts";
import { placeLayerTree } from "../uvm/devices/combined_layers.ts";
import { NoRoomError } from "../errors/vm_errors.ts";
import { hostFile, resolvedFile } from "../checks/host_file.ts";
import { layerTree, vsmbShare } from "../uvm/devices/device_holds.ts";
import type { LayerVM } from "../uvm/devices/vm_devices.ts";
import { requireVM } from "../uvm/running_vm.ts";
import type { LayerMount, LayerStack } from "./layer_stack.ts";
import { placeScratch, takeScratch } from "./scratch_disk.ts";

/** Options of {@linkcode getHCSLayers}. */
export interface GetHCSLayersOptions {
  /** Stops the work. */
  signal?: AbortSignal | undefined;
}

/**
 * Looks at a stack that is to be mounted in a VM: to be shared with it, attached to it, and combined by the guest at the
 * root of the scratch disk. Changes nothing.
 *
 * @throws {InvalidInputError} if the VM or a folder isn't there or isn't what it should be.
 */
export function planVMMount(vm: LayerVM, stack: LayerStack): LayerMount {
  requireVM(vm, "windows", "mounting layers of a Windows container");
  requireParents(vm.host, stack.layers, "layerFolders");
  return (holds, signal) => mountInVM(vm, holds, stack, signal);
}

async function mountInVM(
  vm: LayerVM,
  holds: HoldList,
  { layers, scratch, scratchArgument }: LayerStack,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { host } = vm;
  using plan = new DisposableStack();
  const shares = layers.map((folder) => plan.use(vm.vsmb.place(hostFile(host, folder))));
  const scratchFile = resolvedFile(host, join(scratch, SCRATCH_DISK));
  const disk = placeScratch(vm, plan, scratchFile);
  if (disk === undefined) {
    throw new NoRoomError(`the scratch disk of ${scratch}`, 1, [vm.scsi.room]);
  }
  const path = disk.mount.device.guestPath;
  let combined: Layer[] = [];
  const tree = plan.use(
    placeLayerTree(vm, { owns: scratchFile.key, guestPath: path, layers: () => ({ Layers: combined }) }),
  );
  if (tree === undefined) {
    throw new InvalidInputError(scratchArgument, "is the scratch of another container in the VM", scratch);
  }
  await holds.takeAll(vsmbShare, shares.map((share) => vsmbShare.of(vm, share)), signal);
  await takeScratch(vm, holds, disk, signal);
  combined = layers.map((folder, i) => ({ Id: layerId(host, folder), Path: shares[i]!.device.guestPath }));
  await holds.take(layerTree, layerTree.of(vm, tree), signal);
  return path;
}

/**
 * The read-only layers of a container in a Windows VM, as the document of the container names them: their ids, and where
 * the guest finds them.
 *
 * @param vm A running VM with Windows in it.
 * @param layerFolders Absolute paths of folders that `mountWCOWLayers` mounted in that VM.
 * @throws {InvalidInputError} if the VM isn't a running Windows VM, or a folder isn't shared with it.
 */
// deno-lint-ignore require-await
export async function getHCSLayers(
  vm: LayerVM,
  layerFolders: readonly string[],
  options: GetHCSLayersOptions = {},
): Promise<Layer[]> {
  requireVM(vm, "windows", "naming its layers");
  if (!Array.isArray(layerFolders)) {
    throw new InvalidInputError("layerFolders", "is no list of folders", layerFolders);
  }
  const folders = layerFolders.map((folder, i) => namedFolder(folder, `layerFolders[${i}]`));
  options.signal?.throwIfAborted();
  return folders.map((folder, i) => {
    requireKind(vm.host, folder, `layerFolders[${i}]`, "folder");
    const share = vm.vsmb.find(hostFile(vm.host, folder));
    if (share === undefined) {
      throw new InvalidInputError(`layerFolders[${i}]`, "isn't shared with the VM", folder);
    }
    return { Id: layerId(vm.host, folder), Path: share.guestPath };
  });
}
