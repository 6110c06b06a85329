/**
 * Unmounting in another process than the one that mounted.
 *
 * @module
 */

import { isUnasked } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import { mountPointsOfVolume } from "../ffi/kernel32.ts";
import { ReleaseError } from "../holds/release_errors.ts";
import { HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { activation, mountOf, scratchVolume } from "../host_holds/activation.ts";
import { requireMinimumBuild } from "../checks/builds.ts";
import { cimVolumeName } from "../host_holds/layer_image.ts";
import { cimNoteOf, cimVolume } from "../host_holds/cim_mount.ts";
import { filter } from "../host_holds/wcifs_filter.ts";
import { overlay } from "../host_holds/overlay_filter.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { checkText, namedFolder } from "../checks/windows_path.ts";
import { adoptMountPoint } from "./sandbox_volume.ts";

/** Options of {@linkcode unmountWCOWLayers}. */
export interface UnmountWCOWLayersOptions extends HostOptions {
  /**
   * Id of the container. Needed only for a CIM image that another tool mounted: this library leaves a note of the image
   * in the scratch folder.
   */
  containerId?: string | undefined;
  /**
   * A folder at which the volume was mounted. Needed only where the disk is gone and the mount point isn't, so that
   * Windows can't tell any more.
   */
  volumeMountPath?: string | undefined;
}

/** Options of {@linkcode releaseCimFSHostLayers}. */
export type ReleaseCimFSHostLayersOptions = HostOptions;

/**
 * Unmounts what {@linkcode mountWCOWLayers} mounted on the host, from this process or another, knowing the scratch folder
 * alone: mount points of its volume with the folders that were created for them, the filter, the CIM image if there is
 * one, the disk. What is gone already counts as done, so that it can be called after a crash, or twice.
 *
 * @param scratchFolder Absolute path of the scratch layer's folder.
 * @returns What was given back, in the order in which it was.
 * @throws {InvalidInputError} if an argument is of the wrong form.
 * @throws {ReleaseError} if something is held still.
 */
export async function unmountWCOWLayers(
  scratchFolder: string,
  options: UnmountWCOWLayersOptions = {},
): Promise<ReleasedHold[]> {
  const { host = defaultHost(), signal, containerId } = options;
  const scratch = namedFolder(scratchFolder, "scratchFolder");
  if (containerId !== undefined) {
    checkText(containerId, "containerId");
  }
  const volumeMountPath = options.volumeMountPath === undefined
    ? undefined
    : namedFolder(options.volumeMountPath, "volumeMountPath");
  signal?.throwIfAborted();
  requireMinimumBuild(host);
  const image = containerId === undefined ? cimNoteOf(host, scratch)?.volume : await cimVolumeName(containerId);
  const owner = mountOf(host, scratch);
  const released = await releaseScratch(host, { scratch, image, volumeMountPath, signal });
  // So that a release by the owner never touches what is mounted there later.
  owner?.keep(owner.holds);
  return released;
}

/**
 * Releases what {@linkcode mountWCOWLayers} took of the host for a container on a CIM image, from this process or another:
 * mount points of the scratch volume, the overlay filter, the image, the scratch disk. Each step is tried, and what is
 * gone already counts as done, so that it can be called after a crash, or twice.
 *
 * @param scratchFolder Absolute path of the scratch layer's folder.
 * @param containerId Id of the container, after which the image's volume is named.
 * @returns What was given back, in the order in which it was.
 * @throws {InvalidInputError} if an argument is of the wrong form.
 * @throws {ReleaseError} if something is held still.
 */
export async function releaseCimFSHostLayers(
  scratchFolder: string,
  containerId: string,
  options: ReleaseCimFSHostLayersOptions = {},
): Promise<ReleasedHold[]> {
  checkText(containerId, "containerId");
  return await unmountWCOWLayers(scratchFolder, { ...options, containerId });
}

interface Scratch {
  readonly scratch: string;
  /** Volume of the CIM image; without one the scratch is released as one with the WCIFS filter. */
  readonly image: string | undefined;
  readonly volumeMountPath: string | undefined;
  readonly signal: AbortSignal | undefined;
}

async function releaseScratch(
  host: Host,
  { scratch, image, volumeMountPath, signal }: Scratch,
): Promise<ReleasedHold[]> {
  const holds = new HoldList(host);
  holds.adopt(activation, { kind: "activation", scratch });
  if (image === undefined) {
    holds.adopt(filter, { kind: "filter", scratch, layers: [] });
  }
  const { volume, error } = await volumeOf(host, scratch);
  if (image !== undefined) {
    holds.adopt(cimVolume, { kind: "cimVolume", volume: image, scratch });
    holds.adopt(overlay, { kind: "overlay", scratch, ...(volume && { volume }) }, { mayBeGone: true });
  }
  if (volumeMountPath !== undefined) {
    adoptMountPoint(holds, volumeMountPath);
  }
  if (volume !== undefined) {
    for (const path of mountPointsOfVolume(host, volume)) {
      adoptMountPoint(holds, path.replace(/\\$/, ""), volume);
    }
  }
  const released = await release(holds, signal);
  // Where the scratch wasn't mounted, Windows had no volume to tell.
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
