/**
 * A stream of bytes that is read piece by piece, and never kept.
 *
 * @module
 */

/** Where the bytes of a {@linkcode ByteReader} come from. */
export interface ByteSource {
  /** The next bytes, as many as suit it, valid until the next call; undefined at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Leaves out as many bytes of those that come, if it can do so without reading them. Returns how many it left out. */
  skip?(count: number): number;
  /** Ends it: nothing more is read. */
  cancel(): Promise<void>;
}

/** Reads a {@linkcode ByteSource} in pieces of any size. */
export class ByteReader {
  /** Offset of the next byte. */
  offset = 0;
  readonly #source: ByteSource;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** As many bytes, or fewer at the end. They are valid until the next read. */
  async take(count: number): Promise<Uint8Array> {
    if (this.#chunk.byteLength - this.#at >= count) return this.#part(count);
    const parts: Uint8Array[] = [];
    let length = 0;
    // What isn't there yet isn't allocated.
    while (length < count && await this.#fill()) {
      const part = this.#part(count - length).slice();
      parts.push(part);
      length += part.byteLength;
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.byteLength;
    }
    return all;
  }

  /** The next bytes, at least one and at most as many, valid until the next read; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    return await this.#fill() ? this.#part(most) : undefined;
  }

  /** Leaves out as many bytes, or fewer at the end. Returns how many. */
  async skip(count: number): Promise<number> {
    let left = count;
    while (left > 0) {
      const here = Math.min(left, this.#chunk.byteLength - this.#at);
      this.#at += here;
      left -= here;
      if (left === 0) break;
      left -= this.#source.skip?.(left) ?? 0;
      if (left > 0 && !await this.#fill()) break;
    }
    this.offset += count - left;
    return count - left;
  }

  cancel(): Promise<void> {
    return this.#source.cancel();
  }

  #part(most: number): Uint8Array {
    const part = this.#chunk.subarray(this.#at, this.#at + most);
    this.#at += part.byteLength;
    this.offset += part.byteLength;
    return part;
  }

  async #fill(): Promise<boolean> {
    while (this.#at === this.#chunk.byteLength) {
      const chunk = await this.#source.next();
      if (chunk === undefined) return false;
      this.#chunk = chunk;
      this.#at = 0;
    }
    return true;
  }
}
