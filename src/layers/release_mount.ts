/**
 * Releasing a mount in another process than its own, by what its process has told of it.
 *
 * @module
 */

import { hostOptions, text } from "../checks/arguments.ts";
import { hasVolume, kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { toldRealPath } from "../checks/real_path.ts";
import { namedFolder, pathKey, volumeRoot } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { OwnHoldError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { perform } from "../ffi/operation.ts";
import type { Hold, HoldOf } from "../holds/hold.ts";
import { HoldList, type ReleasedHold } from "../holds/hold_list.ts";
import { cimMountOf } from "../host_holds/cim_mount.ts";
import { isSameVolume, mountedVolume } from "../host_holds/mount_point.ts";
import { log } from "../log.ts";
import { type Check, type Checks, fieldsOf, itemsOf, oneOf, optional, propertyOf, requireObject } from "../options.ts";
import { subjectOf } from "../records/place.ts";
import { requireBuild } from "../session/builds.ts";
import { releaseRecordedPlace } from "../session/place_records.ts";
import { sessionOf } from "../session/session.ts";
import { changeKnownScratch } from "./known_scratch.ts";
import { leftOf } from "./left_over.ts";
import { formerRecordOf, isOfEarlierBoot, recordedPath } from "./mount_records.ts";
import { adoptMountPoint } from "./sandbox_volume.ts";
import { releaseRecorded, requireUnused } from "./unmount.ts";

/**
 * What `JSON.stringify` keeps of a mount: which one it is, and what it holds.
 *
 * @category What a mount returns
 */
export interface SavedMount {
  /** The id of its record. Undefined if it has none. */
  readonly id?: string | undefined;
  /** What it holds, in the order in which it was acquired. */
  readonly holds: readonly Hold[];
}

/**
 * Releases a mount on the host that this process or another one has made: what {@linkcode mountWCOWLayers},
 * {@linkcode mountSandboxVolume} or `mountCimImage` returned there, also after `JSON.stringify` and `JSON.parse`. It is released as a
 * whole, whether its process lives or not. If it isn't there any more, or somebody has mounted the same since, nothing is touched.
 *
 * ```ts
 * import { mountWCOWLayers, releaseMount } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * host.addScratch("C:\\scratch");
 * const saved = JSON.stringify(await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host }));
 * // Later, in any process:
 * for (const { hold, wasHeld } of await releaseMount(JSON.parse(saved), { host })) console.log(hold.kind, wasHeld);
 * ```
 *
 * @returns What was released, in the order of the releases; all as not held if it isn't the mount that is there.
 * @throws {OwnHoldError} if only the process that made it can release it, as it is in a VM. Nothing was changed.
 * @throws {InvalidInputError} if it is no such mount. Nothing was changed.
 * @throws {InUseError} if this process is mounting the scratch. Nothing was changed.
 * @throws {ReleaseError} if something is still held.
 * @category Mounts on the host
 */
export async function releaseMount(mount: SavedMount, options: HostOptions = {}): Promise<ReleasedHold[]> {
  const { id, holds } = savedMount(mount);
  const scratch = scratchOf(holds);
  const { host, signal, timeout } = hostOptions(options, {});
  return await perform(host, { signal, timeout }, [scratch, ...holds.flatMap(Object.values)], async (signal) => {
    signal?.throwIfAborted();
    requireGrantsFor(host, "unmount");
    requireBuild(host, "library", "Mounting layers");
    if (scratch !== undefined) return await releaseLayers(host, { id, holds, scratch, signal });
    const released: ReleasedHold[] = [];
    for (const hold of holds.toReversed()) released.push(...await releasePlace(host, { id, hold, signal }));
    return released;
  });
}

// Of those that any process can release.
const SHARED = {
  activation: { scratch: namedFolder },
  filter: { scratch: namedFolder, layers: listOf(text) },
  cimVolume: { scratch: namedFolder, volume: volumeRoot, image: optional(text) },
  cimImage: { volume: volumeRoot, image: text },
  overlay: { scratch: namedFolder, volume: optional(volumeRoot), layer: optional(text), image: optional(text) },
  folder: { folder: namedFolder, created: optional(listOf(namedFolder)) },
  mountPoint: { folder: namedFolder, volume: optional(volumeRoot) },
} satisfies { readonly [K in Hold["kind"]]?: Checks };

type SharedKind = keyof typeof SHARED;
type SharedHold = HoldOf<SharedKind>;

// Of those that only their process can. Each kind is in one of the two.
const OWN: Readonly<Record<Exclude<Hold["kind"], SharedKind>, true>> = {
  newFile: true,
  newDisk: true,
  openDisk: true,
  openImage: true,
  newLayer: true,
  transportFolder: true,
  baseOSLayer: true,
  vmScratch: true,
  computeSystem: true,
  vmAccess: true,
  vsmbShare: true,
  scsiAttachment: true,
  scsiMount: true,
  guestVolume: true,
  vpmemFile: true,
  layerTree: true,
};

function listOf<T>(check: Check<T>): Check<readonly T[]> {
  return (values, argument) => itemsOf(values, argument, check);
}

const KINDS = Object.keys({ ...SHARED, ...OWN }) as Hold["kind"][];

const hold: Check<Hold> = (value, argument) => {
  requireObject(value, argument);
  const kind = oneOf(...KINDS)(propertyOf(value, "kind", argument), `${argument}.kind`);
  const checks: Checks | undefined = SHARED[kind as SharedKind];
  return (checks === undefined
    ? { ...value, kind }
    : fieldsOf(value, { kind: oneOf(kind), ...checks }, argument)) as Hold;
};

function savedMount(mount: unknown): { readonly id: string | undefined; readonly holds: readonly SharedHold[] } {
  requireObject(mount, "mount");
  const id = optional(text)(propertyOf(mount, "id", "mount"), "mount.id");
  const holds = itemsOf(propertyOf(mount, "holds", "mount"), "mount.holds", hold);
  const own = holds.find(({ kind }) => !(kind in SHARED));
  if (own !== undefined) throw new OwnHoldError(own);
  return { id, holds: holds as readonly SharedHold[] };
}

function scratchOf(holds: readonly Hold[]): string | undefined {
  const scratches = holds.flatMap((hold) => "scratch" in hold ? [hold.scratch] : []);
  const other = scratches.find((scratch) => pathKey(scratch) !== pathKey(scratches[0]!));
  if (other !== undefined) throw new InvalidInputError("mount.holds", "are of two scratches", other);
  return scratches[0];
}

interface LayersToRelease extends SavedMount {
  readonly scratch: string;
  readonly signal: AbortSignal | undefined;
}

async function releaseLayers(host: Host, mount: LayersToRelease): Promise<ReleasedHold[]> {
  const { id, holds, signal } = mount;
  const scratch = toldRealPath(host, mount.scratch) ?? await recordedPath(host, mount.scratch, signal);
  requireUnused(host, scratch);
  return await changeKnownScratch(host, scratch, signal, async ({ records, scratch, record: known }) => {
    const record = known ?? await formerRecordOf(host, records, scratch, signal);
    if (record?.id !== id) return leave(scratch, holds);
    if (record !== undefined && (isOfEarlierBoot(host, record) || known === undefined)) {
      const released = await (await leftOf(host, record, signal)).release({ signal });
      await records!.close(host, record.scratch);
      return released;
    }
    const image = find(holds, "cimVolume")?.volume;
    // With a record, it is found by that.
    const place = record === undefined ? find(holds, "mountPoint") : undefined;
    const volumeMountPath = place !== undefined && isAt(host, place) ? place.folder : undefined;
    return await releaseRecorded(host, records, { scratch, record, image, volumeMountPath, signal });
  });
}

function find<K extends Hold["kind"]>(holds: readonly Hold[], kind: K): HoldOf<K> | undefined {
  return holds.find((hold): hold is HoldOf<K> => hold.kind === kind);
}

// Somebody else can have mounted another volume there.
function isAt(host: Host, { folder, volume }: HoldOf<"mountPoint">): boolean {
  const shown = kindOf(host, folder) === undefined ? undefined : mountedVolume(host, folder);
  return shown === undefined || hasVolume(host, shown) === false || isSameVolume(host, shown, volume);
}

function leave(what: string, holds: readonly Hold[]): ReleasedHold[] {
  log("warn", () => `${what} was released by somebody else, and perhaps mounted anew: it is left alone`);
  return holds.toReversed().map((hold) => ({ hold, wasHeld: false }));
}

interface PlaceToRelease {
  readonly id: string | undefined;
  readonly hold: Hold;
  readonly signal: AbortSignal | undefined;
}

// A folder goes with its mount point.
async function releasePlace(host: Host, { id, hold, signal }: PlaceToRelease): Promise<ReleasedHold[]> {
  const holds = new HoldList();
  const release = () => holds.release({ signal });
  if (hold.kind === "cimImage") {
    requireGrantsFor(host, "image");
    const place = { kind: "image", volume: hold.volume, id } as const;
    const record = await sessionOf(host).records(host)?.readPlace(host, subjectOf(place));
    // After a restart, an image is somebody else's.
    if (record === undefined || !isOfEarlierBoot(host, record)) holds.adopt(cimMountOf(host, hold));
    const released = await releaseRecordedPlace(host, place, signal, release);
    return released ?? leave(hold.volume, [hold]);
  }
  if (hold.kind !== "mountPoint") return [];
  adoptMountPoint(host, holds, hold);
  const released = await releaseRecordedPlace(host, { kind: "volume", folder: hold.folder, id }, signal, release);
  return released ?? leave(hold.folder, [hold]);
}
