/**
 * The functions for layers in utility VMs. Their code is loaded when the first of them is called, so that who has no VM
 * doesn't wait for it.
 *
 * @module
 */

import type { HostOptions } from "../ffi/host_options.ts";
import type { Layer } from "../hcsschema/layer_document.ts";
import type { UtilityVM, UtilityVMOptions } from "../uvm/utility_vm.ts";
import type { LCOWLayers, MountedLCOWLayers, MountLCOWLayersOptions } from "./lcow.ts";
import { vmCode } from "./vm_code.ts";

/**
 * Creates a utility VM. {@linkcode UtilityVM.start} boots it.
 *
 * This needs `--allow-ffi` without a path, because Windows reports the state of a VM through a callback. Changing the VM
 * afterwards, and mounting layers in it, needs only `--allow-ffi` with the paths of the DLLs.
 *
 * ```ts
 * import { createUtilityVM } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLinuxBootFolder("C:\\Program Files\\Linux Containers");
 * await using vm = await createUtilityVM({ os: "linux" }, { host });
 * await vm.start({ timeout: 120_000 });
 * console.log(vm.id, vm.capabilities);
 * ```
 *
 * @throws {InvalidInputError} if an option is refused, or two contradict each other. Nothing was changed.
 * @throws {UnsupportedBuildError} if this Windows is too old for an option.
 * @throws {MissingPermissionError} if Deno was not started with `--allow-ffi` without a path.
 * @throws {NativeError} if Windows refuses, with the events that it reports.
 * @throws {InUseError} if another process has been recovering a VM with the same id for a minute.
 * @throws {UnwindError} if Windows refuses, and what was done before couldn't be undone; or if the signal was aborted, and
 * Windows is still creating the VM 20 seconds later. Releasing the error waits until the VM is ended.
 * @category Layers in a VM
 */
export async function createUtilityVM(
  options: UtilityVMOptions,
  hostOptions: HostOptions = {},
): Promise<UtilityVM> {
  return await (vmCode.loaded ?? await vmCode.load()).createUtilityVM(options, hostOptions);
}

/**
 * Mounts the layers of a Linux container in a utility VM.
 *
 * Each layer's disk becomes persistent memory (vPMem) of the VM if there is space for the whole disk in a device. A disk
 * that doesn't fit is attached as a SCSI disk, and so are a VHDX, the scratch, layers on a partition, and all layers of a VM whose
 * memory is physically backed. Nothing is changed unless there is space for all disks. A disk that several containers use
 * is attached once.
 *
 * The layers and the scratch are attached concurrently, then the guest combines them. If a step fails or the signal is
 * aborted, everything acquired is released before the call rejects.
 *
 * ```ts
 * import { createUtilityVM, mountLCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLinuxBootFolder("C:\\Program Files\\Linux Containers");
 * host.addLinuxLayer("C:\\layers\\base.vhd", 64 * 2 ** 20);
 * host.addFile("C:\\scratch.vhdx", 20 * 2 ** 30);
 * await using vm = await createUtilityVM({ os: "linux" }, { host });
 * await vm.start();
 * const layers = { layers: [{ vhdPath: "C:\\layers\\base.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
 * await using mounted = await mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/gcs/c/c1" });
 * console.log(mounted.path, mounted.scratchPath);
 * ```
 *
 * @param containerId Id of the container, and name of its folder on the scratch disk: up to 255 bytes without `/`, `\` and `,`.
 * @param layers The layers and the scratch.
 * @throws {InvalidInputError} if an argument is refused. Nothing was changed.
 * @throws {VMStateError} if the VM isn't running.
 * @throws {InUseError} if the scratch stays in use elsewhere, such as in another VM, if the VM boots from a disk or uses it in a
 * conflicting way, or another container uses `guestRoot`, or has its root in it.
 * @throws {NoRoomError} if the VM has no space for all disks. Nothing was changed.
 * @throws {NativeError} if Windows or the guest refuses.
 * @throws {UnwindError} if one refuses, and what was acquired before couldn't be released.
 * @category Layers in a VM
 */
export async function mountLCOWLayers(
  containerId: string,
  layers: LCOWLayers,
  options: MountLCOWLayersOptions,
): Promise<MountedLCOWLayers> {
  return await (vmCode.loaded ?? await vmCode.load()).mountLCOWLayers(containerId, layers, options);
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
export async function getHCSLayers(
  vm: UtilityVM,
  layerFolders: readonly string[],
  options: Pick<HostOptions, "signal" | "timeout"> = {},
): Promise<Layer[]> {
  return await (vmCode.loaded ?? await vmCode.load()).getHCSLayers(vm, layerFolders, options);
}
