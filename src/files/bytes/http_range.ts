/**
 * A file of a server, read at any place: it is asked for ranges.
 *
 * @module
 */

import { UnreadableFileError } from "../../errors/file_errors.ts";
import type { RandomAccess } from "./random_access.ts";

/** Options of {@linkcode httpRange}. */
export interface HttpRangeOptions {
  /** Sent with every request, such as an `Authorization`. */
  readonly headers?: HeadersInit;
  /** Ends all requests once it is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Asks a server for the size of a file, and for parts of it when they are read.
 *
 * @throws {UnreadableFileError} if it isn't there (then `cause` is a `Deno.errors.NotFound`), or the server doesn't serve
 * ranges. Later reads also if it has been changed meanwhile.
 */
export async function httpRange(url: string | URL, options: HttpRangeOptions = {}): Promise<RandomAccess> {
  const name = String(url);
  const first = await request(name, 0, 1, options);
  await first.body?.cancel();
  const { size } = first;
  return {
    name,
    size,
    async read(at, into) {
      const length = Math.min(into.byteLength, size - at);
      if (length <= 0) return 0;
      const { body, ...now } = await request(name, at, length, options);
      if (now.size !== size || now.tag !== first.tag) {
        await body?.cancel();
        throw new UnreadableFileError(name, "it has been changed on the server");
      }
      let done = 0;
      try {
        for await (const chunk of body ?? []) {
          // A server that sends more than it was asked for isn't listened to.
          const part = chunk.subarray(0, length - done);
          into.set(part, done);
          done += part.byteLength;
          if (done === length) break;
        }
      } catch (cause) {
        options.signal?.throwIfAborted();
        throw new UnreadableFileError(name, cause);
      }
      if (done < length) throw new UnreadableFileError(name, `the server has sent ${done} of ${length} bytes`);
      return done;
    },
  };
}

async function request(url: string, at: number, length: number, { headers, signal }: HttpRangeOptions) {
  try {
    const all = new Headers(headers);
    // Offsets are those of the file, not of a packed form of it.
    all.set("Accept-Encoding", "identity");
    all.set("Range", `bytes=${at}-${at + length - 1}`);
    const response = await fetch(url, { headers: all, signal: signal ?? null });
    const { body, status } = response;
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "") ?? [];
    // An empty file has no range that could be asked for.
    if (status === 416 && response.headers.get("Content-Range") === "bytes */0") {
      return { body, size: 0, tag: response.headers.get("ETag") };
    }
    if (status !== 206 || Number(start) !== at || !Number.isSafeInteger(Number(total))) {
      await body?.cancel();
      if (status === 404 || status === 410) throw new Deno.errors.NotFound(`the server answers with ${status}`);
      throw new Error(status === 200 ? "the server doesn't serve parts of it" : `the server answers with ${status}`);
    }
    return { body, size: Number(total), tag: response.headers.get("ETag") };
  } catch (cause) {
    signal?.throwIfAborted();
    throw new UnreadableFileError(url, cause);
  }
}
