/**
 * What is wrong with the files that have the ids of an image's objects. Reading needs none of them.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { type RandomAccess, readFully } from "../bytes/random_access.ts";
import { type CimFault, faultOf, Faults } from "./cim_fault.ts";
import { type CimFolder, openPart } from "./cim_folder.ts";
import { checkObjectIdsHeader, type CimVersion, OBJECT_IDS_HEADER, objectIdsName, REGION_HEADER } from "./headers.ts";
import type { Region } from "./regions.ts";

const ENTRY = 40;
const ENTRIES_AT_A_TIME = 1024;

/** Checks the object ids of a region. */
export async function* checkObjectIds(
  folder: CimFolder,
  region: Region,
  version: CimVersion,
): AsyncGenerator<CimFault> {
  const name = objectIdsName(region.set, region.index);
  using source = await openPart(folder, name);
  if (source === undefined) {
    yield faultOf("note", new FormatError(name, "it is missing, and needed to make other images from this one"));
  } else {
    yield* entryFaults(source, region, version);
  }
}

async function* entryFaults(source: RandomAccess, region: Region, version: CimVersion): AsyncGenerator<CimFault> {
  const faults = new Faults();
  const header = await faults.settling(checkObjectIdsHeader(source, version, faults.report));
  yield* faults.list;
  if (header === undefined) return;
  const { chunk, table, count } = header;
  if (table < OBJECT_IDS_HEADER || table + count * ENTRY > source.size) {
    const problem = `its ${count} ids at ${table} are outside of its ${source.size} bytes`;
    yield faultOf("warning", chunk.fault(40, problem));
    return;
  }
  for (let first = 0; first < count; first += ENTRIES_AT_A_TIME) {
    const entries = new Uint8Array(ENTRY * Math.min(ENTRIES_AT_A_TIME, count - first));
    const at = table + first * ENTRY;
    await readFully(source, at, entries);
    yield* outside(new DataView(entries.buffer), source.name, at, region);
  }
}

function outside(entries: DataView, file: string, at: number, { name, size }: Region): readonly CimFault[] {
  const faults = new Faults();
  for (let entry = 0; size !== undefined && entry < entries.byteLength; entry += ENTRY) {
    const [length, start] = [entries.getBigUint64(entry, true), entries.getBigUint64(entry + 32, true)];
    if (start >= BigInt(REGION_HEADER) && start + length <= BigInt(size)) continue;
    const problem = `an object is outside of ${name}: ${length} bytes at ${start} of ${size}`;
    faults.report("warning", new FormatError(file, problem, { offset: at + entry }));
  }
  return faults.list;
}
