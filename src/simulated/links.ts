/**
 * Which file or folder a path leads to: through junctions, symbolic links, mount points, short names, and drive letters that
 * stand for something else.
 *
 * @module
 */

import { win32Failure } from "./call.ts";
import { shownBelow } from "./layered_view.ts";
import { standInGuid } from "./name_to_guid.ts";
import { foldName, parentOf, parsePath, pathsIn, plainPath } from "./names.ts";
import { unknown } from "./simulation_error.ts";
import { indexOf } from "./state_index.ts";
import type { Node, WindowsState } from "./windows.ts";

/** A link to another path. */
export interface Link {
  /** A junction or symbolic link; `drive` for a drive letter that stands for a folder (SUBST) or a share. */
  readonly kind: "junction" | "symbolic" | "drive";
  /** The path that it leads to. */
  readonly target: string;
}

/** Where a path leads to. */
export interface Place {
  /** The path with all links resolved, and with the names as they are spelled on the disk as far as they exist. */
  readonly path: string;
  /** What is there. */
  readonly node: Node | undefined;
}

/** What to do if the last name of a path is a link or mount point: `follow` it, or `stay` at it. */
export type AtLink = "follow" | "stay";

const MOST_LINKS = 63;
const ERROR_CANT_RESOLVE_FILENAME = 1921;
const VOLUME = /^\\\\\?\\Volume\{([^}]*)\}$/i;
const DRIVE = /^[A-Za-z]:$/;

/**
 * Follows a path.
 *
 * Fails with ERROR_INVALID_NAME for names that NTFS refuses, with ERROR_CANT_RESOLVE_FILENAME for links that lead in a circle.
 */
export function follow(state: WindowsState, path: string, atLink: AtLink): Place {
  let { root, names } = parsePath(path);
  for (let links = 0; links <= MOST_LINKS; links++) {
    const place = walk(state, root, names, atLink);
    if (!("rest" in place)) return place;
    const target = parsePath(place.target);
    root = target.root;
    names = [...target.names, ...place.rest];
  }
  throw win32Failure(ERROR_CANT_RESOLVE_FILENAME);
}

function walk(
  state: WindowsState,
  root: string,
  names: readonly string[],
  atLink: AtLink,
): Place | { readonly target: string; readonly rest: readonly string[] } {
  let { path, node } = rootOf(state, root);
  for (let i = 0;; i++) {
    const isLast = i === names.length;
    const target = node && (i === 0 || !isLast || atLink === "follow") ? targetOf(node, path) : undefined;
    if (target !== undefined) return { target, rest: names.slice(i) };
    if (isLast) return { path, node };
    if (node?.type !== "folder") return { path: [path, ...names.slice(i)].join("\\"), node: undefined };
    const child: Node | undefined = childOf(state, path, names[i]!);
    path = child?.path ?? `${path}\\${names[i]}`;
    node = child;
  }
}

function targetOf({ link, volume, path }: Node, at: string): string | undefined {
  if (volume !== undefined) return volume;
  if (link === undefined || link.kind !== "symbolic" || /^([A-Za-z]:|\\\\)/.test(link.target)) return link?.target;
  if (link.target.startsWith("\\")) unknown(`following a symbolic link to a folder of the current drive: ${path}`);
  return `${parentOf(at)}\\${link.target}`;
}

// With a `~` in it, a name can be the short one of another.
function childOf(state: WindowsState, folder: string, name: string): Node | undefined {
  const prefix = `${foldName(folder)}\\`;
  const { nodes } = state;
  const found = nodes[prefix + foldName(name)];
  if (found !== undefined || !name.includes("~")) return found ?? shownBelow(state, folder, name);
  const short = foldName(name);
  return Object.entries(nodes).find(([key, { shortName }]) =>
    shortName !== undefined && foldName(shortName) === short && parentOf(key) === prefix.slice(0, -1)
  )?.[1];
}

function rootOf(state: WindowsState, root: string): { path: string; node: Node | undefined } {
  const guid = VOLUME.exec(root)?.[1]?.toLowerCase();
  if (guid === undefined) {
    const node = state.nodes[foldName(root)];
    return { path: node?.path ?? root, node };
  }
  const drive = driveOf(state, guid);
  if (drive !== undefined) return { path: drive.path, node: drive };
  const path = `\\\\?\\Volume{${guid}}`;
  const key = path.toLowerCase();
  const exists = state.volumes[`${key}\\`] !== undefined;
  return { path, node: exists ? state.nodes[key] ?? { path, type: "folder" } : undefined };
}

const driveGuids = new Map<string, string>();

/** Returns the drive with the volume of this GUID. The disks of the machine itself are on drives, never without a letter. */
export function driveOf({ nodes }: WindowsState, guid: string): Node | undefined {
  if (driveGuids.size === 0) {
    for (let letter = "a".charCodeAt(0); letter <= "z".charCodeAt(0); letter++) {
      const drive = `${String.fromCharCode(letter)}:`;
      driveGuids.set(standInGuid(`drive:${drive}`), drive);
    }
  }
  const node = nodes[driveGuids.get(guid) ?? ""];
  return node !== undefined && node.volume === undefined && node.link === undefined ? node : undefined;
}

/** Returns the root of a path that has no links. */
export function rootOfPlace(path: string): string {
  return parsePath(path).root;
}

/** Returns the volume that a path without links is on, `\\?\Volume{guid}`, or undefined if it is on a share. */
export function volumeOfPlace(path: string): string | undefined {
  const root = rootOfPlace(path);
  if (DRIVE.test(root)) return `\\\\?\\Volume{${standInGuid(`drive:${root.toLowerCase()}`)}}`;
  return VOLUME.test(root) ? root : undefined;
}

/** Returns the paths at which a volume is mounted, `\\?\Volume{guid}`: its drive letter first. */
export function pathsOfVolume(state: WindowsState, volume: string): string[] {
  const drive = driveOf(state, VOLUME.exec(volume)?.[1]?.toLowerCase() ?? "");
  const mounted = indexOf(state).mountPointsOf(volume).map((key) => state.nodes[key]!.path);
  const [letters, folders] = [true, false].map((is) => mounted.filter((path) => DRIVE.test(path) === is));
  return [...drive === undefined ? [] : [drive.path], ...letters!, ...folders!];
}

/** Returns the path of a drive letter or share at which a place is reached, or undefined if there is none. */
export function dosPath(state: WindowsState, path: string): string | undefined {
  const volume = VOLUME.exec(rootOfPlace(path))?.[0];
  if (volume === undefined) return path;
  const mounted = pathsOfVolume(state, volume)[0];
  if (mounted === undefined) return undefined;
  // The folder of a mount point can itself be on a volume that is mounted elsewhere.
  const at = dosPath(state, mounted);
  return at && at + path.slice(volume.length);
}

const SERVICES = ["vmcompute", "computestorage"];

/** Throws if a service is given a path with a drive letter that only the session of this process knows. */
export function requireShared({ nodes }: WindowsState, dll: string, args: Readonly<Record<string, unknown>>): void {
  if (!SERVICES.includes(dll)) return;
  const path = pathsIn(args).find((path) => nodes[foldName(plainPath(path).slice(0, 2))]?.link?.kind === "drive");
  if (path !== undefined) unknown(`giving a service a path on a drive that only one session knows: ${path}`);
}
