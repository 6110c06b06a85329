/**
 * Layers of process-isolated Windows containers: what is taken of the host for them.
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import { messageOf } from "../printable.ts";
import { activation, scratchVolume } from "../host_holds/activation.ts";
import { requireMinimumBuild } from "../checks/builds.ts";
import { requireParents } from "../checks/existing.ts";
import { cimVolumeName, imageOf, requireCimFs } from "../host_holds/layer_image.ts";
import { cimVolume } from "../host_holds/cim_mount.ts";
import { filter } from "../host_holds/wcifs_filter.ts";
import { overlay } from "../host_holds/overlay_filter.ts";
import type { LayerMount, LayerStack } from "./layer_stack.ts";

/**
 * Looks at a stack that is to be mounted on the host, and decides how. The root is the volume of the scratch,
 * `\\?\Volume{guid}\`. Changes nothing.
 *
 * @throws {InvalidInputError} if a folder, the disk or the image isn't there, or isn't what it should be.
 * @throws {UnsupportedBuildError} if Windows can't do it.
 */
export function planHostMount(host: Host, containerId: string, stack: LayerStack): LayerMount {
  requireMinimumBuild(host);
  const layer = stack.layers[0]!;
  const image = imageOf(host, layer, "layerFolders[0]");
  if (image === undefined) {
    requireParents(host, stack.layers, "layerFolders");
    return (holds, signal) => takeFiltered(host, holds, stack, signal);
  }
  requireCimFs(host);
  return (holds, signal) => takeImage(host, holds, { scratch: stack.scratch, layer, image, containerId, signal });
}

const ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 100;

async function takeFiltered(
  host: Host,
  holds: HoldList,
  { layers, scratch }: LayerStack,
  signal: AbortSignal | undefined,
): Promise<string> {
  const before = holds.holds.length;
  for (let attempt = 1;; attempt++) {
    try {
      await holds.take(activation, { kind: "activation", scratch }, signal);
      await holds.take(filter, { kind: "filter", scratch, layers }, signal);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS || !isNotReady(error)) throw error;
      // Where undoing fails, the caller gets to try that again.
      if (await holds.unwind(error, before) !== error) throw error;
      log("warn", () => `attempt ${attempt} of ${ATTEMPTS} to mount ${scratch}: ${messageOf(error)}`);
    }
    await host.sleep(ATTEMPT_PAUSE_MS, signal);
  }
  return await scratchVolume(host, scratch);
}

// The volume of a disk that was just attached can be late, above all on Server 2019 under load.
function isNotReady(error: unknown): boolean {
  return error instanceof NativeError &&
    (error.win32 === win32.ERROR_NOT_READY || error.win32 === win32.ERROR_DEVICE_NOT_CONNECTED);
}

interface ImageMount {
  readonly scratch: string;
  readonly layer: string;
  readonly image: string;
  readonly containerId: string;
  readonly signal: AbortSignal | undefined;
}

async function takeImage(
  host: Host,
  holds: HoldList,
  { scratch, layer, image, containerId, signal }: ImageMount,
): Promise<string> {
  await holds.take(activation, { kind: "activation", scratch }, signal);
  const path = await scratchVolume(host, scratch);
  const volume = await cimVolumeName(containerId);
  await holds.take(cimVolume, { kind: "cimVolume", volume, scratch, image }, signal);
  await holds.take(overlay, { kind: "overlay", scratch, volume: path, layer, image: volume }, signal);
  return path;
}
