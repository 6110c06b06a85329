/**
 * Numbered places of which the lowest free one is taken.
 *
 * @module
 */

/** Places `0` to `total - 1`. Taking one costs the same however many are taken. */
export class Places {
  /** How many there are. */
  readonly total: number;
  readonly #taken: boolean[] = [];
  #used = 0;
  // Every place below is taken.
  #floor = 0;

  /** Places that are all free. */
  constructor(total: number) {
    this.total = total;
  }

  /** How many are taken. */
  get used(): number {
    return this.#used;
  }

  /** Takes the lowest free place; `undefined` where all are taken. */
  take(): number | undefined {
    while (this.#taken[this.#floor]) this.#floor++;
    if (this.#floor >= this.total) return undefined;
    this.claim(this.#floor);
    return this.#floor++;
  }

  /** Takes a certain place, which must be free. */
  claim(place: number): void {
    this.#taken[place] = true;
    this.#used++;
  }

  /** Gives a place back. */
  free(place: number): void {
    this.#taken[place] = false;
    this.#used--;
    this.#floor = Math.min(this.#floor, place);
  }
}
