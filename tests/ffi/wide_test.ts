import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { fromWide, fromWideList, wide, wideList } from "../../src/ffi/wide.ts";

const LONG = "C:\\" + "x𝄞é".repeat(5000);

const TEXTS: [text: string, bytes: number[]][] = [
  ["", [0, 0]],
  ["C:\\é", [0x43, 0, 0x3a, 0, 0x5c, 0, 0xe9, 0, 0, 0]],
  ["目录", [0xee, 0x76, 0x55, 0x5f, 0, 0]],
  ["𝄞", [0x34, 0xd8, 0x1e, 0xdd, 0, 0]],
  ["\ud834", [0x34, 0xd8, 0, 0]],
  ["\udd1e\ud834", [0x1e, 0xdd, 0x34, 0xd8, 0, 0]],
];

Deno.test("wide() and fromWide() keep each unit, also of surrogates without their pair", () => {
  for (const [text, bytes] of TEXTS) {
    assertEquals([...wide(text)], bytes, JSON.stringify(text));
    assertEquals(fromWide(wide(text)), text);
  }
  assertEquals(fromWide(wide(LONG)), LONG);
});

Deno.test("wide() and wideList() refuse a NUL", () => {
  assertThrows(() => wide("C:\\a\0b"), InvalidInputError, "NUL");
  assertThrows(() => wideList(["a", "\0"]), InvalidInputError, "NUL");
});

Deno.test("fromWide() ends at the first NUL, or with the bytes", () => {
  assertEquals(fromWide(new Uint8Array([0x61, 0, 0, 0, 0x62, 0])), "a");
  assertEquals(fromWide(new Uint8Array([0x61, 0, 0x62, 0])), "ab");
  assertEquals(fromWide(new Uint8Array([9, 9, 0x61, 0, 0x62, 0]).subarray(2)), "ab");
});

Deno.test("wideList() puts strings one after the other, fromWideList() reads them up to the empty one", () => {
  assertEquals([...wideList(["a", "", "𝄞"])], [0x61, 0, 0, 0, 0, 0, 0x34, 0xd8, 0x1e, 0xdd, 0, 0]);
  const lists: [list: string[], units: string][] = [
    [["C:\\a\\", LONG], `C:\\a\\\0${LONG}\0\0junk`],
    [["a"], "a\0"],
    [[], "\0\0"],
    [[], ""],
  ];
  for (const [list, units] of lists) {
    const bytes = new Uint16Array([...units].flatMap((char) => char.split("").map((unit) => unit.charCodeAt(0))));
    assertEquals(fromWideList(new Uint8Array(bytes.buffer)), list);
  }
});
