/**
 * Listing what is mounted on a host.
 *
 * @module
 */

import { requireText, withHostOptions } from "../checks/arguments.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { hasVolume, kindOf } from "../checks/existing.ts";
import { realPathIfTold } from "../checks/real_path.ts";
import { diskOf, pathKey } from "../checks/windows_path.ts";
import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { operationOf } from "../ffi/operation.ts";
import { type VolumeSpace, volumeSpace } from "../ffi/kernel32.ts";
import { isSameVolume, mountedVolume } from "../host_holds/mount_point.ts";
import { log } from "../log.ts";
import { isTransfer, type PlaceRecord, type PlannedMount, type PlannedTransfer } from "../records/place.ts";
import type { MountRecord } from "../records/record.ts";
import type { VMRecord } from "../records/vm_record.ts";
import { allRecords } from "../session/all_records.ts";
import { sessionOf } from "../session/session.ts";
import { isVMThere } from "../uvm/left_vm.ts";
import { attachedToHost } from "./attached_disks.ts";
import { foreignMounts } from "./foreign_mounts.ts";
import { recordElsewhere } from "./known_scratch.ts";
import { isOfEarlierBoot, isStillMounted, type Owned, ownerState, recordOf } from "./mount_records.ts";
import { NOWHERE, orUndefined, type Place, placeOf, placeOfVolume, toUndefined } from "./volume_place.ts";

/**
 * Who mounted something.
 *
 * @category Mounts on the host
 */
export interface MountOwner {
  /**
   * This library, or the tool in whose folders the scratch is. `unknown` if Windows alone tells of it: then nobody has a record of
   * it that is known here, and it can be of any tool, or of this library with its records off or lost.
   */
  readonly tool: "hcs-layers" | "docker" | "containerd" | "unknown";
  /** Number of the process. Undefined if another tool mounted. */
  readonly pid: number | undefined;
  /** The namespace of containerd in which the container has its id, if it is known. */
  readonly namespace?: string;
  /** When it started, in units of 100 ns since 1601, because numbers are used again. Undefined if another tool mounted. */
  readonly start: string | undefined;
  /** Whether it is this process, another one that lives, or one that has ended. `unknown` if another tool mounted. */
  readonly state: "this process" | "alive" | "ended" | "unknown";
}

/**
 * A mount on the host, of {@linkcode mountWCOWLayers} or another tool.
 *
 * @category Mounts on the host
 */
export interface MountInfo {
  /** Its id, a UUID. Undefined if another tool mounted. */
  readonly id: string | undefined;
  /** Id of the container. Undefined if another tool mounted, and it isn't known for which container. */
  readonly containerId: string | undefined;
  /**
   * What is there if it isn't the layers of a container: a `volume` by {@linkcode mountSandboxVolume}, an `image` by
   * `mountCimImage`, a `vm` of `createUtilityVM`; or what is being done with a layer or an image, which is all that its `layers` have:
   * a `newLayer` or `newImage` that is being made, or an `export`. The others have no layers. All have an empty `scratch`.
   */
  readonly kind?: "volume" | "image" | "vm" | "newLayer" | "newImage" | "export";
  /** The VM, if it is one: its id, and the files that it may open because of this library. */
  readonly vm?: { readonly id: string; readonly files: readonly string[] };
  /**
   * Whether it is complete (`mounted`), incomplete (`partial`: it is being mounted or unmounted, or that ended half-way), or was taken
   * apart by something else (`gone`: the disk isn't attached, and perhaps a folder or an image is left). If another tool mounted,
   * `partial` also if the disk is in use, but Windows names no volume, as if it is attached to a VM. A VM is `mounted` while Windows
   * knows it, and `gone` if its process has ended as well and its rights to files are left.
   */
  readonly state: "mounted" | "partial" | "gone";
  /** Folder of the scratch layer, or of another disk. Empty for an image that is mounted and belongs to no scratch. */
  readonly scratch: string;
  /** The file of the disk, if it isn't the `sandbox.vhdx` of a scratch. */
  readonly disk?: string;
  /** The N in the device of the disk, `\\.\PhysicalDriveN`, if it has one and Windows tells. */
  readonly diskNumber?: number;
  /** Folders of the read-only layers, the topmost first. Empty if another tool mounted, and they aren't known. */
  readonly layers: readonly string[];
  /**
   * The mounted image of the layers. Undefined for plain folders, and if another tool mounted it and it isn't known. The path is empty
   * if only the volume is known.
   */
  readonly image: { readonly path: string; readonly volume: string } | undefined;
  /** The volume of the scratch, `\\?\Volume{guid}\`. Undefined if Windows doesn't tell. */
  readonly volume: string | undefined;
  /**
   * The folders and drive letters at which the volume is mounted, or that of the image if there is no scratch, with a closing `\`. Of a
   * mount that is `gone`, the folder that still links to its volume.
   */
  readonly mountPoints: readonly string[];
  /** Size and free space of the volume in bytes. Undefined if Windows doesn't tell. */
  readonly space: VolumeSpace | undefined;
  /** Who mounted it. */
  readonly owner: MountOwner;
  /** When that began, in ISO 8601 and UTC. Undefined if another tool mounted. */
  readonly since: string | undefined;
  /** Whether it is meant to outlive that process. Undefined if another tool mounted. */
  readonly permanent: boolean | undefined;
}

