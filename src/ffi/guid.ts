/**
 * GUIDs: text such as `488d6829-ed71-5eed-ac15-2fb41ecac0fd`, and the 16 bytes that Windows keeps in memory (the first
 * three groups little endian).
 *
 * @module
 */

import { InvalidInputError } from "./errors.ts";

// Wider than RFC 9562, whose versions and variants Windows doesn't ask for.
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// Position in memory of each byte, in the order of the text.
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/**
 * The memory form of a GUID.
 *
 * @throws {InvalidInputError} if `guid` is not a GUID in text form.
 */
export function guidBytes(guid: string): Uint8Array<ArrayBuffer> {
  if (!GUID.test(guid)) {
    throw new InvalidInputError("guid", "is not a GUID", guid);
  }
  const digits = guid.replaceAll("-", "");
  const bytes = new Uint8Array(16);
  ORDER.forEach((at, i) => bytes[at] = parseInt(digits.slice(2 * i, 2 * i + 2), 16));
  return bytes;
}

/** The text form, in lower case, of the GUID whose memory form starts at `offset` of `bytes`. */
export function guidText(bytes: Uint8Array, offset = 0): string {
  const digits = ORDER.map((at) => bytes[offset + at]!.toString(16).padStart(2, "0")).join("");
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${
    digits.slice(20)
  }`;
}
