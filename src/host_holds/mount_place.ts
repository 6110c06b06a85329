/**
 * Checks of the place of a mount point, made before anything is changed.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { isLink } from "../checks/existing.ts";
import { realPath, realPathIfTold, requireLength } from "../checks/real_path.ts";
import { diskOf, isWithin, pathKey } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import { attribute, fileAttributes } from "../ffi/kernel32.ts";
import { mountAround, mountWithVolumeOf } from "../session/all_records.ts";
import { sessionOf } from "../session/session.ts";
import { onceDeleted } from "../session/waiting.ts";
import { checkMountable } from "./mount_folder.ts";
import { mountedVolume } from "./mount_point.ts";

/** Folders that a container uses. */
export interface ContainerFolders {
  /** Folders of the read-only layers. */
  readonly layers: readonly string[];
  /** Folder of the scratch. */
  readonly scratch: string;
}

/**
 * Checks a folder at which a volume is to be mounted, and returns its path without short names and mount points on the way. It
 * need not exist.
 *
 * @param container The folders of the container whose volume it is.
 * @throws {InvalidInputError} if it can't be mounted at or created, is in a layer, a scratch or the volume of one, or is behind
 * a link: whoever may change the link could lead elsewhere what is written there.
 */
export async function mountPlace(
  host: Host,
  path: string,
  argument: string,
  { container, signal }: { readonly container?: ContainerFolders; readonly signal: AbortSignal | undefined },
): Promise<string> {
  const place = await onceDeleted(host, path, () => checkedPlace(host, path, argument, container), { signal });
  // A container of another process is found by its record. Only what a mount point leads to can be in one.
  const other = place.startsWith("\\\\?\\") ? await mountWithVolumeOf(host, place, signal) : undefined;
  if (other !== undefined) throw inContainer(argument, other.scratch, path);
  const user = mayBeInLayer(host, place) ? await mountAround(host, place, signal) : undefined;
  if (user !== undefined) {
    throw new InvalidInputError(argument, `is in a layer or the scratch of another container (${user.scratch})`, path);
  }
  return place;
}

// Without reading all records for a folder that is in none.
function mayBeInLayer(host: Host, place: string): boolean {
  for (let at = dirname(place); at !== dirname(at); at = dirname(at)) {
    if ([diskOf(at), `${at}\\Files`].some((path) => fileAttributes(host, path) !== undefined)) return true;
  }
  return false;
}

function inContainer(argument: string, scratch: string, path: string): InvalidInputError {
  return new InvalidInputError(argument, `is in the volume of another container (${scratch})`, path);
}

function checkedPlace(host: Host, path: string, argument: string, container: ContainerFolders | undefined): string {
  checkMountable(host, path, argument);
  const real = inFolder(realPath(host, dirname(path)), basename(path));
  requireLength(real, path, argument);
  if (pathKey(real) !== pathKey(path)) requireNoLink(host, path, argument, path);
  const place = onVolume(real, requireNoLink(host, real, argument, path));
  const session = sessionOf(host);
  const records = session.records(host)?.folder;
  if (records !== undefined && isWithin(place, records)) {
    throw new InvalidInputError(argument, `is in the folder of the records of mounts (${records})`, path);
  }
  const { mounts } = session;
  const scratch = holding(place, container === undefined ? [] : [container.scratch]) ?? mounts.scratchAround(place);
  if (scratch !== undefined) throw new InvalidInputError(argument, `is in a scratch (${scratch})`, path);
  const layer = holding(place, container?.layers ?? []) ?? mounts.layerAround(place);
  if (layer !== undefined) throw new InvalidInputError(argument, `is in a layer (${layer})`, path);
  // Only a scratch that is yet to be created can be in a folder that is empty or missing.
  if (container !== undefined && isWithin(container.scratch, place)) {
    throw new InvalidInputError(argument, `has the scratch in it (${container.scratch})`, path);
  }
  const owner = mounts.scratchWithVolumeOf(place);
  if (owner !== undefined) throw inContainer(argument, owner, path);
  return place;
}

function holding(path: string, folders: readonly string[]): string | undefined {
  return folders.find((folder) => isWithin(path, folder));
}

/**
 * Checks again that no link or mount point is on the way to a place that {@linkcode mountPlace} returned.
 *
 * @throws {InUseError} if somebody has made one since.
 */
export function requireUnmoved(host: Host, place: string): void {
  const [link] = linksAbove(host, place);
  if (link === undefined) return;
  throw new InUseError(place, `has come to be behind a link since it was looked at (${link})`);
}

/** Returns the path of a mount point to remove, without short names and links on the way, as far as Windows tells. */
export function placeOfMountPoint(host: Host, path: string): string {
  return inFolder(realPathIfTold(host, dirname(path)), basename(path));
}

interface MountPoint {
  readonly folder: string;
  readonly volume: string;
}

// Returns the mount point on a path that is nearest to its end, if there is one. Throws if the folders above can't be created.
function requireNoLink(host: Host, path: string, argument: string, named: string): MountPoint | undefined {
  const links: string[] = [];
  let isThere = false;
  for (let at = dirname(path);; at = dirname(at)) {
    const isRoot = at === dirname(at);
    if (isRoot && isThere) break;
    const attributes = fileAttributes(host, at);
    if (attributes === undefined) {
      if (isRoot) throw new InvalidInputError(argument, `is on a drive that isn't there (${at})`, named);
      continue;
    }
    if ((attributes & attribute.DIRECTORY) === 0) throw new InvalidInputError(argument, `is in a file (${at})`, named);
    isThere = true;
    if (isRoot) break;
    if ((attributes & attribute.REPARSE_POINT) !== 0) links.push(at);
  }
  const mountPoints = links.map((folder) => {
    const volume = mountedVolume(host, folder);
    if (volume !== undefined) return { folder, volume };
    throw new InvalidInputError(argument, `is behind a link (${folder}). Name the folder that it leads to`, named);
  });
  return mountPoints[0];
}

// A mount point on the way can be removed before the one behind it, which has to be found then.
function onVolume(path: string, mountPoint: MountPoint | undefined): string {
  return mountPoint === undefined ? path : mountPoint.volume + path.slice(mountPoint.folder.length + 1);
}

function inFolder(folder: string, name: string): string {
  return `${folder.replace(/\\$/, "")}\\${name}`;
}

// The links and mount points above a path, the nearest first.
function linksAbove(host: Host, path: string): string[] {
  const links: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    if (isLink(host, at)) links.push(at);
  }
  return links;
}
