// Reading parts of regions, also across the blocks that are kept of them.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { Reader } from "../../../src/files/cim/regions.ts";

const BLOCK = 64 * 1024;

Deno.test("numbers, text and bytes are read across blocks", () => {
  const bytes = Uint8Array.from({ length: 3 * BLOCK }, (_, i) => (i * 7) ^ (i >> 8));
  const view = new DataView(bytes.buffer);
  const region = {
    name: "region",
    set: { guid: "", count: 1 },
    index: 0,
    number: 0,
    size: bytes.length,
    type: 0,
  };
  const reader = new Reader([region], (_, n) => new DataView(bytes.slice(n * BLOCK, (n + 1) * BLOCK).buffer));
  const extent = { region, at: 40, length: bytes.length - 40, entry: undefined };
  for (let from = BLOCK - 50; from < BLOCK - 30; from++) {
    const at = 40 + from;
    const text = String.fromCharCode(...[0, 2, 4].map((i) => view.getUint16(at + i, true)));
    assertEquals(
      [reader.u16(extent, from), reader.u32(extent, from), reader.text(extent, from, 3)],
      [view.getUint16(at, true), view.getUint32(at, true), text],
    );
    assertEquals(reader.read(extent, from, BLOCK + 20).bytes, bytes.slice(at, at + BLOCK + 20));
  }
});
