/**
 * The hold on a CIM image: mounted as a volume.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { cimMountFlag, dismountImage, mountImage } from "../ffi/cimfs.ts";
import { win32 } from "../errors/codes.ts";
import { NativeError } from "../errors/windows_errors.ts";
import type { Host } from "../ffi/host.ts";
import { deleteFile, readText, writeText } from "../ffi/kernel32.ts";
import type { Hold, HoldKind } from "../holds/hold.ts";
import { log } from "../log.ts";
import { messageOf } from "../printable.ts";
import { pathKey } from "../checks/windows_path.ts";

/** An image mounted by `CimMountImage`. */
export interface CimVolumeHold extends Hold {
  /** What is held. */
  readonly kind: "cimVolume";
  /** The volume, `\\?\Volume{guid}\`. */
  readonly volume: string;
  /** Folder of the container's scratch layer, which keeps note of the image. */
  readonly scratch: string;
}

/** An image to be mounted. */
export interface CimImageHold extends CimVolumeHold {
  /** Path of the image. */
  readonly image: string;
}

/** What the scratch folder notes of the image that its container was mounted with. */
export interface CimNote {
  /** The volume. */
  readonly volume: string;
  /** Path of the image. */
  readonly image: string;
}

// An alternate data stream of the scratch folder. Windows doesn't tell which image a volume shows, nor which volume goes
// with a scratch: after a crash this does.
const NOTE = ":hcs-layers.cim";

/**
 * Mounts the image, and dismounts it. A volume that is there already is adopted where the note says that it was mounted
 * for this scratch from this image, so is left from a crash.
 */
export const cimVolume: HoldKind<CimVolumeHold, CimImageHold> = {
  kind: "cimVolume",

  async take(host, hold) {
    const before = cimNoteOf(host, hold.scratch);
    note(host, hold.scratch, { volume: hold.volume, image: hold.image });
    try {
      await mountImage(
        host,
        { folder: dirname(hold.image), name: basename(hold.image) },
        hold.volume.slice("\\\\?\\Volume{".length, -"}\\".length),
        cimMountFlag.CACHE_FILES,
      );
    } catch (error) {
      const exists = error instanceof NativeError && error.win32 === win32.ERROR_ALREADY_EXISTS;
      if (!exists || before === undefined || !isSame(before, hold)) {
        note(host, hold.scratch, before);
        throw error;
      }
      log("warn", () => `adopted ${hold.volume}, left mounted from ${hold.image}`);
    }
    return hold;
  },

  carries: (_, other) => other.kind === "overlay",

  async give(host, hold) {
    const wasHeld = await dismount(host, hold.volume);
    note(host, hold.scratch, undefined);
    return wasHeld;
  },
};

/** The note of a scratch folder, `undefined` where there is none. */
export function cimNoteOf(host: Host, scratch: string): CimNote | undefined {
  try {
    const { volume, image } = JSON.parse(readText(host, scratch + NOTE));
    return typeof volume === "string" && typeof image === "string" ? { volume, image } : undefined;
  } catch {
    return undefined;
  }
}

function note(host: Host, scratch: string, content: CimNote | undefined): void {
  try {
    if (content === undefined) {
      deleteFile(host, scratch + NOTE);
    } else {
      writeText(host, scratch + NOTE, JSON.stringify(content));
    }
  } catch (error) {
    // A file system without streams, or no note to delete: then the container's id has to be known to find the volume.
    log("debug", () => `note of ${scratch}: ${messageOf(error)}`);
  }
}

function isSame(note: CimNote, hold: CimImageHold): boolean {
  return pathKey(note.volume) === pathKey(hold.volume) && pathKey(note.image) === pathKey(hold.image);
}

async function dismount(host: Host, volume: string): Promise<boolean> {
  try {
    await dismountImage(host, volume.slice("\\\\?\\Volume{".length, -"}\\".length));
    return true;
  } catch (error) {
    if (error instanceof NativeError && error.win32 === win32.ERROR_FILE_NOT_FOUND) return false;
    throw error;
  }
}
