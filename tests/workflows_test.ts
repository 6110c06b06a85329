import { assert, assertEquals } from "jsr:@std/assert@^1.0.0";

const WORKFLOWS = new URL("../.github/workflows/", import.meta.url);

Deno.test("workflows use actions by their full commit, with the version beside it", async () => {
  const uses: string[] = [];
  for await (const { name } of Deno.readDir(WORKFLOWS)) {
    const text = await Deno.readTextFile(new URL(name, WORKFLOWS));
    uses.push(...text.matchAll(/\buses:\s*(.*)/g).map(([, action]) => action!));
  }
  assert(uses.length > 0);
  // A tag can be moved to other code; a commit can't.
  assertEquals(uses.filter((action) => !/^[\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action)), []);
});
