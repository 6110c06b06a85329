/**
 * What is wrong with the folders of an image, and with all that is in them.
 *
 * @module
 */

import { checkName, NameOrders } from "./check_names.ts";
import { type CheckedImage, checkRecord, checkStream, checkStreamBits, checkUse } from "./check_record.ts";
import { LONGEST_PATH, openLinks, pathOf, REACHED_TWICE } from "./cim_entry.ts";
import { faultOf, Faults, type FoundFault } from "./cim_fault.ts";
import { openStreamTable } from "./file_metadata.ts";
import { field, type FileRecord, type FileTables, streamAt, streamType } from "./file_tables.ts";
import { IdSet } from "./id_set.ts";
import type { LinkTable } from "./link_table.ts";
import type { Regions } from "./regions.ts";
import type { Upcase } from "./upcase.ts";

interface Folder {
  readonly path: string;
  readonly id: number;
  readonly table: LinkTable;
  readonly orders: NameOrders;
  next: number;
  isUnordered: boolean;
}

/** What is needed to look through an image. */
export interface TreeCheckOptions {
  readonly regions: Regions;
  readonly image: CheckedImage;
  readonly tables: FileTables;
  readonly upcase: Upcase;
  readonly mostEntries: number;
  readonly signal: AbortSignal | undefined;
}

// Of the names of a folder without order, no more units are kept to find two that are the same.
const MOST_UNITS = 8 * 2 ** 20;

/** Looks at the folders of an image, and at all that is in them. */
export class TreeCheck {
  /** The files that have a name. */
  readonly reached: IdSet = new IdSet();
  /** Those that have one in the folder that their record names. */
  readonly atHome: IdSet = new IdSet();
  readonly #options: TreeCheckOptions;
  #count = 0;

  constructor(options: TreeCheckOptions) {
    this.#options = options;
  }

  /** Tells all that is wrong, from the root on. Returns whether it came to the end. */
  async *check(root: FileRecord): AsyncGenerator<FoundFault, boolean> {
    const stack: Folder[] = [];
    this.reached.add(root.id);
    this.atHome.add(root.id);
    yield* this.#file(stack, root, "\\");
    for (let folder; (folder = stack.at(-1)) !== undefined;) {
      this.#options.signal?.throwIfAborted();
      if (folder.next === folder.table.count) {
        stack.pop();
        continue;
      }
      if (++this.#count > this.#options.mostEntries) {
        yield this.#tooMany(folder.table);
        return false;
      }
      yield* this.#link(stack, folder, folder.next++);
    }
    return true;
  }

