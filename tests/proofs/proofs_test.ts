// The proofs that are tasks, in a small size.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { faults } from "./faults.ts";
import { kills } from "./kills.ts";

Deno.test("one or two calls of a mount and its release fail: after that, recover() leaves nothing", async () => {
  const { covered, leaks } = await faults({ seed: 1, count: 10 });
  assertEquals([covered.length, leaks], [5, []]);
});

Deno.test("killed at any call of a mount, its release or recover(): the next recover() leaves nothing", async () => {
  const { covered, leaks } = await kills({ seed: 1, count: 1 });
  assertEquals([covered.length, leaks], [10, []]);
});
