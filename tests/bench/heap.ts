/**
 * `heap.ts MOUNTS LAYERS`: the bytes of the heap that a mount takes while it is held, and once it is released, on recording DLLs
 * with files that answer at once. Needs `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { type Mounted, mountWCOWLayers, windowsHost } from "../../mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { stack } from "./cycles.ts";

const { gc } = globalThis as unknown as { gc(): void };
const [mounts, layers] = Deno.args.map(Number) as [number, number];

new Recorder().quiet = true;
const host = withStandIns(windowsHost({ calls: "thread", records: false }), quickStandIns);
const folders = stack(layers).slice(0, -1);

function heap(): number {
  gc();
  return Deno.memoryUsage().heapUsed;
}

const list: Mounted[] = [];

/** The bytes for each mount, held and released. */
async function each(): Promise<{ held: number; released: number }> {
  const before = heap();
  for (let i = 0; i < mounts; i++) {
    list.push(await mountWCOWLayers("c1", [...folders, `C:\\layers\\scratch${i}`], { host }));
  }
  const held = heap() - before;
  for (const mounted of list.splice(0)) await mounted.release();
  return { held: held / mounts, released: (heap() - before) / mounts };
}

// What is compiled the first time isn't counted.
await each();
console.log(JSON.stringify(await each()));
