/**
 * Strings in the form that Windows uses: UTF-16, little endian, NUL-terminated.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import { buffer } from "./buffer.ts";

/**
 * Returns the bytes of `text` as a NUL-terminated wide string.
 *
 * @throws {InvalidInputError} if `text` contains a NUL character, which would end it early in the DLL.
 */
export function wide(text: string): Uint8Array<ArrayBuffer> {
  const bytes = buffer(2 * text.length + 2);
  putUnits(new Uint16Array(bytes.buffer, bytes.byteOffset, text.length), 0, text);
  return bytes;
}

/** Returns the bytes of several strings one after the other, each NUL-terminated. */
export function wideList(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const length = texts.reduce((sum, text) => sum + text.length + 1, 0);
  const bytes = buffer(2 * length);
  const units = new Uint16Array(bytes.buffer, bytes.byteOffset, length);
  let at = 0;
  for (const text of texts) {
    putUnits(units, at, text);
    at += text.length + 1;
  }
  return bytes;
}

function putUnits(units: Uint16Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0) {
      throw new InvalidInputError("text", "contains a NUL character", text);
    }
    units[at + i] = unit;
  }
}

/** Returns the string in `bytes` up to the first NUL, or to the end if there is none. */
export function fromWide(bytes: Uint8Array<ArrayBuffer>): string {
  const units = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
  const end = units.indexOf(0);
  return fromUnits(end < 0 ? units : units.subarray(0, end));
}

/** Returns the strings of a list in which each string ends with a NUL, and the list with another. */
export function fromWideList(bytes: Uint8Array<ArrayBuffer>): string[] {
  const text = fromUnits(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1));
  const end = text.indexOf("\0\0");
  return (end < 0 ? text : text.slice(0, end)).split("\0").filter((entry) => entry !== "");
}

// In chunks, because the number of arguments of a call is limited.
function fromUnits(units: Uint16Array): string {
  let text = "";
  for (let i = 0; i < units.length; i += 4096) {
    text += String.fromCharCode.apply(null, units.subarray(i, i + 4096) as unknown as number[]);
  }
  return text;
}
