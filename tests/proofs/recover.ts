// Recovers in the machine of a file: FILE.
import { recover } from "../../mod.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { WHEN_UNKNOWN } from "./scenarios.ts";

const host = new SimulatedHost({ file: Deno.args[0]!, whenUnknown: WHEN_UNKNOWN });
const failed = (await recover({ host })).filter(({ outcome }) => outcome === "failed");
if (failed.length > 0) throw failed[0]!.error;
