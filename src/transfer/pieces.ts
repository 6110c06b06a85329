/**
 * Contents on their way to Windows: in pieces of one size, and as many bytes as were announced.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";

/** Contents of a file or stream: bytes, or a source of them that is read once. */
export type Contents = Uint8Array | AsyncIterable<Uint8Array>;

/** Bytes that are handed to Windows at a time. */
export const PIECE = 2 ** 20;

/**
 * Hands contents out in pieces of {@linkcode PIECE} bytes, the last of which is shorter. A piece is valid until the next one.
 *
 * @param size How many bytes there have to be.
 * @param what What they are the contents of, for errors.
 * @throws {InvalidInputError} if there are more or fewer. Pieces before that were handed out.
 */
export async function* piecesOf(
  contents: Contents,
  size: number,
  what: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const piece = new Uint8Array(Math.min(size, PIECE));
  let [filled, done] = [0, 0];
  for await (let chunk of contents instanceof Uint8Array ? [contents] : contents) {
    if (!(chunk instanceof Uint8Array)) throw new InvalidInputError("contents", "are something else than bytes", what);
    if (done + filled + chunk.byteLength > size) {
      throw new InvalidInputError("contents", `are more than ${size} bytes`, what);
    }
    while (chunk.byteLength > 0) {
      const part = chunk.subarray(0, piece.byteLength - filled);
      piece.set(part, filled);
      filled += part.byteLength;
      chunk = chunk.subarray(part.byteLength);
      if (filled === piece.byteLength) {
        yield piece;
        [filled, done] = [0, done + filled];
      }
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
  if (done + filled < size) throw new InvalidInputError("contents", `are fewer than ${size} bytes`, what);
}
