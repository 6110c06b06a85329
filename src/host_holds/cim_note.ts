/**
 * The note in a scratch folder of the CIM image that its container is mounted with: an alternate data stream. Windows
 * doesn't tell which image a volume shows, nor which volume goes with a scratch; after a crash this does.
 *
 * @module
 */

import { pathKey } from "../checks/windows_path.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { deleteFile, readText, writeText } from "../ffi/kernel32.ts";
import { log } from "../log.ts";

/** What is noted. */
export interface CimNote {
  /** The volume. */
  readonly volume: string;
  /** Path of the image. */
  readonly image: string;
}

const NOTE = ":hcs-layers.cim";

/** The note of a scratch folder, undefined if there is none. */
export function cimNoteOf(host: Host, scratch: string): CimNote | undefined {
  try {
    const { volume, image } = JSON.parse(readText(host, scratch + NOTE));
    return typeof volume === "string" && typeof image === "string" ? { volume, image } : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the note of a scratch folder, or deletes it. */
export function writeCimNote(host: Host, scratch: string, note: CimNote | undefined): void {
  try {
    if (note === undefined) {
      deleteFile(host, scratch + NOTE);
    } else {
      writeText(host, scratch + NOTE, JSON.stringify(note));
    }
  } catch (error) {
    // A file system without streams, or no note to delete: then the container's id has to be known to find the volume.
    log("debug", () => `note of ${scratch}: ${messageOf(error)}`);
  }
}

/** Whether both name the same volume and image. */
export function isSameCim(one: CimNote, other: CimNote): boolean {
  return pathKey(one.volume) === pathKey(other.volume) && pathKey(one.image) === pathKey(other.image);
}
