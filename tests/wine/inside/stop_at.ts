/**
 * `stop_at.ts FN LAYER... SCRATCH`: mounts and releases, says `stopped` when a call of FN has begun, and goes no further.
 * With `nothing` for FN it stops when all is mounted.
 *
 * @module
 */

import { mountWCOWLayers, windowsHost } from "../../../mod.ts";
import { Recorder } from "./recorder.ts";

const [fn = "", ...folders] = Deno.args;

async function cycle(): Promise<void> {
  const mounted = await mountWCOWLayers("c1", folders, { host: windowsHost() });
  if (fn === "nothing") await stop();
  await mounted.release();
}

function stop(): Promise<void> {
  console.log("stopped");
  return new Promise((resolve) => setTimeout(resolve, 600_000));
}

const recorder = new Recorder();
recorder.hold(fn);
cycle();
if (fn !== "nothing") {
  await recorder.untilHeld();
  await stop();
}
