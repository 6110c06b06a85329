/**
 * Extended attributes as Windows has them in memory: a list of FILE_FULL_EA_INFORMATION.
 *
 * @module
 */

import type { ExtendedAttribute } from "../layer/entry.ts";

const FIXED_BYTES = 8;
const LONGEST_NAME = 254;
/** Bytes that a file can have of them. */
export const MOST_EA_BYTES = 65535;

/**
 * Returns a list with the attributes, in their order.
 *
 * @throws {RangeError} if one can't be in it, or they are too many.
 */
export function formatAttributes(attributes: readonly ExtendedAttribute[]): Uint8Array<ArrayBuffer> {
  const entries = attributes.map(({ name, flags, value }) => ({ name: new TextEncoder().encode(name), flags, value }));
  for (const { name, value } of entries) {
    if (name.byteLength === 0 || name.byteLength > LONGEST_NAME || name.includes(0)) {
      throw new RangeError("an extended attribute has a name that Windows doesn't take");
    }
    if (value.byteLength > MOST_EA_BYTES) throw new RangeError("an extended attribute is longer than Windows takes");
  }
  const lengths = entries.map(({ name, value }) => aligned(FIXED_BYTES + name.byteLength + 1 + value.byteLength));
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  if (bytes.byteLength > MOST_EA_BYTES) throw new RangeError("the extended attributes are more than Windows takes");
  const view = new DataView(bytes.buffer);
  let at = 0;
  entries.forEach(({ name, flags, value }, i) => {
    const isLast = i === entries.length - 1;
    view.setUint32(at, isLast ? 0 : lengths[i]!, true);
    view.setUint8(at + 4, flags);
    view.setUint8(at + 5, name.byteLength);
    view.setUint16(at + 6, value.byteLength, true);
    bytes.set(name, at + FIXED_BYTES);
    bytes.set(value, at + FIXED_BYTES + name.byteLength + 1);
    at += lengths[i]!;
  });
  return bytes;
}

/**
 * Returns the attributes of a list.
 *
 * @throws {RangeError} if it makes no sense.
 */
export function parseAttributes(bytes: Uint8Array): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; bytes.byteLength > 0;) {
    if (at + FIXED_BYTES > bytes.byteLength) throw new RangeError("the extended attributes are cut");
    const next = view.getUint32(at, true);
    const [nameAt, nameBytes, valueBytes] = [at + FIXED_BYTES, view.getUint8(at + 5), view.getUint16(at + 6, true)];
    const valueAt = nameAt + nameBytes + 1;
    const end = valueAt + valueBytes;
    if (end > bytes.byteLength) throw new RangeError("the extended attributes are cut");
    if (nameBytes === 0 || nameBytes > LONGEST_NAME || bytes[valueAt - 1] !== 0) {
      throw new RangeError(`the extended attribute at ${at} has a name that can't be`);
    }
    attributes.push({
      name: new TextDecoder().decode(bytes.subarray(nameAt, valueAt - 1)),
      flags: view.getUint8(at + 4),
      value: bytes.slice(valueAt, end),
    });
    if (next === 0) break;
    if (next % 4 !== 0 || at + next < end) {
      throw new RangeError(`the extended attribute at ${at} leads to one that can't be`);
    }
    at += next;
  }
  return attributes;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
