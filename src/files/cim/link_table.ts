/**
 * Tables of names and what they stand for: the files of a folder, or the streams of a file.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import type { Chunk } from "./chunk.ts";
import type { Extent, Reader } from "./regions.ts";

const HEADER = 8;
const LONGEST_NAME = 255;
// What would lead out of a folder, or pass for the path of another file.
const MISLEADING = /^\.{0,2}$|[\\/:\0]/;

/** A table of links, which is read as it is gone through. */
export class LinkTable {
  readonly count: number;
  /** Its length, and its number of links. */
  readonly chunk: Chunk;
  /** Where it is. */
  readonly extent: Extent;
  readonly #valueSize: number;

  /**
   * Looks at a table.
   *
   * @param extent Where there is room for it.
   * @throws {FormatError} if it doesn't fit there.
   */
  constructor(reader: Reader, extent: Extent, valueSize: number) {
    const chunk = reader.read(extent, 0, HEADER);
    const [length, count] = [chunk.u32(0), chunk.u32(4)];
    if (length < HEADER || length > extent.length) {
      throw chunk.fault(0, `a table of names has ${length} bytes, and there is room for ${extent.length}`);
    }
    if (HEADER + count * (valueSize + 4) > length) {
      throw chunk.fault(4, `a table of names has ${count} in ${length} bytes`);
    }
    this.extent = { ...extent, length };
    this.chunk = chunk;
    this.count = count;
    this.#valueSize = valueSize;
  }

  /**
   * One of the names, by its place in the table.
   *
   * @throws {FormatError} if it isn't in the table, or leads elsewhere.
   */
  name(reader: Reader, index: number): string {
    const at = this.nameAt(reader, index);
    const name = reader.text(this.extent, at + 2, reader.u16(this.extent, at));
    const problem = MISLEADING.exec(name);
    if (problem === null) return name;
    const place = name === problem[0] ? 0 : 2 + 2 * problem.index;
    throw this.fault(at + place, `a name leads elsewhere: ${JSON.stringify(name)}`);
  }

  /** Where in the table the length of a name is, which is followed by the name. */
  nameAt(reader: Reader, index: number): number {
    const { length } = this.extent;
    const offsets = HEADER + this.count * this.#valueSize;
    const at = reader.u32(this.extent, offsets + index * 4);
    if (at < offsets + this.count * 4 || at + 2 > length) {
      const problem = `a name is at ${at}, outside of its table of ${length} bytes`;
      throw this.fault(offsets + index * 4, problem);
    }
    const units = reader.u16(this.extent, at);
    if (units === 0 || units > LONGEST_NAME) throw this.fault(at, `a name has ${units} characters`);
    if (at + 2 + 2 * units > length) {
      throw this.fault(at, `a name of ${units} characters is longer than the rest of its table`);
    }
    return at;
  }

  /** The number that a name stands for. */
  id(reader: Reader, index: number): number {
    return reader.u32(this.extent, HEADER + index * this.#valueSize);
  }

  /** What a name stands for. */
  value(reader: Reader, index: number): Chunk {
    return reader.read(this.extent, HEADER + index * this.#valueSize, this.#valueSize);
  }

  /** An error about what a name stands for. */
  valueFault(index: number, problem: string, entry = this.extent.entry): FormatError {
    return this.fault(HEADER + index * this.#valueSize, problem, entry);
  }

  /** An error about a place in it. */
  fault(at: number, problem: string, entry = this.extent.entry): FormatError {
    return new FormatError(this.extent.region.name, problem, { offset: this.extent.at + at, entry });
  }
}
