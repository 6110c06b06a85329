import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { readRuns } from "./recordings.ts";
import { TRANSPORT_DEVIATIONS } from "./transport_deviations.ts";
import { playTransport } from "./transport_player.ts";
import { isTransportRun, TRANSPORT_RECORDINGS } from "./transport_run.ts";

const runs = (await readRuns([TRANSPORT_RECORDINGS])).filter(isTransportRun);

Deno.test("layers are imported and exported as the recorded ones were", async (test) => {
  const met = new Set<string>();
  for (const run of runs) {
    await test.step(run.name, async () => {
      const { reason, deviations } = await playTransport(run);
      assertEquals(reason, undefined);
      deviations.forEach((ours) => met.add(ours));
    });
  }
  assertEquals(TRANSPORT_DEVIATIONS.map(({ ours }) => ours).filter((ours) => !met.has(ours)), []);
});

// deno-lint-ignore no-explicit-any
type Doctor = (run: any) => void;

Deno.test("playTransport() finds what differs from a recording", async () => {
  const doctored: [name: string, doctor: Doctor, difference: string][] = [
    ["import-child", ({ calls }) => calls[2].args.layers.pop(), "ImportLayer"],
    ["import-child", ({ importFolder }) => importFolder[4].bytes += "00", "importFolder"],
    ["import-child", ({ layerAfter }) => layerAfter.push("Files\\x"), "layer"],
    ["import-base", ({ calls }) => calls.pop(), "ProcessBaseImage"],
    ["import-child-import-layer-fails", (run) => delete run.fail, "an error was expected"],
    ["export-child", ({ tar }) => tar[2].data = "79", "tar"],
    ["export-base", ({ calls }) => calls.reverse(), "calls 1"],
  ];
  for (const [name, doctor, difference] of doctored) {
    const run = structuredClone(runs.find((run) => run.name === name)!);
    doctor(run);
    assertStringIncludes((await playTransport(run)).reason ?? "no difference", difference, name);
  }
});
