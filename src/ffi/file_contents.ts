/**
 * kernel32.dll: contents of files, piece by piece.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import { access, disposition, type Handle, kernel32, lastError, openFile, share } from "./kernel32.ts";

/** Creates a file, and writes pieces into it. There must be none at the path. */
export async function writeNewFile(
  host: Host,
  path: string,
  pieces: AsyncIterable<Uint8Array<ArrayBuffer>> | Iterable<Uint8Array<ArrayBuffer>>,
): Promise<void> {
  using file = openFile(host, path, {
    access: access.GENERIC_WRITE,
    share: share.READ,
    disposition: disposition.CREATE_NEW,
  });
  for await (const piece of pieces) writeOpen(host, file, piece, path);
}

/** Writes bytes into an open file, where the last write ended. */
export function writeOpen(host: Host, file: Handle, bytes: Uint8Array<ArrayBuffer>, path: string): void {
  if (bytes.byteLength === 0) return;
  const written = new Uint8Array(4);
  if (host.symbols(kernel32).WriteFile(file.value, bytes, bytes.byteLength, written, null) === 0) {
    throw lastError(host, "WriteFile", path);
  }
  if (viewOf(written).getUint32(0, true) !== bytes.byteLength) {
    throw new UnexpectedAnswerError("WriteFile", "is fewer bytes than were to be written", written);
  }
}

/** Reads the next bytes of an open file, as many as there are, or as `into` takes. Returns how many. */
export function readOpen(host: Host, file: Handle, into: Uint8Array<ArrayBuffer>, path: string): number {
  const read = new Uint8Array(4);
  if (host.symbols(kernel32).ReadFile(file.value, into, into.byteLength, read, null) === 0) {
    throw lastError(host, "ReadFile", path);
  }
  const count = viewOf(read).getUint32(0, true);
  if (count > into.byteLength) throw new UnexpectedAnswerError("ReadFile", "is more than was asked for", count);
  return count;
}

const PIECE = 2 ** 20;

/** Reads a file, piece by piece. A piece is valid until the next one. */
export async function* readPieces(host: Host, path: string): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  using file = openFile(host, path, { access: access.GENERIC_READ, share: share.READ });
  const piece = new Uint8Array(PIECE);
  for (;;) {
    const bytes = readOpen(host, file, piece, path);
    if (bytes === 0) return;
    yield await Promise.resolve(piece.subarray(0, bytes));
  }
}
