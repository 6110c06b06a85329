/**
 * Layers of Linux containers in a utility VM.
 *
 * @module
 */

import { boolean, wholeNumber } from "../checks/arguments.ts";
import { requireKind } from "../checks/existing.ts";
import { type HostFile, hostFile } from "../checks/host_file.ts";
import { isVHDX, shortPath, windowsPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NoRoomError } from "../errors/vm_errors.ts";
import type { Host } from "../ffi/host.ts";
import { fileSize } from "../ffi/kernel32.ts";
import { perform } from "../ffi/operation.ts";
import { withHolds } from "../holds/hold_list.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { type Checked, fieldsOf, itemsOf, LIMITS, optional, optionsOf } from "../options.ts";
import { requireFreeFile } from "../session/waiting.ts";
import type { DeviceUse } from "../uvm/devices/device.ts";
import type { SCSIAttachment, SCSIMount } from "../uvm/devices/scsi.ts";
import { type LayerVM, requireLayerVM } from "../uvm/devices/vm_devices.ts";
import type { VPMemFile } from "../uvm/devices/vpmem.ts";
import type { UtilityVM } from "../uvm/utility_vm.ts";
import { type ContainerFolder, containerFolder, folderName, requireNoOption } from "./guest_path.ts";
import type { LayerPlacement } from "./mounted_layers.ts";
import {
  acquireBesideScratch,
  diskPlacement,
  type LayerUses,
  reserveScratch,
  type ScratchDisk,
} from "./scratch_disk.ts";

/**
 * A read-only layer of a Linux container.
 *
 * @category Layers in a VM
 */
export interface LCOWLayer {
  /**
   * Absolute path of the layer's disk: a fixed VHD, or a VHDX, with an ext4 file system. The group of all VMs must be
   * allowed to read it. Tools that create layers allow that.
   */
  readonly vhdPath: string;
  /** The partition with the layer, counted from 1. Default: 0, the whole disk. */
  readonly partition?: number;
}

/**
 * The layers of a Linux container.
 *
 * @category Layers in a VM
 */
export interface LCOWLayers {
  /** Read-only layers, topmost first. */
  readonly layers: readonly LCOWLayer[];
  /** Absolute path of the scratch disk, up to 259 characters. Several containers of a VM may share one. */
  readonly scratchVhdPath: string;
}

/**
 * Options of {@linkcode mountLCOWLayers}.
 *
 * @category Layers in a VM
 */
export interface MountLCOWLayersOptions {
  /** A running VM with Linux in it. */
  vm: UtilityVM;
  /**
   * Absolute path of the container's folder in the guest, such as `/run/gcs/c/<container id>`. It can't be in `/run/mounts`
   * or `/run/layers`, where the guest mounts disks.
   */
  guestRoot: string;
  /**
   * Whether the guest mounts the scratch disk at `guestRoot`, unless it has it mounted already, as containerd's shim of today
   * does. Otherwise, it has a path of its own. Default: false.
   */
  scratchAtRoot?: boolean | undefined;
  /** Cancels the call: what was done so far is undone, then the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** The milliseconds after which the call is cancelled, as by `signal`, with a `TimeoutError` (`DOMException`). Default: none. */
  timeout?: number | undefined;
}

/**
 * Layers mounted by {@linkcode mountLCOWLayers}.
 *
 * @category Layers in a VM
 */
export interface MountedLCOWLayers extends Mounted {
  /** Root of the container's file system in the guest, `<guestRoot>/rootfs`. */
  readonly path: string;
  /** The container's folder on the scratch disk, in the guest. */
  readonly scratchPath: string;
  /** Where the files of each layer are: the read-only layers in the order of the arguments, then the scratch. */
  readonly placements: readonly LayerPlacement[];
}

/** `mountLCOWLayers` of `mod.ts`. */
export async function mountLCOWLayers(
  containerId: string,
  layers: LCOWLayers,
  options: MountLCOWLayersOptions,
): Promise<MountedLCOWLayers> {
  const name = folderName(containerId, "containerId");
  const stack = fieldsOf(layers, LAYERS, "layers");
  const { guestRoot: root, scratchAtRoot, vm: layerVM, ...limits } = optionsOf(options, {
    guestRoot: containerFolder,
    scratchAtRoot: optional(boolean),
    ...LIMITS,
    vm: (vm) => requireLayerVM(vm, "linux"),
  });
  if (scratchAtRoot) requireNoOption(root.path, "guestRoot");
  const { id, host } = layerVM.vm;
  const about = [id, stack.scratchVhdPath, ...stack.layers.map(({ vhdPath }) => vhdPath)];
  return await perform(
    host,
    limits,
    about,
    (signal) => mount(name, stack, { root, scratchAtRoot, layerVM, signal }),
  );
}

