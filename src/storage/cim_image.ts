/**
 * Mounting single CIM images as volumes. `mountWCOWLayers` mounts the images of layers.
 *
 * @module
 */

import { boolean, withHostOptions } from "../checks/arguments.ts";
import { requireKind } from "../checks/existing.ts";
import { shortPath, volumeRoot } from "../checks/windows_path.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { HostOptions, MountOptions } from "../ffi/host_options.ts";
import { type Mounted, mounted } from "../holds/mounted.ts";
import { acquireCimMount, dismount } from "../host_holds/cim_mount.ts";
import { optional } from "../options.ts";
import { requireBuild } from "../session/builds.ts";
import { onlyCall } from "../session/hung_call.ts";
import { releasePlace, withPlaceRecord } from "../session/place_records.ts";
import { sessionOf } from "../session/session.ts";

/**
 * An image mounted by {@linkcode mountCimImage}.
 *
 * @category Results
 */
export interface MountedCimImage extends Mounted {
  /** The id of its record, by which `releaseMount` knows it. Undefined if the host keeps none. */
  readonly id?: string;
  /** Path of the image. */
  readonly image: string;
  /** Its volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
}

/**
 * Mounts a CIM image as a read-only volume. It stays mounted until it is released, even after the process ends. Needs
 * Windows build 19041 or later.
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
 * @param volume The name of the new volume, `\\?\Volume{guid}\` with a GUID that you choose.
 * @throws {InvalidInputError} if there is no such image, or `volume` isn't the name of a volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {NativeError} if Windows refuses: with `ERROR_ALREADY_EXISTS` if there is a volume with that name.
 * @throws {UnexpectedAnswerError} if Windows reports success, and there is no such volume.
 * @category CIM images
 */
export async function mountCimImage(
  image: string,
  volume: string,
  options: MountOptions = {},
): Promise<MountedCimImage> {
  const further = { permanent: optional(boolean) };
  return await withHostOptions(options, further, [image, volume], async ({ host, signal, permanent }) => {
    const path = shortPath(image, "image");
    const root = volumeRoot(volume, "volume");
    signal?.throwIfAborted();
    requireBuild(host, "cimFs", "CimFS");
    requireKind(host, path, "image", "file");
    const place = { kind: "image", image: path, volume: root, isPermanent: permanent === true } as const;
    return await withPlaceRecord(host, place, signal, async (holds, id) => {
      await holds.acquire(async (expect) => {
        const records = sessionOf(host).records(host);
        // Images that were mounted side by side were seen to crash hosts.
        using _lock = records && await onlyCall(host, records, "CimMountImage", path, signal);
        return await acquireCimMount(host, { volume: root, image: path }, expect);
      }, signal);
      return mounted(host, holds, { ...id !== undefined && { id }, image: path, volume: root });
    });
  });
}

/**
 * Dismounts the volume of a CIM image, no matter which process mounted it.
 *
 * ```ts
 * import { dismountCimImage, mountCimImage } from "@hcs-layers/hcs-layers/storage";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addCimLayer("C:\\layers\\top");
 * const volume = `\\\\?\\Volume{${crypto.randomUUID()}}\\`;
 * await mountCimImage("C:\\layers\\cim-layers\\top.cim", volume, { host });
 * console.log(await dismountCimImage(volume, { host })); // true
 * ```
 *
 * @param volume The volume, `\\?\Volume{guid}\`.
 * @returns False if there is no such volume.
 * @throws {InvalidInputError} if `volume` isn't the name of a volume.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {InUseError} if a mount of this process shows it; or if it is there still after Windows has dismounted it.
 * @throws {NativeError} if Windows refuses.
 * @category CIM images
 */
export async function dismountCimImage(volume: string, options: HostOptions = {}): Promise<boolean> {
  return await withHostOptions(options, {}, [volume], async ({ host, signal }) => {
    const root = volumeRoot(volume, "volume");
    signal?.throwIfAborted();
    requireBuild(host, "cimFs", "CimFS");
    if (sessionOf(host).mounts.isShown(root)) {
      throw new InUseError(root, "is shown in a mounted scratch. Release its mount", "this process");
    }
    return await releasePlace(host, { kind: "image", volume: root }, signal, () => dismount(host, root));
  });
}
