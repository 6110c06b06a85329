/**
 * Layers of Windows containers in a utility VM.
 *
 * @module
 */

import { requireFolders, requireKind } from "../checks/existing.ts";
import { hostFile, resolvedFile } from "../checks/host_file.ts";
import { realLayer } from "../checks/real_path.ts";
import { diskOf, namedFolder } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NoRoomError } from "../errors/vm_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import type { Layer } from "../hcsschema/layer_document.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { itemsOf, limitsOf } from "../options.ts";
import { layerId, sessionOf } from "../session/session.ts";
import { requireFreeFile } from "../session/waiting.ts";
import { type LayerVM, requireLayerVM } from "../uvm/devices/vm_devices.ts";
import type { UtilityVM } from "../uvm/utility_vm.ts";
import { type AcquiredLayers, type LayerStack, realStack } from "./layer_stack.ts";
import { isDiskInUse } from "./mount_records.ts";
import { acquireScratch, diskPlacement, reserveScratch } from "./scratch_disk.ts";

/**
 * Checks a stack that is to be mounted in a VM, and returns it with real paths.
 *
 * @throws {InvalidInputError} if a folder is missing.
 */
export function checkVMLayers(
  host: Host,
  named: LayerStack,
): { readonly stack: LayerStack; readonly image: undefined } {
  if (named.image !== undefined) {
    throw new InvalidInputError("layers", "are images, which aren't available with a VM", named.image.path);
  }
  requireFolders(host, named.layers, "layerFolders");
  return { stack: realStack(host, named), image: undefined };
}

/**
 * Mounts a stack in a VM: shares the layers, attaches the scratch disk, and makes the guest combine them at the root of
 * that disk. Everything is reserved before anything is changed.
 *
 * @throws {NoRoomError} if the VM has no slot for the scratch disk.
 * @throws {InUseError} if the scratch is mounted already, here or elsewhere.
 */
export async function acquireVMLayers(
  holds: HoldList,
  { vm, vsmb, scsi, combined }: LayerVM,
  { named, layers, scratch }: LayerStack,
  signal: AbortSignal | undefined,
): Promise<AcquiredLayers> {
  const { host } = vm;
  using plan = new DisposableStack();
  const shares = layers.map((folder) => plan.use(vsmb.reserve(hostFile(host, folder))));
  const scratchFile = resolvedFile(host, diskOf(scratch));
  const isThere = scsi.has(scratchFile);
  const disk = reserveScratch(scsi, plan, scratchFile);
  if (disk === undefined) {
    throw new NoRoomError(`the scratch disk of ${scratch}`, 1, [scsi.capacity]);
  }
  const path = disk.mount.hold.guestPath;
  const documents = () => shares.map(({ hold }, i) => ({ Id: layerId(host, layers[i]!), Path: hold.guestPath }));
  const root = plan.use(
    combined.reserve(
      { exclusiveKeys: [scratchFile.key], guestPath: path, layers: () => ({ Layers: documents() }) },
      [...shares, disk.mount],
    ),
  );
  if (root === undefined) {
    throw new InUseError(scratch, `is the scratch of another container in the VM ${vm.id}`, vm.id);
  }
  // Otherwise, Windows refuses the disk when the shares are there already.
  const { mounts } = sessionOf(host);
  const isUnmounted = mounts.mountOf(scratch) !== undefined && !isDiskInUse(host, scratch);
  if (mounts.isActivated(scratch) && !isUnmounted) {
    throw new InUseError(scratch, "is mounted on the host. Unmount it first", "this process");
  }
  if (!isThere) await requireFreeFile(host, diskOf(scratch), "layerFolders", signal);
  await holds.acquireAll(shares.map((share) => (expect) => share.attach(signal, expect)), signal);
  await acquireScratch(holds, disk, signal);
  await holds.acquire((expect) => root.attach(signal, expect), signal);
  return {
    path,
    placements: [
      ...shares.map(({ hold: { name, guestPath } }, i) => ({
        layer: named[i]!,
        scratch: false,
        device: { kind: "vsmb", share: name } as const,
        path: guestPath,
      })),
      diskPlacement(named.at(-1)!, disk, true),
    ],
  };
}

/**
 * Returns the read-only layers of a container in a Windows VM in the form in which the container's document names them:
 * with their ids, and their paths in the guest.
 *
 * ```ts
 * import { createUtilityVM, getHCSLayers, mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addWindowsBootLayer("C:\\image");
 * host.addLayer("C:\\layers\\app");
 * for (const scratch of ["C:\\vm", "C:\\scratch"]) host.addScratch(scratch);
 * await using vm = await createUtilityVM({ os: "windows", layerFolders: ["C:\\image", "C:\\vm"] }, { host });
 * await vm.start();
 * await using layers = await mountWCOWLayers("c1", ["C:\\layers\\app", "C:\\scratch"], { vm });
 * console.log(layers.path, await getHCSLayers(vm, ["C:\\layers\\app"]));
 * ```
 *
 * @param vm A running VM with Windows in it.
 * @param layerFolders Absolute paths of folders that `mountWCOWLayers` mounted in that VM, without the scratch.
 * @throws {InvalidInputError} if `vm` isn't a Windows VM, or a folder isn't shared with it.
 * @throws {VMStateError} if the VM isn't running.
 * @category Layers in a VM
 */
// deno-lint-ignore require-await
export async function getHCSLayers(
  vm: UtilityVM,
  layerFolders: readonly string[],
  options: Pick<HostOptions, "signal" | "timeout"> = {},
): Promise<Layer[]> {
  const folders = itemsOf(layerFolders, "layerFolders", namedFolder, { problem: "is not a list of folders" });
  const { signal } = limitsOf(options);
  const { vsmb } = requireLayerVM(vm, "windows");
  signal?.throwIfAborted();
  return folders.map((folder, i) => {
    requireKind(vm.host, folder, `layerFolders[${i}]`, "folder");
    const share = vsmb.find(hostFile(vm.host, folder));
    if (share === undefined) {
      throw new InvalidInputError(`layerFolders[${i}]`, "isn't shared with the VM", folder);
    }
    return { Id: layerId(vm.host, realLayer(vm.host, folder, `layerFolders[${i}]`)), Path: share.hold.guestPath };
  });
}
