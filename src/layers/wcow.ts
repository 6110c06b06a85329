/**
 * Layers of Windows containers.
 *
 * @module
 */

import { boolean, hostOptions, requireText } from "../checks/arguments.ts";
import { kindOf } from "../checks/existing.ts";
import { diskOf, namedFolder } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { operationOf, perform } from "../ffi/operation.ts";
import type { Held } from "../holds/hold.ts";
import { type HoldList, withHolds } from "../holds/hold_list.ts";
import { mounted } from "../holds/mounted.ts";
import { cimVolumeName, imageOf } from "../host_holds/layer_image.ts";
import { mountPlace } from "../host_holds/mount_place.ts";
import { acquireNewScratch } from "../host_holds/new_scratch.ts";
import { optional } from "../options.ts";
import { claim, requireUnclaimed } from "../session/creations.ts";
import { changeScratch } from "../session/scratch_changes.ts";
import { sessionOf } from "../session/session.ts";
import { type LayerVM, requireLayerVM } from "../uvm/devices/vm_devices.ts";
import type { UtilityVM } from "../uvm/utility_vm.ts";
import { requireUnmounted } from "./earlier_mount.ts";
import { givenStack, hasScratchDisk, type LayerStack, requireScratch } from "./layer_stack.ts";
import { withRecord } from "./mount_records.ts";
import type { MountedLayers } from "./mounted_layers.ts";
import type { WCOWLayers } from "./parse_layers.ts";
import { acquireMountPointAt } from "./sandbox_volume.ts";
import { vmCode } from "./vm_code.ts";
import { acquireFolders, acquireImage, checkHostLayers } from "./wcow_host.ts";

/**
 * Options of {@linkcode mountWCOWLayers}.
 *
 * @category Layers on the host
 */
export interface MountWCOWLayersOptions extends HostOptions {
  /** Absolute path of a missing or empty folder at which the scratch volume is also mounted. Not available with `vm`. */
  volumeMountPath?: string | undefined;
  /**
   * Whether to create the scratch from the read-only layers if its folder has no disk, or one that a process didn't complete that
   * has ended. The layers must be plain folders.
   * The scratch stays when the layers are released; it is removed only if the mount fails. Default: false.
   */
  createScratch?: boolean | undefined;
  /**
   * Whether the mount is meant to outlive this process. Otherwise, {@linkcode recover} releases it once this process has
   * ended. Not available with `vm`. Default: false.
   */
  permanent?: boolean | undefined;
  /**
   * Whether to release first what a process left of the scratch that has ended, as {@linkcode recover} does. Not available with
   * `vm`. Default: false, so that such a scratch is refused with an {@linkcode InUseError}.
   */
  recover?: boolean | undefined;
  /**
   * Whether the guest formats the scratch disk with ReFS before it mounts it, so that what was on it is lost, as confidential
   * guests do. Only for images in a VM. Default: false.
   */
  formatWithRefs?: boolean | undefined;
  /** A running Windows VM in which the layers are mounted, instead of on the host. Its host replaces `host`. */
  vm?: UtilityVM | undefined;
}

