import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { importLayer, listMounts } from "../../mod.ts";
import { writeLayerTar } from "../../src/files/mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { entry, folder } from "../support/layer_tars.ts";

Deno.test("a timer has its turn while a long tar is imported that never waits", async () => {
  const host = new SimulatedHost();
  host.addLayer("C:\\layers\\base");
  const before = host.held();
  function* endless() {
    yield folder("Files");
    yield folder("Hives");
    for (let i = 0;; i++) yield entry({ path: `Files/${i}` });
  }
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("enough")));
  const { signal } = controller;
  const run = () => importLayer("C:\\layers\\app", writeLayerTar(endless()), ["C:\\layers\\base"], { host, signal });
  await assertRejects(run, Error, "enough");
  assertEquals([host.held(), await listMounts({ host })], [before, []]);
});
