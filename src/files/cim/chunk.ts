/**
 * Bytes of a file of an image, and where in the file they are, so that a fault in them can be told with its place.
 *
 * @module
 */

import { FormatError, type FormatProblem } from "../../errors/file_errors.ts";

/** A place in a region, as images have it in 8 bytes. */
export interface Place {
  /** Number of the region, counted over those of the oldest parent first and its own last. */
  readonly region: number;
  /** Offset in the file of the region, in bytes. */
  readonly at: number;
}

/** Bytes that were read, and where. */
export class Chunk {
  readonly file: string;
  /** Offset of the first byte in the file. */
  readonly at: number;
  /** Path of the entry of the image that they belong to. */
  readonly entry: string | undefined;
  readonly #view: DataView<ArrayBuffer>;

  constructor(view: DataView<ArrayBuffer>, file: string, at: number, entry?: string) {
    this.#view = view;
    this.file = file;
    this.at = at;
    this.entry = entry;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset, this.#view.byteLength);
  }

  u8(at: number): number {
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  u48(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint16(at + 4, true) * 2 ** 32;
  }

  u64(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }

  /** A place, undefined if there is none. */
  place(at: number): Place | undefined {
    const place = { region: this.u16(at + 6), at: this.u48(at) };
    return place.region === 0 && place.at === 0 ? undefined : place;
  }

  /** Whether all bytes of a field are 0. */
  isZero(at: number, length: number): boolean {
    return this.bytes.subarray(at, at + length).every((byte) => byte === 0);
  }

  /** UTF-16 text, lone surrogates included. */
  text(at: number, units: number): string {
    return textIn(this.#view, at, units);
  }

  /** An error about what is at this place of these bytes. */
  fault(at: number, problem: string, reason: FormatProblem = "damaged"): FormatError {
    return new FormatError(this.file, problem, { offset: this.at + at, entry: this.entry, reason });
  }
}

/** UTF-16 text, lone surrogates included. */
export function textIn(view: DataView, at: number, units: number): string {
  let text = "";
  for (let i = 0; i < units; i++) text += String.fromCharCode(view.getUint16(at + 2 * i, true));
  return text;
}
