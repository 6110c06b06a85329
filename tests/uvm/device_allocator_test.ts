import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { DEVICE_BYTES, RegionAllocator } from "../../src/uvm/devices/region_allocator.ts";
import { randomTest } from "../support/random.ts";

const MIB = 2 ** 20;

Deno.test("RegionAllocator.allocate() answers the offsets that are known of a fresh device", () => {
  const allocator = new RegionAllocator();
  const sequence: [size: number, offset: number | undefined][] = [
    [1, 0],
    [MIB, MIB],
    [MIB + 4096, 4 * MIB],
    [5 * MIB, 16 * MIB],
    [3 * MIB, 8 * MIB],
    [20 * MIB, 64 * MIB],
    [100 * MIB, 256 * MIB],
    [MIB, 2 * MIB],
    [MIB, 3 * MIB],
    [MIB, 12 * MIB],
    [2048 * MIB, undefined],
  ];
  assertEquals(sequence.map(([size]) => allocator.allocate(size)), sequence.map(([, offset]) => offset));
});

Deno.test("RegionAllocator.allocate() gives out the whole device, and nothing larger", () => {
  const allocator = new RegionAllocator();
  assertEquals(allocator.allocate(DEVICE_BYTES + 1), undefined);
  assertEquals(allocator.allocate(DEVICE_BYTES), 0);
  assertEquals(allocator.allocate(1), undefined);
  allocator.release(0);
  assertEquals(allocator.allocate(1), 0);
});

Deno.test("RegionAllocator.release() refuses an offset at which nothing was taken", () => {
  const allocator = new RegionAllocator();
  allocator.allocate(4 * MIB);
  assertThrows(() => allocator.release(MIB), RangeError);
  allocator.release(0);
  assertThrows(() => allocator.release(0), RangeError);
});

/** A map of the MiBs of a device, searched from end to end: slow, and plain enough to be right. */
class Naive {
  readonly #cells = new Uint8Array(4096);
  readonly #sizes = new Map<number, number>();

  allocate(bytes: number): number | undefined {
    const blocks = [1, 4, 16, 64, 256, 1024, 4096];
    const wanted = blocks.find((block) => block * MIB >= bytes);
    if (wanted === undefined) return undefined;
    // The smallest free block that suffices; a block whose parent is free as well is a part of that.
    for (const block of blocks.filter((block) => block >= wanted)) {
      for (let at = 0; at < 4096; at += block) {
        const parent = at - at % (4 * block);
        if (this.#isFree(at, block) && (block === 4096 || !this.#isFree(parent, 4 * block))) {
          this.#cells.fill(1, at, at + wanted);
          this.#sizes.set(at * MIB, wanted);
          return at * MIB;
        }
      }
    }
    return undefined;
  }

  release(offset: number): void {
    this.#cells.fill(0, offset / MIB, offset / MIB + this.#sizes.get(offset)!);
  }

  #isFree(at: number, cells: number): boolean {
    for (let i = at; i < at + cells; i++) {
      if (this.#cells[i] !== 0) return false;
    }
    return true;
  }
}

randomTest("RegionAllocator does what a naive model does, over 100,000 random steps", (sequence) => {
  const allocator = new RegionAllocator();
  const naive = new Naive();
  const taken: number[] = [];
  const random = sequence();
  let full = 0;
  for (let step = 0; step < 100_000; step++) {
    // Long waves of filling and emptying, so that the device is full and empty often.
    const filling = step % 4000 < 2200;
    if (taken.length === 0 || random(10) < (filling ? 7 : 3)) {
      const size = 1 + random(4 ** (1 + random(6))) * MIB - random(2) * 4096 * random(2);
      const offset = allocator.allocate(Math.max(size, 1));
      assertEquals(offset, naive.allocate(Math.max(size, 1)));
      offset === undefined ? full++ : taken.push(offset);
    } else {
      const [offset] = taken.splice(random(taken.length), 1);
      allocator.release(offset!);
      naive.release(offset!);
    }
    assertEquals(allocator.used, taken.length);
  }
  // Else the model was never asked what happens on a full device.
  assertEquals(full > 1000, true);
  taken.forEach((offset) => allocator.release(offset));
  assertEquals(allocator.allocate(DEVICE_BYTES), 0);
});
