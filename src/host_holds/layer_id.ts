/**
 * The ids of read-only layers.
 *
 * @module
 */

import type { Host } from "../ffi/host.ts";
import { nameToGuid, type ParentLayer } from "../ffi/vmcompute.ts";
import { nameOf } from "../checks/windows_path.ts";

// NameToGuid is a pure function: one call a name is enough. Bounded, as a long-lived process sees ever new names.
const MOST_IDS = 4096;
const ids = new WeakMap<object, Map<string, string>>();

/** The id by which Windows knows the layer in `folder`, made from the folder's name alone. */
export function layerId(host: Host, folder: string): string {
  const name = nameOf(folder);
  let known = ids.get(host.machine);
  if (known === undefined) {
    ids.set(host.machine, known = new Map());
  }
  let id = known.get(name);
  if (id === undefined) {
    id = nameToGuid(host, name);
    if (known.size >= MOST_IDS) {
      known.delete(known.keys().next().value!);
    }
    known.set(name, id);
  }
  return id;
}

/** Read-only layers in the form in which vmcompute.dll takes them. */
export function parentLayers(host: Host, folders: readonly string[]): ParentLayer[] {
  return folders.map((path) => ({ id: layerId(host, path), path }));
}
