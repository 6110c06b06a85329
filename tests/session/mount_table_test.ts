// The scratches that this process uses.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { InUseError, InvalidInputError, mountSandboxVolume, mountWCOWLayers } from "../../mod.ts";
import { HoldList } from "../../src/holds/hold_list.ts";
import { MountTable } from "../../src/session/mount_table.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";

const VOLUME = "\\\\?\\Volume{00000000-0000-0000-0000-00000000000a}\\";

function table(): MountTable {
  const mounts = new MountTable();
  mounts.claim("C:\\Pods\\web");
  mounts.setLayers("C:\\Pods\\web", ["C:\\layers\\app", "C:\\layers\\base"]);
  mounts.setMount("C:\\Pods\\web", { holds: new HoldList(), volume: VOLUME, id: "1" });
  return mounts;
}

Deno.test("MountTable tells what is a scratch or a layer, or has one in it, in any case", () => {
  const mounts = table();
  const asked = [
    "C:\\pods\\WEB",
    "c:\\pods",
    "C:\\",
    "C:\\pods\\web\\sub",
    "C:\\pods\\we",
    "C:\\LAYERS",
    "C:\\layers\\base",
  ];
  assertEquals(asked.filter((path) => mounts.isActivated(path)), ["C:\\pods\\WEB", "c:\\pods", "C:\\"]);
  assertEquals(asked.filter((path) => mounts.isShown(path)), ["C:\\", "C:\\LAYERS", "C:\\layers\\base"]);
});

Deno.test("MountTable tells what a path is in: a scratch, a layer, a volume", () => {
  const mounts = table();
  const around = (path: string) => [
    mounts.scratchAround(path),
    mounts.layerAround(path),
    mounts.scratchWithVolumeOf(path),
  ];
  assertEquals(around("c:\\pods\\WEB\\a\\b"), ["C:\\Pods\\web", undefined, undefined]);
  assertEquals(around("C:\\pods\\webs"), [undefined, undefined, undefined]);
  assertEquals(around("C:\\layers\\base\\files"), [undefined, "C:\\layers\\base", undefined]);
  assertEquals(around(`${VOLUME}mnt\\a`), [undefined, undefined, "C:\\Pods\\web"]);
});

Deno.test("MountTable knows a layer of two scratches until both are gone, and then nothing", () => {
  const mounts = table();
  mounts.claim("C:\\pods\\db");
  mounts.setLayers("C:\\pods\\db", ["C:\\LAYERS\\base"]);
  mounts.forget("C:\\pods\\WEB");
  assertEquals([mounts.isShown("C:\\layers\\base"), mounts.isShown("C:\\layers\\app")], [true, false]);
  assertEquals([mounts.isActivated("C:\\pods"), mounts.isActivated("C:\\pods\\web")], [true, false]);
  mounts.setLayers("C:\\pods\\db", []);
  mounts.unclaim("C:\\pods\\db");
  assertEquals([mounts.isShown("C:\\"), mounts.isActivated("C:\\"), mounts.list()], [false, false, []]);
  assertEquals([mounts.layerAround("C:\\layers\\base"), mounts.scratchWithVolumeOf(VOLUME)], [undefined, undefined]);
});

Deno.test("what is in use, or around it, isn't destroyed, and nothing is mounted in it", async () => {
  const host = new SimulatedHost();
  ["app", "base"].forEach((name) => host.addLayer(`C:\\layers\\${name}`));
  host.addScratch("C:\\pods\\web");
  const mounted = await mountWCOWLayers("web", ["C:\\layers\\app", "C:\\layers\\base", "C:\\pods\\web"], { host });
  for (const folder of ["C:\\pods\\web", "C:\\pods", "C:\\layers\\base", "C:\\layers"]) {
    await assertRejects(() => destroyLayer(folder, { host }), InUseError);
  }
  for (const folder of ["C:\\pods\\web\\mnt", "C:\\layers\\app\\mnt", `${mounted.path}mnt`]) {
    await assertRejects(() => mountSandboxVolume(folder, mounted.path, { host }), InvalidInputError, "is in ");
  }
  await mounted.release();
  await destroyLayer("C:\\layers\\base", { host });
});
