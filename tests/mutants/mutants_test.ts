import { assert, assertEquals, assertNotEquals } from "jsr:@std/assert@^1.0.0";
import { MUTANTS, plant } from "./mutants.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("every bug of test:mutants can be planted yet: its file has the text once", () => {
  const sources = new Map(
    [...new Set(MUTANTS.map(({ file }) => file))].map((file) =>
      [file, Deno.readTextFileSync(new URL(file, ROOT))] as const
    ),
  );
  const stale = MUTANTS.flatMap((mutant, i) => {
    const source = sources.get(mutant.file)!;
    try {
      assertNotEquals(plant(source, mutant), source);
      return [];
    } catch (error) {
      return [`${i + 1}: ${(error as Error).message}`];
    }
  });
  assertEquals(stale, []);
});

Deno.test("every bug of test:mutants names tests that are there", () => {
  for (const { file, breaks, tests } of MUTANTS) {
    assert(tests.length > 0, `${file}: ${breaks}`);
    tests.forEach((test) => assert(Deno.statSync(new URL(test, ROOT)).isFile && test.endsWith("_test.ts"), test));
  }
});
