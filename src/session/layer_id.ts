/**
 * The ids of read-only layers.
 *
 * @module
 */

import { nameOf } from "../checks/windows_path.ts";
import type { Host } from "../ffi/host.ts";
import type { ParentLayer } from "../ffi/vmcompute.ts";
import { sessionOf } from "./session.ts";

/** The id by which Windows knows the layer in `folder`, made from the folder's name alone. */
export function layerId(host: Host, folder: string): string {
  return sessionOf(host).layerId(host, nameOf(folder));
}

/** Read-only layers in the form in which vmcompute.dll takes them. */
export function parentLayers(host: Host, folders: readonly string[]): ParentLayer[] {
  return folders.map((path) => ({ id: layerId(host, path), path }));
}
