/**
 * Which letters an image takes for the same: its own table of upper case.
 *
 * @module
 */

import { type Filesystem, upcaseExtent } from "./file_tables.ts";
import type { Reader } from "./regions.ts";

/** Makes the letters of a name large. Names that are equal then are one name. */
export type Upcase = (name: string) => string;

/** Reads the table of an image. */
export function readUpcase(reader: Reader, filesystem: Filesystem): Upcase {
  const table = reader.read(upcaseExtent(reader, filesystem));
  return (name) => {
    let large = "";
    for (let i = 0; i < name.length; i++) large += String.fromCharCode(table.u16(2 * name.charCodeAt(i)));
    return large;
  };
}