/**
 * Lists the mounts of {@linkcode mountWCOWLayers}, {@linkcode mountSandboxVolume} and `mountCimImage` on the host, by this process
 * and others, as their records tell them, and as Windows has them now; then those that docker and containerd have, as their files
 * tell them; then all other virtual disks and images that Windows has attached to the host. Those in VMs end with their processes,
 * and are not listed. A record or a file that can't be read, and what Windows doesn't tell, is logged.
 *
 * ```ts
 * import { listMounts, mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * await using _layers = await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
 * for (const { containerId, scratch, owner } of await listMounts({ host })) console.log(containerId, scratch, owner.state);
 * ```
 *
 * @throws {UntrustedFolderError} if others could have written records.
 * @category Mounts on the host
 */
export function listMounts(options: HostOptions = {}): Promise<MountInfo[]> {
  return withHostOptions(options, {}, [], ({ host, signal }) => mountsFor("list", host, signal));
}

async function mountsFor(
  operation: "list" | "find",
  host: Host,
  signal: AbortSignal | undefined,
): Promise<MountInfo[]> {
  signal?.throwIfAborted();
  requireGrantsFor(host, operation);
  const mounts: MountInfo[] = [];
  // What several tell of is of the one that comes first.
  const listed = new Set<string>();
  const isListed = (...keys: readonly (string | undefined)[]) =>
    keys.some((key) => key !== undefined && listed.has(pathKey(key)));
  const list = (mount: MountInfo) => {
    const { scratch, disk = scratch && diskOf(scratch), volume, image } = mount;
    if (isListed(disk, volume)) return;
    // The disk of a mount that is gone can be attached by somebody else.
    [...mount.state === "gone" ? [] : [disk, volume], image?.volume].forEach((key) => key && listed.add(pathKey(key)));
    mounts.push(mount);
  };
  const { records, places: placeRecords, vms } = await allRecords(host, signal);
  records.sort((one, other) => one.since < other.since ? -1 : one.since > other.since ? 1 : 0);
  for (const record of records) {
    signal?.throwIfAborted();
    operationOf(signal)?.concerns(record.scratch);
    list(await infoOf(host, record));
  }
  const places = placeRecords.map((place) => infoOfPlace(host, place));
  for (const vm of vms) {
    operationOf(signal)?.concerns(vm.vm);
    places.push(await infoOfVM(host, vm));
  }
  const attached = await attachedToHost(host, signal);
  const images = places.filter(({ kind }) => kind === "image").map(({ volume }) => volume && pathKey(volume));
  for await (const mount of foreignMounts(host, attached, isListed, signal)) {
    // An image that is mounted by itself has a record of its own.
    if (mount.image !== undefined && images.includes(pathKey(mount.image.volume))) continue;
    // It can have been mounted since the records were read.
    const record = mount.disk === undefined ? await recordSince(host, mount.scratch) : undefined;
    const isNew = record !== undefined && !mounts.some(({ id }) => id === record.id);
    list(isNew ? await infoOf(host, record) : mount);
  }
  signal?.throwIfAborted();
  const numbers = new Map(attached.disks.map(({ volume, number }) => [volume && pathKey(volume), number]));
  return [...mounts, ...places].map((mount) => {
    const diskNumber = numbers.get(mount.volume && pathKey(mount.volume));
    return mount.volume === undefined || diskNumber === undefined ? mount : { ...mount, diskNumber };
  });
}

