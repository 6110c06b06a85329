/**
 * `calls.ts LAYERS`: one mount and release as the benchmark does it, recorded.
 *
 * @module
 */

import { mountWCOWLayers, windowsHost } from "../../mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { stack } from "./stacks.ts";

using recorder = new Recorder();
using host = withStandIns(windowsHost({ calls: "thread" }), quickStandIns);
// The second time, as the first one asks for names and for the build.
for (const quiet of [true, false]) {
  recorder.quiet = quiet;
  const mounted = await mountWCOWLayers("c1", stack(Number(Deno.args[0])), { host });
  await mounted.release();
}
