/**
 * The hold on a CIM image that is mounted as a volume.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { hasVolume } from "../checks/existing.ts";
import { volumeGuid } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { InUseError, UnexpectedAnswerError } from "../errors/state_errors.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { cimMountFlag, dismountImage, mountImage, mountMergedImage } from "../ffi/cimfs.ts";
import type { Host } from "../ffi/host.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { Expect } from "../holds/hold_list.ts";
import { HALF_MS, WAITED, waitUntil } from "../session/waiting.ts";

/** An image, and the volume that it is mounted as. */
export interface CimMountInit {
  /** The volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
  /** Path of the image. */
  readonly image: string;
  /** How it is mounted. Default: as an image whose files are read through the cache. */
  readonly how?: ImageMount;
}

/** How an image is mounted. */
export interface ImageMount {
  /** A sum of {@linkcode cimMountFlag}. */
  readonly flags: number;
  /** The paths of the images that it merges, the topmost first. Empty if it merges none. */
  readonly merges: readonly string[];
  /** The root hash by which Windows verifies it. */
  readonly rootHash?: Uint8Array<ArrayBuffer> | undefined;
}

/** Returns the hold on a mounted image, no matter which process mounted it. */
export function cimMountOf(host: Host, { volume, image }: CimMountInit): Held<HoldOf<"cimImage">> {
  return {
    hold: { kind: "cimImage", volume, image },
    restsOn: [],
    release: () => dismountHeld(host, volume),
  };
}

/**
 * Mounts an image.
 *
 * @throws {UnexpectedAnswerError} if Windows reports that it is mounted, and there is no such volume.
 */
export async function acquireCimMount(
  host: Host,
  init: CimMountInit,
  expect: Expect,
): Promise<Held<HoldOf<"cimImage">>> {
  const held = cimMountOf(host, init);
  await mountHeld(host, held, init, expect);
  return held;
}

/** Returns the hold on the mounted image of a container's layers, no matter which process mounted it. */
export function layerCimOf(host: Host, init: Omit<HoldOf<"cimVolume">, "kind">): Held<HoldOf<"cimVolume">> {
  return {
    hold: { kind: "cimVolume", ...init },
    restsOn: [],
    release: () => dismountHeld(host, init.volume),
  };
}

/** Mounts the image of a container's layers. */
export async function acquireLayerCim(
  host: Host,
  init: CimMountInit & { readonly scratch: string },
  expect: Expect,
): Promise<Held<HoldOf<"cimVolume">>> {
  const { volume, image, scratch } = init;
  const held = layerCimOf(host, { volume, image, scratch });
  await mountHeld(host, held, init, expect);
  return held;
}

// The call can fail after it had its effect. A volume that was there before is not its effect. One of which Windows didn't tell
// may be, or may be another's.
async function mountHeld(host: Host, held: Held, init: CimMountInit, expect: Expect): Promise<void> {
  const { volume } = init;
  const wasThere = hasVolume(host, volume) ?? hasVolume(host, volume);
  expect({
    ...held,
    release: async () => {
      if (wasThere === true) return false;
      const isThere = hasVolume(host, volume);
      if (wasThere === false) return isThere !== false && await held.release();
      if (isThere === true) {
        throw new InUseError(volume, "is there, and Windows didn't tell whether it was there before");
      }
      return false;
    },
  });
  await mount(host, init);
  if (hasVolume(host, volume) === false) {
    const { merges, rootHash } = init.how ?? CACHED;
    const by = `Cim${merges.length > 0 ? "Merge" : ""}Mount${rootHash === undefined ? "" : "Verified"}Image`;
    throw new UnexpectedAnswerError(by, `reports success although there is no ${volume}`, 0);
  }
}

const CACHED: ImageMount = { flags: cimMountFlag.CACHE_FILES, merges: [] };

function mount(host: Host, { volume, image, how = CACHED }: CimMountInit): Promise<void> {
  const { flags, merges, rootHash } = how;
  const [file, ...others] = [image, ...merges].map((path) => ({ folder: dirname(path), name: basename(path) }));
  return merges.length === 0
    ? mountImage(host, file!, volumeGuid(volume), flags, rootHash)
    : mountMergedImage(host, [file!, ...others], volumeGuid(volume), flags, rootHash);
}

/**
 * Dismounts the volume of an image, no matter which process mounted it. Returns false if there is no such volume, or it isn't
 * that of an image.
 */
export async function dismount(host: Host, volume: string): Promise<boolean> {
  if (!await dismountOnce(host, volume)) {
    // Windows may be wrong once about what is there.
    if (hasVolume(host, volume) !== true || !await dismountOnce(host, volume)) return false;
  }
  const isGone = () => waitUntil(host, `${volume} is gone`, () => hasVolume(host, volume) !== true, undefined, HALF_MS);
  if (await isGone() || !await dismountOnce(host, volume) || await isGone()) return true;
  throw new InUseError(volume, `is still there ${WAITED} after CimDismountImage reported that it was dismounted`);
}

// Here, the volume is known to be that of an image. Without its record, nobody would find it.
async function dismountHeld(host: Host, volume: string): Promise<boolean> {
  const wasHeld = await dismount(host, volume);
  if (wasHeld || hasVolume(host, volume) === false) return wasHeld;
  throw new InUseError(volume, "may still be there, although CimDismountImage reports that it isn't");
}

async function dismountOnce(host: Host, volume: string): Promise<boolean> {
  try {
    await dismountImage(host, volumeGuid(volume));
    return true;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_FILE_NOT_FOUND) return false;
    throw error;
  }
}
