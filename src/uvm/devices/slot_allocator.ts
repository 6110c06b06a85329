/**
 * Numbered slots of which the lowest free one is allocated.
 *
 * @module
 */

/** Slots `0` to `total - 1`. Allocating one costs the same however many are allocated. */
export class SlotAllocator {
  /** How many there are. */
  readonly total: number;
  readonly #allocated: boolean[] = [];
  #used = 0;
  // Every slot below is allocated.
  #floor = 0;

  /** Slots that are all free. */
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

  /** Allocates a certain slot, which must be free. */
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
