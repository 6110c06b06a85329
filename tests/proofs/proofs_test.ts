// The proofs that are tasks, in a small size.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { crowd } from "./crowd.ts";
import { faults } from "./faults.ts";
import { fuzz } from "./fuzz.ts";
import { fuzzFiles } from "./fuzz_files.ts";
import { frames } from "./frames.ts";
import { kills } from "./kills.ts";
import { soak } from "./soak.ts";

Deno.test("one or two calls of a mount and its release fail, or the connection with a VM: after that, recover() leaves nothing", async () => {
  const { covered, leaks } = await faults({ seed: 1, count: 10 });
  assertEquals([covered.length, leaks], [8, []]);
});

Deno.test("killed at any call of a mount, its release or recover(): the next recover() leaves nothing", async () => {
  const { covered, leaks } = await kills({ seed: 1, count: 1 });
  assertEquals([covered.length, leaks], [14, []]);
});

Deno.test("records, answers, files and input that make no sense give typed errors, and cost nobody anything", async () => {
  const { covered, leaks } = await fuzz({ seed: 1, count: 40 });
  assertEquals([covered.length, leaks], [4, []]);
});

Deno.test("damaged images and tars give typed errors, end, and take no more memory than they have bytes", async () => {
  const { covered, leaks } = await fuzzFiles({ seed: 1, count: 300 });
  assertEquals([covered.length, leaks], [4, []]);
});

Deno.test("a guest sends frames of all kinds: each request ends as its answer says, and nothing waits", async () => {
  const { covered, leaks } = await frames({ seed: 1, count: 6_000 });
  assertEquals([covered.length, leaks], [2, []]);
});

Deno.test("mounts and releases, 64 at a time in two processes, with failures: what they need stays the same", async () => {
  const { covered, leaks } = await soak({ seed: 1, count: 200 });
  assertEquals([covered.length, leaks], [7, []]);
});

Deno.test("a soak notices a handle, memory and a file that each mount leaves", async () => {
  const kept: unknown[] = [];
  let files = 0;
  const { leaks } = await soak({ seed: 1, count: 100 }, (process) => {
    process.before("DeactivateLayer", () => {
      kept.push(Array.from({ length: 5_000 }, (_, i) => ({ i })));
      process.openFile("C:\\layers\\app");
      process.addFile(`C:\\files\\${files++}`);
    });
  });
  const isFound = (what: RegExp) => leaks.some((leak) => what.test(leak));
  assertEquals(
    [/^heap grows/, /^handles grows/, /^machine grows/, /^is left: C:\\files/].map(isFound),
    Array(4).fill(true),
  );
});

Deno.test("two and eight processes on one host, some of which are killed: none touches another's mount, and nothing is left", async () => {
  const { covered, leaks } = await crowd({ seed: 1, count: 2 });
  assertEquals([covered.length, leaks], [2, []]);
});

Deno.test("a crowd notices that one of it unmounts what others have mounted", async () => {
  const { leaks } = await crowd({ seed: 1, count: 0 }, true);
  assert(leaks.some((leak) => leak.includes("somebody has touched")), leaks.join("\n"));
});
