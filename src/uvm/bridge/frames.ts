/**
 * Frames: a header of 16 bytes (type, size of all of it, id), and a body.
 *
 * @module
 */

import { GuestConnectionError } from "../../errors/vm_errors.ts";

const HEADER_BYTES = 16;

/** The largest frame that a guest may send, in bytes, its header included. */
export const LARGEST_FRAME = 0x10000;

/** A frame of a guest. */
export interface Frame {
  /** Its type: 4 bits say what it is, 8 bits the category, 12 bits the message, 8 bits the version. */
  readonly type: number;
  /** The id of the request that it answers. */
  readonly id: number;
  /** Its body, which is valid until more bytes are read. */
  readonly body: Uint8Array<ArrayBuffer>;
}

const ENCODER = new TextEncoder();

/** Returns the bytes of a frame without its id, with a line break at the end of its body, as guests are used to. */
export function frameOf(type: number, body: string): Uint8Array<ArrayBuffer> {
  const bytes = ENCODER.encode(`${" ".repeat(HEADER_BYTES)}${body}\n`);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, type, true);
  header.setUint32(4, bytes.byteLength, true);
  return bytes;
}

/** Writes the id of a frame. */
export function setId(frame: Uint8Array<ArrayBuffer>, id: number): void {
  new DataView(frame.buffer).setBigUint64(8, BigInt(id), true);
}

/** Cuts a stream of bytes into frames. It needs memory for one frame, whatever the guest sends. */
export class FrameReader {
  readonly #bytes = new Uint8Array(LARGEST_FRAME);
  readonly #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Where the next bytes are to be put. */
  get space(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#length);
  }

  /** Whether there are bytes of a frame that isn't complete. */
  get isInside(): boolean {
    return this.#length > 0;
  }

  /**
   * Takes the frames that are complete, after `added` bytes were put into {@linkcode FrameReader.space}.
   *
   * @throws {GuestConnectionError} once the size of one is impossible.
   */
  *take(added: number): Generator<Frame> {
    this.#length += added;
    let start = 0;
    while (this.#length - start >= HEADER_BYTES) {
      const [type, size] = [this.#view.getUint32(start, true), this.#view.getUint32(start + 4, true)];
      if (size < HEADER_BYTES || size > LARGEST_FRAME) {
        const detail = `a message of ${size} bytes, where ${HEADER_BYTES} to ${LARGEST_FRAME} are possible`;
        throw new GuestConnectionError("invalid", { detail });
      }
      if (this.#length - start < size) break;
      const id = Number(this.#view.getBigUint64(start + 8, true));
      yield { type, id, body: this.#bytes.subarray(start + HEADER_BYTES, start + size) };
      start += size;
    }
    this.#bytes.copyWithin(0, start, this.#length);
    this.#length -= start;
  }
}
