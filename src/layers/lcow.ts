/**
 * Layers of Linux containers in a utility VM.
 *
 * @module
 */

import { InvalidInputError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { fileSize } from "../ffi/kernel32.ts";
import { acquire, type HoldList } from "../holds/hold_list.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { requireKind } from "../checks/existing.ts";
import { checkText, windowsPath } from "../checks/windows_path.ts";
import { placeLayerTree } from "../uvm/devices/combined_layers.ts";
import type { DeviceUse } from "../uvm/devices/device.ts";
import { NoRoomError } from "../errors/vm_errors.ts";
import { type HostFile, hostFile, resolvedFile } from "../checks/host_file.ts";
import { layerTree, scsiAttachment, scsiMount, vpmemFile } from "../uvm/devices/device_holds.ts";
import type { LayerVM } from "../uvm/devices/vm_devices.ts";
import { requireVM } from "../uvm/running_vm.ts";
import type { SCSIAttachment, SCSIMount } from "../uvm/devices/scsi.ts";
import type { VPMemFile } from "../uvm/devices/vpmem.ts";
import { placeScratch, type ScratchDisk, takeScratch } from "./scratch_disk.ts";

/** A read-only layer of a Linux container. */
export interface LCOWLayer {
  /**
   * Absolute path of the layer's disk: a fixed VHD, or a VHDX, with an ext4 file system. The group of all VMs must be
   * allowed to read it, as the tools that make layers see to.
   */
  readonly vhdPath: string;
  /** The partition with the layer, from 1. Default, and 0: the whole disk. */
  readonly partition?: number;
}

/** The layers of a Linux container. */
export interface LCOWLayers {
  /** Read-only layers, topmost first. */
  readonly layers: readonly LCOWLayer[];
  /** Absolute path of the scratch disk; containers may share one. */
  readonly scratchVhdPath: string;
}

/** Options of {@linkcode mountLCOWLayers}. */
export interface MountLCOWLayersOptions {
  /** A running VM with Linux in it. */
  vm: LayerVM;
  /** The container's folder in the guest, such as `/run/gcs/c/<container id>`. */
  guestRoot: string;
  /** Stops the work: what was begun is undone before the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Layers mounted by {@linkcode mountLCOWLayers}. */
export interface MountedLCOWLayers extends Mounted {
  /** Root of the container's file system in the guest, `<guestRoot>/rootfs`. */
  readonly path: string;
  /** The container's folder on the scratch disk, in the guest. */
  readonly scratchPath: string;
}

/**
 * Mounts the layers of a Linux container in a utility VM.
 *
 * Each layer's disk becomes persistent memory of the VM where it fits there: vPMem takes whole disks up to the size of a
 * device, and as many as there are devices, or regions of devices. All other layers, those on a partition, and all in a VM
 * whose memory is physically backed, are SCSI disks, as the scratch is. The place of each is found before the VM is
 * touched. What several containers use is added once.
 *
 * Layers are added side by side, then the scratch; then the guest combines them. A failure, or an aborted signal, gives
 * back all that was taken before the call rejects.
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
 * @param containerId Id of the container; it names the container's folder on the scratch disk.
 * @param layers The layers and the scratch.
 * @throws {InvalidInputError} if an argument is refused; nothing was changed then.
 * @throws {NoRoomError} if the VM has no place for all layers, with the numbers; nothing was changed then.
 * @throws {NativeError} if Windows or the guest refuses.
 * @throws {UnwindError} if one refuses and what was taken before couldn't be given back.
 */
export async function mountLCOWLayers(
  containerId: string,
  layers: LCOWLayers,
  options: MountLCOWLayersOptions,
): Promise<MountedLCOWLayers> {
  const { vm, signal } = options;
  checkText(containerId, "containerId");
  const stack = checkedLayers(layers);
  const root = checkedRoot(options.guestRoot);
  requireVM(vm, "linux", "mounting layers of a Linux container");
  signal?.throwIfAborted();
  const { host } = vm;
  const disks = stack.layers.map((layer, i) => diskOf(host, layer, argumentOf(i)));
  requireKind(host, stack.scratchVhdPath, "layers.scratchVhdPath", "file");

  using plan = new DisposableStack();
  const places = placeAll(vm, plan, disks, resolvedFile(host, stack.scratchVhdPath));
  const path = `${root}/rootfs`;
  const scratchPath = `${places.scratch.mount.device.guestPath}/scratch/${containerId}`;
  const tree = plan.use(placeLayerTree(vm, {
    owns: path,
    guestPath: path,
    layers: () => ({
      ContainerID: containerId,
      Layers: places.layers.map((layer) => ({ Path: guestPathOf(layer) })),
      ScratchPath: scratchPath,
    }),
  }));
  if (tree === undefined) {
    throw new InvalidInputError("guestRoot", "is the folder of another container in the VM", options.guestRoot);
  }
  return await acquire(host, async (holds) => {
    await takeLayers(vm, holds, places.layers, signal);
    await takeScratch(vm, holds, places.scratch, signal);
    await holds.take(layerTree, layerTree.of(vm, tree), signal);
    return mounted(holds, { path, scratchPath });
  });
}

function checkedLayers(layers: LCOWLayers): LCOWLayers {
  if (typeof layers !== "object" || layers === null) {
    throw new InvalidInputError("layers", "is missing", layers);
  }
  if (!Array.isArray(layers.layers) || layers.layers.length === 0) {
    throw new InvalidInputError("layers.layers", "needs at least one layer", layers.layers);
  }
  const scratchVhdPath = windowsPath(layers.scratchVhdPath, "layers.scratchVhdPath");
  return {
    layers: layers.layers.map((layer, i) => checkedLayer(layer, argumentOf(i))),
    scratchVhdPath,
  };
}

function checkedLayer(layer: LCOWLayer, argument: string): LCOWLayer {
  if (typeof layer !== "object" || layer === null) {
    throw new InvalidInputError(argument, "is missing", layer);
  }
  const vhdPath = windowsPath(layer.vhdPath, `${argument}.vhdPath`);
  const partition = layer.partition ?? 0;
  if (!Number.isSafeInteger(partition) || partition < 0) {
    throw new InvalidInputError(`${argument}.partition`, "is not a whole number from 0", partition);
  }
  return { vhdPath, partition };
}

function argumentOf(layer: number): string {
  return `layers.layers[${layer}]`;
}

function checkedRoot(guestRoot: unknown): string {
  checkText(guestRoot, "guestRoot");
  if (!guestRoot.startsWith("/")) {
    throw new InvalidInputError("guestRoot", "is not an absolute path of the guest", guestRoot);
  }
  return guestRoot.replace(/\/+$/, "");
}

interface Disk {
  readonly file: HostFile;
  readonly bytes: number;
  readonly partition: number;
  readonly argument: string;
}

function diskOf(host: Host, { vhdPath, partition = 0 }: LCOWLayer, argument: string): Disk {
  requireKind(host, vhdPath, `${argument}.vhdPath`, "file");
  const bytes = Number(fileSize(host, vhdPath));
  if (bytes === 0) {
    throw new InvalidInputError(`${argument}.vhdPath`, "is an empty file", vhdPath);
  }
  return { file: hostFile(host, vhdPath), bytes, partition, argument };
}

interface SCSILayer {
  readonly attachment: DeviceUse<SCSIAttachment>;
  readonly mount: DeviceUse<SCSIMount>;
}

type LayerPlace = { readonly memory: DeviceUse<VPMemFile> } | SCSILayer;

function guestPathOf(layer: LayerPlace): string {
  return ("memory" in layer ? layer.memory : layer.mount).device.guestPath;
}

// Finds all places or none. What is placed is given up again with `plan`, unless it is taken.
function placeAll(
  vm: LayerVM,
  plan: DisposableStack,
  disks: readonly Disk[],
  scratchFile: HostFile,
): { layers: LayerPlace[]; scratch: ScratchDisk } {
  const twin = disks.find(({ file }) => file.key === scratchFile.key);
  if (twin !== undefined || vm.vpmem.has(scratchFile)) {
    throw new InvalidInputError("layers.scratchVhdPath", "is the disk of a read-only layer", scratchFile.path);
  }
  const room = [vm.scsi.room, vm.vpmem.room];
  const layers = disks.map((disk) => placeLayer(vm, plan, disk));
  const scratch = placeScratch(vm, plan, scratchFile, {
    filesystem: vm.encryptScratch ? "xfs" : "ext4",
    encrypted: vm.encryptScratch,
  });
  const missing = new Set(disks.filter((_, i) => layers[i] === undefined).map(({ file }) => file.key));
  if (missing.size > 0 || scratch === undefined) {
    const slots = missing.size + (scratch === undefined ? 1 : 0);
    throw new NoRoomError(`${disks.length} layers and a scratch disk`, slots, room);
  }
  return { layers: layers as LayerPlace[], scratch };
}

function placeLayer(vm: LayerVM, plan: DisposableStack, disk: Disk): LayerPlace | undefined {
  const { file, bytes, partition, argument } = disk;
  // A disk is in a VM in one way only.
  if (partition !== 0 && vm.vpmem.has(file)) {
    throw new InvalidInputError(
      `${argument}.partition`,
      "can't be had of a disk that the VM has as persistent memory already",
      file.path,
    );
  }
  if (!vm.physicallyBacked && partition === 0 && !vm.scsi.has(file)) {
    const memory = plan.use(vm.vpmem.place(file, bytes));
    if (memory !== undefined) return { memory };
  }
  const attachment = plan.use(vm.scsi.placeAttachment(file, { readOnly: true }));
  if (attachment === undefined) return undefined;
  const options = { readOnly: true, options: ["ro"], ...(partition !== 0 && { partition }) };
  return { attachment, mount: plan.use(vm.scsi.placeMount(attachment.device, options)) };
}

async function takeLayers(
  vm: LayerVM,
  holds: HoldList,
  layers: readonly LayerPlace[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const files = layers.flatMap((layer) => "memory" in layer ? [layer.memory] : []);
  const disks = layers.flatMap((layer) => "memory" in layer ? [] : [layer]);
  const outcomes = await Promise.allSettled([
    holds.takeAll(vpmemFile, files.map((file) => vpmemFile.of(vm, file)), signal),
    takeDisks(vm, holds, disks, signal),
  ]);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}

async function takeDisks(
  vm: LayerVM,
  holds: HoldList,
  disks: readonly SCSILayer[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await holds.takeAll(scsiAttachment, disks.map(({ attachment }) => scsiAttachment.of(vm, attachment)), signal);
  await holds.takeAll(scsiMount, disks.map(({ mount }) => scsiMount.of(vm, mount)), signal);
}
