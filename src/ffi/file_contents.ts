/**
 * kernel32.dll: contents of files, piece by piece.
 *
 * @module
 */

import { UnexpectedAnswerError } from "../errors/state_errors.ts";
import { viewOf } from "./buffer.ts";
import type { Host } from "./host.ts";
import { access, disposition, kernel32, lastError, openFile, share } from "./kernel32.ts";

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
  const written = new Uint8Array(4);
  for await (const piece of pieces) {
    const { WriteFile } = host.symbols(kernel32);
    if (WriteFile(file.value, piece, piece.byteLength, written, null) === 0) throw lastError(host, "WriteFile", path);
    if (viewOf(written).getUint32(0, true) !== piece.byteLength) {
      throw new UnexpectedAnswerError("WriteFile", "is fewer bytes than were to be written", written);
    }
  }
}

const PIECE = 2 ** 20;

/** Reads a file, piece by piece. A piece is valid until the next one. */
export async function* readPieces(host: Host, path: string): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  using file = openFile(host, path, { access: access.GENERIC_READ, share: share.READ });
  const piece = new Uint8Array(PIECE);
  const read = new Uint8Array(4);
  for (;;) {
    const { ReadFile } = host.symbols(kernel32);
    if (ReadFile(file.value, piece, PIECE, read, null) === 0) throw lastError(host, "ReadFile", path);
    const bytes = viewOf(read).getUint32(0, true);
    if (bytes === 0) return;
    yield await Promise.resolve(piece.subarray(0, bytes));
  }
}
