/**
 * Divides the 4 GiB of a persistent memory device among the files mapped into it.
 *
 * This is a buddy allocator that splits blocks into quarters: regions have 1 MiB, 4 MiB, 16 MiB and so on up to 4 GiB, each
 * at a multiple of its size. A file gets the smallest region that is large enough. It is split off the smallest free region
 * that is large enough; among several of that size, the one with the lowest offset. Four free quarters are merged again.
 *
 * @module
 */

const SMALLEST = 2 ** 20;
const QUARTERS = 4;
const LARGEST_CLASS = 6;

/** Size of the device of a {@linkcode RegionAllocator} in bytes. */
export const DEVICE_BYTES: number = SMALLEST * QUARTERS ** LARGEST_CLASS;

/** Regions of one device. */
export class RegionAllocator {
  // Offsets of free regions by class, ascending.
  readonly #free: number[][] = Array.from({ length: LARGEST_CLASS + 1 }, () => []);
  readonly #busy = new Map<number, number>();

  /** Starts with the whole device free. */
  constructor() {
    this.#free[LARGEST_CLASS]!.push(0);
  }

  /** How many regions are allocated. */
  get used(): number {
    return this.#busy.size;
  }

  /**
   * Allocates a region of at least `bytes`, more than 0, of which the first `bytes` end at `bound` or before. Returns its offset, or
   * `undefined` if none is free.
   */
  allocate(bytes: number, bound: number = DEVICE_BYTES): number | undefined {
    const wanted = classOf(bytes);
    const fits = ([lowest = Infinity]: readonly number[]) => lowest + bytes <= bound;
    let from = wanted;
    while (from <= LARGEST_CLASS && !fits(this.#free[from]!)) from++;
    const offset = this.#free[from]?.shift();
    if (offset === undefined) return undefined;
    while (from > wanted) {
      from--;
      for (let quarter = 1; quarter < QUARTERS; quarter++) insert(this.#free[from]!, offset + quarter * bytesOf(from));
    }
    this.#busy.set(offset, wanted);
    return offset;
  }

  /**
   * Frees a region.
   *
   * @throws {RangeError} if none is allocated at `offset`.
   */
  release(offset: number): void {
    let size = this.#busy.get(offset);
    if (size === undefined) throw new RangeError(`no region is allocated at offset ${offset}`);
    this.#busy.delete(offset);
    insert(this.#free[size]!, offset);
    for (; size < LARGEST_CLASS; size++) {
      const free = this.#free[size]!;
      const parent = offset - offset % bytesOf(size + 1);
      const first = free.indexOf(parent);
      // The list is sorted, so four quarters of one region are next to each other.
      if (first < 0 || free[first + QUARTERS - 1] !== parent + (QUARTERS - 1) * bytesOf(size)) return;
      free.splice(first, QUARTERS);
      insert(this.#free[size + 1]!, parent);
      offset = parent;
    }
  }
}

function classOf(bytes: number): number {
  let size = 0;
  while (bytesOf(size) < bytes) size++;
  return size;
}

function bytesOf(size: number): number {
  return SMALLEST * QUARTERS ** size;
}

function insert(offsets: number[], offset: number): void {
  const at = offsets.findIndex((other) => other > offset);
  offsets.splice(at < 0 ? offsets.length : at, 0, offset);
}
