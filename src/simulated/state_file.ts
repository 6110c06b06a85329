/**
 * A machine in a file, which processes share.
 *
 * @module
 */

import { MissingPermissionError } from "../errors/windows_errors.ts";
import { SimulationError } from "./simulation_error.ts";

// The file begins with a line that says where the state stands, and how long it is. The next state is written beside it,
// and then the line: so that a process killed at any time leaves the old state or the new one.
const LINE_BYTES = 32;
const LINE = /^(\d+) (\d+) *\n$/;

/** The file, open and locked. */
export class StateFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  #start = LINE_BYTES;
  #end = LINE_BYTES;

  /** Opens the file, makes it where it is missing, and waits until no other process has it open. */
  constructor(path: string) {
    this.#path = path;
    this.#file = open(path);
    this.#file.lockSync(true);
  }

  /** The state that was written last; `undefined` in a new file. */
  read(): string | undefined {
    const line = this.#text(0, LINE_BYTES);
    // Zeros before a state are from a first writer that was killed; before anything else, they are somebody else's.
    if (/^\0*$/.test(line) && /^\{?$/.test(this.#text(LINE_BYTES, LINE_BYTES + 1))) return undefined;
    const [, start, bytes] = LINE.exec(line) ?? this.#refuse();
    this.#start = Number(start);
    this.#end = this.#start + Number(bytes);
    return this.#text(this.#start, this.#end);
  }

  /** Writes a state. It has to be read before. */
  write(state: string): void {
    const bytes = new TextEncoder().encode(state);
    this.#start = LINE_BYTES + bytes.length <= this.#start ? LINE_BYTES : this.#end;
    this.#end = this.#start + bytes.length;
    this.#put(this.#start, bytes);
    this.#put(0, new TextEncoder().encode(`${this.#start} ${bytes.length}`.padEnd(LINE_BYTES - 1) + "\n"));
  }

  /** Closes it, which lets others in. */
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
    throw new SimulationError(`no simulated machine is in the file ${this.#path}`);
  }
}

function open(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new MissingPermissionError([`--allow-read=${path}`, `--allow-write=${path}`], { cause });
    }
    throw new SimulationError(`the machine's file can't be opened: ${path} (${cause})`);
  }
}
