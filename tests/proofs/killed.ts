// Mounts and releases in the machine of a file, and kills itself at a point: FILE SCENARIO POINT.
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { cycle, killedAt } from "./kills.ts";
import { IMPORT_SCENARIOS, KILL_SCENARIOS, WHEN_UNKNOWN } from "./scenarios.ts";

const [file, scenario, point] = Deno.args;
const { host } = killedAt(
  new SimulatedHost({ file: file!, whenUnknown: WHEN_UNKNOWN, clock: "automatic", completion: "synchronous" }),
  Number(point),
  () => Deno.kill(Deno.pid, "SIGKILL"),
);
await cycle({ ...KILL_SCENARIOS, ...IMPORT_SCENARIOS }[scenario!]!, host);
