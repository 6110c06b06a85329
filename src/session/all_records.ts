/**
 * All records on a host, and what they tell of a layer.
 *
 * @module
 */

import { hasVolume, idOf, isDiskInUse, kindOf } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { realPathIfTold } from "../checks/real_path.ts";
import { isWithin, nameOf, pathKey } from "../checks/windows_path.ts";
import { LayerError } from "../errors/layer_error.ts";
import { NativeError } from "../errors/windows_errors.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { log } from "../log.ts";
import type { MountRecord } from "../records/record.ts";
import type { ListedRecords } from "../records/records.ts";
import { sessionOf } from "./session.ts";
import { isPassing, waitUntil } from "./waiting.ts";

const NO_RECORDS: ListedRecords = { records: [], places: [], vms: [], unreadable: [] };

/** Returns all records on a host. Waits for those that a scanner has open. Those that can't be read are logged. */
export async function allRecords(host: Host, signal: AbortSignal | undefined): Promise<ListedRecords> {
  const records = sessionOf(host).records(host);
  let listed = NO_RECORDS;
  let attempts = 0;
  const isRead = () => {
    listed = records?.list(host) ?? NO_RECORDS;
    // Anything that Windows refuses is asked for twice: an error can be wrong once, and the mount would not be found.
    const isUnclear = (error: unknown) => error instanceof NativeError && attempts === 0;
    const isLate = listed.unreadable.some(({ path, error }) => isUnclear(error) || isPassing(host, path, error));
    attempts++;
    return !isLate;
  };
  await waitUntil(host, "all records can be read", isRead, signal);
  listed.unreadable.forEach(({ path, error }) =>
    log("warn", () => `the record ${path} can't be read: ${messageOf(error)}`)
  );
  return listed;
}

/**
 * Returns the record of a mount, whoever mounted it, that shows a layer in a folder and whose disk is in use; undefined if there is
 * none, or nobody can tell.
 */
export function mountShowing(
  host: Host,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  // Containers share their layers.
  const known = new Map<string, boolean>();
  const isShown = (layer: string) => {
    if (!known.has(layer)) known.set(layer, mayBeIn(host, layer, folder));
    return known.get(layer)!;
  };
  const shows = ({ layers, cim }: MountRecord) => [...layers, ...cim === undefined ? [] : [cim.image]].some(isShown);
  return mountThat(host, shows, signal);
}

// The path of a layer can be another one by now. Records have no ids of layers, but names, by which Windows knows them.
function mayBeIn(host: Host, layer: string, folder: string): boolean {
  return isWithin(layer, folder) || isWithin(realPathIfTold(host, layer), folder) ||
    pathKey(nameOf(layer)) === pathKey(nameOf(folder)) && kindOf(host, layer) === undefined;
}

/** Returns the record of the mount of a scratch, as {@linkcode mountShowing} does. */
export function mountOfScratch(
  host: Host,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  return mountThat(host, (record) => isScratchOf(host, record, folder), signal);
}

/** Returns whether a record is about the scratch in a folder, be it that Windows told another path of it then. */
export function isScratchOf(host: Host, { scratch, scratchId }: MountRecord, folder: string): boolean {
  if (pathKey(scratch) === pathKey(folder)) return true;
  // A scratch that its mount has created has no id in the record.
  return scratchId === undefined
    ? pathKey(realPathIfTold(host, scratch)) === pathKey(folder)
    : scratchId === idOf(host, folder);
}

/** Returns the record of the mount in whose volume a path is, as {@linkcode mountShowing} does. */
export function mountWithVolumeOf(
  host: Host,
  path: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  const isIn = ({ volume }: MountRecord) => volume !== undefined && isWithin(path, volume.replace(/\\$/, ""));
  return mountThat(host, isIn, signal);
}

/** Returns the record of the mount in whose layers or scratch a path is, as {@linkcode mountShowing} does. */
export function mountAround(
  host: Host,
  path: string,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  const isAround = (folder: string) => isWithin(path, folder) || isWithin(path, realPathIfTold(host, folder));
  return mountThat(host, ({ scratch, layers }) => [scratch, ...layers].some(isAround), signal);
}

async function mountThat(
  host: Host,
  is: (record: MountRecord) => boolean,
  signal: AbortSignal | undefined,
): Promise<MountRecord | undefined> {
  try {
    // Deno would ask the user for a grant that is missing.
    requireGrantsFor(host, "mountPoint");
    const { records } = await allRecords(host, signal);
    return records.find((record) => is(record) && isMounted(host, record));
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    log("debug", () => `nobody can tell who has mounted what: ${messageOf(error)}`);
    return undefined;
  }
}

// Its disk can't be looked at if its drive or folder has another path by now.
function isMounted(host: Host, { scratch, volume }: MountRecord): boolean {
  if (isDiskInUse(host, scratch)) return true;
  return kindOf(host, scratch) === undefined && volume !== undefined && hasVolume(host, volume) === true;
}
