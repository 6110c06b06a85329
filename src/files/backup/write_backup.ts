/**
 * Entries of a layer as backup streams, from which Windows makes files.
 *
 * @module
 */

import type { LayerEntry } from "../layer/entry.ts";
import { backupId, formatHeader, SPARSE_STREAM } from "./backup_header.ts";
import { formatAttributes } from "./extended_attributes.ts";
import { formatLink } from "./reparse_buffer.ts";

/** The REPARSE_DATA_BUFFER of a reparse point. */
export function reparseDataOf({ reparse }: LayerEntry): Uint8Array<ArrayBuffer> {
  if (reparse?.data !== undefined) return reparse.data.slice();
  if (reparse?.target === undefined) throw new RangeError("a reparse point has neither data nor a target");
  return formatLink({ tag: reparse.tag, target: reparse.target });
}

/**
 * Returns the streams of an entry before its contents, in the order in which Windows takes them: the security descriptor, the
 * extended attributes and the reparse point.
 *
 * @throws {RangeError} if one of them can't be.
 */
export function* metadataStreams(entry: LayerEntry): Generator<Uint8Array<ArrayBuffer>, void> {
  const { securityDescriptor, extendedAttributes = [] } = entry;
  if (securityDescriptor !== undefined && securityDescriptor.byteLength > 0) {
    yield* streamWith(backupId.SECURITY, securityDescriptor);
  }
  if (extendedAttributes.length > 0) {
    yield* streamWith(backupId.EXTENDED_ATTRIBUTES, formatAttributes(extendedAttributes));
  }
  if (entry.type === "reparse") yield* streamWith(backupId.REPARSE, reparseDataOf(entry));
}

function* streamWith(id: number, bytes: Uint8Array): Generator<Uint8Array<ArrayBuffer>, void> {
  yield formatHeader({ id, size: bytes.byteLength });
  yield bytes.slice();
}

const ATTRIBUTE_SPARSE = 0x200;
// What NTFS leaves out of a sparse file.
const UNIT = 65536;
// A sparse block begins with its offset.
const OFFSET_BYTES = 8;

/** The header of the contents of a file, and these: as sparse blocks if the file is one that leaves out what is zero. */
export async function* dataStream(
  { attributes = 0, size }: Pick<LayerEntry, "attributes" | "size">,
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  if ((attributes & ATTRIBUTE_SPARSE) === 0) {
    yield formatHeader({ id: backupId.DATA, size });
    yield* pieces;
    return;
  }
  yield formatHeader({ id: backupId.DATA, attributes: SPARSE_STREAM, size: 0 });
  let at = 0;
  for await (const piece of pieces) {
    for (const [from, to] of runsIn(piece)) yield* sparseBlock(at + from, piece.subarray(from, to));
    at += piece.byteLength;
  }
  yield* sparseBlock(size, new Uint8Array());
}

function* sparseBlock(at: number, bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>, void> {
  yield formatHeader({ id: backupId.SPARSE_BLOCK, size: OFFSET_BYTES + bytes.byteLength });
  yield new Uint8Array(BigUint64Array.of(BigInt(at)).buffer);
  if (bytes.byteLength > 0) yield bytes;
}

// The parts of a piece in which not all units are zero. Pieces are as long as several units.
function* runsIn(piece: Uint8Array): Generator<readonly [number, number], void> {
  let from: number | undefined;
  for (let at = 0; at < piece.byteLength; at += UNIT) {
    const isZero = piece.subarray(at, at + UNIT).every((byte) => byte === 0);
    if (isZero && from !== undefined) {
      yield [from, at];
      from = undefined;
    } else if (!isZero) {
      from ??= at;
    }
  }
  if (from !== undefined) yield [from, piece.byteLength];
}

/** The header of an alternate data stream. */
export function alternateHeader(name: string, size: number): Uint8Array<ArrayBuffer> {
  return formatHeader({ id: backupId.ALTERNATE_DATA, size, name: `:${name}:$DATA` });
}
