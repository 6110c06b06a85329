/**
 * The note in a scratch folder about the CIM image of its container: an alternate data stream. Windows can't say which
 * image a volume shows, or which volume belongs to a scratch. After a crash, the note says so.
 *
 * @module
 */

import { pathKey, volumeIn } from "../checks/windows_path.ts";
import { messageOf, printable } from "../errors/printable.ts";
import type { Host } from "../ffi/host.ts";
import { deleteFile, isNotFound, readText, writeText } from "../ffi/kernel32.ts";
import { log } from "../log.ts";
import { hasNoStreams } from "./streams.ts";

/** The content of the note. */
export interface CimNote {
  /** The volume. */
  readonly volume: string;
  /** Path of the image. */
  readonly image: string;
}

const NOTE = ":hcs-layers.cim";

/**
 * Returns the note of a scratch folder, or undefined if there is no valid one.
 *
 * @throws {NativeError} if it can't be read, so that it is unknown whether the scratch has an image.
 */
export function cimNoteOf(host: Host, scratch: string): CimNote | undefined {
  let text: string;
  try {
    text = readText(host, scratch + NOTE);
  } catch (error) {
    if (isNotFound(error) || hasNoStreams(error)) return undefined;
    throw error;
  }
  try {
    const { volume, image } = JSON.parse(text);
    const root = typeof volume === "string" ? volumeIn(volume) : undefined;
    if (root !== undefined && typeof image === "string") return { volume: root, image };
  } catch {
    // Handled below, like JSON of another form.
  }
  log("warn", () => `the note of ${scratch} is ignored, as it doesn't name a volume: ${printable(text)}`);
  return undefined;
}

/**
 * Writes the note of a scratch folder. On a file system without streams, it does nothing: there, the image can be found
 * only by the container's id.
 *
 * @throws {NativeError} if it can't be written for another reason.
 */
export function writeCimNote(host: Host, scratch: string, note: CimNote): void {
  try {
    writeText(host, scratch + NOTE, JSON.stringify(note));
  } catch (error) {
    if (!hasNoStreams(error)) throw error;
    log("debug", () => `no note in ${scratch}: ${messageOf(error)}`);
  }
}

/** Deletes the note of a scratch folder. */
export function deleteCimNote(host: Host, scratch: string): void {
  try {
    deleteFile(host, scratch + NOTE);
  } catch (error) {
    // A note that is left does no harm: its image isn't mounted.
    log("debug", () => `note of ${scratch}: ${messageOf(error)}`);
  }
}

/** Returns whether two notes name the same volume and image. */
export function isSameCim(one: CimNote, other: CimNote): boolean {
  return pathKey(one.volume) === pathKey(other.volume) && pathKey(one.image) === pathKey(other.image);
}
