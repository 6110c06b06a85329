/**
 * Layers of process-isolated Windows containers: what is acquired on the host for them.
 *
 * @module
 */

import { isDiskInUse, requireFolders } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { pathKey, volumeGuid } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { messageOf } from "../errors/printable.ts";
import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { cimMountFlag } from "../ffi/cimfs.ts";
import type { Host } from "../ffi/host.ts";
import { operationOf } from "../ffi/operation.ts";
import type { Held } from "../holds/hold.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { acquireActivation, scratchVolume } from "../host_holds/activation.ts";
import { acquireLayerCim, type CimMountInit } from "../host_holds/cim_mount.ts";
import { imageOf, requireImageFile } from "../host_holds/layer_image.ts";
import { acquireOverlay } from "../host_holds/overlay_filter.ts";
import { acquireFilter } from "../host_holds/wcifs_filter.ts";
import { log } from "../log.ts";
import { cimLayersDependOnRevision, requireBuild, requireCimLayers } from "../session/builds.ts";
import type { Records } from "../records/records.ts";
import { onlyCall } from "../session/hung_call.ts";
import { layerId, sessionOf } from "../session/session.ts";
import { type AcquiredLayers, type LayerStack, type NamedImage, realStack } from "./layer_stack.ts";

/**
 * Checks a stack that is to be mounted on the host. Returns it with real paths, and the path of its image, or undefined if its
 * layers are plain folders.
 *
 * @throws {InvalidInputError} if a folder or the image is missing, or of the wrong kind.
 * @throws {UnsupportedBuildError} if this Windows is too old.
 */
export function checkHostLayers(
  host: Host,
  named: LayerStack,
): { readonly stack: LayerStack; readonly image: string | undefined } {
  requireGrantsFor(host, "mount");
  requireBuild(host, "library", "Mounting layers");
  const stack = realStack(host, named);
  if (stack.image !== undefined) {
    requireNamedImage(host, stack.image);
    return { stack, image: stack.image.path };
  }
  const image = imageOf(host, stack.layers[0]!, "layerFolders[0]");
  if (image === undefined) {
    requireFolders(host, stack.layers, "layerFolders");
  } else {
    requireGrantsFor(host, cimLayersDependOnRevision(host) ? "imageByRevision" : "image");
    requireCimLayers(host);
  }
  return { stack, image };
}

function requireNamedImage(host: Host, { how: { flags, rootHash }, files }: NamedImage): void {
  const isBlock = (flags & (cimMountFlag.SINGLE_FILE | cimMountFlag.BLOCK_DEVICE)) !== 0;
  requireGrantsFor(host, !isBlock && cimLayersDependOnRevision(host) ? "imageByRevision" : "image");
  if (rootHash !== undefined) {
    requireBuild(host, "verifiedImages", "Mounting a verified image");
  } else if (isBlock) {
    requireBuild(host, "blockImages", "Mounting an image that has a file or a disk of its own");
  } else {
    requireCimLayers(host);
  }
  files.forEach(({ path, argument }) => requireImageFile(host, path, argument));
}

/** The parts of a mount on the host. */
export interface HostMount {
  /** The machine. */
  readonly host: Host;
  /** The records of mounts, unless the host keeps none. */
  readonly records: Records | undefined;
  /** The folders. */
  readonly stack: LayerStack;
  /** What the disk of the scratch rests on: the hold on its file, if that was created by this call. */
  readonly scratchFile: readonly Held[];
}

const ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 100;

