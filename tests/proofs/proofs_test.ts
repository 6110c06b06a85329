// The proofs that are tasks, in a small size.
import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { faults } from "./faults.ts";
import { fuzz } from "./fuzz.ts";
import { frames } from "./frames.ts";
import { kills } from "./kills.ts";

Deno.test("one or two calls of a mount and its release fail: after that, recover() leaves nothing", async () => {
  const { covered, leaks } = await faults({ seed: 1, count: 10 });
  assertEquals([covered.length, leaks], [3, []]);
});

Deno.test("killed at any call of a mount, its release or recover(): the next recover() leaves nothing", async () => {
  const { covered, leaks } = await kills({ seed: 1, count: 1 });
  assertEquals([covered.length, leaks], [6, []]);
});

Deno.test("records, answers, files and input that make no sense give typed errors, and cost nobody anything", async () => {
  const { covered, leaks } = await fuzz({ seed: 1, count: 40 });
  assertEquals([covered.length, leaks], [4, []]);
});

Deno.test("a guest sends frames of all kinds: each request ends as its answer says, and nothing waits", async () => {
  const { leaks } = await frames({ seed: 1, count: 6_000 });
  assertEquals(leaks, []);
});
