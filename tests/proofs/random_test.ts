// The proof of random sequences in a small size. It needs fast-check, from npm.
import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";
import { withFunction } from "../support/host.ts";
import { random } from "./random.ts";

Deno.test("processes mount and unmount at random, fail, are killed and recover: the machine has what a model says", async () => {
  const { covered, leaks } = await random({ seed: 1, count: 2_000 });
  console.log(covered.join("\n"));
  assertEquals(leaks, []);
});

Deno.test("a process that doesn't remove its filters and folders is found, and the sequence is made short", async () => {
  for (const lost of ["RemoveDirectoryW", "DeleteVolumeMountPointW"]) {
    const { leaks } = await random({ seed: 1, count: 100, plant: (host) => withFunction(host, lost, () => 1) });
    assert(leaks.length > 0, lost);
    assert(leaks[0]!.split("\n").length < 7, leaks[0]);
  }
});
