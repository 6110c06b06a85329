/**
 * The headers of backup streams (WIN32_STREAM_ID), into which Windows takes a file apart for programs that back it up.
 *
 * @module
 */

/** What a backup stream has. */
export const backupId = {
  DATA: 1,
  EXTENDED_ATTRIBUTES: 2,
  SECURITY: 3,
  ALTERNATE_DATA: 4,
  LINK: 5,
  PROPERTY: 6,
  OBJECT_ID: 7,
  REPARSE: 8,
  SPARSE_BLOCK: 9,
  TRANSACTION: 10,
} as const;

/** Whether the contents of a data stream come as sparse blocks. */
export const SPARSE_STREAM = 0x8;

/** Bytes of a header without its name. */
export const HEADER_BYTES = 20;

/** The header of a backup stream. */
export interface BackupHeader {
  /** One of {@linkcode backupId}. */
  readonly id: number;
  /** Attributes, such as {@linkcode SPARSE_STREAM}. */
  readonly attributes: number;
  /** Bytes that follow the name. */
  readonly size: number;
  /** Of an alternate data stream: `:name:$DATA`. */
  readonly name: string;
}

/** Returns the bytes of a header. */
export function formatHeader(
  { id, attributes = 0, size, name = "" }: Partial<BackupHeader> & Pick<BackupHeader, "id" | "size">,
) {
  const bytes = new Uint8Array(HEADER_BYTES + 2 * name.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, id, true);
  view.setUint32(4, attributes, true);
  view.setBigUint64(8, BigInt(size), true);
  view.setUint32(16, 2 * name.length, true);
  for (let i = 0; i < name.length; i++) view.setUint16(HEADER_BYTES + 2 * i, name.charCodeAt(i), true);
  return bytes;
}

/** Reads the first {@linkcode HEADER_BYTES} of a header: all but its name, of which the number of bytes is returned. */
export function parseHeader(bytes: Uint8Array): Omit<BackupHeader, "name"> & { readonly nameBytes: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  return {
    id: view.getUint32(0, true),
    attributes: view.getUint32(4, true),
    size: Number(view.getBigUint64(8, true)),
    nameBytes: view.getUint32(16, true),
  };
}