/**
 * Returns the mounts that something belongs to: the id of a mount, a container or a VM, the folder of a scratch or layer, the path of an image
 * or a disk's file, a volume, a folder or drive letter at which it is mounted, or the device of its disk, `\\.\PhysicalDrive3`. Without
 * the grant for virtdisk.dll, disks and devices that only Windows tells of are not found.
 *
 * ```ts
 * import { findMounts, mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * const stack = ["C:\\layers\\base", "C:\\scratch"];
 * await using _layers = await mountWCOWLayers("c1", stack, { host, volumeMountPath: "C:\\mnt\\c1" });
 * const [mount] = await findMounts("C:\\mnt\\c1", { host });
 * console.log(mount?.containerId); // c1
 * ```
 *
 * @throws {UntrustedFolderError} if others could have written records.
 * @category Mounts on the host
 */
export async function findMounts(what: string, options: HostOptions = {}): Promise<MountInfo[]> {
  requireText(what, "what");
  return await withHostOptions(options, {}, [], async ({ host, signal }) => {
    const mounts = await mountsFor("find", host, signal);
    const found = mountsWith(mounts, what);
    if (found.length > 0 || !PATH.test(what)) return found;
    // It can be another name of a folder.
    const real = realPathIfTold(host, what.replaceAll("/", "\\"));
    const others = mountsWith(mounts, real);
    const record = others.length > 0 ? undefined : await recordElsewhere(host, real, signal);
    return record === undefined ? others : mounts.filter(({ id }) => id === record.id);
  });
}

const PATH = /^(\\\\\?\\)?[A-Za-z]:[\\/]./;

function mountsWith(mounts: readonly MountInfo[], what: string): MountInfo[] {
  const key = keyOf(what);
  return mounts.filter((mount) => {
    const { id, containerId, vm, scratch, disk, diskNumber, layers, image, volume, mountPoints } = mount;
    const its = [...layers, ...mountPoints, ...vm?.files ?? []];
    const file = disk ?? (scratch && diskOf(scratch));
    const device = diskNumber === undefined ? undefined : `\\\\.\\PhysicalDrive${diskNumber}`;
    return [id, containerId, vm?.id, scratch, file, device, image?.path, image?.volume, volume, ...its]
      .some((handle) => handle !== undefined && handle !== "" && keyOf(handle) === key);
  });
}

function keyOf(handle: string): string {
  return pathKey(handle.replaceAll("/", "\\")).replace(/\\+$/, "");
}

async function recordSince(host: Host, scratch: string): Promise<MountRecord | undefined> {
  if (scratch === "") return undefined;
  try {
    return await recordOf(host, sessionOf(host).records(host), scratch);
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    log("warn", () => `the record of ${scratch} can't be read: ${messageOf(error)}`);
    return undefined;
  }
}

function ownerInfo(host: Host, record: Owned): MountOwner {
  const { pid, start } = record.process;
  return { tool: "hcs-layers", pid, start, state: ownerState(host, record) };
}

/** Returns what a record and Windows tell of a VM. */
export async function infoOfVM(host: Host, record: VMRecord): Promise<MountInfo> {
  const { id, vm, files, since } = record;
  const owner = ownerInfo(host, record);
  const isThere = !isOfEarlierBoot(host, record) && await isVMThere(host, vm).catch(toUndefined) !== false;
  return {
    id,
    containerId: undefined,
    kind: "vm",
    vm: { id: vm, files },
    state: isThere ? "mounted" : owner.state === "ended" ? "gone" : "partial",
    scratch: "",
    layers: [],
    image: undefined,
    ...NOWHERE,
    owner,
    since,
    permanent: false,
  };
}

