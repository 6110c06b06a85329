/**
 * The record of a volume or an image that is mounted by itself, not as a part of layers.
 *
 * @module
 */

import { boolean, string, text } from "../checks/arguments.ts";
import { RecordError } from "../errors/state_errors.ts";
import { fieldsOf, optional } from "../options.ts";
import { processIn, units } from "./record.ts";
import type { Stamp } from "./stamp.ts";

/** What is known before the first change: a volume and the folder to mount it at, or an image and the volume that shows it. */
export type PlannedPlace =
  & { readonly volume: string; readonly isPermanent: boolean }
  & ({ readonly kind: "volume"; readonly folder: string } | { readonly kind: "image"; readonly image: string });

/** The part of it that has one record. */
export type Subject =
  | Pick<PlannedPlace & { kind: "volume" }, "kind" | "folder">
  | Pick<PlannedPlace & { kind: "image" }, "kind" | "volume">;

/** The record. */
export type PlaceRecord = PlannedPlace & Stamp;

/** Returns what a record is about, in words: it has one file for each. */
export function subjectOf(place: Subject): string {
  return place.kind === "volume" ? `volume at ${place.folder}` : `image at ${place.volume}`;
}

const VERSION = 1;

/** Returns the only line of a record. */
export function placeLine(place: PlaceRecord): string {
  return `${JSON.stringify({ version: VERSION, ...place })}\n`;
}

const COMMON = {
  volume: text,
  isPermanent: boolean,
  id: text,
  process: processIn,
  boot: optional(units),
  since: string,
};

/** Returns whether a line is that of a place, whatever else it says. */
export function isPlaceLine(line: string): boolean {
  try {
    return "kind" in JSON.parse(line);
  } catch {
    return false;
  }
}

/**
 * Returns the record in a line.
 *
 * @throws {RecordError} if it makes no sense.
 */
export function placeIn(line: string, path: string): PlaceRecord {
  try {
    const { kind, version, ...rest } = JSON.parse(line);
    if (version !== VERSION) throw new RangeError(`its version is ${version}`);
    if (kind === "volume") return { kind, ...fieldsOf(rest, { ...COMMON, folder: text }, "record") };
    if (kind === "image") return { kind, ...fieldsOf(rest, { ...COMMON, image: text }, "record") };
    throw new RangeError(`its kind is ${kind}`);
  } catch (cause) {
    throw new RecordError(path, { cause });
  }
}
