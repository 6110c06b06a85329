/**
 * The record of a volume or an image that is mounted by itself, not as a part of layers, or of something that is being made.
 *
 * @module
 */

import { boolean, string, text } from "../checks/arguments.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { RecordError } from "../errors/state_errors.ts";
import { type Check, fieldsOf, optional } from "../options.ts";
import { processIn, units } from "./record.ts";
import type { Stamp } from "./stamp.ts";

/** A volume and the folder to mount it at, or an image and the volume that shows it. */
export type PlannedMount =
  & { readonly volume: string; readonly isPermanent: boolean }
  & ({ readonly kind: "volume"; readonly folder: string } | { readonly kind: "image"; readonly image: string });

/** A layer or an image that is being made, or a layer that is being read. */
export interface PlannedTransfer {
  /** What it is. */
  readonly kind: TransferKind;
  /** Path of the layer or image. */
  readonly target: string;
  /** A UUID in the names of all that is there only until it is done, by which it is told from everything else. */
  readonly mark: string;
  /** Of a new layer in an image: the path of that. */
  readonly image?: string | undefined;
}

/** What is made or read. */
export type TransferKind = "newLayer" | "newImageLayer" | "newImage" | "export";

/** What is known before the first change. */
export type PlannedPlace = PlannedMount | PlannedTransfer;

/** The part of it that has one record. */
export type Subject =
  | Pick<PlannedMount & { kind: "volume" }, "kind" | "folder">
  | Pick<PlannedMount & { kind: "image" }, "kind" | "volume">
  | PlannedTransfer;

/** The record. */
export type PlaceRecord = PlannedPlace & Stamp;

/** Returns whether a record is that of something that is being made or read. */
export function isTransfer<T extends PlannedPlace>(place: T): place is T & PlannedTransfer {
  return place.kind !== "volume" && place.kind !== "image";
}

/** Returns what a record is about, in words: it has one file for each. */
export function subjectOf(place: Subject): string {
  switch (place.kind) {
    case "volume":
      return `volume at ${place.folder}`;
    case "image":
      return `image at ${place.volume}`;
    case "export":
      return `export ${place.mark} of ${place.target}`;
    default:
      return `${place.kind} at ${place.target}`;
  }
}

const VERSION = 1;

/** Returns the only line of a record. */
export function placeLine(place: PlaceRecord): string {
  return `${JSON.stringify({ version: VERSION, ...place })}\n`;
}

function isTransferKind(kind: unknown): kind is TransferKind {
  return ["newLayer", "newImageLayer", "newImage", "export"].includes(kind as string);
}

// It becomes part of paths that are removed.
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const uuid: Check<string> = (value, argument) => {
  const id = text(value, argument);
  if (!UUID.test(id)) throw new InvalidInputError(argument, "is no UUID", value);
  return id;
};

const STAMP = {
  id: text,
  process: processIn,
  boot: optional(units),
  since: string,
};
const COMMON = { ...STAMP, volume: text, isPermanent: boolean };

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
    if (isTransferKind(kind)) {
      return { kind, ...fieldsOf(rest, { ...STAMP, target: text, mark: uuid, image: optional(text) }, "record") };
    }
    if (kind === "image") return { kind, ...fieldsOf(rest, { ...COMMON, image: text }, "record") };
    throw new RangeError(`its kind is ${kind}`);
  } catch (cause) {
    throw new RecordError(path, { cause });
  }
}