/** Returns what a record and Windows tell of a volume or an image that is mounted by itself. */
export function infoOfPlace(host: Host, place: PlaceRecord): MountInfo {
  if (isTransfer(place)) return infoOfTransfer(host, place);
  const { id, kind, volume, since, isPermanent } = place;
  const isMounted = orUndefined(() => isPlaceMounted(host, place)) !== false;
  return {
    id,
    containerId: undefined,
    kind,
    state: isMounted ? "mounted" : "gone",
    scratch: "",
    layers: [],
    image: kind === "image" ? { path: place.image, volume } : undefined,
    volume,
    mountPoints: kind === "volume" ? [`${place.folder}\\`] : [],
    space: isMounted ? orUndefined(() => volumeSpace(host, volume)) : undefined,
    owner: ownerInfo(host, place),
    since,
    permanent: isPermanent,
  };
}

function infoOfTransfer(host: Host, place: PlaceRecord & PlannedTransfer): MountInfo {
  const { id, kind, target, since } = place;
  return {
    id,
    containerId: undefined,
    kind: kind === "newImageLayer" ? "newLayer" : kind,
    state: "partial",
    scratch: "",
    layers: [target],
    image: undefined,
    ...NOWHERE,
    owner: ownerInfo(host, place),
    since,
    permanent: false,
  };
}

// What is mounted at the folder, or has the name of the volume, can be another one.
function isPlaceMounted(host: Host, place: PlaceRecord & PlannedMount): boolean {
  if (place.kind === "image") return hasVolume(host, place.volume) !== false && !isOfEarlierBoot(host, place);
  const shown = kindOf(host, place.folder) === undefined ? undefined : mountedVolume(host, place.folder);
  return shown !== undefined && isSameVolume(host, shown, place.volume);
}

/** Returns what a record and Windows tell of a mount. */
export async function infoOf(host: Host, record: MountRecord): Promise<MountInfo> {
  const isAttached = orUndefined(() => isStillMounted(host, record)) !== false;
  const moved = isAttached ? undefined : orUndefined(() => volumeIfMoved(host, record));
  const place = isAttached
    ? await placeOf(host, record.scratch)
    : moved !== undefined
    ? placeOfVolume(host, moved)
    : NOWHERE;
  return {
    id: record.id,
    containerId: record.container,
    state: !isAttached && moved === undefined ? "gone" : record.volume === undefined ? "partial" : "mounted",
    scratch: record.scratch,
    layers: record.layers,
    image: record.cim && { path: record.cim.image, volume: record.cim.volume },
    ...withRecordedPlace(host, record, place),
    owner: ownerInfo(host, record),
    since: record.since,
    permanent: record.isPermanent,
  };
}

// The volume of a scratch whose drive or folder has another path by now.
function volumeIfMoved(host: Host, record: MountRecord): string | undefined {
  const { scratch, volume } = record;
  const isMoved = volume !== undefined && kindOf(host, scratch) === undefined && hasVolume(host, volume) === true &&
    !isOfEarlierBoot(host, record);
  return isMoved ? volume : undefined;
}

// The folder of a mount point stays after its volume, and Windows doesn't list it then. It is of this mount if it leads to its volume, or
// to one that is gone.
function withRecordedPlace(host: Host, { volumeMountPath, volume }: MountRecord, place: Place): Place {
  if (volumeMountPath === undefined) return place;
  const folder = `${volumeMountPath.replace(/\\$/, "")}\\`;
  if (place.mountPoints.some((listed) => pathKey(listed) === pathKey(folder))) return place;
  const mounted = orUndefined(() => mountedVolume(host, volumeMountPath));
  if (mounted === undefined) return place;
  const isIts = () => isSameVolume(host, mounted, place.volume ?? volume) || hasVolume(host, mounted) === false;
  return orUndefined(isIts) ? { ...place, mountPoints: [...place.mountPoints, folder] } : place;
}
