import { assertEquals } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, windowsHost } from "../../../mod.ts";
import type { Host } from "../../../src/ffi/host.ts";
import { attachDisk } from "../../../src/storage/mod.ts";
import { ImageLayers, onBuild } from "./cim.ts";
import { accounted, handlesOf } from "./levels.ts";
import { Recorder } from "./recorder.ts";

const CYCLES = 10_000;

/** Runs `cycle` until all that stays is there, and then many times more: the levels have to be the same. */
async function levelStays(cycle: (host: Host) => Promise<unknown>): Promise<void> {
  using recorder = new Recorder();
  recorder.quiet = true;
  using windows = windowsHost({ calls: "thread" });
  const blocks = new Set<bigint>();
  const host = accounted(onBuild(windows, 26100), blocks);
  for (let i = 0; i < 10; i++) await cycle(host);
  const before = { handles: handlesOf(windows), blocks: blocks.size };
  for (let i = 0; i < CYCLES; i++) await cycle(host);
  assertEquals({ handles: handlesOf(windows), blocks: blocks.size }, before);
}

Deno.test(`attachDisk() and its disposal leave no handle and no memory behind in ${CYCLES} cycles`, async () => {
  using folders = new ImageLayers(["top"]);
  const path = `${folders.scratch}\\sandbox.vhdx`;
  await levelStays(async (host) => {
    await using disk = await attachDisk(path, { host });
    disk.physicalPath();
  });
});

Deno.test(`mountWCOWLayers() of an image and release() leave no handle and no memory behind in ${CYCLES} cycles`, async () => {
  using folders = new ImageLayers(["top", "base"]);
  await levelStays(async (host) => {
    const mounted = await mountWCOWLayers("test", folders.all, { host });
    await mounted.release();
  });
});
