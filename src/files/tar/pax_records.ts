/**
 * The extended header of an entry: lines of `LENGTH KEY=VALUE`.
 *
 * @module
 */

/** The records of an extended header by key. A value that isn't UTF-8 stays as its bytes. */
export type PaxRecords = ReadonlyMap<string, string | Uint8Array>;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const [SPACE, EQUALS, NEWLINE, ZERO] = [0x20, 0x3d, 0x0a, 0x30];
const MOST_DIGITS = 10;

/**
 * Reads an extended header.
 *
 * @throws {Error} that says what is wrong with it.
 */
export function parsePax(bytes: Uint8Array): Map<string, string | Uint8Array> {
  const records = new Map<string, string | Uint8Array>();
  for (let at = 0; at < bytes.byteLength;) {
    const space = bytes.indexOf(SPACE, at);
    const end = at + lengthIn(bytes.subarray(at, space < 0 ? at : space));
    if (end > bytes.byteLength || bytes[end - 1] !== NEWLINE) {
      throw new Error("an extended header has a record without end");
    }
    const equals = bytes.indexOf(EQUALS, space);
    if (equals < 0 || equals >= end || equals === space + 1) {
      throw new Error("an extended header has a record without key");
    }
    const key = textIn(bytes.subarray(space + 1, equals));
    if (typeof key !== "string" || key.includes("\0")) throw new Error("an extended header has a key that is no text");
    records.set(key, textIn(bytes.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

function lengthIn(digits: Uint8Array): number {
  let length = 0;
  for (const digit of digits) {
    if (digit < ZERO || digit > ZERO + 9) return NaN;
    length = length * 10 + digit - ZERO;
  }
  return digits.byteLength === 0 || digits.byteLength > MOST_DIGITS ? NaN : length;
}

function textIn(bytes: Uint8Array): string | Uint8Array {
  try {
    return UTF8.decode(bytes);
  } catch {
    return bytes.slice();
  }
}

/** The bytes of an extended header, sorted by key. */
export function formatPax(records: PaxRecords): Uint8Array {
  const encoder = new TextEncoder();
  const lines = [...records].sort(([a], [b]) => a < b ? -1 : 1).map(([key, value]) => {
    const text = encoder.encode(`${key}=`);
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    const rest = text.byteLength + bytes.byteLength + 2;
    // The length counts its own digits.
    let length = rest + String(rest).length;
    if (rest + String(length).length !== length) length++;
    return [encoder.encode(`${length} `), text, bytes, Uint8Array.of(NEWLINE)];
  });
  return concat(lines.flat());
}

/** All bytes, one after the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
