/**
 * What each file of an image begins with, and what the files are called.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { type RandomAccess, readFully } from "../bytes/random_access.ts";
import { Chunk } from "./chunk.ts";
import type { Report } from "./cim_fault.ts";

/** The version of a file of an image. */
export interface CimVersion {
  /** Another one is another format. */
  readonly major: number;
  /** Another one adds something that readers needn't know. */
  readonly minor: number;
}

/** Regions that were written together. */
export interface RegionSet {
  /** Lower case, without braces. It is in the names of the files. */
  readonly guid: string;
  readonly count: number;
}

/** The header of the file that an image is known by. */
export interface ImageHeader {
  readonly version: CimVersion;
  /** The regions of the images that this one was made from, the oldest first. */
  readonly parents: readonly RegionSet[];
  /** Its own. */
  readonly own: RegionSet;
  readonly chunk: Chunk;
}

/** Kind of a file, as its header has it. */
export const fileType = { IMAGE: 0, REGION: 1, OBJECT_IDS: 2 } as const;

/** Length of the header of a region: nothing that an offset names lies before it. */
export const REGION_HEADER = 40;
/** Length of the header of a file of object ids. */
export const OBJECT_IDS_HEADER = 48;
/** Place of the offset of the filesystem object in the header of an image. */
export const FILESYSTEM_OFFSET = 56;
/** Place of its own regions there. */
export const OWN_SET = 32;
const IMAGE_HEADER = 72;
const REGION_SET = 24;
const PARENT_COUNT = 70;
const MOST_REGIONS = 65536;
const MAGIC = "cimfile0";
const VHD_FOOTER = 512;
const VHD_MAGIC = "conectix";

/** The only major version whose contents are published. */
export const READABLE = 2;
/** That of which the header is known, so that its files can be listed. */
const LISTABLE = [READABLE, 3];

/** The name of the file of a region. */
export function regionName({ guid }: RegionSet, index: number): string {
  return `region_${guid}_${index}`;
}

/** The name of the file with the ids of the objects in a region. */
export function objectIdsName({ guid }: RegionSet, index: number): string {
  return `objectid_${guid}_${index}`;
}

/**
 * Reads the header of an image.
 *
 * @throws {FormatError} if it is none, or of an unknown version.
 */
export async function readImageHeader(source: RandomAccess, report: Report): Promise<ImageHeader> {
  await refuseBlockImage(source);
  const start = await headerOf(source, IMAGE_HEADER);
  const version = versionOf(start);
  if (!LISTABLE.includes(version.major)) {
    throw start.fault(16, `it has the format ${version.major}.${version.minor}, which isn't known`, "unsupported");
  }
  const parents = start.u16(PARENT_COUNT);
  const length = IMAGE_HEADER + parents * REGION_SET;
  if (length > source.size) throw start.fault(PARENT_COUNT, `it has no room for ${parents} parents`);
  const chunk = await headerOf(source, length);
  checkCommon(chunk, fileType.IMAGE, length, source.size, report);
  const header = {
    version,
    parents: Array.from({ length: parents }, (_, n) => regionSet(chunk, IMAGE_HEADER + n * REGION_SET, report)),
    own: regionSet(chunk, OWN_SET, report),
    chunk,
  };
  const { own } = header;
  if (own.count === 0) report("error", chunk.fault(OWN_SET + 16, "it has no region of its own"));
  if (own.count + header.parents.reduce((sum, { count }) => sum + count, 0) > MOST_REGIONS) {
    throw chunk.fault(OWN_SET + 16, `it and its parents have more than ${MOST_REGIONS} regions`);
  }
  if (!chunk.isZero(64, 6)) report("warning", chunk.fault(64, "reserved bytes aren't 0"));
  if (version.minor !== 0) report("warning", chunk.fault(20, `its minor version is ${version.minor}, not 0`));
  return header;
}

/** Reads the header of a region, and looks at it. */
export async function checkRegionHeader(
  source: RandomAccess,
  expected: { readonly index: number; readonly total: number; readonly version: CimVersion },
  report: Report,
): Promise<{ readonly type: number }> {
  const chunk = await headerOf(source, REGION_HEADER);
  checkVersion(chunk, expected.version);
  checkCommon(chunk, fileType.REGION, REGION_HEADER, source.size, report);
  const [index, type] = [chunk.u16(32), chunk.u8(34)];
  // Whether it counts those of parents isn't known.
  if (index !== expected.index && index !== expected.total) {
    report("warning", chunk.fault(32, `its index is ${index}, and the name says ${expected.index}`));
  }
  if (type > 2) report("warning", chunk.fault(34, `its type of region, ${type}, isn't known`));
  if (!chunk.isZero(35, 5)) report("warning", chunk.fault(35, "reserved bytes aren't 0"));
  return { type };
}

