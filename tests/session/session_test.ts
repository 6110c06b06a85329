// What this process remembers about a machine.
import { assertEquals, assertMatch } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers } from "../../mod.ts";
import { layerId, sessionOf } from "../../src/session/session.ts";
import { enablePrivileges } from "../../src/storage/mod.ts";
import { LAYERS, SCRATCH, STACK, stackHost } from "../support/host.ts";

Deno.test("a session lists what is remembered about its machine, and forgets what is released", async () => {
  const host = stackHost();
  const list = () => JSON.parse(JSON.stringify(sessionOf(host)));
  assertEquals(list(), { layerIds: 0, mounts: [], privileges: [] });
  const mounted = await mountWCOWLayers("c1", STACK, { host });
  {
    using _ = enablePrivileges(["SeBackupPrivilege"], { host });
    assertEquals(list(), {
      build: 20348,
      layerIds: LAYERS.length,
      mounts: [{ scratch: SCRATCH, activated: true, layers: LAYERS }],
      privileges: ["SeBackupPrivilege"],
    });
  }
  await mounted.release();
  assertEquals(list(), { build: 20348, layerIds: LAYERS.length, mounts: [], privileges: [] });
});

Deno.test("a session remembers the ids of 4,096 layers, those that it learned last", () => {
  const host = stackHost();
  const asked = () => host.calls.filter((call) => call.function === "NameToGuid").length;
  const ids = Array.from({ length: 4097 }, (_, i) => layerId(host, `C:\\layers\\${i}`));
  assertEquals([asked(), JSON.parse(JSON.stringify(sessionOf(host))).layerIds], [4097, 4096]);
  assertEquals([layerId(host, "D:\\1"), asked()], [ids[1], 4097]);
  assertEquals([layerId(host, "D:\\0"), asked()], [ids[0], 4098]);
});

Deno.test("a mount prints all that it is: path, placements and holds", async () => {
  const host = stackHost();
  await using mounted = await mountWCOWLayers("c1", STACK, { host });
  const text = Deno.inspect(mounted, { colors: false, depth: 5 });
  assertMatch(text, /^Mounted \{/);
  for (const part of [mounted.path, SCRATCH, ...LAYERS].map((path) => JSON.stringify(path))) {
    assertEquals(text.includes(part), true, part);
  }
  assertMatch(text, /kind: "wcifs"/);
  assertMatch(text, /kind: "filter"/);
});
