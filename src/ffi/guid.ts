/**
 * GUIDs: text such as `488d6829-ed71-5eed-ac15-2fb41ecac0fd`, and the 16 bytes that Windows keeps in memory (the first
 * three groups little endian).
 *
 * @module
 */

import { buffer, viewOf } from "./buffer.ts";
import { InvalidInputError } from "./errors.ts";

// Wider than RFC 9562, whose versions and variants Windows doesn't ask for.
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The memory form of a GUID.
 *
 * @throws {InvalidInputError} if `guid` is not a GUID in text form.
 */
export function guidBytes(guid: string): Uint8Array<ArrayBuffer> {
  const bytes = buffer(16);
  putGuid(viewOf(bytes), 0, guid);
  return bytes;
}

/**
 * Writes the memory form of a GUID into a struct.
 *
 * @throws {InvalidInputError} if `guid` is not a GUID in text form.
 */
export function putGuid(struct: DataView, offset: number, guid: string): void {
  if (!GUID.test(guid)) {
    throw new InvalidInputError("guid", "is not a GUID", guid);
  }
  const digits = (from: number, to: number) => parseInt(guid.slice(from, to), 16);
  struct.setUint32(offset, digits(0, 8), true);
  struct.setUint16(offset + 4, digits(9, 13), true);
  struct.setUint16(offset + 6, digits(14, 18), true);
  struct.setUint16(offset + 8, digits(19, 23));
  struct.setUint16(offset + 10, digits(24, 28));
  struct.setUint32(offset + 12, digits(28, 36));
}

// Position in memory of each byte, in the order of the text.
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** The text form, in lower case, of the GUID whose memory form starts at `offset` of `bytes`. */
export function guidText(bytes: Uint8Array, offset = 0): string {
  const digits = ORDER.map((at) => bytes[offset + at]!.toString(16).padStart(2, "0")).join("");
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${
    digits.slice(20)
  }`;
}
