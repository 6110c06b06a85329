/**
 * Layers of Windows containers in a utility VM.
 *
 * @module
 */

import { requireFolders, requireKind } from "../checks/existing.ts";
import { hostFile, resolvedFile } from "../checks/host_file.ts";
import { realLayer } from "../checks/real_path.ts";
import { diskOf, namedFolder, volumeGuid } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import { NoRoomError } from "../errors/vm_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { operationOf } from "../ffi/operation.ts";
import type { Layer } from "../hcsschema/layer_document.ts";
import type { CombinedLayers } from "../hcsschema/requests.ts";
import type { Held } from "../holds/hold.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { requireImageFile } from "../host_holds/layer_image.ts";
import { itemsOf, limitsOf } from "../options.ts";
import { layerId, sessionOf } from "../session/session.ts";
import { forgetUnmounted } from "../session/unmounted.ts";
import { requireFreeFile } from "../session/waiting.ts";
import { type LayerVM, requireLayerVM } from "../uvm/devices/vm_devices.ts";
import type { UtilityVM } from "../uvm/utility_vm.ts";
import { type AcquiredLayers, type LayerStack, type NamedImage, realStack } from "./layer_stack.ts";
import type { LayerPlacement } from "./mounted_layers.ts";
import { acquireBesideScratch, diskPlacement, type LayerUses, reserveScratch } from "./scratch_disk.ts";

/**
 * Checks a stack that is to be mounted in a VM, and returns it with real paths.
 *
 * @throws {InvalidInputError} if a folder is missing.
 */
export function checkVMLayers(
  host: Host,
  named: LayerStack,
): { readonly stack: LayerStack; readonly image: string | undefined } {
  const { image } = named;
  if (image === undefined) {
    requireFolders(host, named.layers, "layerFolders");
    return { stack: realStack(host, named), image: undefined };
  }
  if (image.blocks.length === 0) {
    throw new InvalidInputError("layers.kind", "is not available with a VM, whose images are on disks", "images");
  }
  if (image.how.rootHash !== undefined) {
    throw new InvalidInputError("layers.rootHash", "is not available with a VM, whose guest reads it itself");
  }
  image.blocks.forEach(({ path, argument }) => requireImageFile(host, path, argument));
  return { stack: realStack(host, named), image: image.path };
}

/** How a stack is mounted in a VM. */
export interface VMMountOptions {
  /** Id of the container. */
  readonly containerId: string;
  /** Whether the guest formats the scratch disk. */
  readonly formatWithRefs: boolean;
  /** Cancels it. */
  readonly signal: AbortSignal | undefined;
}

/** Read-only layers with their places in a VM. */
interface PlacedLayers {
  /** What carries them. */
  readonly uses: readonly Held[];
  /** What of them is attached beside the scratch. */
  readonly besideScratch: LayerUses;
  /** Attaches what comes before that. */
  attach?(holds: HoldList, signal: AbortSignal | undefined): Promise<void>;
  /** Returns them as the guest is told of them. Called when they are attached. */
  documents(): Omit<CombinedLayers, "ContainerRootPath">;
  /** Returns where they are. Called when they are attached. */
  placements(): LayerPlacement[];
}

// Folders, which are shared.
function reserveShares({ vm: { host }, vsmb }: LayerVM, plan: DisposableStack, stack: LayerStack): PlacedLayers {
  const { named, layers } = stack;
  const shares = layers.map((folder) => plan.use(vsmb.reserve(hostFile(host, folder))));
  return {
    uses: shares,
    besideScratch: { devices: shares, mounts: [] },
    documents: () => ({
      Layers: shares.map(({ hold }, i) => ({ Id: layerId(host, layers[i]!), Path: hold.guestPath })),
    }),
    placements: () =>
      shares.map(({ hold: { name, guestPath } }, i) => ({
        layer: named[i]!,
        scratch: false,
        device: { kind: "vsmb", share: name },
        path: guestPath,
      })),
  };
}

