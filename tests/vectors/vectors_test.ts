import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { notSupported } from "./ops.ts";
import { play } from "./player.ts";
import { readRuns, RECORDINGS } from "./recordings.ts";
import type { Run } from "./run.ts";
import { isTarCase } from "./tar_case.ts";
import { isWireRun } from "./wire_run.ts";
import { residualOf } from "./residual.ts";
import { simulatedMachine } from "./simulated.ts";

const runs = (await readRuns(RECORDINGS)).filter((run): run is Run => !isWireRun(run) && !isTarCase(run));

Deno.test("the library does on the simulated host what the recorded runs did", async (test) => {
  for (const run of runs) {
    await test.step({
      name: run.isHead ? `head/${run.name}` : run.name,
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

const sandbox = { path: "C:\\layers\\s1\\sandbox.vhdx", size: 1 };

// deno-lint-ignore no-explicit-any
type Doctor = (run: any) => void;

// deno-lint-ignore no-explicit-any
function edit({ args }: any, doctor: Doctor): void {
  const document = JSON.parse(args.configuration);
  doctor(document);
  args.configuration = JSON.stringify(document);
}

function swap(list: unknown[], at: number): void {
  [list[at], list[at + 1]] = [list[at + 1], list[at]];
}

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
    ["lcow-mm-1", ({ trace }) => edit(trace[1], (vm) => vm.Owner = "me"), 'args.configuration.Owner is "oracle"'],
    [
      "wcow-vm-lifecycle",
      ({ trace }) => edit(trace[2], (vm) => vm.Extra = {}),
      "args.configuration.Extra is undefined",
    ],
    [
      "wcow-5",
      ({ trace }) => edit(trace[9], ({ Settings }) => delete Settings.Options.CacheIo),
      "Options.CacheIo is true",
    ],
    ["lcow-mm-1", ({ result }) => result.steps[2].scratch = "/scratch", "result scratch is"],
    ["lcow-nomm-novpmem", ({ trace }) => swap(trace, 31), "expected HcsUnregisterComputeSystemCallback"],
    [
      "wcow-nodirectmap",
      ({ trace }) => edit(trace[17], ({ Settings }) => Settings.Name = "s2"),
      "args.configuration.Settings.Name is",
    ],
    ["wcow-5", ({ trace }) => edit(trace[8], ({ Settings }) => Settings.Options.NoDirectmap = true), "NoDirectmap is"],
    [
      "wcow-5",
      ({ steps, result }) => [steps, result.steps].forEach((list) => list.splice(3, 1)),
      "before it: held: device",
    ],
    ["wcow-start-async-fails", (run) => run.fail = "", "expected a NativeError of HcsStartComputeSystem"],
    ["lcow-async", ({ setup }) => delete setup.env.WITNESS_ASYNC, 'answer is "0x00000000" instead of "0xc0370103"'],
    ["lcow-combine-fails", (run) => run.fail = "", "expected a NativeError of HcsModifyComputeSystem"],
    ["lcow-mm-layer1-fails", ({ trace }) => edit(trace[8], (request) => request.Extra = 1), "expected, among others"],
    ["lcow-release-detach-fails", (run) => {
      run.upstream = "right";
      edit(run.trace[19], (request) => request.Extra = 1);
    }, "args.configuration.Extra is undefined"],
    ["argon-closing-separators", ({ trace }) => trace[4].args.layers[0].Path = "C:\\layers\\", "args.layers.0.Path is"],
    ["argon-closing-separators", ({ trace }) => trace[4].args.layers[0].LayerId = "", "args.layers.0.LayerId is"],
    ["wcow-closing-separators", ({ result }) => result.steps[3].layers[1].Id = "", "result layers.1.Id is"],
    ["wcow-scratch-disk-missing", ({ setup }) => setup.files.push(sandbox), "expected a NativeError of any function"],
    [
      "wcow-share1-fails-retry",
      ({ trace }) => edit(trace[10], ({ Settings }) => Settings.Name = "s9"),
      "Layers.1.Path is",
    ],
    ["lcow-mm-layer2-fails-remove-fails", (run) => run.fail = "", "expected a NativeError of HcsModifyComputeSystem"],
    ["head/blockcim-3", ({ trace }) => trace[0].args.imageDir2 = "C:\\", "args.imageDir2 is"],
    ["head/blockcim-3", ({ result }) => result.steps[0].layers[0].LayerID = "", "result layers.0.LayerID is"],
    ["head/parselcow-2", ({ result }) => result.steps[0].layers.Layers[0].Partition = 1, "Partition is 2"],
    ["head/makemounted-wcifs", ({ trace }) => trace[1].args.name = "", "args.name is"],
    ["cimfs", ({ trace }) => trace[5].args.layerData = '{ "FilterType": "WCIFS" }', "args.layerData.FilterType is"],
  ];
  for (const [name, doctor, difference] of doctored) {
    const run = structuredClone(runs.find((run) => (run.isHead ? `head/${run.name}` : run.name) === name)!);
    doctor(run);
    assertStringIncludes((await play(run, simulatedMachine)).reason ?? "no difference", difference, name);
  }
});