/**
 * Mounts the layers of a Windows container: on the host for a process-isolated container, or in a utility VM.
 *
 * On the host, it attaches the scratch disk (`ActivateLayer`), and then makes the read-only layers visible in its volume.
 * If the layers are plain folders, the WCIFS filter does that (`PrepareLayer`). If the topmost layer has a CIM image
 * (`cim-layers\<name>.cim` next to its folder), the image is mounted (`CimMountImage`), and the UnionFS filter shows it
 * (`HcsAttachOverlayFilter`). The image contains the files of all layers, so the folders of the lower layers are not used.
 * With the WCIFS filter, both steps are tried up to five times, 100 ms apart, if Windows reports that the disk isn't ready.
 *
 * In a VM, the read-only layers are shared (VSMB), the scratch disk is attached (SCSI), and the guest combines them. Images that
 * each have a file of their own become disks instead (SCSI), which the guest mounts as one volume; only the agent of
 * confidential guests does that.
 *
 * If a step fails or the signal is aborted, everything acquired is released before the call rejects.
 * Only one `PrepareLayer` runs at a time in a process, so mounts wait for their turn. The signal ends that wait as
 * well: a deadline includes it.
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
 * @param layerFolders Absolute paths of the layers' folders: the read-only layers from the topmost to the base, then the scratch. No two
 * read-only folders may have the same name, because Windows identifies a layer by that. Or layers whose form is known, as
 * {@linkcode parseWCOWLayers} returns them; images that are named like that are mounted before the disk is attached.
 * @throws {InvalidInputError} if an argument is refused. Nothing was changed.
 * @throws {UnsupportedBuildError} if Windows is older than build 17763; for CIM images, if it is neither 20348.2031 or a
 * later revision of it, nor 26100 or later; for images that each have their own file or disk, if it is older than 27766, or
 * than 27800 if they are verified.
 * @throws {InUseError} if the scratch is already mounted or was never completed, or its disk stays in use. Nothing was changed.
 * @throws {HungCallError} if another mount's `PrepareLayer` doesn't return for a minute; or if this one was cancelled, and a call of
 * Windows doesn't return.
 * @throws {NoRoomError} if the VM has no slots for the disks. Nothing was changed.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports as done what has no effect, or returns what makes no sense.
 * @throws {UnwindError} if Windows refuses, and what was acquired before couldn't be released.
 * @category Layers on the host
 */
export async function mountWCOWLayers(
  containerId: string,
  layerFolders: readonly string[] | WCOWLayers,
  options: MountWCOWLayersOptions = {},
): Promise<MountedLayers> {
  requireText(containerId, "containerId");
  const named = givenStack(layerFolders);
  const {
    vm: layerVM,
    createScratch,
    permanent,
    recover,
    volumeMountPath,
    formatWithRefs = false,
    signal,
    timeout,
    ...given
  } = hostOptions(
    options,
    {
      volumeMountPath: optional(namedFolder),
      createScratch: optional(boolean),
      permanent: optional(boolean),
      recover: optional(boolean),
      formatWithRefs: optional(boolean),
      vm: optional((vm) => requireLayerVM(vm, "windows")),
    },
  );
  const host = layerVM?.vm.host ?? given.host;
  if (layerVM !== undefined && volumeMountPath !== undefined) {
    throw new InvalidInputError("volumeMountPath", "is not available with a VM", volumeMountPath);
  }
  if (layerVM !== undefined && permanent) {
    throw new InvalidInputError("permanent", "is not available with a VM, which ends with this process", permanent);
  }
  if (layerVM !== undefined && recover) {
    throw new InvalidInputError("recover", "is not available with a VM", recover);
  }
  if (formatWithRefs && (layerVM === undefined || named.image === undefined)) {
    throw new InvalidInputError("formatWithRefs", "is available only with images in a VM", formatWithRefs);
  }
  const about = [...named.named, layerVM?.vm.id];
  const wanted = { containerId, named, layerVM, createScratch, permanent, recover, volumeMountPath, formatWithRefs };
  return await perform(host, { signal, timeout }, about, (signal) => mount(host, wanted, signal));
}

// What was created stays from the moment at which the caller gets the mount: until then, an abort removes it with the mount.
function keep(holds: HoldList, created: readonly Held[], signal: AbortSignal | undefined): void {
  const disown = () => holds.disown(created);
  const operation = operationOf(signal);
  if (operation === undefined) disown();
  else operation.whenDone(disown);
}

interface WantedMount {
  readonly containerId: string;
  readonly named: LayerStack;
  readonly layerVM: LayerVM | undefined;
  readonly createScratch: boolean | undefined;
  readonly permanent: boolean | undefined;
  readonly recover: boolean | undefined;
  readonly volumeMountPath: string | undefined;
  readonly formatWithRefs: boolean;
}

