/**
 * What all functions that import or export layers take, and tell while they run.
 *
 * @module
 */

import { InvalidInputError } from "../errors/input_error.ts";
import type { LayerEntry } from "../files/layer/entry.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import type { TarLimits } from "../files/tar/tar_limits.ts";
import type { Check } from "../options.ts";

/**
 * How far an import or export is.
 *
 * @category Layers as tars
 */
export interface TransferProgress {
  /** What is done now: files are carried over; Windows makes them a layer, or files of a layer; registry hives are merged. */
  readonly phase: "files" | "windows" | "hives";
  /** How many entries were carried over. */
  readonly entries: number;
  /** How many bytes of contents. */
  readonly bytes: number;
}

/**
 * Options of functions that import and export layers.
 *
 * @category Layers as tars
 */
export interface TransferOptions extends HostOptions {
  /** Called after each entry, and each MiB of contents, and where another phase begins. What it throws ends the call; if it is async, later. */
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/**
 * Options of functions that import layers.
 *
 * @category Layers as tars
 */
export interface ImportOptions extends TransferOptions {
  /** How much the tar may have. */
  limits?: TarLimits | undefined;
  /** What errors call the tar. Default: `tar`. */
  name?: string | undefined;
}

/** Checks {@linkcode TransferOptions.onProgress}. */
export const progressListener: Check<(progress: TransferProgress) => void> = (value, argument) => {
  if (typeof value !== "function") throw new InvalidInputError(argument, "is no function", value);
  return value as (progress: TransferProgress) => void;
};

/** Counts what is carried over, and tells. */
export class Progress {
  readonly #listener: ((progress: TransferProgress) => void) | undefined;
  #phase: TransferProgress["phase"] = "files";
  #entries = 0;
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(listener: ((progress: TransferProgress) => void) | undefined) {
    this.#listener = listener;
  }

  /** Bytes of contents so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Tells that another phase begins. */
  begin(phase: TransferProgress["phase"]): void {
    this.#phase = phase;
    this.#tell();
  }

  /** Passes entries on, counts them and their contents, and ends between two of them once `signal` is aborted. */
  async *counted(
    entries: AsyncIterable<LayerEntry>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LayerEntry, void> {
    for await (const entry of entries) {
      signal?.throwIfAborted();
      yield { ...entry, contents: () => ReadableStream.from(this.#contents(entry, signal)) };
      this.#entries++;
      this.#tell();
      if (this.#entries % ENTRIES_AT_A_TIME === 0) await breath();
    }
    signal?.throwIfAborted();
  }

  async *#contents(entry: LayerEntry, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of entry.contents()) {
      signal?.throwIfAborted();
      yield chunk;
      const before = this.#bytes;
      this.#bytes += chunk.byteLength;
      if (Math.floor(before / MIB) !== Math.floor(this.#bytes / MIB)) this.#tell();
      if (Math.floor(before / BYTES_AT_A_TIME) !== Math.floor(this.#bytes / BYTES_AT_A_TIME)) await breath();
    }
  }

  #tell(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    const told: unknown = this.#listener?.({ phase: this.#phase, entries: this.#entries, bytes: this.#bytes });
    // One that is async isn't waited for. Without this, what it throws would end the process.
    if (told instanceof Promise) told.catch((error) => this.#failure ??= { error });
  }
}

const MIB = 2 ** 20;
const ENTRIES_AT_A_TIME = 256;
const BYTES_AT_A_TIME = 16 * MIB;

// Functions that report by GetLastError run on this thread. Timers and Ctrl+C have their turn here.
function breath(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
