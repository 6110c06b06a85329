/**
 * Where the bytes of a tar come from: a stream, or bytes that can be read at any place; packed with gzip or not.
 *
 * @module
 */

import { FormatError } from "../../errors/file_errors.ts";
import { InvalidInputError } from "../../errors/input_error.ts";
import { type RandomAccess, readSome } from "../bytes/random_access.ts";
import { untilAborted } from "../bytes/until_aborted.ts";
import { type Check, isInstance, propertyOf, requireObject } from "../../options.ts";
import { count, text } from "../option_checks.ts";
import type { ByteSource } from "./byte_reader.ts";

/** What a tar can be read from. A stream is read to its end, or cancelled. */
export type TarSource = ReadableStream<Uint8Array> | RandomAccess;

const CHUNK = 512 * 1024;
const MAGIC_LENGTH = 4;
// What is unpacked at a time: it may become a thousand times as long, as one piece.
const PACKED_PIECE = 16 * 1024;

/**
 * The bytes of a tar, unpacked if they are packed with gzip.
 *
 * @throws {FormatError} if they are packed otherwise. Later reads also if what is packed is damaged.
 */
export async function openTarSource(
  source: TarSource,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  const bytes = source instanceof ReadableStream ? fromStream(source, name, signal) : fromPlaces(source, signal);
  try {
    const head = await startOf(bytes);
    if (isPacked(head, [0x28, 0xb5, 0x2f, 0xfd])) {
      throw new FormatError(name, "it is packed with zstd: unpack it first", { offset: 0, reason: "unsupported" });
    }
    const all = resumed(head, bytes);
    return isPacked(head, [0x1f, 0x8b]) ? unpacked(all, name, signal) : all;
  } catch (error) {
    await bytes.cancel();
    throw error;
  }
}

/** Checks what a tar is to be read from. */
export const tarSource: Check<TarSource> = (value, argument) => {
  if (isInstance(value, ReadableStream, ({ locked }) => typeof locked === "boolean")) {
    if (value.locked) throw new InvalidInputError(argument, "is locked: something else reads it");
    return value;
  }
  requireObject(value, argument);
  if (typeof propertyOf(value, "read", argument) !== "function") {
    throw new InvalidInputError(argument, "is neither a ReadableStream nor bytes that can be read at any place", value);
  }
  text(propertyOf(value, "name", argument), `${argument}.name`);
  count(propertyOf(value, "size", argument), `${argument}.size`);
  return value as unknown as RandomAccess;
};

/** Calls a function that reads a tar. A stream is cancelled if it fails, wherever: who gives it out may wait. */
export async function whileReading<T>(tar: TarSource, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isInstance(tar, ReadableStream, ({ locked }) => locked === false)) tar.cancel(error).catch(() => {});
    throw error;
  }
}

/** What errors call a source. */
export function nameOf(source: TarSource): string {
  const checked = tarSource(source, "source");
  return checked instanceof ReadableStream ? "tar" : checked.name;
}

function fromStream(
  stream: ReadableStream<Uint8Array>,
  name: string,
  signal: AbortSignal | undefined,
): ByteSource {
  signal?.throwIfAborted();
  const reader = stream.getReader();
  const abort = () => void reader.cancel(signal!.reason).catch(() => {});
  signal?.addEventListener("abort", abort, { once: true });
  return {
    async next() {
      const { value } = await reader.read();
      signal?.throwIfAborted();
      if (value !== undefined && !(value instanceof Uint8Array)) {
        throw new InvalidInputError(name, "is a stream of something else than Uint8Array");
      }
      return value;
    },
    async cancel() {
      signal?.removeEventListener("abort", abort);
      // A stream that has failed fails again.
      await reader.cancel().catch(() => {});
      reader.releaseLock();
    },
  };
}

function fromPlaces(bytes: RandomAccess, signal: AbortSignal | undefined): ByteSource {
  let at = 0;
  const chunk = new Uint8Array(CHUNK);
  return {
    async next() {
      signal?.throwIfAborted();
      // A disk or a server may never answer.
      const length = await untilAborted(readSome(bytes, at, chunk), signal);
      at += length;
      return length === 0 ? undefined : chunk.subarray(0, length);
    },
    skip(count) {
      const skipped = Math.max(0, Math.min(count, bytes.size - at));
      at += skipped;
      return skipped;
    },
    cancel: () => Promise.resolve(),
  };
}

async function startOf(bytes: ByteSource): Promise<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.byteLength < MAGIC_LENGTH) {
    const chunk = await bytes.next();
    if (chunk === undefined) break;
    const longer = new Uint8Array(head.byteLength + chunk.byteLength);
    longer.set(head);
    longer.set(chunk, head.byteLength);
    head = longer;
  }
  return head;
}

function isPacked(head: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => head[i] === byte);
}

function resumed(head: Uint8Array, rest: ByteSource): ByteSource {
  let first: Uint8Array | undefined = head;
  return {
    ...rest,
    next() {
      const chunk = first;
      first = undefined;
      return chunk !== undefined && chunk.byteLength > 0 ? Promise.resolve(chunk) : rest.next();
    },
  };
}

function unpacked(packed: ByteSource, name: string, signal: AbortSignal | undefined): ByteSource {
  // What goes wrong before the unpacking is no fault of the file.
  let failure: { readonly error: unknown } | undefined;
  let rest: Uint8Array = new Uint8Array(0);
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      try {
        while (rest.byteLength === 0) {
          const chunk = await packed.next();
          if (chunk === undefined) return controller.close();
          rest = chunk;
        }
        controller.enqueue(rest.slice(0, PACKED_PIECE));
        rest = rest.subarray(PACKED_PIECE);
      } catch (error) {
        failure = { error };
        controller.error(error);
      }
    },
    cancel: () => packed.cancel(),
  }, { highWaterMark: 0 });
  const plain = fromStream(stream.pipeThrough(new DecompressionStream("gzip")), name, signal);
  return {
    async next() {
      try {
        return await plain.next();
      } catch (cause) {
        signal?.throwIfAborted();
        if (failure !== undefined) throw failure.error;
        const problem =
          "what is packed with gzip is cut or damaged, or more than one piece, and then has to be unpacked first";
        throw new FormatError(name, problem, { cause });
      }
    },
    async cancel() {
      await plain.cancel();
      await packed.cancel();
    },
  };
}
