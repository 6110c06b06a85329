/**
 * Listing what is mounted on a host.
 *
 * @module
 */

import { hostOptions, requireText } from "../checks/arguments.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { hasVolume, kindOf } from "../checks/existing.ts";
import { pathKey } from "../checks/windows_path.ts";
import { messageOf } from "../errors/printable.ts";
import { LayerError } from "../errors/layer_error.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { mountPointsOfVolume, type VolumeSpace, volumeSpace } from "../ffi/kernel32.ts";
import { scratchVolume } from "../host_holds/activation.ts";
import { isSameVolume, mountedVolume } from "../host_holds/mount_point.ts";
import { log } from "../log.ts";
import { containerdStores } from "../nodes/containerd.ts";
import { dockerStores } from "../nodes/docker.ts";
import { foldersWithDisk, ifReadable } from "../nodes/store.ts";
import type { PlaceRecord } from "../records/place.ts";
import type { MountRecord } from "../records/record.ts";
import { sessionOf } from "../session/session.ts";
import { isDiskInUse, isOfEarlierBoot, isStillMounted, ownerState } from "./mount_records.ts";

/**
 * Who mounted something.
 *
 * @category Mounts on the host
 */
export interface MountOwner {
  /** This library, or the tool in whose folders the scratch is. */
  readonly tool: "hcs-layers" | "docker" | "containerd";
  /** Number of the process. Undefined if another tool mounted. */
  readonly pid: number | undefined;
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
   * What is mounted if it isn't the layers of a container: a `volume` by {@linkcode mountSandboxVolume}, or an `image` by
   * `mountCimImage`. Both have no layers, and an empty `scratch`.
   */
  readonly kind?: "volume" | "image";
  /**
   * Whether it is complete (`mounted`), incomplete (`partial`: it is being mounted or unmounted, or that ended half-way), or was taken
   * apart by something else (`gone`: the disk isn't attached, and perhaps a folder or an image is left). If another tool mounted,
   * `partial` also if the disk is in use, but Windows names no volume, as if it is attached to a VM.
   */
  readonly state: "mounted" | "partial" | "gone";
  /** Folder of the scratch layer. */
  readonly scratch: string;
  /** Folders of the read-only layers, the topmost first. Empty if another tool mounted, and they aren't known. */
  readonly layers: readonly string[];
  /** The mounted image of the layers. Undefined for plain folders, and if another tool mounted. */
  readonly image: { readonly path: string; readonly volume: string } | undefined;
  /** The volume of the scratch, `\\?\Volume{guid}\`. Undefined if Windows doesn't tell. */
  readonly volume: string | undefined;
  /** The folders and drive letters at which the volume is mounted, with a closing `\`. */
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
 * Lists the mounts of {@linkcode mountWCOWLayers}, {@linkcode mountSandboxVolume} and `mountCimImage` on the host, by this process and others, as their records tell them, and as Windows
 * has them now; then those that docker and containerd have, as their files tell them. Those in VMs end with their processes, and are
 * not listed. A record or a file that can't be read is logged.
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
export async function listMounts(options: HostOptions = {}): Promise<MountInfo[]> {
  const { host, signal } = hostOptions(options, {});
  signal?.throwIfAborted();
  requireGrantsFor(host, "list");
  const mounts: MountInfo[] = [];
  const records = [...recordsOn(host)];
  records.sort((one, other) => one.since < other.since ? -1 : one.since > other.since ? 1 : 0);
  for (const record of records) {
    signal?.throwIfAborted();
    mounts.push(await infoOf(host, record));
  }
  for await (const mount of mountsOfTools(host, signal)) {
    const isListed = ({ scratch, volume }: MountInfo) =>
      pathKey(scratch) === pathKey(mount.scratch) || volume !== undefined && volume === mount.volume;
    if (!mounts.some(isListed)) mounts.push(mount);
  }
  for (const place of placesOn(host)) mounts.push(infoOfPlace(host, place));
  return mounts;
}

// A scratch that nobody uses isn't mounted, whatever its tool has written down of it.
async function* mountsOfTools(host: Host, signal: AbortSignal | undefined): AsyncGenerator<MountInfo> {
  const stores = [dockerStores, containerdStores].flatMap((find) =>
    ifReadable("a store of layers", () => find(host)) ?? []
  );
  for (const store of stores) {
    for (const name of ifReadable(store.folder, () => foldersWithDisk(host, store)) ?? []) {
      signal?.throwIfAborted();
      const scratch = `${store.folder}\\${name}`;
      if (orUndefined(() => isDiskInUse(host, scratch)) === false) continue;
      const place = await placeOf(host, scratch);
      const { container, layers = [] } = store.facts(name);
      yield {
        id: undefined,
        containerId: container,
        state: place.volume === undefined ? "partial" : "mounted",
        scratch,
        layers,
        image: undefined,
        ...place,
        owner: { tool: store.tool, pid: undefined, start: undefined, state: "unknown" },
        since: undefined,
        permanent: undefined,
      };
    }
  }
}

/**
 * Returns the mounts that something belongs to: the id of a mount or a container, the folder of a scratch or layer, the path of an image,
 * a volume, or a folder or drive letter at which it is mounted.
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
  const key = keyOf(what);
  return (await listMounts(options)).filter(({ id, containerId, scratch, layers, image, volume, mountPoints }) =>
    [id, containerId, scratch, ...layers, image?.path, image?.volume, volume, ...mountPoints]
      .some((handle) => handle !== undefined && keyOf(handle) === key)
  );
}

function keyOf(handle: string): string {
  return pathKey(handle.replaceAll("/", "\\")).replace(/\\+$/, "");
}

/** Returns the records on a host. Those that can't be read are logged. */
export function recordsOn(host: Host): readonly MountRecord[] {
  const { records, unreadable } = sessionOf(host).records(host)?.list(host) ?? { records: [], unreadable: [] };
  unreadable.forEach(({ path, error }) => log("warn", () => `the record ${path} can't be read: ${messageOf(error)}`));
  return records;
}

/** Returns the records of volumes and images that are mounted by themselves. */
export function placesOn(host: Host): readonly PlaceRecord[] {
  return sessionOf(host).records(host)?.places(host) ?? [];
}

/** Returns what a record and Windows tell of a volume or an image that is mounted by itself. */
export function infoOfPlace(host: Host, place: PlaceRecord): MountInfo {
  const { id, kind, volume, process: { pid, start }, since, isPermanent } = place;
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
    owner: { tool: "hcs-layers", pid, start, state: ownerState(host, place) },
    since,
    permanent: isPermanent,
  };
}

