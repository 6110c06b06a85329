/**
 * Mounting the volume of a scratch disk at a folder.
 *
 * @module
 */

import { boolean, withHostOptions } from "../checks/arguments.ts";
import { hasVolume, isLink, kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { namedFolder, volumeRoot } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions, MountOptions } from "../ffi/host_options.ts";
import type { Held } from "../holds/hold.ts";
import { HoldList } from "../holds/hold_list.ts";
import { mounted } from "../holds/mounted.ts";
import { acquireFolder, folderOf } from "../host_holds/mount_folder.ts";
import { mountPlace, placeOfMountPoint, requireUnmoved } from "../host_holds/mount_place.ts";
import { acquireMountPoint, mountedVolume, mountPointOf } from "../host_holds/mount_point.ts";
import { optional } from "../options.ts";
import { claim } from "../session/creations.ts";
import { releasePlace, withPlaceRecord } from "../session/place_records.ts";
import type { MountedVolume } from "./mounted_layers.ts";

/**
 * Mounts the volume of a scratch disk at a folder. If the folder or its parents are missing, they are created; if the
 * folder exists, it must be empty. If a step fails, only what was created is removed.
 *
 * ```ts
 * import { mountSandboxVolume } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
 * await using mounted = await mountSandboxVolume("C:\\mnt\\c1", volume, { host });
 * console.log(mounted.path);
 * ```
 *
 * @param hostPath Absolute path of the folder, such as `C:\mnt\c1`.
 * @param volumeName The volume, `\\?\Volume{guid}` with or without a closing `\`.
 * @throws {InvalidInputError} if a path is of the wrong form, or the folder is a file, not empty, or a mount point, or
 * another call of this process is mounting there.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnexpectedAnswerError} if Windows reports success, and the folder shows no volume.
 * @throws {UnwindError} if Windows refuses, and what was created couldn't be removed, or may be another process's.
 * @category Layers on the host
 */
export async function mountSandboxVolume(
  hostPath: string,
  volumeName: string,
  options: MountOptions = {},
): Promise<MountedVolume> {
  const further = { permanent: optional(boolean) };
  return await withHostOptions(options, further, [hostPath, volumeName], async ({ host, signal, permanent }) => {
    const path = namedFolder(hostPath, "hostPath");
    const volume = volumeRoot(volumeName, "volumeName");
    signal?.throwIfAborted();
    requireGrantsFor(host, "mountPoint");
    const folder = await mountPlace(host, path, "hostPath", { signal });
    using _claim = claim(host, folder, "hostPath");
    const place = { kind: "volume", folder, volume, isPermanent: permanent === true } as const;
    return await withPlaceRecord(host, place, signal, async (holds, id) => {
      await acquireMountPointAt(host, holds, { folder, volume }, signal);
      return mounted(host, holds, { ...id !== undefined && { id }, path, volume });
    });
  });
}

/** A volume, and the folder to mount it at. */
interface MountPointInit {
  readonly folder: string;
  readonly volume: string;
}

/**
 * Acquires a folder that was checked by {@linkcode mountPlace}, which is created if it is missing, and the mount point on it.
 *
 * @throws {InUseError} if the way to it was led elsewhere since, before or while the mount point was made.
 */
export async function acquireMountPointAt(
  host: Host,
  holds: HoldList,
  init: MountPointInit,
  signal: AbortSignal | undefined,
): Promise<void> {
  const folder = await holds.acquire((expect) => acquireFolder(host, init.folder, expect), signal);
  requireUnmoved(host, init.folder);
  await holds.acquire((expect) => acquireMountPoint(host, init, { restsOn: [folder], expect }), signal);
  requireUnmoved(host, init.folder);
}

/** Adds the mount point at a folder to the holds to release, and also the folder if this library created it. */
export function adoptMountPoint(
  host: Host,
  holds: HoldList,
  { folder: path, volume }: { readonly folder: string; readonly volume?: string | undefined },
  foundBy: readonly Held[] = [],
): void {
  const folder = folderOf(host, path);
  holds.adopt(folder);
  holds.adopt(mountPointOf(host, { folder: path, ...(volume && { volume }) }, [folder, ...foundBy]));
}

/**
 * {@linkcode adoptMountPoint} for a folder of a record. Of a volume that isn't known, as the process died before it had recorded it, only
 * what links to one that is gone can be left there.
 */
export function adoptRecordedPlace(host: Host, holds: HoldList, folder: string, volume: string | undefined): void {
  const its = volume ?? goneVolumeAt(host, folder);
  if (its === undefined) holds.adopt(folderOf(host, folder));
  else adoptMountPoint(host, holds, { folder, volume: its });
}

function goneVolumeAt(host: Host, folder: string): string | undefined {
  if (!isLink(host, folder)) return undefined;
  const shown = mountedVolume(host, folder);
  if (shown === undefined) return undefined;
  // Without an answer, the record would go, and with it all that tells whose this is.
  const isThere = hasVolume(host, shown) ?? kindOf(host, shown) !== undefined;
  return isThere ? undefined : shown;
}

/**
 * Removes the mount point from a folder, no matter which process mounted it. If {@linkcode mountSandboxVolume} or
 * {@linkcode mountWCOWLayers} created the folder, it is removed too. Succeeds if the folder isn't a mount point or doesn't
 * exist.
 *
 * ```ts
 * import { mountSandboxVolume, removeSandboxMountPoint } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * const volume = host.addVolume("11111111-2222-3333-4444-555555555555");
 * await mountSandboxVolume("C:\\mnt\\c1", volume, { host });
 * await removeSandboxMountPoint("C:\\mnt\\c1", { host });
 * console.log(host.exists("C:\\mnt\\c1")); // false
 * ```
 *
 * @param hostPath Absolute path of the folder.
 * @throws {InvalidInputError} if the path is of the wrong form.
 * @throws {ReleaseError} if Windows refuses.
 * @category Layers on the host
 */
export async function removeSandboxMountPoint(
  hostPath: string,
  options: HostOptions = {},
): Promise<void> {
  return await withHostOptions(options, {}, [hostPath], async ({ host, signal }) => {
    const path = namedFolder(hostPath, "hostPath");
    signal?.throwIfAborted();
    requireGrantsFor(host, "mountPoint");
    const folder = placeOfMountPoint(host, path);
    await releasePlace(host, { kind: "volume", folder }, signal, async () => {
      const holds = new HoldList();
      adoptMountPoint(host, holds, { folder });
      return await holds.release({ signal });
    });
  });
}
