/**
 * Unmounting by the scratch folder, also in another process than the one that mounted.
 *
 * @module
 */

import { hostOptions, requireText, text } from "../checks/arguments.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { namedFolder } from "../checks/windows_path.ts";
import { neverReachedWindows } from "../errors/windows_errors.ts";
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
import { optional } from "../options.ts";
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
   * Id of the container. Needed only if another tool mounted a CIM image. This library leaves a note in the scratch folder
   * that names the image.
   */
  containerId?: string | undefined;
  /**
   * A folder at which the volume was mounted. Needed only if the disk is gone and the mount point is left, because Windows
   * then doesn't list the mount point any more.
   */
  volumeMountPath?: string | undefined;
}

/**
 * Unmounts what {@linkcode mountWCOWLayers} mounted on the host, in this process or another. The scratch folder is enough
 * to find everything: the mount points of its volume with the folders that were created for them, the filter, the CIM
 * image if there is one, and the disk. Succeeds for what is already gone, so you can call it after a crash, or twice.
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
 * @returns What was released, in the order of the releases.
 * @throws {InvalidInputError} if an argument is of the wrong form.
 * @throws {ReleaseError} if something is still held.
 * @category Layers on the host
 */
export async function unmountWCOWLayers(
  scratchFolder: string,
  options: UnmountWCOWLayersOptions = {},
): Promise<ReleasedHold[]> {
  const scratch = namedFolder(scratchFolder, "scratchFolder");
  const { host, signal, containerId, volumeMountPath } = hostOptions(options, {
    containerId: optional(text),
    volumeMountPath: optional(namedFolder),
  });
  signal?.throwIfAborted();
  requireGrantsFor(host, "unmount");
  requireBuild(host, "library", "Mounting layers");
  const image = containerId === undefined ? cimNoteOf(host, scratch)?.volume : await cimVolumeName(containerId);
  if (image !== undefined) requireGrantsFor(host, "image");
  const mount = sessionOf(host).mounts.mountOf(scratch);
  const released = await releaseScratch(host, { scratch, image, volumeMountPath, signal });
  // Otherwise, a later release by the owner could release what is mounted there by then.
  mount?.disown(mount.held);
  return released;
}

/**
 * Releases what {@linkcode mountWCOWLayers} acquired on the host for a container on a CIM image, in this process or
 * another: the mount points of the scratch volume, the overlay filter, the image, and the scratch disk. It tries each step,
 * and succeeds for what is already gone, so you can call it after a crash, or twice.
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
 * @returns What was released, in the order of the releases.
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
  return await unmountWCOWLayers(scratchFolder, { ...hostOptions(options, {}), containerId });
}

interface ScratchToRelease {
  readonly scratch: string;
  /** Volume of the CIM image. If undefined, the scratch has the WCIFS filter. */
  readonly image: string | undefined;
  readonly volumeMountPath: string | undefined;
  readonly signal: AbortSignal | undefined;
}

// Adds what a mount acquires to a list, in the same order, and releases the list in reverse.
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
  // A scratch that isn't mounted has no volume. This one was mounted, so some of its mount points may be left.
  if (error !== undefined && released.some(({ hold, wasHeld }) => hold.kind === "filter" && wasHeld)) {
    throw error;
  }
  return released;
}

async function volumeOf(host: Host, scratch: string): Promise<{ volume?: string; error?: unknown }> {
  try {
    return { volume: await scratchVolume(host, scratch) };
  } catch (error) {
    if (neverReachedWindows(error)) throw error;
    return { error };
  }
}

async function release(holds: HoldList, signal: AbortSignal | undefined): Promise<ReleasedHold[]> {
  try {
    return await holds.release({ signal });
  } catch (error) {
    // Nobody knows which error Windows returns for a missing overlay filter. Now that the disk is detached, it is gone.
    if (error instanceof ReleaseError && error.holds.every((hold) => hold.kind === "overlay")) {
      return await holds.release({ signal });
    }
    throw error;
  }
}
