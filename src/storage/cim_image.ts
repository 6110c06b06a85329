/**
 * CIM images mounted as volumes, one by one. `mountWCOWLayers` mounts those of layers.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { cimMountFlag, dismountImage, mountImage } from "../ffi/cimfs.ts";
import { win32 } from "../errors/codes.ts";
import { NativeError, UnsupportedBuildError } from "../errors/windows_errors.ts";
import { defaultHost, type Host } from "../ffi/host.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { acquire } from "../holds/hold_list.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { buildOf } from "../checks/builds.ts";
import { requireKind } from "../checks/existing.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { volumeRoot, windowsPath } from "../checks/windows_path.ts";

/** Options of {@linkcode mountCimImage}. */
export type MountCimImageOptions = HostOptions;

/** An image mounted by {@linkcode mountCimImage}. */
export interface MountedCimImage extends Mounted {
  /** Path of the image. */
  readonly image: string;
  /** Its volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}

interface CimImageHold extends Hold {
  readonly kind: "cimImage";
  readonly volume: string;
  readonly image: string;
}

const cimImage: HoldKind<CimImageHold> = {
  kind: "cimImage",

  async take(host, hold) {
    const image = { folder: dirname(hold.image), name: basename(hold.image) };
    await mountImage(host, image, guidOf(hold.volume), cimMountFlag.CACHE_FILES);
    return hold;
  },

  give: (host, hold) => dismount(host, hold.volume),
};

/**
 * Mounts a CIM image as a volume, read-only. It stays mounted until it is released, also when the process ends. From build
 * 19041.
 *
 * ```ts
 * import { mountCimImage } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addCimLayer("C:\\layers\\top");
 * const volume = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
 * await using mounted = await mountCimImage("C:\\layers\\cim-layers\\top.cim", volume, { host });
 * console.log(mounted.volume);
 * ```
 *
 * @param image Absolute path of the image.
 * @param volume The volume that it becomes, `\\?\Volume{guid}\` with a GUID of the caller's choice.
 * @throws {InvalidInputError} if there is no such image, or `volume` is no name of a volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {NativeError} if Windows refuses; `ERROR_ALREADY_EXISTS` if there is such a volume.
 */
export async function mountCimImage(
  image: string,
  volume: string,
  options: MountCimImageOptions = {},
): Promise<MountedCimImage> {
  const { host = defaultHost(), signal } = options;
  const path = windowsPath(image, "image");
  const root = volumeRoot(volume, "volume");
  signal?.throwIfAborted();
  requireCimFs(host);
  requireKind(host, path, "image", "file");
  return await acquire(host, async (holds) => {
    await holds.take(cimImage, { kind: "cimImage", volume: root, image: path }, signal);
    return mounted(holds, { image: path, volume: root });
  });
}

/** Options of {@linkcode dismountCimImage}. */
export type DismountCimImageOptions = HostOptions;

/**
 * Dismounts the volume of a CIM image, whoever mounted it.
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @returns False where there is no such volume.
 * @throws {InvalidInputError} if `volume` is no name of a volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {NativeError} if Windows refuses.
 */
export async function dismountCimImage(volume: string, options: DismountCimImageOptions = {}): Promise<boolean> {
  const { host = defaultHost(), signal } = options;
  const root = volumeRoot(volume, "volume");
  signal?.throwIfAborted();
  requireCimFs(host);
  return await dismount(host, root);
}

const CIMFS_BUILD = 19041;

function requireCimFs(host: Host): void {
  const build = buildOf(host);
  if (build < CIMFS_BUILD) {
    throw new UnsupportedBuildError("CimFS", `${build}`, `build ${CIMFS_BUILD} (version 2004) or later`);
  }
}

function guidOf(volume: string): string {
  return volume.slice("\\\\?\\Volume{".length, -"}\\".length);
}

async function dismount(host: Host, volume: string): Promise<boolean> {
  try {
    await dismountImage(host, guidOf(volume));
    return true;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_FILE_NOT_FOUND) return false;
    throw error;
  }
}
