/**
 * A machine in a file, which several processes can share.
 *
 * @module
 */

import { MissingPermissionError } from "../errors/windows_errors.ts";
import { SimulationError } from "./simulation_error.ts";

// The file begins with a line that contains the offset, the length and a hash of what is stored: lines of JSON. A line is
// added behind them, or all is written anew at another offset, and then the first line is updated. So a process that is
// killed at any time leaves either the old or the new state.
const LINE_BYTES = 32;
const LINE = /^(\d+) (\d+) ([0-9a-f]{8}) *\n$/;

// FNV-1a.
const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** A part of the file that contains lines. */
export interface StoredPart {
  /** Where it starts. */
  readonly start: number;
  /** Where it ends. */
  readonly end: number;
  /** The hash of its bytes. */
  readonly hash: number;
}

/** The file, open and locked. */
export class StateFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;

  /** Opens the file, which is created if it is missing, and waits until no other process has it open. */
  constructor(path: string) {
    this.#path = path;
    this.#file = open(path);
    this.#file.lockSync(true);
  }

  /** Returns where the lines are. Returns `undefined` for a new file. */
  part(): StoredPart | undefined {
    const line = decoded(this.#bytes(0, LINE_BYTES));
    // If zeros and a state follow each other, the first writer was killed. Otherwise, this is a file of another program.
    if (/^\0*$/.test(line) && /^\{?$/.test(decoded(this.#bytes(LINE_BYTES, LINE_BYTES + 1)))) return undefined;
    const [, start, bytes, hash] = LINE.exec(line) ?? this.#refuse();
    return { start: Number(start), end: Number(start) + Number(bytes), hash: parseInt(hash!, 16) };
  }

  /** Reads the lines of `part`, or those that were added to it since it was `known`; `undefined` if it isn't the same part. */
  read(part: StoredPart, known?: StoredPart): string[] | undefined {
    if (known !== undefined && !(known.start === part.start && known.end <= part.end)) return undefined;
    const bytes = this.#bytes(known?.end ?? part.start, part.end);
    if (hashOf(bytes, known?.hash) !== part.hash) return known === undefined ? this.#refuse() : undefined;
    return decoded(bytes).split("\n").slice(0, -1);
  }

  /** Adds a line to a part. Returns the part with it. */
  append(part: StoredPart, line: string): StoredPart {
    return this.#write(part.start, part.end, `${line}\n`, part.hash);
  }

  /** Replaces all lines by one. Returns the part with it. */
  replace(part: StoredPart | undefined, line: string): StoredPart {
    const { start, end } = part ?? { start: LINE_BYTES, end: LINE_BYTES };
    const bytes = new TextEncoder().encode(`${line}\n`).length;
    const at = LINE_BYTES + bytes <= start ? LINE_BYTES : end;
    return this.#write(at, at, `${line}\n`);
  }

  /** Closes it, so that other processes can open it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #write(start: number, at: number, text: string, before?: number): StoredPart {
    const bytes = new TextEncoder().encode(text);
    const part = { start, end: at + bytes.length, hash: hashOf(bytes, before) };
    this.#put(at, bytes);
    const line = `${start} ${part.end - start} ${part.hash.toString(16).padStart(8, "0")}`;
    this.#put(0, new TextEncoder().encode(line.padEnd(LINE_BYTES - 1) + "\n"));
    return part;
  }

  #bytes(start: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - start);
    this.#file.seekSync(start, Deno.SeekMode.Start);
    let at = 0;
    for (let read; at < bytes.length && (read = this.#file.readSync(bytes.subarray(at))) !== null;) at += read;
    return bytes.subarray(0, at);
  }

  #put(start: number, bytes: Uint8Array): void {
    this.#file.seekSync(start, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }

  #refuse(): never {
    throw new SimulationError(
      `the file ${this.#path} contains no simulated machine, or a damaged one. If it was one, delete it to start over`,
    );
  }
}

function decoded(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function hashOf(bytes: Uint8Array, before = OFFSET_BASIS): number {
  let hash = before;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, PRIME);
  return hash >>> 0;
}

function open(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new MissingPermissionError([`--allow-read=${path}`, `--allow-write=${path}`], { cause });
    }
    throw new SimulationError(`the file of the machine can't be opened: ${path} (${cause})`);
  }
}
