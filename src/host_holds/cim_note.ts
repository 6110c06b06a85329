/**
 * The note in a scratch folder about the CIM image of its container: an alternate data stream. Windows can't say which
 * image a volume shows, or which volume belongs to a scratch. After a crash, the note says so.
 *
 * @module
 */

import { pathKey } from "../checks/windows_path.ts";
import { messageOf } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { deleteFile, readText, writeText } from "../ffi/kernel32.ts";
import { log } from "../log.ts";

/** The content of the note. */
export interface CimNote {
  /** The volume. */
  readonly volume: string;
  /** Path of the image. */
  readonly image: string;
}

const NOTE = ":hcs-layers.cim";

/** Returns the note of a scratch folder, or undefined if there is none. */
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
    // The file system has no streams, or there is no note. Then the volume can be found only by the container's id.
    log("debug", () => `note of ${scratch}: ${messageOf(error)}`);
  }
}

/** Returns whether two notes name the same volume and image. */
export function isSameCim(one: CimNote, other: CimNote): boolean {
  return pathKey(one.volume) === pathKey(other.volume) && pathKey(one.image) === pathKey(other.image);
}
