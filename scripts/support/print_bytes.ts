/**
 * Contents of files on the standard output.
 *
 * @module
 */

import { untilAborted } from "../../src/files/bytes/until_aborted.ts";
import type { Result } from "./command.ts";
import { CommandError } from "./errors.ts";

/** Prints bytes as they are. What ends a reading passes through; a full or closed output is a {@linkcode CommandError}. */
export async function printBytes(bytes: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<Result> {
  let unread: { readonly error: unknown } | undefined;
  const watched = ReadableStream.from(async function* () {
    try {
      yield* inLongPieces(bytes);
    } catch (error) {
      unread = { error };
      throw error;
    }
  }());
  try {
    // By itself, the end waits for a write that is stuck, as that to a program that has stopped to read.
    await untilAborted(watched.pipeTo(Deno.stdout.writable, { signal, preventClose: true }), signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (unread !== undefined) throw unread.error;
    throw new CommandError(`The result can't be printed: ${(cause as Error).message}`, { cause });
  }
  return { text: "" };
}

const PIECE = 64 * 1024;

// Tars come in pieces of a block, and each is written by a call of the system.
async function* inLongPieces(bytes: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let piece = new Uint8Array(PIECE);
  let length = 0;
  for await (const chunk of bytes) {
    if (length + chunk.byteLength > PIECE && length > 0) {
      yield piece.subarray(0, length);
      piece = new Uint8Array(PIECE);
      length = 0;
    }
    if (chunk.byteLength > PIECE) yield chunk;
    else {
      piece.set(chunk, length);
      length += chunk.byteLength;
    }
  }
  if (length > 0) yield piece.subarray(0, length);
}