// What is mounted at the folder, or has the name of the volume, can be another one.
function isPlaceMounted(host: Host, place: PlaceRecord): boolean {
  if (place.kind === "image") return hasVolume(host, place.volume) !== false && !isOfEarlierBoot(host, place);
  const shown = kindOf(host, place.folder) === undefined ? undefined : mountedVolume(host, place.folder);
  return shown !== undefined && isSameVolume(host, shown, place.volume);
}

/** Returns what a record and Windows tell of a mount. */
export async function infoOf(host: Host, record: MountRecord): Promise<MountInfo> {
  const isAttached = orUndefined(() => isStillMounted(host, record)) !== false;
  return {
    id: record.id,
    containerId: record.container,
    state: !isAttached ? "gone" : record.volume === undefined ? "partial" : "mounted",
    scratch: record.scratch,
    layers: record.layers,
    image: record.cim && { path: record.cim.image, volume: record.cim.volume },
    ...isAttached ? await placeOf(host, record.scratch) : NOWHERE,
    owner: {
      tool: "hcs-layers",
      pid: record.process.pid,
      start: record.process.start,
      state: ownerState(host, record),
    },
    since: record.since,
    permanent: record.isPermanent,
  };
}

type Place = Pick<MountInfo, "volume" | "mountPoints" | "space">;

const NOWHERE: Place = { volume: undefined, mountPoints: [], space: undefined };

async function placeOf(host: Host, scratch: string): Promise<Place> {
  const volume = await scratchVolume(host, scratch).catch(toUndefined);
  if (volume === undefined) return NOWHERE;
  return {
    volume,
    mountPoints: orUndefined(() => mountPointsOfVolume(host, volume)) ?? [],
    space: orUndefined(() => volumeSpace(host, volume)),
  };
}

function orUndefined<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    return toUndefined(error);
  }
}

function toUndefined(error: unknown): undefined {
  if (!(error instanceof LayerError)) throw error;
  log("debug", () => messageOf(error));
}
