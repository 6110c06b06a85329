/**
 * Layers of process-isolated Windows containers: what is taken of the host for them.
 *
 * @module
 */

import { join } from "jsr:@std/path@^1.1.0/windows";
import { win32 } from "../ffi/codes.ts";
import { InvalidInputError, NativeError } from "../ffi/errors.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, fileAttributes } from "../ffi/kernel32.ts";
import type { HoldList } from "../holds/hold_list.ts";
import { logger } from "../log.ts";
import { activation, SCRATCH_DISK, scratchVolume } from "../storage/activation.ts";
import { requireMinimumBuild } from "../storage/build.ts";
import { cimVolumeName, imageOf, requireCimFs } from "../storage/cim.ts";
import { cimVolume } from "../storage/cim_volume.ts";
import { filter } from "../storage/filter.ts";
import { overlay } from "../storage/overlay.ts";
import type { LayerStack } from "./layer_stack.ts";

/** Takes what a mount needs, and answers the volume of the scratch, `\\?\Volume{guid}\`. */
export type HostMount = (holds: HoldList, signal: AbortSignal | undefined) => Promise<string>;

/**
 * Looks at the stack, and decides how it is mounted. Changes nothing.
 *
 * @throws {InvalidInputError} if a folder, the disk or the image isn't there, or isn't what it should be.
 * @throws {UnsupportedBuildError} if Windows can't do it.
 */
export function planHostMount(host: Host, containerId: string, stack: LayerStack): HostMount {
  requireMinimumBuild(host);
  const top = stack.layers[0]!;
  const image = imageOf(host, top, "layerFolders[0]");
  if (image === undefined) {
    stack.layers.forEach((folder, i) => checkKind(host, folder, `layerFolders[${i}]`, "folder"));
  } else {
    requireCimFs(host);
  }
  const scratchArgument = `layerFolders[${stack.layers.length}]`;
  checkKind(host, stack.scratch, scratchArgument, "folder");
  checkKind(host, join(stack.scratch, SCRATCH_DISK), scratchArgument, "file");
  return image === undefined
    ? (holds, signal) => takeFiltered(host, holds, stack, signal)
    : (holds, signal) => takeImage(host, holds, { scratch: stack.scratch, layer: top, image, containerId, signal });
}

function checkKind(host: Host, path: string, argument: string, kind: "file" | "folder"): void {
  const attributes = fileAttributes(host, path);
  if (attributes === undefined) {
    throw new InvalidInputError(argument, `names a ${kind} that doesn't exist`, path);
  }
  if (((attributes & attribute.DIRECTORY) !== 0) !== (kind === "folder")) {
    throw new InvalidInputError(argument, `is not a ${kind}`, path);
  }
}

const ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 100;

async function takeFiltered(
  host: Host,
  holds: HoldList,
  { layers, scratch }: LayerStack,
  signal: AbortSignal | undefined,
): Promise<string> {
  for (let attempt = 1;; attempt++) {
    try {
      await holds.take(activation, { kind: "activation", scratch }, signal);
      await holds.take(filter, { kind: "filter", scratch, layers }, signal);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS || !isNotReady(error)) throw error;
      // Where undoing fails, the caller gets to try that again.
      if (await holds.unwind(error) !== error) throw error;
      logger().warn(`attempt ${attempt} of ${ATTEMPTS} to mount ${scratch}: ${error}`);
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
