/**
 * Connections in memory, which hold a limited number of bytes.
 *
 * @module
 */

import type { ByteStream } from "../../src/uvm/bridge/bridge.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One direction. */
class Pipe {
  readonly #chunks: Bytes[] = [];
  #length = 0;
  #end: "open" | "closed" | "reset" = "open";
  #change = Promise.withResolvers<void>();

  constructor(readonly capacity: number) {}

  get isEmpty(): boolean {
    return this.#length === 0 || this.#end !== "open";
  }

  async read(target: Bytes): Promise<number> {
    while (this.#length === 0 && this.#end === "open") await this.#change.promise;
    if (this.#end === "reset") throw new Error("connection reset");
    const chunk = this.#chunks.shift() ?? new Uint8Array(0);
    const part = chunk.subarray(0, target.length);
    target.set(part);
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    this.#length -= part.length;
    this.#changed();
    return part.length;
  }

  async write(bytes: Bytes): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      while (this.#length >= this.capacity && this.#end === "open") await this.#change.promise;
      if (this.#end !== "open") throw new Error("connection closed");
      const part = bytes.slice(at, at + this.capacity - this.#length);
      this.#chunks.push(part);
      this.#length += part.length;
      at += part.length;
      this.#changed();
    }
  }

  end(how: "closed" | "reset"): void {
    if (this.#end === "open") this.#end = how;
    this.#changed();
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}

/** One end of a connection. */
export class StreamEnd implements ByteStream {
  /** How many bytes a `read` returns at most. */
  pieces = Infinity;
  /** How many times it was closed. */
  closed = 0;

  constructor(readonly incoming: Pipe, readonly outgoing: Pipe) {}

  /** Whether the other end has read all that was written. */
  get isDrained(): boolean {
    return this.outgoing.isEmpty;
  }

  read(target: Bytes): Promise<number> {
    return this.incoming.read(target.subarray(0, this.pieces));
  }

  write(bytes: Bytes): Promise<void> {
    return this.outgoing.write(bytes);
  }

  close(): void {
    this.closed++;
    this.incoming.end("closed");
    this.outgoing.end("closed");
  }

  /** Ends the connection so that reading and writing at the other end fails. */
  reset(): void {
    this.incoming.end("reset");
    this.outgoing.end("reset");
  }
}

/** Both ends of a connection that holds `capacity` bytes in each direction. */
export function streamPair(capacity = 0x10000): [StreamEnd, StreamEnd] {
  const [a, b] = [new Pipe(capacity), new Pipe(capacity)];
  return [new StreamEnd(a, b), new StreamEnd(b, a)];
}
