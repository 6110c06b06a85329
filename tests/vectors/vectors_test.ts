import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { notSupported } from "./ops.ts";
import { play } from "./player.ts";
import { residualOf } from "./residual.ts";
import { readRuns } from "./run.ts";
import { simulatedMachine } from "./simulated.ts";

const runs = await readRuns(`${import.meta.dirname}/v0.12.3`);

Deno.test("the library does on the simulated host what the recorded runs did", async (test) => {
  for (const run of runs) {
    await test.step({
      name: run.name,
      ignore: notSupported(run) !== undefined,
      fn: async () => assertEquals((await play(run, simulatedMachine)).reason, undefined),
    });
  }
});

Deno.test("residualOf() finds held what the recordings say", () => {
  for (const run of runs) {
    // They don't say what the VMs may open, which the original never takes back.
    const { access: _, ...residual } = residualOf(run.trace);
    assertEquals(residual, run.result.residual, run.name);
  }
});

// deno-lint-ignore no-explicit-any
type Doctor = (run: any) => void;

Deno.test("play() finds what differs from a recording", async () => {
  const doctored: [name: string, doctor: Doctor, difference: string][] = [
    ["argon-wcifs-3", ({ trace }) => trace[4].args.layers[0].Flags = 1, "args.layers.0.Flags is 0 instead of 1"],
    ["argon-wcifs-3", ({ trace }) => trace[4].fn = "CreateLayer", "call 5\nexpected CreateLayer"],
    ["argon-wcifs-3", ({ result }) => result.steps[0].calls[1] = 6, "expected no further call"],
    ["argon-wcifs-3", ({ result }) => result.steps[0].path = "C:\\", "result path is"],
    ["argon-wcifs-3", ({ steps }) => steps.pop(), "at the end: held: active c:\\layers\\scratch,prepared"],
    [
      "argon-activate-fails",
      ({ trace }) => trace[0].fn = "PrepareLayer",
      "a NativeError of PrepareLayer with 0x80070005",
    ],
    ["argon-activate-fails", (run) => run.fail = "", "expected a NativeError of ActivateLayer"],
    ["argon-wcifs-too-few-layers", ({ steps }) => steps[0].layers.unshift("C:\\layers"), "expected an error"],
    ["argon-volmnt-set-fails", ({ result }) => result.steps[0].err.errno = "0x5", "any function with 0x80070005"],
    ["cimfs", ({ trace }) => trace[5].args.layerData = '{ "FilterType": "WCIFS" }', "args.layerData.FilterType is"],
  ];
  for (const [name, doctor, difference] of doctored) {
    const run = structuredClone(runs.find((run) => run.name === name)!);
    doctor(run);
    assertStringIncludes((await play(run, simulatedMachine)).reason ?? "no difference", difference, name);
  }
});
