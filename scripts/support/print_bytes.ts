/**
 * Contents of files on the standard output.
 *
 * @module
 */

import type { Result } from "./command.ts";
import { CommandError } from "./errors.ts";

/** Prints bytes as they are. What ends a reading passes through; a full or closed output is a {@linkcode CommandError}. */
export async function printBytes(bytes: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<Result> {
  let isRead = false;
  const watched = ReadableStream.from(async function* () {
    yield* bytes;
    isRead = true;
  }());
  try {
    await watched.pipeTo(Deno.stdout.writable, { signal, preventClose: true });
  } catch (cause) {
    signal.throwIfAborted();
    const isOutput = isRead || cause instanceof Deno.errors.BrokenPipe;
    throw isOutput ? new CommandError(`The result can't be printed: ${(cause as Error).message}`, { cause }) : cause;
  }
  return { text: "" };
}
