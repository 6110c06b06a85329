import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { WIRE_DEVIATIONS } from "./wire_deviations.ts";
import { asRun } from "./vm_run.ts";
import { playWire } from "./wire_player.ts";
import { WIRE_RECORDINGS, type WireRun } from "./wire_run.ts";

const runs: WireRun[] = [...Deno.readDirSync(WIRE_RECORDINGS)].filter(({ name }) => name.endsWith(".json"))
  .map(({ name }) => JSON.parse(Deno.readTextFileSync(`${WIRE_RECORDINGS}/${name}`)));

Deno.test("the bridge sends and makes of answers what the recorded connections did", async (test) => {
  const met = new Set<string>();
  for (const run of runs) {
    await test.step(run.name, async () => {
      const { reason, outcome, deviations } = await playWire(run);
      assertEquals(outcome === "skipped" ? undefined : reason, undefined);
      deviations.forEach((ours) => met.add(ours));
    });
  }
  assertEquals(WIRE_DEVIATIONS.map(({ ours }) => ours).filter((ours) => !met.has(ours)), []);
});

Deno.test("asRun() has held in a VM what the recordings say", () => {
  for (const run of runs.filter(({ level }) => level === "vm")) {
    const { residual: { device = [], guest = [] } } = asRun(run).result;
    const { hostResourcesBeforeCloseVM = [], guestMountsBeforeCloseVM = [] } = run.result!;
    assertEquals(device.toSorted(), hostResourcesBeforeCloseVM, run.name);
    assertEquals(guest.toSorted(), guestMountsBeforeCloseVM.map((what) => what.replace(" ", ":")), run.name);
  }
});

// deno-lint-ignore no-explicit-any
type Doctor = (run: any) => void;

// deno-lint-ignore no-explicit-any
function edit({ args }: any, doctor: Doctor): void {
  const document = JSON.parse(args.configuration);
  doctor(document);
  args.configuration = JSON.stringify(document);
}

Deno.test("playWire() finds what differs from a recording", async () => {
  const doctored: [name: string, doctor: Doctor, difference: string][] = [
    ["connect-wcow", ({ steps }) => steps[0].timeZone.Bias = 60, 'step 1 (Connect): expected 0x10100101 1 {"Cont'],
    ["connect-lcow", ({ steps }) => steps[0].value.os = "windows", 'Connect of 0: expected {"kind":"done","value":'],
    ["connect-lcow", ({ wire }) => wire[0].header.id = 1, "expected 0x10100b01 1"],
    ["connect-lcow", ({ wire }) => wire[0].header.type = "0x10100b02", "expected 0x10100b02 0"],
    ["modify-lcow", ({ wire }) => wire[4].json.Request.Settings.More = 1, '"More":1'],
    ["modify-lcow", ({ wire }) => wire.splice(4, 2), "expected 0x10100a01 3"],
    ["modify-lcow", ({ wire }) => wire[5].hex = wire[3].hex, 'Modify of 4: expected {"kind":"done"}'],
    ["properties", ({ steps }) => steps[6].value = "", "DumpStacks of 13: expected"],
    ["error-answer-windows", ({ steps }) => steps[1].err.errnoLow32 = "0x5", '{"kind":"code","code":5,"text":"Message'],
    [
      "lost-while-idle",
      ({ steps }) => steps[1].err = null,
      'Modify of 4: expected {"kind":"done"}\nactual   {"kind":"lost"}',
    ],
    ["cancelled-before", ({ steps }) => delete steps[1].context, "step 3 (Modify): expected 0x10100a01 1"],
    [
      "connect-lcow",
      ({ steps }) => steps.splice(1, 0, { op: "DumpStacks", seq: [2, 2], err: { text: "bridge closed" } }),
      "sent what wasn't recorded",
    ],
    ["timeout", ({ steps }) => steps[3].err = steps[2].err = null, "expected {"],
    ["lcow-vm-lifecycle", ({ wire }) => wire[0].json.MaximumVersion = 5, "args.MaximumVersion is 4 instead of 5"],
    ["lcow-vm-lifecycle", ({ wire }) => wire[2].json.ActivityId = "", "args.ActivityId is"],
    ["lcow-mm-1", ({ wire }) => wire[6].json.Request.Settings.Filesystem = "xfs", "Settings.Filesystem is"],
    ["lcow-mm-1", ({ wire, calls }) => [wire[4].seq, calls[6].seq] = [26, 27], "step 3, MountLCOWLayers: call 3"],
    ["lcow-mm-1", ({ steps }) => steps[2].value.rootfs = "/rootfs", "result rootfs is"],
    ["lcow-mm-1", ({ steps }) => steps.splice(3, 1), "before it: held: device"],
    ["lcow-vm-lifecycle", ({ sockets }) => sockets.splice(1, 1), "sockets of 0000006d"],
    ["lcow-vm-lifecycle", ({ sockets }) => sockets[7].bytes = 1, "the guest got 512 bytes of entropy, expected 1"],
    ["lcow-no-forwarding", ({ steps }) => steps[0].options = {}, "KernelCmdLine is"],
    ["lcow-vm-lifecycle", ({ steps }) => steps[1].value.capabilities.More = true, "result capabilities.More is"],
    ["lcow-combine-fails", ({ wire }) => wire[9].json.Result = 0, "step 3, MountLCOWLayers: call 7"],
    [
      "wcow-combine-fails",
      ({ wire }) => wire[11].json.ErrorRecords[0].Message = "other words",
      'with 0x80070005 and "other words"',
    ],
    ["lcow-start-no-bridge", ({ steps }) => steps[1].err = null, "expected success"],
    ["lcow-start-vm-crashes", ({ calls }) => calls[6].args.status = "0x0", "any function with 0xc0370106"],
    ["lcow-cancelled-in-mount", ({ wire }) => wire[6].json.Request.RequestType = "", "step 3, MountLCOWLayers"],
    ["lcow-bridge-lost-in-combine", ({ wire }) => wire[8].json.Request.RequestType = "", "step 3, MountLCOWLayers"],
    ["lcow-parallel-vpmem", ({ wire }) => wire[7].json.Request.RequestType = "", "step 3, Parallel"],
    ["lcow-release-detach-fails", ({ calls }) => edit(calls[9], (request) => request.Extra = 1), "step 4, Release"],
    ["wcow-vm-lifecycle", ({ wire }) => wire[6].json.Request.Settings.ParentAddress = "", "Settings.ParentAddress is"],
    ["wcow-vm-lifecycle", ({ wire }) => wire[2].json.ContainerConfig = "{}", "args.ContainerConfig"],
    ["guest-negotiate", ({ wire }) => wire[1].json.Version = 3, "expected 0x20100b01 0"],
  ];
  for (const [name, doctor, difference] of doctored) {
    const run = structuredClone(runs.find((run) => run.name === name)!);
    doctor(run);
    assertStringIncludes((await playWire(run)).reason ?? "no difference", difference, name);
  }
});
