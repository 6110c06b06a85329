/**
 * Unmounting in another process than the one that mounted.
 *
 * @module
 */

import { hostOptions, requireText } from "../checks/arguments.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { namedFolder } from "../checks/windows_path.ts";
import { isUnasked } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { mountPointsOfVolume } from "../ffi/kernel32.ts";
import { HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { ReleaseError } from "../holds/release_errors.ts";
import { activationOf, scratchVolume } from "../host_holds/activation.ts";
import { layerCimOf } from "../host_holds/cim_mount.ts";
import { cimNoteOf } from "../host_holds/cim_note.ts";
import { cimVolumeName } from "../host_holds/layer_image.ts";
import { overlayOf } from "../host_holds/overlay_filter.ts";
import { filterOf } from "../host_holds/wcifs_filter.ts";
import { requireBuild } from "../session/builds.ts";
import { sessionOf } from "../session/session.ts";
import { adoptMountPoint } from "./sandbox_volume.ts";

/**
 * Options of {@linkcode unmountWCOWLayers}.
 *
 * @category Layers on the host
 */
export interface UnmountWCOWLayersOptions extends HostOptions {
  /**
   * Id of the container. Needed only for a CIM image that another tool mounted, as this library leaves a note of the
   * image in the scratch folder.
   */
  containerId?: string | undefined;
  /**
   * A folder at which the volume was mounted. Needed only if the disk is gone and the mount point isn't, so that Windows
   * doesn't know of it any more.
   */
  volumeMountPath?: string | undefined;
}

/**
 * Unmounts what {@linkcode mountWCOWLayers} mounted on the host, from this process or another, knowing the scratch folder
 * alone: mount points of its volume with the folders that were created for them, the filter, the CIM image if there is
 * one, the disk. What is gone already counts as done, so that it can be called after a crash, or twice.
 *
 * ```ts
 * import { mountWCOWLayers, unmountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
 * // Later, in any process:
 * for (const { hold, wasHeld } of await unmountWCOWLayers("C:\\scratch", { host })) console.log(hold.kind, wasHeld);
 * ```
 *
 * @param scratchFolder Absolute path of the scratch layer's folder.
 * @returns What was released, in that order.
 * @throws {InvalidInputError} if an argument is of the wrong form.
 * @throws {ReleaseError} if something is still held.
 * @category Layers on the host
 */
export async function unmountWCOWLayers(
  scratchFolder: string,
  options: UnmountWCOWLayersOptions = {},
): Promise<ReleasedHold[]> {
  const scratch = namedFolder(scratchFolder, "scratchFolder");
  const { host, signal } = hostOptions(options, { containerId: true, volumeMountPath: true });
  const { containerId } = options;
  if (containerId !== undefined) {
    requireText(containerId, "containerId");
  }
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  signal?.throwIfAborted();
  requireGrantsFor(host, "unmount");
  requireBuild(host, "library", "Mounting layers");
  const image = containerId === undefined ? cimNoteOf(host, scratch)?.volume : await cimVolumeName(containerId);
  if (image !== undefined) requireGrantsFor(host, "image");
  const mount = sessionOf(host).mounts.mountOf(scratch);
  const released = await releaseScratch(host, { scratch, image, volumeMountPath, signal });
  // So that a release by the owner never touches what is mounted there later.
  mount?.disown(mount.held);
  return released;
}

/**
 * Releases what {@linkcode mountWCOWLayers} acquired on the host for a container on a CIM image, from this process or
 * another: mount points of the scratch volume, the overlay filter, the image, the scratch disk. Each step is tried, and
 * what is gone already counts as done, so that it can be called after a crash, or twice.
 *
 * ```ts
 * import { mountWCOWLayers, releaseCimFSHostLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addCimLayer("C:\\layers\\app");
 * host.addScratch("C:\\scratch");
 * await mountWCOWLayers("c1", ["C:\\layers\\app", "C:\\scratch"], { host });
 * await releaseCimFSHostLayers("C:\\scratch", "c1", { host });
 * ```
 *
 * @param scratchFolder Absolute path of the scratch layer's folder.
 * @param containerId Id of the container, after which the image's volume is named.
 * @returns What was released, in that order.
 * @throws {InvalidInputError} if an argument is of the wrong form.
 * @throws {ReleaseError} if something is still held.
 * @category Layers on the host
 */
export async function releaseCimFSHostLayers(
  scratchFolder: string,
  containerId: string,
  options: HostOptions = {},
): Promise<ReleasedHold[]> {
  requireText(containerId, "containerId");
  return await unmountWCOWLayers(scratchFolder, { ...options, containerId });
}

interface ScratchToRelease {
  readonly scratch: string;
  /** Volume of the CIM image; without one the scratch is released as one with the WCIFS filter. */
  readonly image: string | undefined;
  readonly volumeMountPath: string | undefined;
  readonly signal: AbortSignal | undefined;
}

// Puts into a list what a mount acquires, in the same order, and releases the list, which goes backwards.
async function releaseScratch(
  host: Host,
  { scratch, image, volumeMountPath, signal }: ScratchToRelease,
): Promise<ReleasedHold[]> {
  const holds = new HoldList();
  const disk = activationOf(host, scratch);
  holds.adopt(disk);
  const { volume, error } = await volumeOf(host, scratch);
  if (image === undefined) {
    holds.adopt(filterOf(host, { scratch }, [disk]));
  } else {
    const cim = layerCimOf(host, { volume: image, scratch });
    holds.adopt(cim);
    holds.adopt(overlayOf(host, { scratch, ...(volume && { volume }) }, [disk, cim]), { mayBeGone: true });
  }
  if (volumeMountPath !== undefined) {
    adoptMountPoint(host, holds, volumeMountPath);
  }
  if (volume !== undefined) {
    for (const path of mountPointsOfVolume(host, volume)) {
      adoptMountPoint(host, holds, path.replace(/\\$/, ""), volume);
    }
  }
  const released = await release(holds, signal);
  // A scratch that isn't mounted has no volume. This one was, so that its mount points may be left.
  if (error !== undefined && released.some(({ hold, wasHeld }) => hold.kind === "filter" && wasHeld)) {
    throw error;
  }
  return released;
}

async function volumeOf(host: Host, scratch: string): Promise<{ volume?: string; error?: unknown }> {
  try {
    return { volume: await scratchVolume(host, scratch) };
  } catch (error) {
    if (isUnasked(error)) throw error;
    return { error };
  }
}

async function release(holds: HoldList, signal: AbortSignal | undefined): Promise<ReleasedHold[]> {
  try {
    return await holds.release({ signal });
  } catch (error) {
    // Nobody knows how Windows says that an overlay filter isn't there. With the disk detached after it, it isn't.
    if (error instanceof ReleaseError && error.holds.every((hold) => hold.kind === "overlay")) {
      return await holds.release({ signal });
    }
    throw error;
  }
}
