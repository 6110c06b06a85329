/**
 * Which files make up an image.
 *
 * @module
 */

import { FormatError, UnreadableFileError } from "../../errors/file_errors.ts";
import { throwErrors } from "./cim_fault.ts";
import { type CimFolder, openPart } from "./cim_folder.ts";
import { type CimSource, placeOf, readListableHeader } from "./open_cim.ts";
import { type CimVersion, type ImageHeader, objectIdsName, regionName } from "./headers.ts";

/** A file of an image. */
export interface CimFile {
  /** Its name. It is in the folder of the image. */
  readonly name: string;
  /** What it has: the image's header, contents, or what writing needs. */
  readonly kind: "image" | "region" | "objectIds";
  /** Whether it is the image's own, or that of an image that it was made from: the image can't be read without. */
  readonly of: "own" | "parent";
  /** Length in bytes. Undefined if it is missing. */
  readonly size: number | undefined;
}

/** The files of an image. */
export interface CimFiles {
  /** The version of its format. Those of 3 can be listed, not read. */
  readonly version: CimVersion;
  /** The image's header first, then its own, then those of its parents, the oldest last. */
  readonly files: readonly CimFile[];
  /** Other images in the folder that have files in common with it: who deletes it must leave those. */
  readonly sharedWith: readonly string[];
}

/**
 * Tells which files make up an image.
 *
 * @throws {FormatError} if it isn't one.
 * @throws {UnreadableFileError} if a file can't be opened.
 */
export async function filesOfCim(source: CimSource): Promise<CimFiles> {
  const place = placeOf(source);
  const { folder, name } = place;
  const header = await readListableHeader(place, throwErrors);
  const files: CimFile[] = [{ name, kind: "image", of: "own", size: await sizeOf(folder, name) }];
  for (const set of [header.own, ...header.parents.toReversed()]) {
    const of = set === header.own ? "own" : "parent";
    for (let index = 0; index < set.count; index++) {
      for (
        const [kind, file] of [["region", regionName(set, index)], ["objectIds", objectIdsName(set, index)]] as const
      ) {
        files.push({ name: file, kind, of, size: await sizeOf(folder, file) });
      }
    }
  }
  return { version: header.version, files, sharedWith: await sharers(folder, name, header) };
}

async function sizeOf(folder: CimFolder, name: string): Promise<number | undefined> {
  using source = await openPart(folder, name);
  return source?.size;
}

async function sharers(folder: CimFolder, name: string, header: ImageHeader): Promise<string[]> {
  const guids = new Set(setsOf(header));
  const found: string[] = [];
  for (const other of (await folder.names?.()) ?? []) {
    if (!/\.cim$/i.test(other) || other.toLowerCase() === name.toLowerCase()) continue;
    try {
      const sets = setsOf(await readListableHeader({ folder, name: other, path: other }, () => {}));
      if (sets.some((guid) => guids.has(guid))) found.push(other);
    } catch (error) {
      // What is no image shares nothing.
      if (!(error instanceof FormatError || error instanceof UnreadableFileError)) throw error;
    }
  }
  return found.sort();
}

function setsOf({ own, parents }: ImageHeader): string[] {
  return [own, ...parents].map(({ guid }) => guid);
}