/** Mounts plain folders: the disk, then the WCIFS filter. Tries both again if Windows reports that the disk isn't ready. */
export async function acquireFolders(
  holds: HoldList,
  { host, records, stack: { named, layers, scratch }, scratchFile }: HostMount,
  signal: AbortSignal | undefined,
): Promise<AcquiredLayers> {
  const before = holds.holds.length;
  for (let attempt = 1;; attempt++) {
    try {
      const disk = await holds.acquire(
        (expect) => acquireActivation(host, scratch, { restsOn: scratchFile, signal, expect }),
        signal,
      );
      await holds.acquire(
        (expect) => acquireFilter(host, { scratch, layers }, { restsOn: [disk], signal, expect, records }),
        signal,
      );
      break;
    } catch (error) {
      if (attempt === ATTEMPTS || !isNotReady(error)) throw error;
      // If undoing fails, what is left stays in the list, and the caller releases it.
      if (await holds.unwind(error, before) !== error) throw error;
      log("warn", () => `attempt ${attempt} of ${ATTEMPTS} to mount ${scratch}: ${messageOf(error)}`);
    }
    await host.sleep(ATTEMPT_PAUSE_MS, signal);
  }
  const path = await newVolume(host, scratch);
  return {
    path,
    placements: [
      ...named.slice(0, -1).map((layer) =>
        ({ layer, scratch: false, device: { kind: "wcifs" }, path: layer }) as const
      ),
      { layer: named.at(-1)!, scratch: true, device: { kind: "disk" }, path },
    ],
  };
}

// The volume of a newly attached disk can be late, in particular on Server 2019 under load.
function isNotReady(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_NOT_READY || error.win32 === win32.ERROR_DEVICE_NOT_CONNECTED);
}

/** Mounts layers with a CIM image: the disk, the image, then the overlay filter. If the caller named the image, it comes first. */
export async function acquireImage(
  holds: HoldList,
  mount: HostMount,
  image: CimMountInit,
  signal: AbortSignal | undefined,
): Promise<AcquiredLayers> {
  const { host, stack: { named, layers, scratch, image: namedImage } } = mount;
  const init = namedImage === undefined ? image : { ...image, how: namedImage.how };
  [image.image, image.volume].forEach((what) => operationOf(signal)?.concerns(what));
  const first = namedImage === undefined ? undefined : await acquireMountedImage(holds, mount, init, signal);
  const disk = await holds.acquire(
    (expect) => acquireActivation(host, scratch, { restsOn: mount.scratchFile, signal, expect }),
    signal,
  );
  const path = await newVolume(host, scratch);
  operationOf(signal)?.concerns(path);
  const cim = first ?? await acquireMountedImage(holds, mount, init, signal);
  const overlay = { scratch, volume: path, layer: layers[0]!, image: image.volume };
  const id = namedImage === undefined ? layerId(host, layers[0]!) : volumeGuid(image.volume);
  await holds.acquire((expect) => acquireOverlay(host, overlay, id, { restsOn: [disk, cim], expect }), signal);
  sessionOf(host).mounts.setLayers(scratch, [...layers, image.image, image.volume]);
  return {
    path,
    placements: [
      ...named.slice(0, -1).map((layer) =>
        ({ layer, scratch: false, device: { kind: "cim", image: image.image }, path: image.volume }) as const
      ),
      { layer: named.at(-1)!, scratch: true, device: { kind: "disk" }, path },
    ],
  };
}

// An answer can be wrong once, and the container would get the files of another one.
async function newVolume(host: Host, scratch: string): Promise<string> {
  const { mounts } = sessionOf(host);
  for (let isLast = false;; isLast = true) {
    const volume = await scratchVolume(host, scratch);
    const owner = mounts.scratchWithVolumeOf(volume);
    if (owner === undefined || pathKey(owner) === pathKey(scratch) || !isDiskInUse(host, owner)) return volume;
    if (isLast) {
      throw new UnexpectedAnswerError("GetLayerMountPath", `is the volume of another scratch (${owner})`, volume);
    }
  }
}

function acquireMountedImage(
  holds: HoldList,
  { host, records, stack: { scratch } }: HostMount,
  image: CimMountInit,
  signal: AbortSignal | undefined,
): Promise<Held> {
  return holds.acquire(async (expect) => {
    // Images that were mounted side by side were seen to crash hosts.
    using _lock = records && await onlyCall(host, records, "CimMountImage", scratch, signal);
    return await acquireLayerCim(host, { ...image, scratch }, expect);
  }, signal);
}
