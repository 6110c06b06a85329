/**
 * The data of mount points, junctions and symbolic links (MS-FSCC 2.1.2).
 *
 * @module
 */

import { win32 } from "../errors/codes.ts";
import { win32Failure } from "./call.ts";
import type { Link } from "./links.ts";
import type { Node } from "./windows.ts";

const IO_REPARSE_TAG_MOUNT_POINT = 0xa0000003;
const IO_REPARSE_TAG_SYMLINK = 0xa000000c;
const SYMLINK_FLAG_RELATIVE = 1;
const GENERIC_WRITE = 0x40000000;
const FILE_WRITE_DATA = 0x2;
const FILE_WRITE_ATTRIBUTES = 0x100;
const ERROR_INVALID_REPARSE_DATA = 4392;
const ERROR_REPARSE_TAG_MISMATCH = 4394;
const DRIVE = /^[A-Za-z]:$/;

/** Returns the tag of a link or mount point, or undefined if a node is neither. A drive letter is neither. */
export function linkTag({ path, link, volume }: Node): number | undefined {
  if (DRIVE.test(path)) return undefined;
  if (volume !== undefined || link?.kind === "junction") return IO_REPARSE_TAG_MOUNT_POINT;
  return link?.kind === "symbolic" ? IO_REPARSE_TAG_SYMLINK : undefined;
}

/** Writes the REPARSE_DATA_BUFFER of a link or mount point, with an empty name to print. Returns its length. */
export function putReparseData(node: Node, output: Uint8Array<ArrayBuffer>): number {
  const tag = tagOf(node);
  const target = node.volume ?? node.link!.target;
  const isAbsolute = /^([A-Za-z]:|\\\\)/.test(target);
  const name = isAbsolute ? `\\??\\${target.replace(/^\\\\\?\\/, "")}` : target;
  const names = tag === IO_REPARSE_TAG_SYMLINK ? 20 : 16;
  const bytes = 2 * name.length;
  const length = names + bytes + 4;
  if (output.byteLength < length) throw win32Failure(win32.ERROR_MORE_DATA);
  const view = new DataView(output.buffer, output.byteOffset, output.byteLength);
  view.setUint32(0, tag, true);
  view.setUint16(4, length - 8, true);
  view.setUint16(10, bytes, true);
  view.setUint16(12, bytes + 2, true);
  if (tag === IO_REPARSE_TAG_SYMLINK) view.setUint32(16, isAbsolute ? 0 : SYMLINK_FLAG_RELATIVE, true);
  for (let i = 0; i < name.length; i++) view.setUint16(names + 2 * i, name.charCodeAt(i), true);
  return length;
}

/** Returns the link in a REPARSE_DATA_BUFFER; undefined if it is none. */
export function linkIn(data: Uint8Array<ArrayBuffer>): Link | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const tag = view.getUint32(0, true);
  if (tag !== IO_REPARSE_TAG_MOUNT_POINT && tag !== IO_REPARSE_TAG_SYMLINK) return undefined;
  const names = tag === IO_REPARSE_TAG_SYMLINK ? 20 : 16;
  const from = names + view.getUint16(8, true);
  let target = "";
  for (let i = 0; i < view.getUint16(10, true); i += 2) target += String.fromCharCode(view.getUint16(from + i, true));
  const kind = tag === IO_REPARSE_TAG_SYMLINK ? "symbolic" : "junction";
  return { kind, target: target.replace(/^\\\?\?\\UNC\\/i, "\\\\").replace(/^\\\?\?\\/, "") };
}

/**
 * Fails unless a link or mount point can be deleted with FSCTL_DELETE_REPARSE_POINT: by a handle that may write, with a
 * REPARSE_DATA_BUFFER of its tag and no data (MS-FSA 2.1.5.10.3).
 */
export function requireDeletable(node: Node, access: number, input: Uint8Array<ArrayBuffer> | null): void {
  if ((access & (GENERIC_WRITE | FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES)) === 0) {
    throw win32Failure(win32.ERROR_ACCESS_DENIED);
  }
  if (input === null || input.byteLength < 8) throw win32Failure(win32.ERROR_INVALID_PARAMETER);
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (input.byteLength > 8 || view.getUint16(4, true) !== 0) throw win32Failure(ERROR_INVALID_REPARSE_DATA);
  if (view.getUint32(0, true) !== tagOf(node)) throw win32Failure(ERROR_REPARSE_TAG_MISMATCH);
}

function tagOf(node: Node): number {
  const tag = linkTag(node);
  if (tag === undefined) throw win32Failure(win32.ERROR_NOT_A_REPARSE_POINT);
  return tag;
}
