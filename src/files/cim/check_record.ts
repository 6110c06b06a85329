/**
 * What is wrong with the record of a file, and with what it names.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { MOST_REPARSE_BYTES, parseReparse } from "../backup/reparse_buffer.ts";
import { sddlOf } from "../sddl.ts";
import type { Chunk } from "./chunk.ts";
import { attributesIn } from "./cim_entry.ts";
import type { Faults, Report } from "./cim_fault.ts";
import { readExtendedAttributes, readReparse, readSecurity } from "./file_metadata.ts";
import { field, type FileRecord, KNOWN_FLAGS, type StreamPlace, streamType } from "./file_tables.ts";
import { type Extent, extentIn, type Reader, type Region } from "./regions.ts";
import { executableMap, type Segment } from "./stream_contents.ts";

const PAGE = 4096;
// Of these, types say: what is known about files, or their contents.
const METADATA_TYPE = 0;
const PAGE_TYPE = 1;
const REPARSE_HEADER = 8;
// That of a tag that isn't Microsoft's has a GUID.
const GUID_HEADER = 24;
const MICROSOFT = 0x80000000;

/** Tells of a part of a region of which the type says something else, once for each region. */
export function checkUse(
  { report }: Faults,
  { region, at }: Extent,
  use: "metadata" | "contents",
  from: Chunk,
  field: number,
): void {
  if (use === "contents" && region.type === PAGE_TYPE && at % PAGE !== 0) {
    report("warning", from.fault(field, `its data is at ${at} of ${region.name}, not at the start of a page`));
  }
  if (region.type === undefined || (region.type === METADATA_TYPE) === (use === "metadata")) return;
  const problem = `${region.name} has the type ${region.type}, and ${use} in it`;
  report("warning", from.fault(field, problem), problem);
}

/** What checks of records share. */
export interface CheckedImage {
  readonly regions: readonly Region[];
  /** Where the security descriptors are that were found good: many files share one. */
  readonly securities: Set<string>;
}

const MOST_SECURITIES = 65536;

/** Looks at a record, but for its parent and its further streams. */
export function checkRecord(reader: Reader, image: CheckedImage, record: FileRecord, faults: Faults): void {
  const { report } = faults;
  const { chunk } = record;
  const unknown = chunk.u16(field.FLAGS) & ~KNOWN_FLAGS;
  if (unknown !== 0) report("warning", chunk.fault(field.FLAGS, `it has unknown flags: 0x${unknown.toString(16)}`));
  if (chunk.u16(field.BASE_REGION) !== 0) {
    const base = chunk.u16(field.BASE_REGION);
    report("warning", chunk.fault(field.BASE_REGION, `its base region is ${base}, and what that means isn't known`));
  }
  if (chunk.u16(field.RESERVED) !== 0) report("warning", chunk.fault(field.RESERVED, "reserved bytes aren't 0"));
  checkAttributes(reader, record, faults);
  checkSecurity(reader, image, record, faults);
  checkReparse(reader, record, faults);
  if (!record.isFolder) checkStream(reader, image, record.stream, faults);
}

/** Looks at a stream with contents. */
export function checkStream(reader: Reader, image: CheckedImage, stream: StreamPlace, faults: Faults): void {
  const { report } = faults;
  const { chunk, at, length, type, isSparse } = stream;
  checkStreamBits(stream, report);
  if (type !== streamType.DATA && type !== streamType.PE) {
    report("error", chunk.fault(at + 14, `streams of type ${type} aren't known`));
  } else if (isSparse) {
    if (chunk.place(at) !== undefined) {
      report("note", chunk.fault(at, "its contents are zeros that are nowhere, and it says where they are"));
    }
  } else if (length > 0) {
    faults.catching(() => {
      if (type === streamType.PE) return checkExecutable(reader, image, stream, faults);
      checkUse(faults, extentIn(image.regions, chunk, at, length, "its data"), "contents", chunk, at);
    });
  }
}

