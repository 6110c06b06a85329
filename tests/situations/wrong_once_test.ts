// Answers of Windows about the volume of a scratch that are wrong once: what is another container's stays its own.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { mountWCOWLayers, ReleaseError, UnexpectedAnswerError, unmountWCOWLayers } from "../../mod.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { wide } from "../../src/ffi/wide.ts";
import { held } from "../support/calls.ts";
import { hostInFront, hostWith, LAYERS, MOUNT, SCRATCH, STACK, withWrapped } from "../support/host.ts";

const OTHER = "C:\\scratch\\db";
const TOP = "C:\\layers\\top";
const IMAGE_STACK = [TOP, SCRATCH];

/** A host on which `GetLayerMountPath` returns a volume, so many times. */
function telling(host: SimulatedHost, volume: string, times: number): SimulatedHost {
  let left = 2 * times;
  return withWrapped(host, (fn, call) => {
    if (fn !== "GetLayerMountPath") return call;
    return async (...args) => {
      const code = await call(...args);
      // The first call asks for the length alone.
      if (left-- > 0 && args[3] instanceof Uint8Array) args[3].set(wide(volume.slice(0, -1)));
      return code;
    };
  });
}

/** A host with a container of a tool that keeps no records, and its volume. */
async function machine(): Promise<{ host: SimulatedHost; theirs: string }> {
  const host = hostWith({ layers: LAYERS, cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
  const tool = hostInFront(host.otherProcess(), { records: false });
  const { path } = await mountWCOWLayers("db", [...LAYERS, OTHER], { host: tool, volumeMountPath: "C:\\db" });
  return { host, theirs: path };
}

Deno.test("Windows tells the volume of another tool's container once: an unmount leaves that, and releases its own", async () => {
  const { host, theirs } = await machine();
  const before = held(host);
  await mountWCOWLayers("web", STACK, { host: host.otherProcess(), volumeMountPath: MOUNT });
  await unmountWCOWLayers(SCRATCH, { host: telling(host.otherProcess(), theirs, 1) });
  assertEquals([held(host), host.exists("C:\\mnt")], [before, false]);
});

Deno.test("Windows tells the volume of another container of this process once: a mount gets its own", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const db = await mountWCOWLayers("db", [...LAYERS, OTHER], { host });
  const before = held(host);
  const mount = await mountWCOWLayers("web", STACK, { host: telling(host, db.path, 1), volumeMountPath: MOUNT });
  assertEquals(mount.path === db.path, false);
  await mount.release();
  assertEquals(held(host), before);
  const always = () => mountWCOWLayers("web", STACK, { host: telling(host, db.path, Infinity) });
  await assertRejects(always, UnexpectedAnswerError, OTHER);
  assertEquals(held(host), before);
});

Deno.test("a copy of a scratch has the volume of one that another process has unmounted: it is mounted", async () => {
  const host = hostWith({ layers: LAYERS, scratches: [SCRATCH, OTHER] });
  const owner = host.otherProcess();
  const { path } = await mountWCOWLayers("db", [...LAYERS, OTHER], { host: owner });
  await unmountWCOWLayers(OTHER, { host });
  const same = telling(owner, path, Infinity);
  assertEquals((await mountWCOWLayers("web", STACK, { host: same })).path, path);
});

Deno.test("Windows tells the volume of another tool's container as an image is released: that keeps its filter", async () => {
  const host = hostWith({ cimLayers: [TOP], scratches: [SCRATCH, OTHER] });
  const tool = hostInFront(host.otherProcess(), { records: false });
  const { path } = await mountWCOWLayers("db", [TOP, OTHER], { host: tool });
  const before = held(host);
  let theirs: string | undefined;
  const odd = withWrapped(host, (fn, call) => {
    if (fn !== "GetLayerMountPath") return call;
    return async (...args) => {
      const code = await call(...args);
      if (theirs !== undefined && args[3] instanceof Uint8Array) args[3].set(wide(theirs.slice(0, -1)));
      return code;
    };
  });
  const mount = await mountWCOWLayers("web", IMAGE_STACK, { host: odd });
  theirs = path;
  await mount.release().catch((error) => assertEquals(error instanceof ReleaseError, true));
  theirs = undefined;
  await mount.release();
  assertEquals(held(host), before);
});
