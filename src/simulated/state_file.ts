/**
 * A machine in a file, which several processes can share.
 *
 * @module
 */

import { MissingPermissionError } from "../errors/windows_errors.ts";
import { SimulationError } from "./simulation_error.ts";

// The file begins with a line that contains the offset and the length of the state. A new state is written to another
// offset, and then the line is updated. So a process that is killed at any time leaves either the old or the new state.
const LINE_BYTES = 32;
const LINE = /^(\d+) (\d+) *\n$/;

/** The file, open and locked. */
export class StateFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  #start = LINE_BYTES;
  #end = LINE_BYTES;

  /** Opens the file, which is created if it is missing, and waits until no other process has it open. */
  constructor(path: string) {
    this.#path = path;
    this.#file = open(path);
    this.#file.lockSync(true);
  }

  /** Reads the state that was written last. Returns `undefined` for a new file. */
  read(): string | undefined {
    const line = this.#text(0, LINE_BYTES);
    // If zeros and a state follow each other, the first writer was killed. Otherwise, this is a file of another program.
    if (/^\0*$/.test(line) && /^\{?$/.test(this.#text(LINE_BYTES, LINE_BYTES + 1))) return undefined;
    const [, start, bytes] = LINE.exec(line) ?? this.#refuse();
    this.#start = Number(start);
    this.#end = this.#start + Number(bytes);
    return this.#text(this.#start, this.#end);
  }

  /** Writes a state. Call `read` before. */
  write(state: string): void {
    const bytes = new TextEncoder().encode(state);
    this.#start = LINE_BYTES + bytes.length <= this.#start ? LINE_BYTES : this.#end;
    this.#end = this.#start + bytes.length;
    this.#put(this.#start, bytes);
    this.#put(0, new TextEncoder().encode(`${this.#start} ${bytes.length}`.padEnd(LINE_BYTES - 1) + "\n"));
  }

  /** Closes it, so that other processes can open it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #text(start: number, end: number): string {
    const bytes = new Uint8Array(end - start);
    this.#file.seekSync(start, Deno.SeekMode.Start);
    let at = 0;
    for (let read; at < bytes.length && (read = this.#file.readSync(bytes.subarray(at))) !== null;) at += read;
    return new TextDecoder().decode(bytes.subarray(0, at));
  }

  #put(start: number, bytes: Uint8Array): void {
    this.#file.seekSync(start, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }

  #refuse(): never {
    throw new SimulationError(`the file ${this.#path} contains no simulated machine`);
  }
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
