import { assertEquals, assertThrows } from "jsr:@std/assert@^1.0.0";
import { UnexpectedAnswerError } from "../../src/errors/state_errors.ts";
import { parentsInChain } from "../../src/nodes/docker.ts";

Deno.test("parentsInChain() returns the layers, nearest first, and none for a base layer", () => {
  assertEquals(parentsInChain('["C:\\\\d\\\\windowsfilter\\\\a\\u003cb","C:\\\\d\\\\windowsfilter\\\\c"]'), [
    "C:\\d\\windowsfilter\\a<b",
    "C:\\d\\windowsfilter\\c",
  ]);
  assertEquals(parentsInChain("null"), []);
});

Deno.test("parentsInChain() refuses what is no chain, as the zeros that a disk error left", () => {
  for (const damaged of ["", "\0\0\0\0", "{}", '"C:\\\\a"', "[1]", "[null]"]) {
    assertThrows(() => parentsInChain(damaged), UnexpectedAnswerError);
  }
});
