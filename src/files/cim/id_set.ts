/**
 * Sets of file ids, of which an image can have many.
 *
 * @module
 */

const PAGE_BITS = 1024;

/** A set of numbers from 1 on, most of them close to each other. */
export class IdSet {
  readonly #pages = new Map<number, Uint8Array>();

  has(id: number): boolean {
    const bits = this.#pages.get(Math.floor((id - 1) / PAGE_BITS));
    const bit = (id - 1) % PAGE_BITS;
    return bits !== undefined && (bits[bit >> 3]! & (1 << (bit & 7))) !== 0;
  }

  /** Adds a number, and returns whether it wasn't there. */
  add(id: number): boolean {
    const page = Math.floor((id - 1) / PAGE_BITS);
    let bits = this.#pages.get(page);
    if (bits === undefined) this.#pages.set(page, bits = new Uint8Array(PAGE_BITS / 8));
    const [index, mask] = [((id - 1) % PAGE_BITS) >> 3, 1 << ((id - 1) % 8)];
    const isNew = (bits[index]! & mask) === 0;
    bits[index]! |= mask;
    return isNew;
  }
}
