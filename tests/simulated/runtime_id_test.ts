import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { generate } from "jsr:@std/uuid@^1.0.0/v5";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import { wide } from "../../src/ffi/wide.ts";

Deno.test("runtimeIdOf() is the version 5 UUID of the id in upper case, at every length", async () => {
  const namespace = "cab70344-facb-41e4-b5e5-ab6592283e6e";
  for (const length of [0, 1, 10, 19, 20, 23, 24, 25, 50, 56, 100, 1000]) {
    const id = "vm目-".repeat(length).slice(0, length);
    const bytes = wide(id.toUpperCase()).subarray(0, 2 * length);
    assertEquals(runtimeIdOf(id), await generate(namespace, bytes), `${length}`);
  }
});
