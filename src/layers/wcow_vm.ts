/**
 * Layers of Windows containers in a utility VM.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { InvalidInputError } from "../ffi/errors.ts";
import { resolvePath } from "../ffi/resolve_path.ts";
import type { Layer } from "../hcsschema/layer.ts";
import { acquire } from "../holds/hold_list.ts";
import { mounted } from "../holds/mounted.ts";
import { SCRATCH_DISK } from "../storage/activation.ts";
import { requireKind } from "../storage/check.ts";
import { layerId } from "../storage/layer_id.ts";
import { namedFolder, pathKey } from "../storage/paths.ts";
import { placeLayerTree } from "../uvm/combined_layers.ts";
import { NoRoomError } from "../uvm/errors.ts";
import { layerTree, vsmbShare } from "../uvm/holds.ts";
import type { LayerVM } from "../uvm/layer_vm.ts";
import { requireVM } from "../uvm/modify.ts";
import type { LayerStack } from "./layer_stack.ts";
import type { MountedLayers } from "./mounted.ts";
import { placeScratch, takeScratch } from "./scratch_disk.ts";

/**
 * Mounts a stack in a VM: shares the read-only layers' folders, attaches and mounts the scratch disk, and has the guest
 * combine them at the root of the scratch.
 *
 * @throws {InvalidInputError} if the VM, a folder or the disk isn't there or isn't what it should be; nothing was changed.
 * @throws {NoRoomError} if the VM has no place for the disk; nothing was changed.
 */
export async function mountInVM(
  stack: LayerStack,
  { vm, signal }: { vm: LayerVM; signal: AbortSignal | undefined },
): Promise<MountedLayers> {
  requireVM(vm, "windows", "mounting layers of a Windows container");
  const { host } = vm;
  stack.layers.forEach((folder, i) => requireKind(host, folder, `layerFolders[${i}]`, "folder"));
  const scratchArgument = `layerFolders[${stack.layers.length}]`;
  const disk = join(stack.scratch, SCRATCH_DISK);
  requireKind(host, stack.scratch, scratchArgument, "folder");
  requireKind(host, disk, scratchArgument, "file");
  signal?.throwIfAborted();

  using plan = new DisposableStack();
  const shares = stack.layers.map((folder) => plan.use(vm.vsmb.place(folder)));
  const diskPath = resolvePath(host, disk);
  const scratch = placeScratch(vm, plan, diskPath);
  if (scratch === undefined) {
    throw new NoRoomError(`the scratch disk of ${stack.scratch}`, 1, [vm.scsi.room]);
  }
  const path = scratch.mount.device.guestPath;
  let layers: Layer[] = [];
  const tree = plan.use(
    placeLayerTree(vm, { owns: pathKey(diskPath), guestPath: path, layers: () => ({ Layers: layers }) }),
  );
  if (tree === undefined) {
    throw new InvalidInputError(scratchArgument, "is the scratch of another container in the VM", stack.scratch);
  }
  return await acquire(host, async (holds) => {
    await holds.takeAll(vsmbShare, shares.map((share) => vsmbShare.of(vm, share)), signal);
    await takeScratch(vm, holds, scratch, signal);
    layers = stack.layers.map((folder, i) => ({ Id: layerId(host, folder), Path: shares[i]!.device.guestPath }));
    await holds.take(layerTree, layerTree.of(vm, tree), signal);
    return mounted(holds, { path, volumeMountPath: undefined });
  });
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
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Layer[]> {
  requireVM(vm, "windows", "naming its layers");
  if (!Array.isArray(layerFolders)) {
    throw new InvalidInputError("layerFolders", "is no list of folders", layerFolders);
  }
  const folders = layerFolders.map((folder, i) => namedFolder(folder, `layerFolders[${i}]`));
  options.signal?.throwIfAborted();
  return folders.map((folder, i) => {
    requireKind(vm.host, folder, `layerFolders[${i}]`, "folder");
    const share = vm.vsmb.find(folder);
    if (share === undefined) {
      throw new InvalidInputError(`layerFolders[${i}]`, "isn't shared with the VM", folder);
    }
    return { Id: layerId(vm.host, folder), Path: share.guestPath };
  });
}
