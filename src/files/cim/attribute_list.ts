/**
 * Extended attributes of files, as Windows has them in memory and on the disk (FILE_FULL_EA_INFORMATION).
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import type { ExtendedAttribute } from "../layer/entry.ts";

const HEADER = 8;
const LONGEST_NAME = 254;

/**
 * Reads a list of extended attributes. `file` is what errors call it.
 *
 * @throws {FormatError} if it isn't one; the offset is that in `bytes`.
 */
export function parseExtendedAttributes(bytes: Uint8Array, file = "extended attributes"): ExtendedAttribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes: ExtendedAttribute[] = [];
  for (let at = 0;;) {
    const fault = (problem: string, offset = at) => new FormatError(file, problem, { offset });
    if (at + HEADER > bytes.byteLength) throw fault("an extended attribute is cut off");
    const [next, flags] = [view.getUint32(at, true), bytes[at + 4]!];
    const [nameLength, valueLength] = [bytes[at + 5]!, view.getUint16(at + 6, true)];
    if (nameLength === 0 || nameLength > LONGEST_NAME) {
      throw fault(`the name of an extended attribute has ${nameLength} bytes`, at + 5);
    }
    const valueAt = at + HEADER + nameLength + 1;
    if (valueAt + valueLength > bytes.byteLength) {
      throw fault(`an extended attribute of ${valueLength} bytes is longer than the rest of them`, at + 6);
    }
    if (bytes[valueAt - 1] !== 0) throw fault("the name of an extended attribute doesn't end", valueAt - 1);
    const name = String.fromCharCode(...bytes.subarray(at + HEADER, valueAt - 1));
    attributes.push({ name, flags, value: bytes.slice(valueAt, valueAt + valueLength) });
    if (next === 0) return attributes;
    if (next % 4 !== 0 || at + next < valueAt + valueLength) {
      throw fault(`the next extended attribute begins after ${next} bytes`);
    }
    at += next;
  }
}