async function mount(
  host: Host,
  { containerId, named, layerVM, createScratch, permanent, recover, volumeMountPath, formatWithRefs }: WantedMount,
  signal: AbortSignal | undefined,
): Promise<MountedLayers> {
  signal?.throwIfAborted();
  const inVM = layerVM && (vmCode.loaded ?? await vmCode.load());
  const { stack, image } = inVM === undefined ? checkHostLayers(host, named) : inVM.checkVMLayers(host, named);
  const newScratch = createScratch === true && !hasScratchDisk(host, stack);
  const scratchDisk = diskOf(stack.scratch);
  const claimNew = () => {
    // A scratch can be created only from plain folders.
    const found = image ?? (layerVM && imageOf(host, stack.layers[0]!, "layerFolders[0]"));
    if (found !== undefined) {
      throw new InvalidInputError("createScratch", "works with layers that are plain folders only", stack.layers[0]);
    }
    return claim(host, scratchDisk, stack.scratchArgument);
  };
  using _claim = newScratch ? claimNew() : undefined;
  if (!newScratch) {
    requireScratch(host, stack);
    requireUnclaimed(host, scratchDisk, stack.scratchArgument);
  }
  if (inVM !== undefined) {
    return await withHolds(async (holds) => {
      if (newScratch) await acquireNewScratch(host, holds, stack, signal);
      const created = holds.held;
      const { path, placements } = await inVM.acquireVMLayers(holds, layerVM!, stack, {
        containerId,
        formatWithRefs,
        signal,
      });
      signal?.throwIfAborted();
      keep(holds, created, signal);
      return mounted(host, holds, { path, volumeMountPath, placements });
    });
  }
  const session = sessionOf(host);
  const { mounts } = session;
  if (mounts.isMounting(stack.scratch)) {
    throw session.refusalOf(stack.scratch) ??
      new InUseError(stack.scratch, "is being mounted by another call", "this process");
  }
  using _mounting = mounts.startMount(stack.scratch, image === undefined ? stack.layers : [...stack.layers, image]);
  const cim = image === undefined ? undefined : { image, volume: await cimVolumeName(containerId) };
  return await changeScratch(host, stack.scratch, signal, async (records) => {
    const isRemoved = await requireUnmounted(host, records, stack.scratch, { recover, createScratch, signal });
    if (isRemoved && !createScratch) requireScratch(host, stack);
    using _late = isRemoved && !newScratch ? claimNew() : undefined;
    // Another process can have created it while this one waited for its turn.
    const isNewScratch = (newScratch || isRemoved) && !hasScratchDisk(host, stack);
    const place = volumeMountPath === undefined
      ? undefined
      : await mountPlace(host, volumeMountPath, "volumeMountPath", { container: stack, signal });
    using _claim = place === undefined ? undefined : claim(host, place, "volumeMountPath");
    const planned = {
      container: containerId,
      scratch: stack.scratch,
      // In a folder that is there already, nobody could tell whose the disk is.
      isNewScratch: isNewScratch && kindOf(host, stack.scratch) === undefined,
      layers: stack.layers,
      cim,
      volumeMountPath: place,
      isPermanent: permanent === true,
    };
    return await withRecord(host, records, planned, signal, async (holds, complete, id) => {
      const scratchFile = isNewScratch ? [await acquireNewScratch(host, holds, stack, signal)] : [];
      const created = holds.held;
      const mount = { host, records, stack, scratchFile };
      const { path, placements } = cim === undefined
        ? await acquireFolders(holds, mount, signal)
        : await acquireImage(holds, mount, cim, signal);
      signal?.throwIfAborted();
      if (place !== undefined) {
        await acquireMountPointAt(host, holds, { folder: place, volume: path }, signal);
      }
      await complete(path);
      signal?.throwIfAborted();
      keep(holds, created, signal);
      return mounted(host, holds, { ...id !== undefined && { id }, path, volumeMountPath, placements });
    });
  });
}
