/**
 * Reparse points as Windows has them: a REPARSE_DATA_BUFFER (MS-FSCC 2.1.2).
 *
 * @module
 */

import { MOUNT_POINT_TAG, type ReparsePoint, SYMLINK_TAG } from "../layer/entry.ts";

const HEADER = 8;
const RELATIVE = 1;
/** Bytes that a reparse point can have. */
export const MOST_REPARSE_BYTES = 16384;

/**
 * Returns the buffer of a symbolic link or junction that leads to `target`, with `/` or `\`. A target on a drive or share is
 * absolute, every other one relative to the link's folder.
 *
 * @throws {RangeError} if it is too long, or has a NUL in it.
 */
export function formatLink(
  { tag, target }: { readonly tag: number; readonly target: string },
): Uint8Array<ArrayBuffer> {
  const print = target.replaceAll("/", "\\");
  if (print === "" || print.includes("\0")) throw new RangeError("a link has a target that is no path");
  const substitute = absoluteOf(print);
  const isRelative = substitute === undefined;
  const names = substitute ?? print;
  const isSymlink = tag === SYMLINK_TAG;
  const namesAt = HEADER + 8 + (isSymlink ? 4 : 0);
  const length = namesAt + 2 * (names.length + 1 + print.length + 1);
  if (length > MOST_REPARSE_BYTES) throw new RangeError("a link has a target that is longer than Windows takes");
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, tag, true);
  view.setUint16(4, length - HEADER, true);
  view.setUint16(8, 0, true);
  view.setUint16(10, 2 * names.length, true);
  view.setUint16(12, 2 * (names.length + 1), true);
  view.setUint16(14, 2 * print.length, true);
  if (isSymlink) view.setUint32(16, isRelative ? RELATIVE : 0, true);
  putUnits(view, namesAt, names);
  putUnits(view, namesAt + 2 * (names.length + 1), print);
  return bytes;
}

function absoluteOf(path: string): string | undefined {
  if (path.startsWith("\\\\?\\")) return `\\??\\${path.slice(4)}`;
  if (path.startsWith("\\\\")) return `\\??\\UNC\\${path.slice(2)}`;
  if (/^[A-Za-z]:/.test(path)) return `\\??\\${path}`;
  return undefined;
}

/**
 * Returns the reparse point in a buffer: of a symbolic link or junction with its target, with `\`.
 *
 * @throws {RangeError} if the buffer makes no sense.
 */
export function parseReparse(data: Uint8Array): ReparsePoint {
  if (data.byteLength < HEADER || data.byteLength > MOST_REPARSE_BYTES) throw new RangeError("a reparse point is cut");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const tag = view.getUint32(0, true);
  if (tag !== SYMLINK_TAG && tag !== MOUNT_POINT_TAG) return { tag, data: data.slice() };
  const namesAt = HEADER + 8 + (tag === SYMLINK_TAG ? 4 : 0);
  if (data.byteLength < namesAt) throw new RangeError("a reparse point is cut");
  const nameAt = (at: number) => {
    const [offset, length] = [namesAt + view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (offset + length > data.byteLength) throw new RangeError("a reparse point has a name outside of it");
    let text = "";
    for (let i = 0; i + 1 < length; i += 2) text += String.fromCharCode(view.getUint16(offset + i, true));
    return text;
  };
  // Programs that make links by themselves leave the name to print empty.
  const print = nameAt(12) || nameAt(8).replace(/^\\\?\?\\UNC\\/i, "\\\\").replace(/^\\\?\?\\(?!Volume)/i, "")
    .replace(/^\\\?\?\\/, "\\\\?\\");
  return { tag, target: print, data: data.slice() };
}

function putUnits(view: DataView, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint16(at + 2 * i, text.charCodeAt(i), true);
}