/** Looks at the bits of a stream that mean nothing. */
export function checkStreamBits({ chunk, at }: StreamPlace, report: Report): void {
  const unknown = chunk.u8(at + 15) & ~1;
  if (unknown !== 0) report("warning", chunk.fault(at + 15, `its stream has unknown flags: 0x${unknown.toString(16)}`));
}

function checkExecutable(reader: Reader, image: CheckedImage, stream: StreamPlace, faults: Faults): void {
  const { report } = faults;
  const { chunk, length, segments } = executableMap(reader, image.regions, stream);
  if (length !== stream.length) {
    report("warning", chunk.fault(8, `an executable of ${stream.length} bytes has data of ${length}`));
  }
  for (const { extent } of segments.slice(0, 1)) checkUse(faults, extent, "contents", chunk, 0);
  const sorted = segments.toSorted((a, b) => a.extent.at - b.extent.at);
  const overlaps = (a: Segment | undefined, b: Segment) =>
    a !== undefined && a.extent.at + a.extent.length > b.extent.at;
  if (sorted.some((segment, n) => overlaps(sorted[n - 1], segment))) {
    report("error", chunk.fault(0, "two parts of its executable are in the same place"));
  }
}

function checkAttributes(reader: Reader, record: FileRecord, faults: Faults): void {
  const { chunk } = record;
  const [length, place] = [chunk.u16(field.EA_LENGTH), chunk.place(field.EA)];
  if (length > 0 && place === undefined) {
    faults.report("error", chunk.fault(field.EA_LENGTH, `its ${length} bytes of extended attributes are at no place`));
  } else if (length === 0 && place !== undefined) {
    faults.report("warning", chunk.fault(field.EA, "its extended attributes have a place and no bytes"));
  }
  faults.catching(() => {
    const attributes = readExtendedAttributes(reader, record);
    if (attributes !== undefined) attributesIn(attributes);
  });
}

function checkSecurity(reader: Reader, { securities }: CheckedImage, record: FileRecord, faults: Faults): void {
  const place = record.chunk.place(field.SECURITY);
  const key = place === undefined ? "" : `${place.region}:${place.at}`;
  if (place === undefined || securities.has(key)) return;
  const security = faults.catching(() => readSecurity(reader, record));
  if (security === undefined) return;
  try {
    sddlOf(security.bytes);
    if (securities.size < MOST_SECURITIES) securities.add(key);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    faults.report("error", security.fault(error.offset ?? 0, error.problem), `security ${key}`);
  }
}

function checkReparse(reader: Reader, record: FileRecord, faults: Faults): void {
  const { report } = faults;
  const { chunk } = record;
  const tag = chunk.u32(field.REPARSE_TAG);
  if (chunk.place(field.REPARSE) === undefined) {
    if (tag !== 0) report("error", chunk.fault(field.REPARSE_TAG, `it has the tag ${hex(tag)} and no reparse data`));
    return;
  }
  const data = faults.catching(() => readReparse(reader, record));
  if (data === undefined) return;
  const count = data.bytes.byteLength;
  if (count < REPARSE_HEADER) return report("error", data.fault(0, `its reparse data has ${count} bytes`));
  if (data.u32(0) !== tag) {
    report("error", data.fault(0, `its reparse data has the tag ${hex(data.u32(0))}, and its record ${hex(tag)}`));
  }
  const headers = (tag & MICROSOFT) === 0 ? [GUID_HEADER, REPARSE_HEADER] : [REPARSE_HEADER];
  if (!headers.some((header) => header + data.u16(4) === count)) {
    report(
      "error",
      data.fault(4, `its reparse data has ${count} bytes, and says that ${data.u16(4)} follow its header`),
    );
  }
  if (count > MOST_REPARSE_BYTES) {
    return report("warning", data.fault(0, `its reparse data has ${count} bytes: Windows takes ${MOST_REPARSE_BYTES}`));
  }
  try {
    parseReparse(data.bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report("error", data.fault(0, error.message));
  }
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
