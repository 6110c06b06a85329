/**
 * Checks the structure of an image: all that is wrong with it, and where.
 *
 * @module
 */

import { optionsOf } from "../../options.ts";
import { checkObjectIds } from "./check_object_ids.ts";
import { checkUse } from "./check_record.ts";
import { TreeCheck } from "./check_tree.ts";
import { type CimFault, faultOf, Faults, type FoundFault } from "./cim_fault.ts";
import { type CimLimits, type CimSource, LIMITS, MOST_ENTRIES, placeOf, readHeader } from "./open_cim.ts";
import { field, type FileRecord, FileTables, readFilesystem, RECORD, ROOT, TABLE } from "./file_tables.ts";
import { type ImageHeader, OWN_SET } from "./headers.ts";
import { type Reader, Regions } from "./regions.ts";
import { readUpcase, type Upcase } from "./upcase.ts";

// An image can name 65536 files that aren't there.
const MOST_OF_FILES = 100;
// Of what is told once, so much is remembered.
const MOST_TOLD = 65536;
// With 1024 files each.
const MOST_TABLES = 65536;

/**
 * Checks the structure of an image, and tells all that is wrong, or unusual, and where. An image that can't be read at all has one
 * `error`, which says why; one without `error` can be read as a whole. Whether Windows mounts it isn't known: nobody has published
 * what it checks.
 *
 * @throws {UnreadableFileError} if a file can't be opened or read.
 *
 * @example
 * ```ts
 * import { checkCim } from "@hcs-layers/hcs-layers/files";
 *
 * async function isWhole(path: string): Promise<boolean> {
 *   for await (const { severity } of checkCim(path)) if (severity === "error") return false;
 *   return true;
 * }
 * ```
 */
export async function* checkCim(
  source: CimSource,
  options: CimLimits = {},
): AsyncGenerator<CimFault> {
  const { mostEntries = MOST_ENTRIES, signal } = optionsOf(options, LIMITS);
  const place = placeOf(source);
  const faults = new Faults();
  const header = await faults.settling(readHeader(place, faults.report));
  if (header === undefined) return yield* faults.list;
  await using regions = await Regions.open(place.folder, header, faults.report);
  yield* faults.list.slice(0, MOST_OF_FILES);
  const more = faults.list.length - MOST_OF_FILES;
  if (more > 0) yield faultOf("error", header.chunk.fault(OWN_SET, `${more} more things are wrong with its files`));
  for (const region of regions.all) {
    signal?.throwIfAborted();
    if (region.size !== undefined) yield* checkObjectIds(place.folder, region, header.version);
  }
  const told = new Set<string>();
  for await (const { once, ...fault } of contentFaults(regions, header, { mostEntries, signal })) {
    if (once !== undefined && told.has(once)) continue;
    if (once !== undefined && told.size < MOST_TOLD) told.add(once);
    yield fault;
  }
}

async function* contentFaults(
  regions: Regions,
  header: ImageHeader,
  { mostEntries, signal }: { readonly mostEntries: number; readonly signal: AbortSignal | undefined },
): AsyncGenerator<FoundFault> {
  const image = { regions: regions.all, securities: new Set<string>() };
  const { faults, tables, root, upcase } = await regions.get((reader) => beginning(reader, header));
  yield* faults.list;
  if (tables === undefined) return;
  yield* tableFaults(regions, tables, signal);
  if (root === undefined) return;
  const tree = new TreeCheck({ regions, image, tables, upcase, mostEntries, signal });
  const isWhole = yield* tree.check(root);
  if (isWhole) yield* leftFaults(regions, tables, tree, { isFork: header.parents.length > 0, signal });
}

interface Beginning {
  readonly faults: Faults;
  readonly tables?: FileTables;
  readonly root?: FileRecord;
  readonly upcase: Upcase;
}

function beginning(reader: Reader, { chunk: header }: ImageHeader): Beginning {
  const faults = new Faults();
  const filesystem = faults.catching(() => readFilesystem(reader, header));
  // Without the table, letters are compared as they are.
  const nothing = { faults, upcase: (name: string) => name };
  if (filesystem === undefined) return nothing;
  const upcase = faults.catching(() => readUpcase(reader, filesystem)) ?? nothing.upcase;
  const tables = new FileTables(filesystem);
  const { chunk, root: id } = filesystem;
  const root = faults.catching(() => tables.record(reader, id, (problem) => chunk.fault(ROOT, problem), "\\"));
  if (root === undefined) return { faults, tables, upcase };
  if (root.isFolder) return { faults, tables, root, upcase };
  faults.report("error", chunk.fault(ROOT, "its root is no folder"));
  return { faults, tables, upcase };
}

async function* tableFaults(
  regions: Regions,
  tables: FileTables,
  signal: AbortSignal | undefined,
): AsyncGenerator<FoundFault> {
  const { tables: count, chunk } = tables.filesystem;
  if (count > MOST_TABLES) {
    yield faultOf("error", chunk.fault(16, `it has ${count} file tables: those after ${MOST_TABLES} aren't checked`));
  }
  for (let number = 0; number < Math.min(count, MOST_TABLES); number++) {
    signal?.throwIfAborted();
    yield* (await regions.get((reader) => {
      const faults = new Faults();
      const entry = tables.directoryEntry(reader, number);
      if (!entry.isZero(12, 4)) faults.report("warning", entry.fault(12, "reserved bytes aren't 0"));
      const table = faults.catching(() => tables.table(reader, number));
      if (table === undefined) return faults;
      checkUse(faults, table.records, "metadata", entry, 0);
      if (table.recordSize > RECORD) {
        faults.report("note", entry.fault(10, `records have ${table.recordSize} bytes, of which ${RECORD} are known`));
      }
      return faults;
    })).list;
  }
}

// Files without a name, and those that have none in the folder that they say is theirs.
async function* leftFaults(
  regions: Regions,
  tables: FileTables,
  { reached, atHome }: TreeCheck,
  { isFork, signal }: { readonly isFork: boolean; readonly signal: AbortSignal | undefined },
): AsyncGenerator<CimFault> {
  const count = Math.min(tables.filesystem.tables, MOST_TABLES);
  for (let number = 0; number < count; number++) {
    signal?.throwIfAborted();
    yield* (await regions.get((reader) => {
      const faults = new Faults();
      const table = new Faults().catching(() => tables.table(reader, number));
      for (let index = 0; index < (table?.count ?? 0); index++) {
        const id = number * TABLE + index + 1;
        if (atHome.has(id)) continue;
        const at = index * table!.recordSize;
        const record = reader.read(table!.records, at, table!.recordSize);
        if (reached.has(id)) {
          const problem = `file ${id} has no name in the folder that it names, ${record.u32(field.PARENT)}`;
          faults.report("warning", record.fault(field.PARENT, problem));
        } else {
          // What a fork deletes stays in the tables.
          faults.report(isFork ? "note" : "warning", record.fault(0, `file ${id} has no name`));
        }
      }
      return faults;
    })).list;
  }
}
