/**
 * GUIDs, as text such as `488d6829-ed71-5eed-ac15-2fb41ecac0fd`, and as the 16 bytes that Windows keeps in memory (the
 * first three groups are little endian).
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { buffer } from "./buffer.ts";

// More than RFC 9562 allows: Windows doesn't check versions and variants.
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// The position in the text of the two digits of each byte in memory.
const DIGITS_AT = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34] as const;

/** Returns whether `value` is a GUID in text form. */
export function isGuid(value: unknown): value is string {
  return typeof value === "string" && GUID.test(value);
}

/**
 * Returns the memory form of a GUID.
 *
 * @throws {InvalidInputError} if `guid` is not a GUID in text form.
 */
export function guidBytes(guid: string): Uint8Array<ArrayBuffer> {
  const bytes = buffer(16);
  putGuid(bytes, 0, guid);
  return bytes;
}

/**
 * Writes the memory form of a GUID to `offset` of `bytes`.
 *
 * @throws {InvalidInputError} if `guid` is not a GUID in text form.
 */
export function putGuid(bytes: Uint8Array, offset: number, guid: string): void {
  if (!GUID.test(guid)) {
    throw new InvalidInputError("guid", "is not a GUID", guid);
  }
  DIGITS_AT.forEach((at, i) => {
    bytes[offset + i] = 16 * digit(guid.charCodeAt(at)) + digit(guid.charCodeAt(at + 1));
  });
}

// The low half of the codes of `0` to `9` is their value. For letters of either case, it is 1 for `A`, 2 for `B`, and so on.
function digit(unit: number): number {
  return (unit & 15) + (unit > 0x40 ? 9 : 0);
}

/** Returns the text, in lower case, of the GUID whose memory form starts at `offset` of `bytes`. */
export function guidText(bytes: Uint8Array, offset = 0): string {
  const text = [..."xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"];
  DIGITS_AT.forEach((at, i) => {
    text[at] = (bytes[offset + i]! >> 4).toString(16);
    text[at + 1] = (bytes[offset + i]! & 15).toString(16);
  });
  return text.join("");
}
