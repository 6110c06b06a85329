/**
 * Unmounting by the scratch folder, also in another process than the one that mounted.
 *
 * @module
 */

import { hostOptions, requireText, text } from "../checks/arguments.ts";
import { hasVolume, isDiskInUse, kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { toldRealPath } from "../checks/real_path.ts";
import { diskOf, namedFolder, pathKey } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { operationOf, perform } from "../ffi/operation.ts";
import type { Hold } from "../holds/hold.ts";
import { HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { activationOf, requireVolumeGone } from "../host_holds/activation.ts";
import { layerCimOf } from "../host_holds/cim_mount.ts";
import { cimVolumeName } from "../host_holds/layer_image.ts";
import { placeOfMountPoint } from "../host_holds/mount_place.ts";
import { mayBeGone, overlayOf } from "../host_holds/overlay_filter.ts";
import { filterOf } from "../host_holds/wcifs_filter.ts";
import { optional } from "../options.ts";
import type { MountRecord } from "../records/record.ts";
import type { Records } from "../records/records.ts";
import { requireBuild } from "../session/builds.ts";
import { sessionOf } from "../session/session.ts";
import { isOpenToVM, vmUsing } from "../session/vm_files.ts";
import { isFree } from "../session/waiting.ts";
import { listMountPoints, requireNobodyElses, volumeOf, volumeShown } from "./found_volume.ts";
import { changeKnownScratch } from "./known_scratch.ts";
import { halfScratchOf, leftOf } from "./left_over.ts";
import { formerRecordOf, guardReleases, isOfAnother, lastVolume, noteRecord, recordedPath } from "./mount_records.ts";
import { adoptMountPoint, adoptRecordedPlace } from "./sandbox_volume.ts";

/**
 * Options of {@linkcode unmountWCOWLayers}.
 *
 * @category Layers on the host
 */
export interface UnmountWCOWLayersOptions extends HostOptions {
  /**
   * Id of the container. Needed only if another tool mounted a CIM image. The record of a mount of this library
   * names the image.
   */
  containerId?: string | undefined;
  /**
   * A folder at which the volume was mounted. Needed only if Windows doesn't list the mount point: the disk is gone and the
   * mount point is left, or the mounting process was killed when it had created the folders, before it mounted the volume.
   */
  volumeMountPath?: string | undefined;
}

/**
 * Unmounts what {@linkcode mountWCOWLayers} mounted on the host, in this process or another. The scratch folder is enough
 * to find everything: the mount points of its volume with the folders that were created for them, the filter, the CIM
 * image if there is one, and the disk. Succeeds for what is already gone, so you can call it after a crash, or twice.
 *
 * A scratch that a mount was creating when its process ended is removed, as it can be half.
 *
 * It also unmounts what other tools mounted. Only for a CIM image, it needs the id of the container then.
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
 * @throws {InvalidInputError} if an argument is of the wrong form, or the container has the image on another scratch.
 * @throws {InUseError} if this process is mounting the scratch, or a VM uses it. Nothing was changed.
 * @throws {ReleaseError} if something is still held.
 * @throws {HungCallError} if it was cancelled, and a call of Windows doesn't return.
 * @category Layers on the host
 */
export async function unmountWCOWLayers(
  scratchFolder: string,
  options: UnmountWCOWLayersOptions = {},
): Promise<ReleasedHold[]> {
  const named = namedFolder(scratchFolder, "scratchFolder");
  const { host, signal, timeout, containerId, volumeMountPath } = hostOptions(options, {
    containerId: optional(text),
    volumeMountPath: optional(namedFolder),
  });
  return await perform(
    host,
    { signal, timeout },
    [named],
    (signal) => unmount(host, named, { containerId, volumeMountPath, signal }),
  );
}

async function unmount(
  host: Host,
  named: string,
  { containerId, volumeMountPath, signal }: Pick<Recorded, "containerId" | "volumeMountPath" | "signal">,
): Promise<ReleasedHold[]> {
  signal?.throwIfAborted();
  requireGrantsFor(host, "unmount");
  requireBuild(host, "library", "Mounting layers");
  const scratch = toldRealPath(host, named) ?? await recordedPath(host, named, signal);
  requireUnused(host, scratch);
  return await changeKnownScratch(host, scratch, signal, async ({ records, scratch, record }) => {
    const place = volumeMountPath && placeOfMountPoint(host, volumeMountPath);
    const finish = async () => {
      if (record !== undefined) return await halfScratchOf(host, record).release();
      const former = await formerRecordOf(host, records, scratch, signal);
      return former === undefined ? [] : await (await leftOf(host, former, signal)).release({ signal });
    };
    return await releaseRecorded(host, records, {
      scratch,
      record,
      containerId,
      volumeMountPath: place,
      signal,
      finish,
    });
  });
}

/**
 * Throws if a scratch can't be unmounted now.
 *
 * @throws {InUseError} if this process is mounting it, or has it in a VM.
 */
export function requireUnused(host: Host, scratch: string): void {
  const session = sessionOf(host);
  const { mounts } = session;
  // Its steps would take the disk from under a call of the mount.
  if (mounts.isMounting(scratch)) {
    throw session.refusalOf(scratch) ??
      new InUseError(scratch, "is being mounted. Abort the mount, or unmount after it has ended", "this process");
  }
  const vm = kindOf(host, diskOf(scratch)) === undefined ? undefined : vmUsing(host, diskOf(scratch));
  if (vm !== undefined) {
    throw new InUseError(scratch, `is used by the VM ${vm.id}. Release what was mounted in it, or close the VM`, vm.id);
  }
}

/** What is known of a mount to release. */
interface Recorded {
  readonly scratch: string;
  readonly record: MountRecord | undefined;
  readonly containerId?: string | undefined;
  /** The volume of its image, for one without a record. */
  readonly image?: string | undefined;
  readonly volumeMountPath?: string | undefined;
  readonly signal: AbortSignal | undefined;
  /** What to do after that, before the record is removed. */
  readonly finish?: () => Promise<ReleasedHold[]>;
}

/** Releases what is mounted of a scratch, and then removes its record. */
export async function releaseRecorded(
  host: Host,
  records: Records | undefined,
  { record, containerId, image: named, finish, ...mount }: Recorded,
): Promise<ReleasedHold[]> {
  noteRecord(mount.signal, record);
  const { signal } = mount;
  const image = await imageToRelease(host, { scratch: mount.scratch, record, containerId, signal }) ??
    (record === undefined ? named : undefined);
  if (image !== undefined) requireGrantsFor(host, "image");
  const released = await releaseScratch(host, { image, record, volumeMountPath: undefined, ...mount });
  if (finish !== undefined) released.push(...await finish());
  await records?.close(host, record?.scratch ?? mount.scratch);
  return released;
}

/**
 * Unmounts a container on a CIM image, whatever tool mounted it: the mount points of the scratch volume, the overlay filter,
 * the image, and the scratch disk. Succeeds for what is already gone, so you can call it after a crash, or twice.
 *
 * For what {@linkcode mountWCOWLayers} mounted, {@linkcode unmountWCOWLayers} does the same without the id of the container,
 * as its record names the image. Other tools, such as containerd, write no such record:
 * use this function for what they mounted, or `unmountWCOWLayers` with its option `containerId`, which is the same.
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
 * @throws {InvalidInputError} if an argument is of the wrong form, or the container has the image on another scratch.
 * @throws {InUseError} if this process is mounting the scratch, or a VM uses it. Nothing was changed.
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

/** Returns the volume of the image that a scratch is mounted with, or undefined if there is none. */
async function imageToRelease(
  host: Host,
  { scratch, record, containerId, signal }: Pick<Recorded, "scratch" | "record" | "containerId" | "signal">,
): Promise<string | undefined> {
  const recorded = record?.cim?.volume;
  if (containerId === undefined) {
    const isLost = record !== undefined && !isDiskInUse(host, record.scratch) &&
      await isOfAnother(host, record, signal);
    return isLost ? undefined : recorded;
  }
  const named = await cimVolumeName(containerId);
  if (recorded !== undefined && pathKey(recorded) !== pathKey(named)) {
    throw new InvalidInputError(
      "containerId",
      `doesn't match the image that the scratch is mounted with (${recorded})`,
      containerId,
    );
  }
  const its = { id: record?.id, scratch, cim: { volume: named } };
  if (isShownElsewhere(host, named, scratch) || await isOfAnother(host, its, signal)) {
    throw new InvalidInputError(
      "containerId",
      "is that of a container on another scratch, which has its image",
      containerId,
    );
  }
  return named;
}

function isShownElsewhere(host: Host, image: string, scratch: string): boolean {
  return sessionOf(host).mounts.list().some((use) =>
    pathKey(use.scratch) !== pathKey(scratch) && use.layers.some((layer) => pathKey(layer) === pathKey(image)) &&
    isDiskInUse(host, use.scratch)
  );
}

interface ScratchToRelease {
  readonly scratch: string;
  /** Volume of the CIM image, or undefined if there can't be one. */
  readonly image: string | undefined;
  readonly record: MountRecord | undefined;
  readonly volumeMountPath: string | undefined;
  readonly signal: AbortSignal | undefined;
}

// A disk that a VM uses isn't activated, and Windows knows no volume of it.
const USED_BY_A_VM =
  "seems to be used by a VM of another process: its disk is in use, a VM may open it, and Windows tells " +
  "no volume of it. Release what was mounted in the VM, or close the VM";

/** Returns what {@linkcode releaseRecorded} would release, in the order in which it was acquired. */
export async function recordedHolds(
  host: Host,
  { record, scratch, signal }: Pick<ScratchToRelease, "record" | "scratch" | "signal">,
): Promise<readonly Hold[]> {
  const image = await imageToRelease(host, { scratch, record, signal });
  const { holds } = await holdsOf(host, { scratch, image, record, volumeMountPath: undefined, signal });
  return holds.holds;
}

// Releases the list in reverse.
async function releaseScratch(host: Host, init: ScratchToRelease): Promise<ReleasedHold[]> {
  const { scratch, record, signal } = init;
  const mount = sessionOf(host).mounts.mountOf(scratch)?.holds;
  const { holds, unlisted } = await holdsOf(host, init);
  let released: ReleasedHold[];
  try {
    released = await holds.release({ signal });
  } finally {
    guardReleases(host, holds, record?.scratch ?? scratch, record?.id);
    // Otherwise, a later release by the owner could release what is mounted there by then. Not if an error came before the
    // release: then the owner still has everything.
    const left = new Set(holds.holds.map(({ kind }) => kind));
    mount?.disown(mount.held.filter(({ hold }) => !left.has(hold.kind)));
  }
  if (unlisted !== undefined) throw unlisted;
  return released;
}

// Adds what a mount acquires to a list, in the same order.
async function holdsOf(
  host: Host,
  { scratch, image, record, volumeMountPath, signal }: ScratchToRelease,
): Promise<{ readonly holds: HoldList; readonly unlisted?: unknown }> {
  const { volume, error } = await volumeOf(host, scratch, record?.volume);
  [image, volume].forEach((what) => operationOf(signal)?.concerns(what));
  // The mount points are found by the volume. Without it, they would never be removed.
  if (error !== undefined && !await isFree(host, diskOf(scratch), signal)) {
    throw isOpenToVM(host, diskOf(scratch)) ? new InUseError(scratch, USED_BY_A_VM) : error;
  }
  if (volume === undefined && record?.volume !== undefined && kindOf(host, scratch) === undefined) {
    await requireVolumeGone(host, scratch, record.volume, signal);
  }
  if (volume !== undefined && (record?.volume === undefined || pathKey(volume) !== pathKey(record.volume))) {
    await requireNobodyElses(host, volume, scratch, signal);
  }
  const named = volumeMountPath && volumeShown(host, volumeMountPath, volume);
  const { mountPoints, unlisted } = volume === undefined
    ? { mountPoints: [] }
    : await listMountPoints(host, volume, signal);

  const holds = new HoldList();
  const disk = activationOf(host, scratch);
  holds.adopt(disk);
  const filter = filterOf(host, { scratch }, [disk]);
  let isOverlaid = false;
  if (image !== undefined) {
    const cim = layerCimOf(host, { volume: image, scratch });
    holds.adopt(cim);
    // A scratch has one filter. Nobody knows what Windows does if the other one is detached.
    holds.adopt({ ...filter, release: async () => !isOverlaid && await filter.release() });
    if (hasVolume(host, image) !== false) {
      const overlay = overlayOf(host, { scratch, ...(volume && { volume }) }, [disk, cim]);
      const release = async () => {
        try {
          // Once more, as an error can be wrong once, and what the filter rests on would be released.
          return isOverlaid = await overlay.release().catch((error) => {
            if (!mayBeGone(error)) throw error;
            return overlay.release();
          });
        } catch (error) {
          isOverlaid = !mayBeGone(error);
          throw error;
        }
      };
      holds.adopt({ ...overlay, release }, { mayBeGone });
    }
  } else {
    holds.adopt(filter);
  }
  const listed = volumeMountPath === undefined ? mountPoints : [`${volumeMountPath}\\`, ...mountPoints];
  if (volumeMountPath !== undefined) {
    adoptMountPoint(host, holds, { folder: volumeMountPath, volume: named });
  }
  if (record?.volumeMountPath !== undefined && !isListed(listed, record.volumeMountPath)) {
    adoptRecordedPlace(host, holds, record.volumeMountPath, volume ?? await lastVolume(host, record, signal));
  }
  for (const path of mountPoints) {
    // A mount point that is left can be found only by the disk, so the disk stays as well.
    adoptMountPoint(host, holds, { folder: path.replace(/\\$/, ""), volume }, [disk]);
  }
  return { holds, unlisted };
}

function isListed(mountPoints: readonly string[], folder: string): boolean {
  return mountPoints.some((path) => pathKey(path) === pathKey(`${folder}\\`));
}
