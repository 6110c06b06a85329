// Commits to the machine in a file over and over, until it is killed.
import { mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { MOUNT, STACK } from "../support/host.ts";

const host = new SimulatedHost({ file: Deno.args[0]! });
console.log("running");
for (;;) {
  await using _layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: `${MOUNT}\\目录` });
}
