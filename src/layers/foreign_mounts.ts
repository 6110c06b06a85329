/**
 * Mounts of which this library has no record: those of docker and containerd, as their files tell them, and all other virtual disks and
 * images that Windows has attached.
 *
 * @module
 */

import { dirname } from "jsr:@std/path@^1.1.0/windows";
import { isDiskInUse, isInUse } from "../checks/existing.ts";
import { diskOf, nameOf, pathKey } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import { operationOf } from "../ffi/operation.ts";
import { cimVolumeName } from "../host_holds/layer_image.ts";
import { containerdStoreAt, containerdStores } from "../nodes/containerd.ts";
import { dockerStoreAt, dockerStores } from "../nodes/docker.ts";
import { foldersWithDisk, ifReadable, type LayerStore, type ScratchFacts } from "../nodes/store.ts";
import type { Attached } from "./attached_disks.ts";
import type { MountInfo } from "./list_mounts.ts";
import { NOWHERE, orUndefined, placeOf, placeOfVolume } from "./volume_place.ts";

/** What nobody tells of a mount. */
export const UNKNOWN = {
  id: undefined,
  containerId: undefined,
  layers: [],
  image: undefined,
  owner: { tool: "unknown", pid: undefined, start: undefined, state: "unknown" },
  since: undefined,
  permanent: undefined,
} as const;

/**
 * Finds the mounts of other tools.
 *
 * @param isListed Whether one of these files and volumes belongs to a mount that has been found, so that it need not be asked for.
 */
export async function* foreignMounts(
  host: Host,
  { disks, images }: Attached,
  isListed: (...keys: readonly (string | undefined)[]) => boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<MountInfo> {
  const stores = new Map<string, LayerStore | undefined>();
  for (const find of [dockerStores, containerdStores]) {
    for (const store of ifReadable("a store of layers", () => find(host)) ?? []) {
      stores.set(pathKey(store.folder), store);
    }
  }
  const isImage = new Set(images.map(pathKey));
  for (const store of [...stores.values()]) yield* mountsIn(host, store!, isImage, signal);
  for (const { file, volume } of disks) {
    signal?.throwIfAborted();
    // Or it was detached meanwhile.
    if (isListed(file, volume) || orUndefined(() => isInUse(host, file)) === false) continue;
    const scratch = dirname(file);
    const place = volume === undefined ? NOWHERE : placeOfVolume(host, volume);
    const isScratch = pathKey(diskOf(scratch)) === pathKey(file);
    // A tool can keep its layers where none of its files tells.
    const store = isScratch ? storeAt(host, stores, dirname(scratch)) : undefined;
    yield {
      ...UNKNOWN,
      state: volume === undefined ? "partial" : "mounted",
      scratch,
      ...!isScratch && { disk: file },
      ...store && await ownedBy(store, store.facts(nameOf(scratch)), isImage),
      ...place,
    };
  }
  const left = images.filter((volume) => !isListed(volume));
  if (left.length > 0) yield* imagesWithoutDisk(host, left, stores);
}

// A scratch that nobody uses isn't mounted, whatever its tool has written down of it.
async function* mountsIn(
  host: Host,
  store: LayerStore,
  isImage: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): AsyncGenerator<MountInfo> {
  for (const name of ifReadable(store.folder, () => foldersWithDisk(host, store)) ?? []) {
    signal?.throwIfAborted();
    const scratch = `${store.folder}\\${name}`;
    if (orUndefined(() => isDiskInUse(host, scratch)) === false) continue;
    operationOf(signal)?.concerns(scratch);
    const place = await placeOf(host, scratch);
    const state = place.volume === undefined ? "partial" : "mounted";
    yield { ...UNKNOWN, state, scratch, ...await ownedBy(store, store.facts(name), isImage), ...place };
  }
}

function storeAt(host: Host, stores: Map<string, LayerStore | undefined>, folder: string): LayerStore | undefined {
  const key = pathKey(folder);
  if (!stores.has(key)) stores.set(key, dockerStoreAt(host, folder) ?? containerdStoreAt(host, folder));
  return stores.get(key);
}

// The image of a container is on the volume whose name is made of its id.
async function ownedBy(
  { tool }: LayerStore,
  { container, namespace, layers = [], image }: ScratchFacts,
  isImage: ReadonlySet<string>,
): Promise<Pick<MountInfo, "containerId" | "layers" | "image" | "owner">> {
  const volume = image && container && await cimVolumeName(container);
  return {
    containerId: container,
    layers,
    image: image && volume && isImage.has(pathKey(volume)) ? { path: image, volume } : undefined,
    owner: { ...UNKNOWN.owner, tool, ...namespace !== undefined && { namespace } },
  };
}

// Such as of a container whose shim was killed: nobody dismounts its image before the next restart.
async function* imagesWithoutDisk(
  host: Host,
  volumes: readonly string[],
  stores: ReadonlyMap<string, LayerStore | undefined>,
): AsyncGenerator<MountInfo> {
  const left = new Set(volumes.map(pathKey));
  const owned = new Map<string, Partial<MountInfo>>();
  for (const store of stores.values()) {
    for (const facts of store?.withImages() ?? []) {
      const mount = await ownedBy(store!, facts, left);
      if (mount.image !== undefined) {
        owned.set(pathKey(mount.image.volume), { ...mount, state: "gone", scratch: facts.folder });
      }
    }
  }
  for (const volume of volumes) {
    const { mountPoints } = placeOfVolume(host, volume);
    yield {
      ...UNKNOWN,
      ...NOWHERE,
      state: "partial",
      scratch: "",
      image: { path: "", volume },
      ...owned.get(pathKey(volume)),
      mountPoints,
    };
  }
}