/** Reads the header of a file of object ids, looks at it, and returns where how many ids are. */
export async function checkObjectIdsHeader(
  source: RandomAccess,
  version: CimVersion,
  report: Report,
): Promise<{ readonly chunk: Chunk; readonly table: number; readonly count: number }> {
  const chunk = await headerOf(source, OBJECT_IDS_HEADER);
  checkVersion(chunk, version);
  checkCommon(chunk, fileType.OBJECT_IDS, OBJECT_IDS_HEADER, source.size, report);
  return { chunk, table: chunk.u32(40), count: chunk.u32(44) };
}

async function headerOf(source: RandomAccess, length: number): Promise<Chunk> {
  const bytes = new Uint8Array(Math.min(length, source.size));
  await readFully(source, 0, bytes);
  const chunk = new Chunk(new DataView(bytes.buffer), source.name, 0);
  const magic = bytes.subarray(0, MAGIC.length);
  if (magic.length < MAGIC.length || String.fromCharCode(...magic) !== MAGIC) {
    throw chunk.fault(0, `it is no file of a CIM image, as it doesn't begin with ${MAGIC}`, "unsupported");
  }
  if (bytes.byteLength < length) {
    throw chunk.fault(bytes.byteLength, `its header of ${length} bytes ends after ${bytes.byteLength}`);
  }
  return chunk;
}

// An image in one file or on a disk, which can have the footer of a virtual disk.
async function refuseBlockImage(source: RandomAccess): Promise<void> {
  if (source.size < 2 * VHD_FOOTER) return;
  const magic = new Uint8Array(VHD_MAGIC.length);
  await readFully(source, source.size - VHD_FOOTER, magic);
  if (String.fromCharCode(...magic) !== VHD_MAGIC) return;
  throw new FormatError(
    source.name,
    "it is a virtual disk, perhaps with a block image on it, and how those are laid out isn't published. New builds of " +
      "Windows make a readable image of it: CimConvertBlockImage of cimfs.dll",
    { offset: source.size - VHD_FOOTER, reason: "unsupported" },
  );
}

function versionOf(chunk: Chunk): CimVersion {
  return { major: chunk.u32(16), minor: chunk.u32(20) };
}

function checkVersion(chunk: Chunk, expected: CimVersion): void {
  const { major, minor } = versionOf(chunk);
  if (major !== expected.major) {
    throw chunk.fault(16, `it has the format ${major}.${minor}, and its image ${expected.major}.${expected.minor}`);
  }
}

const TYPE_NAMES = ["an image", "a region", "object ids"];

function checkCommon(chunk: Chunk, type: number, length: number, size: number, report: Report): void {
  const stated = chunk.u32(8);
  if (stated < length || stated > size) {
    report("note", chunk.fault(8, `it says that its header has ${stated} bytes, of which ${length} are known`));
  }
  if (chunk.u8(12) !== type) {
    report("error", chunk.fault(12, `its type is ${chunk.u8(12)}, not that of ${TYPE_NAMES[type]}, ${type}`));
  }
  if (!chunk.isZero(13, 3)) report("warning", chunk.fault(13, "reserved bytes aren't 0"));
  if (!chunk.isZero(24, 8)) report("warning", chunk.fault(24, "reserved bytes aren't 0"));
}

function regionSet(chunk: Chunk, at: number, report: Report): RegionSet {
  if (!chunk.isZero(at + 18, 6)) report("warning", chunk.fault(at + 18, "reserved bytes aren't 0"));
  const bytes = [...chunk.bytes.subarray(at, at + 16)];
  const groups = [bytes.slice(0, 4).reverse(), bytes.slice(4, 6).reverse(), bytes.slice(6, 8).reverse()];
  const hex = [...groups, bytes.slice(8, 10), bytes.slice(10)].map((group) =>
    group.map((byte) => byte.toString(16).padStart(2, "0")).join("")
  );
  return { guid: hex.join("-"), count: chunk.u16(at + 16) };
}
