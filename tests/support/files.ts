/**
 * Files of a simulated host, written by the calls of kernel32.dll.
 *
 * @module
 */

import type { Host } from "../../src/ffi/host.ts";
import { access, disposition, openFile, writeTo } from "../../src/ffi/kernel32.ts";

/** Writes a small file, or an alternate data stream (`file:stream`). Replaces an existing one. */
export function writeText(host: Host, path: string, text: string): void {
  using file = openFile(host, path, { access: access.GENERIC_WRITE, disposition: disposition.CREATE_ALWAYS });
  writeTo(host, file, text, path);
}
