import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { guidBytes, guidText } from "../../src/ffi/guid.ts";

const GUIDS: [text: string, hex: string][] = [
  ["6827367b-c388-4e9b-961c-6d2c936c0000", "7b36276888c39b4e961c6d2c936c0000"],
  ["738f7a76-5f2d-5fc5-aa43-120530a48964", "767a8f732d5fc55faa43120530a48964"],
  ["00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000"],
  ["ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffffffffffffffffffffffffffff"],
  ["11111111-2222-3333-4444-555555555555", "11111111222233334444555555555555"],
];

Deno.test("guidBytes() and guidText() turn text into the memory form of Windows and back", () => {
  for (const [text, hex] of GUIDS) {
    assertEquals(guidBytes(text).toHex(), hex);
    assertEquals(guidBytes(text.toUpperCase()).toHex(), hex);
    assertEquals(guidText(Uint8Array.fromHex(`abcd${hex}`), 2), text);
  }
});

Deno.test("guidBytes() refuses what isn't a GUID in text form", () => {
  for (
    const text of [
      "",
      "6827367b",
      "{6827367b-c388-4e9b-961c-6d2c936c0000}",
      "6827367bc3884e9b961c6d2c936c0000",
      "x".repeat(36),
    ]
  ) {
    assertThrows(() => guidBytes(text), InvalidInputError, "is not a GUID");
  }
});
