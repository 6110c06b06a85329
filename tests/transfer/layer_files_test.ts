import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { compareUtf8 } from "../../src/transfer/layer_files.ts";

Deno.test("names are in the order of their bytes in UTF-8, also beyond U+FFFF", () => {
  const names = [
    "b",
    "",
    "a",
    "aa",
    "Z",
    "é",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "😀",
    "😁",
    "a😀",
    "a\uff21",
    "\u{10ffff}",
  ];
  const hex = (name: string) => new TextEncoder().encode(name).toHex();
  const byBytes = names.toSorted((a, b) => hex(a) < hex(b) ? -1 : hex(a) > hex(b) ? 1 : 0);
  assertEquals(names.toSorted(compareUtf8), byBytes);
  assertEquals(compareUtf8("a😀", "a😀"), 0);
});
