// Mounts in the machine of a file, says so, and stays until it is killed.
import { mountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { MOUNT, STACK } from "../support/host.ts";

const host = new SimulatedHost({ file: Deno.args[0]! });
const layers = await mountWCOWLayers("c1", STACK, { host, volumeMountPath: MOUNT });
console.log(`mounted ${layers.path}`);
setInterval(() => {}, 1000);
