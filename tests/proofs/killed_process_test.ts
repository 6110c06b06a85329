// A mount in one process, which is killed; an unmount in another.
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import { deno } from "../support/processes.ts";
import { held } from "../support/calls.ts";
import { MOUNT, SCRATCH, stackHost } from "../support/host.ts";

for (const existing of [[], ["C:\\mnt"], [MOUNT]]) {
  Deno.test(`what a killed process had mounted is unmounted by another: ${existing.length ? existing : "no folder"} before`, async () => {
    const file = await Deno.makeTempFile();
    try {
      const host = stackHost({ file });
      existing.forEach((folder) => host.addFolder(folder));
      const before = host.paths();
      const grants = [`--allow-read=${file}`, `--allow-write=${file}`];
      const child = deno(grants, "proofs/mount.ts", file).spawn();
      const output = child.stdout.getReader();
      assertMatch(
        new TextDecoder().decode((await output.read()).value),
        /^mounted \\\\\?\\Volume\{[0-9a-f-]{36}\}\\\n$/,
      );
      assertEquals(host.held().filter(({ kind }) => kind !== "folder").map(({ kind }) => kind), [
        "activation",
        "filter",
        "mountPoint",
      ]);
      assert(host.held().every(({ by }) => by!.process === 2));
      child.kill("SIGKILL");
      assertEquals((await child.status).success, false);
      await Promise.all([output.cancel(), child.stderr.cancel()]);
      assertEquals(host.held().length >= 3, true, "what was mounted outlives the process");

      const { stdout, stderr, success } = await deno(grants, "proofs/unmount.ts", file, SCRATCH).output();
      assert(success, new TextDecoder().decode(stderr));
      assertEquals(JSON.parse(new TextDecoder().decode(stdout)), [
        "mountPoint true",
        `folder ${existing.includes(MOUNT) ? false : true}`,
        "filter true",
        "activation true",
      ]);
      assertEquals([held(host), host.paths()], [[], before]);
    } finally {
      await Deno.remove(file);
    }
  });
}
