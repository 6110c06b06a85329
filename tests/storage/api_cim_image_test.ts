import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import * as storage from "../../src/storage/mod.ts";
import { held, storageCalls } from "../support/calls.ts";

const IMAGE = "C:\\layers\\cim-layers\\top.cim";
const GUID = "11111111-2222-3333-4444-555555555555";
const VOLUME = `\\\\?\\Volume{${GUID}}\\`;

function cimHost(build = 19041): SimulatedHost {
  const host = new SimulatedHost({ build });
  host.addCimLayer("C:\\layers\\top");
  return host;
}

Deno.test("mountCimImage() mounts an image under the volume until it is released", async () => {
  const host = cimHost();
  const mounted = await storage.mountCimImage(IMAGE, VOLUME.slice(0, -1), { host });
  assertEquals([mounted.image, mounted.volume, host.exists(VOLUME)], [IMAGE, VOLUME, true]);
  assertEquals(held(host), [`cimVolume ${IMAGE}`]);
  await mounted.release();
  await mounted.release();
  assertEquals(storageCalls(host).map(({ function: name, args }) => [name, args]), [
    ["CimMountImage", { imagePath: "C:\\layers\\cim-layers", fsName: "top.cim", flags: 4, volumeId: GUID }],
    ["CimDismountImage", { volumeId: GUID }],
  ]);
  assertEquals(held(host), []);
});

Deno.test("dismountCimImage() dismounts what another process mounted, and says what wasn't", async () => {
  const host = cimHost();
  await storage.mountCimImage(IMAGE, VOLUME, { host });
  assertEquals(await storage.dismountCimImage(VOLUME, { host }), true);
  assertEquals(await storage.dismountCimImage(VOLUME, { host }), false);
});

Deno.test("mountCimImage() refuses a volume that is there, and leaves it", async () => {
  const host = cimHost();
  await using mounted = await storage.mountCimImage(IMAGE, VOLUME, { host });
  const error = await assertRejects(() => storage.mountCimImage(IMAGE, VOLUME, { host }), storage.NativeError);
  assertEquals([error.symbol, host.exists(mounted.volume)], ["ERROR_ALREADY_EXISTS", true]);
});

Deno.test("mountCimImage() refuses an image that isn't there, or is a folder", async () => {
  const host = cimHost();
  for (const image of [`${IMAGE}x`, IMAGE.slice(0, IMAGE.lastIndexOf("\\"))]) {
    const error = await assertRejects(() => storage.mountCimImage(image, VOLUME, { host }), storage.InvalidInputError);
    assertEquals([error.argument, storageCalls(host)], ["image", []]);
  }
});

Deno.test("mountCimImage() and dismountCimImage() refuse a build without CimFS", async () => {
  const host = cimHost(19040);
  const calls = [
    () => storage.mountCimImage(IMAGE, VOLUME, { host }),
    () => storage.dismountCimImage(VOLUME, { host }),
  ];
  for (const call of calls) assertEquals((await assertRejects(call, storage.UnsupportedBuildError)).build, "19040");
  assertEquals(storageCalls(host), []);
});

Deno.test("mountCimImage() names the root of a drive with its separator, as it would be a current folder without", async () => {
  const host = cimHost();
  host.addFile("C:\\top.cim");
  // What is in such a file doesn't matter here.
  await storage.mountCimImage("C:\\top.cim", VOLUME, { host }).catch(() => {});
  assertEquals(storageCalls(host)[0]!.args["imagePath"], "C:\\");
});