  #tooMany(table: LinkTable): FoundFault {
    const problem = `the image has more than ${this.#options.mostEntries} entries: the rest isn't checked`;
    return { ...faultOf("error", table.chunk.fault(4, problem)), once: problem };
  }

  async *#link(stack: Folder[], folder: Folder, index: number): AsyncGenerator<FoundFault> {
    const { table } = folder;
    const { regions, tables, upcase } = this.#options;
    const { faults, name, nameAt, path, record } = await regions.get((reader) => {
      const faults = new Faults();
      const name = faults.catching(() => table.name(reader, index));
      // What has a bad name is looked at all the same.
      const path = pathOf(folder.path, name ?? `<${index}>`);
      const fault = (problem: string) => table.valueFault(index, problem, path);
      return {
        faults,
        name,
        nameAt: name === undefined ? 0 : table.nameAt(reader, index),
        path,
        record: faults.catching(() => tables.record(reader, table.id(reader, index), fault, path)),
      };
    });
    if (name !== undefined) {
      checkName(name, faults.report, (problem) => table.fault(nameAt, problem, path));
      const order = folder.orders.next(upcase(name));
      if (order === "same") faults.report("error", table.fault(nameAt, TWICE, path));
      if (order === "by units") faults.report("note", table.fault(nameAt, BY_UNITS, path), BY_UNITS);
      if (order === "unordered" && !folder.isUnordered) {
        folder.isUnordered = true;
        faults.report("warning", table.fault(nameAt, UNORDERED, path));
        yield* this.#twins(folder, index);
      }
    }
    if (path.length > LONGEST_PATH) {
      faults.report("error", table.valueFault(index, `its path has more than ${LONGEST_PATH} characters`, path));
    } else if (record !== undefined) {
      if (!record.isWhole || record.chunk.u32(field.PARENT) === folder.id) this.atHome.add(record.id);
      const isNew = this.reached.add(record.id);
      if (!isNew && record.isFolder) faults.report("error", table.valueFault(index, REACHED_TWICE, path));
      if (isNew) yield* this.#file(stack, record, path);
    }
    yield* faults.list;
  }

  // Without order, names that are the same can be far from each other.
  async *#twins({ path: folder, table }: Folder, from: number): AsyncGenerator<FoundFault> {
    const { regions, upcase } = this.#options;
    const seen = new Set<string>();
    for (let index = 0, units = 0; index < table.count && units < MOST_UNITS; index++) {
      const found = await regions.get((reader) => {
        const name = new Faults().catching(() => table.name(reader, index));
        return name === undefined ? undefined : { name, at: table.nameAt(reader, index) };
      });
      if (found === undefined) continue;
      const large = upcase(found.name);
      if (index >= from && seen.has(large)) {
        yield faultOf("error", table.fault(found.at, TWICE, pathOf(folder, found.name)));
      }
      seen.add(large);
      units += large.length;
    }
  }

  async *#file(stack: Folder[], record: FileRecord, path: string): AsyncGenerator<FoundFault> {
    const { regions, image } = this.#options;
    const { faults, streams, links } = await regions.get((reader) => {
      const faults = new Faults();
      checkRecord(reader, image, record, faults);
      return {
        faults,
        streams: faults.catching(() => openStreamTable(reader, record)),
        links: faults.catching(() => openLinks(reader, record)),
      };
    });
    if (links !== undefined) {
      checkTable(links, record, faults);
      stack.push({ path, id: record.id, table: links, orders: new NameOrders(), next: 0, isUnordered: false });
    }
    if (streams !== undefined) {
      const how = streams.form === "counted" ? "its length in front" : "nothing in front";
      const problem = `its table of streams has ${how}`;
      faults.report("note", streams.table.chunk.fault(0, problem), problem);
    }
    yield* faults.list;
    if (streams !== undefined) yield* this.#streams(streams.table);
  }

  async *#streams(table: LinkTable): AsyncGenerator<FoundFault> {
    const { regions, image, upcase } = this.#options;
    const orders = new NameOrders();
    let wasOrdered = true;
    for (let index = 0; index < table.count; index++) {
      if (++this.#count > this.#options.mostEntries) {
        yield this.#tooMany(table);
        return;
      }
      const { faults, name, nameAt } = await regions.get((reader) => {
        const faults = new Faults();
        const name = faults.catching(() => table.name(reader, index));
        const stream = streamAt(table.value(reader, index), 0);
        if (stream.type === streamType.DATA) checkStream(reader, image, stream, faults);
        else faults.report("error", stream.chunk.fault(14, `a further stream has the type ${stream.type}, not data`));
        return { faults, name, nameAt: name === undefined ? 0 : table.nameAt(reader, index) };
      });
      if (name !== undefined) {
        checkName(name, faults.report, (problem) => table.fault(nameAt, problem));
        const order = orders.next(upcase(name));
        if (order === "same") faults.report("error", table.fault(nameAt, TWICE));
        if (order === "unordered" && wasOrdered) faults.report("warning", table.fault(nameAt, UNORDERED));
        wasOrdered = order !== "unordered";
      }
      yield* faults.list;
    }
  }
}

const TWICE = "there are two of this name";
const BY_UNITS = "names are in the order of UTF-16, not in that of the published reader, which doesn't find them all";
const UNORDERED = "its name is out of order: Windows may not find it";

function checkTable(table: LinkTable, { stream }: FileRecord, faults: Faults): void {
  const { report } = faults;
  checkStreamBits(stream, report);
  checkUse(faults, table.extent, "metadata", stream.chunk, stream.at);
  if (table.extent.length !== stream.length) {
    const problem = `its table of names has ${table.extent.length} bytes, and its record says ${stream.length}`;
    report("warning", table.chunk.fault(0, problem));
  }
}