/** Where layers are mounted. */
interface Place {
  readonly root: ContainerFolder;
  readonly scratchAtRoot: boolean | undefined;
  readonly layerVM: LayerVM;
  readonly signal: AbortSignal | undefined;
}

async function mount(
  name: string,
  stack: Checked<typeof LAYERS>,
  { root: { path: root, named }, scratchAtRoot, layerVM, signal }: Place,
): Promise<MountedLCOWLayers> {
  signal?.throwIfAborted();
  const { id, host } = layerVM.vm;
  const disks = stack.layers.map((layer, i) => diskOf(host, layer, argumentOf(i)));
  requireDistinct(disks);
  requireKind(host, stack.scratchVhdPath, "layers.scratchVhdPath", "file");

  using plan = new DisposableStack();
  const scratchFile = hostFile(host, stack.scratchVhdPath);
  const { scsi } = layerVM;
  const isThere = scsi.has(scratchFile);
  const place = () => {
    if (!layerVM.combined.isUsed(root)) return root;
    throw new InUseError(root, `is in or around the folder of another container in the VM ${id}`, id);
  };
  const places = reserveAll(layerVM, plan, disks, scratchFile, scratchAtRoot ? place : undefined);
  const path = `${root}/rootfs`;
  // The guest couldn't unmount that disk as long as this container is there.
  if (scsi.isMountedAbove(path) && places.scratch.mount.hold.guestPath !== root) {
    throw new InUseError(root, `is on the scratch of another container in the VM ${id}`, id);
  }
  const scratchPath = `${places.scratch.mount.hold.guestPath}/scratch/${name}`;
  const combined = plan.use(layerVM.combined.reserve({
    exclusiveKeys: [path, scratchPath],
    guestPath: path,
    layers: () => ({
      ContainerID: name,
      Layers: places.layers.map((layer) => ({ Path: useOf(layer).hold.guestPath })),
      ScratchPath: scratchPath,
    }),
  }, [...places.layers.map(useOf), places.scratch.mount]));
  if (combined === undefined) {
    throw new InUseError(
      named,
      `or ${scratchPath} is the folder of another container in the VM ${id}, or in or around its root`,
      id,
    );
  }
  // Otherwise, Windows refuses the disk when the layers are there already.
  if (!isThere) await requireFreeFile(host, stack.scratchVhdPath, "layers.scratchVhdPath", signal);
  return await withHolds(async (holds) => {
    const { concurrentRemovals: releasedTogether = false } = layerVM;
    await acquireBesideScratch(holds, usesOf(places.layers), places.scratch, { signal, releasedTogether });
    await holds.acquire((expect) => combined.attach(signal, expect), signal);
    const placements = [
      ...places.layers.map((layer, i) => placementOf(stack.layers[i]!.vhdPath, layer)),
      diskPlacement(stack.scratchVhdPath, places.scratch, true),
    ];
    return mounted(host, holds, { path, scratchPath, placements });
  });
}

const LAYER = { vhdPath: windowsPath, partition: optional(wholeNumber()) };
const LAYERS = {
  layers: (layers: unknown, argument: string) =>
    itemsOf(layers, argument, (layer, item) => fieldsOf(layer, LAYER, item), {
      least: 1,
      problem: "needs at least one layer",
    }),
  // GrantVmAccess takes no longer one.
  scratchVhdPath: shortPath,
};

function argumentOf(layer: number): string {
  return `layers.layers[${layer}]`;
}

interface Disk {
  readonly file: HostFile;
  readonly bytes: number;
  readonly partition: number;
}

function diskOf(host: Host, { vhdPath, partition = 0 }: Checked<typeof LAYER>, argument: string): Disk {
  requireKind(host, vhdPath, `${argument}.vhdPath`, "file");
  const bytes = Number(fileSize(host, vhdPath));
  if (bytes === 0) {
    throw new InvalidInputError(`${argument}.vhdPath`, "is an empty file", vhdPath);
  }
  return { file: hostFile(host, vhdPath), bytes, partition };
}