// Images, each of which becomes a disk. Returns how many slots are missing if the VM has too few.
function reserveImages(
  { vm: { host }, scsi, images }: LayerVM,
  plan: DisposableStack,
  { named, layers }: LayerStack,
  image: NamedImage,
  containerId: string,
): PlacedLayers | number {
  const disks = image.blocks.map(({ path, name }) => {
    const file = hostFile(host, path);
    const access = plan.use(scsi.reserveAccess(file));
    const attachment = plan.use(scsi.reserveAttachment(file, { readOnly: true }, [access]));
    return attachment && { name, access, attachment };
  }).filter((disk) => disk !== undefined);
  if (disks.length < image.blocks.length) return image.blocks.length - disks.length;
  const use = plan.use(images.reserve(disks, containerId));
  const { volume } = use.hold;
  return {
    uses: [use],
    besideScratch: { devices: [], mounts: [] },
    attach: (holds, signal) =>
      images.alone(async () => {
        for (const { access, attachment } of disks) {
          await holds.acquire((expect) => access.attach(signal, expect), signal);
          await holds.acquire((expect) => attachment.attach(signal, expect), signal);
        }
        await holds.acquire((expect) => use.attach(signal, expect), signal);
      }, signal),
    documents: () => ({ Layers: [{ Id: volumeGuid(volume), Path: `${volume}Files` }], FilterType: "UnionFS" }),
    placements: () =>
      layers.map((_, i) => ({
        layer: named[i]!,
        scratch: false,
        device: { kind: "cim", image: image.path },
        path: volume,
      })),
  };
}

/**
 * Mounts a stack in a VM: shares the layers, or attaches and mounts their images; attaches the scratch disk, and makes the
 * guest combine them at the root of that disk. Everything is reserved before anything is changed.
 *
 * @throws {NoRoomError} if the VM has no slot for the scratch disk.
 * @throws {InUseError} if the scratch is mounted already, here or elsewhere.
 */
export async function acquireVMLayers(
  holds: HoldList,
  layerVM: LayerVM,
  stack: LayerStack,
  { containerId, formatWithRefs, signal }: VMMountOptions,
): Promise<AcquiredLayers> {
  const { vm, scsi, combined, concurrentRemovals = false } = layerVM;
  const { named, scratch, image } = stack;
  const { host } = vm;
  using plan = new DisposableStack();
  const layers = image === undefined
    ? reserveShares(layerVM, plan, stack)
    : reserveImages(layerVM, plan, stack, image, containerId);
  const scratchFile = resolvedFile(host, diskOf(scratch));
  [scratchFile, ...image?.blocks ?? []].forEach(({ path }) => operationOf(signal)?.concerns(path));
  const isThere = scsi.has(scratchFile);
  const disk = reserveScratch(scsi, plan, scratchFile, { formatWithRefs });
  if (typeof layers === "number" || disk === undefined) {
    const images = image === undefined ? "" : `${image.blocks.length} images and `;
    const missing = (typeof layers === "number" ? layers : 0) + (disk === undefined ? 1 : 0);
    throw new NoRoomError(`${images}the scratch disk of ${scratch}`, missing, [scsi.capacity]);
  }
  const path = disk.mount.hold.guestPath;
  const root = plan.use(
    combined.reserve(
      { exclusiveKeys: [scratchFile.key], guestPath: path, layers: layers.documents },
      [...layers.uses, disk.mount],
    ),
  );
  if (root === undefined) {
    throw new InUseError(scratch, `is the scratch of another container in the VM ${vm.id}`, vm.id);
  }
  // Otherwise, Windows refuses the disk when the shares are there already.
  forgetUnmounted(host, scratch);
  if (sessionOf(host).mounts.isActivated(scratch)) {
    throw new InUseError(scratch, "is mounted on the host. Unmount it first", "this process");
  }
  if (!isThere) await requireFreeFile(host, diskOf(scratch), "layerFolders", signal);
  await layers.attach?.(holds, signal);
  await acquireBesideScratch(holds, layers.besideScratch, disk, { signal, releasedTogether: concurrentRemovals });
  await holds.acquire((expect) => root.attach(signal, expect), signal);
  return {
    path,
    placements: [...layers.placements(), diskPlacement(named.at(-1)!, disk, true)],
  };
}

/** `getHCSLayers` of `mod.ts`. */
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
