/**
 * Tars of recorded runs, made again from their entries.
 *
 * @module
 */

import { writeTar } from "../../src/files/mod.ts";
import type { ImageEntry } from "./image_run.ts";

/** Returns the bytes of a tar. */
export async function tarOf(entries: readonly ImageEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response(writeTar(entries.map((entry) => {
    const { name, type, size, linkname = "", mtime = 0, atime, ctime, pax = {} } = entry;
    const times = { mtime: `${mtime}`, ...atime !== undefined && { atime }, ...ctime !== undefined && { ctime } };
    const records = new Map(Object.entries({ ...pax, ...mtime !== 0 && times }));
    const contents = () => ReadableStream.from([dataOf(entry)]);
    return { name, type, size, linkName: linkname, mtime: Math.floor(Number(mtime)), pax: records, contents };
  }))).bytes();
}

function dataOf({ data = "", size }: ImageEntry): Uint8Array {
  if (/^([0-9a-f]{2})*$/.test(data) && data.length === 2 * size) return Uint8Array.fromHex(data);
  // In words: each byte is its place.
  return Uint8Array.from({ length: size }, (_, i) => i);
}