// The guest would have to combine one folder with itself, which Linux refuses.
function requireDistinct(disks: readonly Disk[]): void {
  disks.forEach(({ file, partition }, i) => {
    const first = disks.findIndex((other) => other.file.key === file.key && other.partition === partition);
    if (first < i) {
      throw new InvalidInputError(`${argumentOf(i)}.vhdPath`, `is the same as ${argumentOf(first)}`, file.path);
    }
  });
}

interface SCSILayer {
  readonly attachment: DeviceUse<SCSIAttachment>;
  readonly mount: DeviceUse<SCSIMount>;
}

type LayerPlace = { readonly memory: DeviceUse<VPMemFile> } | SCSILayer;

function useOf(layer: LayerPlace): DeviceUse<VPMemFile> | DeviceUse<SCSIMount> {
  return "memory" in layer ? layer.memory : layer.mount;
}

function placementOf(vhdPath: string, layer: LayerPlace): LayerPlacement {
  if (!("memory" in layer)) return diskPlacement(vhdPath, layer, false);
  const { device, guestPath } = layer.memory.hold;
  return { layer: vhdPath, scratch: false, device: { kind: "vpmem", device }, path: guestPath };
}

// Reserves places for all disks, or throws. When `plan` is disposed of, it frees the places that were not attached.
function reserveAll(
  layerVM: LayerVM,
  plan: DisposableStack,
  disks: readonly Disk[],
  scratchFile: HostFile,
  place: (() => string) | undefined,
): { layers: LayerPlace[]; scratch: ScratchDisk } {
  const { vm, scsi, vpmem, encryptScratch } = layerVM;
  if (disks.some(({ file }) => file.key === scratchFile.key)) {
    throw new InvalidInputError("layers.scratchVhdPath", "is the disk of a read-only layer", scratchFile.path);
  }
  if (vpmem.has(scratchFile)) {
    throw new InUseError(scratchFile.path, `is read-only in the VM ${vm.id}, as a layer or what it boots from`, vm.id);
  }
  const capacity = [scsi.capacity, vpmem.capacity];
  const layers = disks.map((disk) => reserveLayer(layerVM, plan, disk));
  const scratch = reserveScratch(scsi, plan, scratchFile, {
    filesystem: encryptScratch ? "xfs" : "ext4",
    encrypted: encryptScratch,
  }, place);
  const missing = new Set(disks.filter((_, i) => layers[i] === undefined).map(({ file }) => file.key));
  if (missing.size > 0 || scratch === undefined) {
    const slots = missing.size + (scratch === undefined ? 1 : 0);
    throw new NoRoomError(
      `${disks.length} ${disks.length === 1 ? "layer" : "layers"} and a scratch disk`,
      slots,
      capacity,
    );
  }
  return { layers: layers as LayerPlace[], scratch };
}

function reserveLayer(
  { vm, scsi, vpmem, physicallyBacked }: LayerVM,
  plan: DisposableStack,
  { file, bytes, partition }: Disk,
): LayerPlace | undefined {
  // A VM can have a disk as persistent memory or as a SCSI disk, but not both.
  if (partition !== 0 && vpmem.has(file)) {
    throw new InUseError(
      file.path,
      `is already persistent memory of the VM ${vm.id}, so its partitions can't be mounted`,
      vm.id,
    );
  }
  // Persistent memory is as large as the file, which a VHDX says nothing about.
  if (!physicallyBacked && partition === 0 && !isVHDX(file.path) && !scsi.has(file)) {
    const memory = plan.use(vpmem.reserve(file, bytes));
    if (memory !== undefined) return { memory };
  }
  const attachment = plan.use(scsi.reserveAttachment(file, { readOnly: true }));
  if (attachment === undefined) return undefined;
  const options = { readOnly: true, options: ["ro"], ...(partition !== 0 && { partition }) };
  return { attachment, mount: plan.use(scsi.reserveMount(attachment, options)) };
}

function usesOf(layers: readonly LayerPlace[]): LayerUses {
  return {
    devices: layers.map((layer) => "memory" in layer ? layer.memory : layer.attachment),
    mounts: layers.flatMap((layer) => "memory" in layer ? [] : [layer.mount]),
  };
}
