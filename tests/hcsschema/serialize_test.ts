import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { serialize } from "../../src/hcsschema/serialize.ts";

Deno.test("serialize() leaves out what is undefined, and keeps null, which callers may mean", () => {
  assertEquals(
    serialize({ a: undefined, b: null, c: { d: undefined, e: [1] }, f: false, g: "" }),
    '{"b":null,"c":{"e":[1]},"f":false,"g":""}',
  );
});
