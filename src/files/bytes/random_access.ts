/**
 * Bytes that can be read at any place: of a file, of memory, or of a server.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";

/** Bytes that can be read at any place. Implement it to read from where you like. */
export interface RandomAccess {
  /** What errors call it, such as its path. */
  readonly name: string;
  /** Its length in bytes. */
  readonly size: number;
  /**
   * Reads bytes from the offset `at` on into `into`, and returns how many: fewer than `into` takes only at the end.
   * Several may be under way at a time.
   */
  read(at: number, into: Uint8Array): Promise<number>;
}

/** Bytes that hold something open until they are disposed of. */
export interface OpenBytes extends RandomAccess, Disposable {}

/** Bytes in memory. */
export function fromBytes(bytes: Uint8Array, name = "bytes"): RandomAccess {
  return {
    name,
    size: bytes.byteLength,
    read(at, into) {
      const part = bytes.subarray(at, at + into.byteLength);
      into.set(part);
      return Promise.resolve(part.byteLength);
    },
  };
}

/**
 * Reads what a source gives at a time.
 *
 * @throws {InvalidInputError} if it returns something else than how much that is, such as `null` at the end.
 */
export async function readSome(source: RandomAccess, at: number, into: Uint8Array): Promise<number> {
  const count = await source.read(at, into);
  if (Number.isInteger(count) && count >= 0 && count <= into.byteLength) return count;
  throw new InvalidInputError("read()", `of ${source.name} returns no number from 0 to ${into.byteLength}`, count);
}

/**
 * Reads as much as `into` takes.
 *
 * @throws {FormatError} if the source ends before.
 */
export async function readFully(source: RandomAccess, at: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const count = await readSome(source, at + done, into.subarray(done));
    if (count === 0) throw new FormatError(source.name, "it ends early", { offset: at + done });
    done += count;
  }
}

// What is read at a time.
const CHUNK = 64 * 1024;

/** The bytes from `at` on, to the end or `length` of them, read as they are asked for. */
export function streamOf(
  source: RandomAccess,
  at: number = 0,
  length?: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const end = length === undefined ? source.size : at + length;
  let next = at;
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(Math.max(Math.min(CHUNK, end - next), 0));
      if (chunk.byteLength > 0) {
        await readFully(source, next, chunk);
        next += chunk.byteLength;
        controller.enqueue(chunk);
      }
      if (next >= end) controller.close();
    },
  }, { highWaterMark: 0 });
}
