/**
 * `calls.ts LAYERS`: a cycle as the benchmark does it, recorded.
 *
 * @module
 */

import { windowsHost } from "../../mod.ts";
import { quickStandIns, withStandIns } from "../wine/inside/host.ts";
import { Recorder } from "../wine/inside/recorder.ts";
import { mountAndRelease, stack } from "./cycles.ts";

using recorder = new Recorder();
using host = withStandIns(windowsHost({ calls: "thread", records: false }), quickStandIns);
recorder.quiet = true;
const folders = stack(Number(Deno.args[0]));
const cycle = () => mountAndRelease(host, folders);
// The second time, as the first one asks for names and for the build.
await cycle();
recorder.quiet = false;
await cycle();
