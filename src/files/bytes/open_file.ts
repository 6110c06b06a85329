/**
 * A file of this system, read at any place.
 *
 * @module
 */

import { UnreadableFileError } from "../../errors/file_errors.ts";
import { text } from "../option_checks.ts";
import type { OpenBytes } from "./random_access.ts";

/**
 * Opens a file to read it at any place. `using` closes it.
 *
 * @throws {UnreadableFileError} if it can't be opened, or is no file.
 */
export async function openFile(path: string): Promise<OpenBytes> {
  text(path, "path");
  // To open a pipe would wait for who writes to it.
  if (!(await readable(path, () => Deno.stat(path))).isFile) throw new UnreadableFileError(path, "it is no file");
  const file = await readable(path, () => Deno.open(path));
  try {
    const { size, isFile } = await readable(path, () => file.stat());
    if (!isFile) throw new UnreadableFileError(path, "it is no file");
    return new FileBytes(path, size, file);
  } catch (error) {
    file.close();
    throw error;
  }
}

class FileBytes implements OpenBytes {
  readonly name: string;
  readonly size: number;
  readonly #file: Deno.FsFile;
  // A file has one position, so that reads take turns.
  #turn: Promise<unknown> = Promise.resolve();

  constructor(name: string, size: number, file: Deno.FsFile) {
    this.name = name;
    this.size = size;
    this.#file = file;
  }

  read(at: number, into: Uint8Array): Promise<number> {
    const read = this.#turn.then(() =>
      readable(this.name, async () => {
        await this.#file.seek(at, Deno.SeekMode.Start);
        return await this.#file.read(into) ?? 0;
      })
    );
    this.#turn = read.catch(() => {});
    return read;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

async function readable<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new UnreadableFileError(path, cause);
  }
}
