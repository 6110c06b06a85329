import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { buffer, viewOf } from "../../src/ffi/buffer.ts";

Deno.test("buffer() hands out zeros of the size asked for, aligned, and no byte twice", () => {
  const sizes = Array.from({ length: 2000 }, (_, i) => (i * 37) % 1500);
  for (const size of sizes) {
    const bytes = buffer(size);
    assertEquals(bytes.byteLength, size);
    assertEquals(bytes.byteOffset % 8, 0);
    // What was handed out before is all ones: another one of it would be too.
    assert(bytes.every((byte) => byte === 0));
    bytes.fill(0xff);
  }
});

Deno.test("viewOf() shows the bytes of a buffer that is a part of a larger one", () => {
  buffer(8);
  const bytes = buffer(8);
  bytes[7] = 1;
  assertEquals(viewOf(bytes).byteLength, 8);
  assertEquals(viewOf(bytes).getBigUint64(0, true), 1n << 56n);
});
