// Unmounts in the machine of a file, knowing the scratch folder alone.
import { unmountWCOWLayers } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";

const [file, scratch] = Deno.args;
const released = await unmountWCOWLayers(scratch!, { host: new SimulatedHost({ file: file! }) });
console.log(JSON.stringify(released.map(({ hold, wasHeld }) => `${hold.kind} ${wasHeld}`)));
