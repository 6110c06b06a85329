/**
 * Numbered slots. The lowest free slot is always allocated first.
 *
 * @module
 */

/** The slots `0` to `total - 1`. The cost of an allocation doesn't depend on how many are allocated. */
export class SlotAllocator {
  /** How many there are. */
  readonly total: number;
  readonly #allocated: boolean[] = [];
  #used = 0;
  // All slots below this one are allocated.
  #floor = 0;

  /** Starts with all slots free. */
  constructor(total: number) {
    this.total = total;
  }

  /** How many are allocated. */
  get used(): number {
    return this.#used;
  }

  /** Allocates the lowest free slot. Returns undefined if none is free. */
  allocate(): number | undefined {
    while (this.#allocated[this.#floor]) this.#floor++;
    if (this.#floor >= this.total) return undefined;
    this.claim(this.#floor);
    return this.#floor++;
  }

  /** Allocates a specific slot, which must be free. */
  claim(slot: number): void {
    this.#allocated[slot] = true;
    this.#used++;
  }

  /** Frees a slot. */
  free(slot: number): void {
    this.#allocated[slot] = false;
    this.#used--;
    this.#floor = Math.min(this.#floor, slot);
  }
}
