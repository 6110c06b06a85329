/**
 * What Windows itself knows to be attached to the host: virtual disks and mounted images, by whichever tool.
 *
 * @module
 */

import { realPath } from "../checks/real_path.ts";
import { pathKey } from "../checks/windows_path.ts";
import { win32 } from "../errors/codes.ts";
import { LayerError } from "../errors/layer_error.ts";
import { messageOf } from "../errors/printable.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { diskNumberOf, fileSystemOf, volumes } from "../ffi/kernel32.ts";
import { attachedDiskFiles, diskFileOf, virtdisk } from "../ffi/virtdisk.ts";
import { log } from "../log.ts";

/** A virtual disk that is attached to the host. */
export interface AttachedDisk {
  /** Path of its file, on a drive if that has a letter. */
  readonly file: string;
  /** A volume on it, `\\?\Volume{guid}\`. Undefined if there is none, or Windows doesn't tell. */
  readonly volume: string | undefined;
  /** The N in its device, `\\.\PhysicalDriveN`. Undefined if it has none, or Windows doesn't tell. */
  readonly number: number | undefined;
}

/** What Windows knows. */
export interface Attached {
  /** The virtual disks. One with several volumes is there for each of them. */
  readonly disks: readonly AttachedDisk[];
  /** The volumes of mounted images, `\\?\Volume{guid}\`. */
  readonly images: readonly string[];
}

// Without regard to case, as those compare it who have seen it.
const IMAGE = "cimfs";

/**
 * Asks Windows for all virtual disks and images that are attached to the host, by a few calls for each volume. What it doesn't
 * tell is logged, and hides nothing else: what isn't listed here can be attached nevertheless.
 */
export async function attachedToHost(host: Host, signal?: AbortSignal): Promise<Attached> {
  const disks: AttachedDisk[] = [];
  const images: string[] = [];
  // Whoever only looks for something can do without a grant for it.
  const tellsDisks = await told("virtual disks", () => host.symbols(virtdisk)) !== undefined;
  for (const volume of await told("the volumes", () => volumes(host)) ?? []) {
    signal?.throwIfAborted();
    const file = tellsDisks ? await told(volume, () => diskFileOf(host, volume)) : undefined;
    if (file !== undefined) {
      const number = await told(volume, () => diskNumberOf(host, volume));
      disks.push({ file: await realFile(host, file), volume, number });
    } else if ((await told(volume, () => fileSystemOf(host, volume)))?.toLowerCase() === IMAGE) {
      images.push(volume);
    }
  }
  if (!tellsDisks) return { disks, images };
  signal?.throwIfAborted();
  const known = new Set(disks.map(({ file }) => pathKey(file)));
  for (const path of await told("the attached disks", () => attachedDiskFiles(host)) ?? []) {
    if (known.has(pathKey(path))) continue;
    const file = await realFile(host, path);
    if (!known.has(pathKey(file))) disks.push({ file, volume: undefined, number: undefined });
  }
  return { disks, images };
}

async function realFile(host: Host, path: string): Promise<string> {
  return await told(path, () => realPath(host, path)) ?? path;
}

// A drive without a medium, and a volume on a disk without a number, are no faults.
const USUAL: readonly (number | undefined)[] = [
  win32.ERROR_INVALID_FUNCTION,
  win32.ERROR_NOT_READY,
  win32.ERROR_UNRECOGNIZED_VOLUME,
];

async function told<T>(what: string, ask: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    const isUsual = error instanceof NativeError && USUAL.includes(error.win32);
    log(isUsual ? "debug" : "warn", () => `Windows doesn't tell of ${what}: ${messageOf(error)}`);
    return undefined;
  }
}
