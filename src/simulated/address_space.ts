/**
 * The address space of the simulated process.
 *
 * @module
 */

import { fromWide, wide } from "../ffi/wide.ts";
import { SimulationError } from "./simulation_error.ts";

// Each block starts at a multiple of this, so the block of an address can be calculated.
const SPAN = 1n << 32n;

/** Blocks of memory at invented addresses. An access that would crash a process throws a {@linkcode SimulationError}. */
export class AddressSpace {
  readonly #blocks = new Map<bigint, Uint8Array<ArrayBuffer>>();
  #next = 1n;

  /** How many blocks are allocated. */
  get size(): number {
    return this.#blocks.size;
  }

  /** The address that the next block gets. */
  get next(): bigint {
    return this.#next * SPAN;
  }

  /** Frees all blocks from an address on. */
  freeSince(address: bigint): void {
    for (let base = address / SPAN; base < this.#next; base++) this.#blocks.delete(base);
  }

  /** Allocates a block of zeros. */
  allocate(bytes: number): bigint {
    const base = this.#next++;
    this.#blocks.set(base, new Uint8Array(bytes));
    return base * SPAN;
  }

  /** Allocates a block for a wide string with its NUL. */
  allocateWide(text: string): bigint {
    const bytes = wide(text);
    const address = this.allocate(bytes.byteLength);
    this.view(address, bytes.byteLength).set(bytes);
    return address;
  }

  /** Frees the block that starts at `address`. */
  free(address: bigint): void {
    if (address % SPAN !== 0n || !this.#blocks.delete(address / SPAN)) {
      throw new SimulationError(`address 0x${address.toString(16)} was freed, and no block starts there`);
    }
  }

  /** Returns the memory from `address` on: `bytes` of it, or all to the end of the block. */
  view(address: bigint, bytes?: number): Uint8Array<ArrayBuffer> {
    const block = this.#blocks.get(address / SPAN);
    const offset = Number(address % SPAN);
    if (block === undefined || offset + (bytes ?? 0) > block.byteLength) {
      throw new SimulationError(`access to address 0x${address.toString(16)}, which isn't allocated`);
    }
    return block.subarray(offset, bytes === undefined ? undefined : offset + bytes);
  }

  /** Reads the wide string at `address`. */
  readWide(address: bigint): string {
    return fromWide(this.view(address));
  }
}
