import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import {
  closeSystem,
  createSystem,
  enumerateSystems,
  modifyServiceSettings,
  modifySystem,
  openSystem,
  operate,
  serviceProperties,
  stopSystem,
  systemProperties,
} from "../../src/ffi/vmcompute_hcs.ts";
import { nativeCopy } from "../../src/ffi/memory.ts";
import { wide } from "../../src/ffi/wide.ts";
import { resultLines } from "../../src/hcsschema/results.ts";
import type { SimulatedHost } from "../../src/simulated/mod.ts";
import { withFunction } from "../support/host.ts";
import { createdDocument, DISK, vmHost, WINDOWS } from "../support/vm_host.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { grantVmAccess } from "../../src/ffi/vmcompute.ts";

async function document(): Promise<object> {
  const host = vmHost();
  await using _vm = await createUtilityVM(WINDOWS, { host });
  return JSON.parse(createdDocument(host));
}

async function machine(): Promise<{ host: SimulatedHost; system: bigint }> {
  const host = vmHost();
  await grantVmAccess(host, "vm1", DISK);
  const { system } = await createSystem(host, "vm1", await document());
  return { host, system };
}

const RESULT = { Error: -1, ErrorMessage: "said so", ErrorEvents: [{ Message: "event", EventId: 7 }] };

Deno.test("every function of the compute service tells what its result document says, and frees it", async () => {
  const { host, system } = await machine();
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    HcsCreateComputeSystem: () => createSystem(host, "vm2", {}),
    HcsOpenComputeSystem: () => openSystem(host, "vm1"),
    HcsStartComputeSystem: () => operate(host, "HcsStartComputeSystem", system, "vm1"),
    HcsPauseComputeSystem: () => operate(host, "HcsPauseComputeSystem", system, "vm1"),
    HcsResumeComputeSystem: () => operate(host, "HcsResumeComputeSystem", system, "vm1"),
    HcsSaveComputeSystem: () => operate(host, "HcsSaveComputeSystem", system, "vm1", { SaveType: "ToFile" }),
    HcsShutdownComputeSystem: () => stopSystem(host, "HcsShutdownComputeSystem", system, "vm1"),
    HcsTerminateComputeSystem: () => stopSystem(host, "HcsTerminateComputeSystem", system, "vm1"),
    HcsModifyComputeSystem: () => modifySystem(host, system, "vm1", {}),
    HcsGetComputeSystemProperties: () => systemProperties(host, system, "vm1", {}),
    HcsEnumerateComputeSystems: () => enumerateSystems(host, {}),
    HcsGetServiceProperties: () => serviceProperties(host, {}),
    HcsModifyServiceSettings: () => modifyServiceSettings(host, {}),
  };
  const before = host.allocations;
  for (const [fn, call] of Object.entries(calls)) {
    host.fail({ function: fn, code: 0x8037010d, result: RESULT });
    const error = await assertRejects(call, NativeError);
    assertEquals([error.operation, error.code], [fn, 0x8037010d]);
    assertStringIncludes(error.message, "\n  said so\n  [event event 7]");
    assertEquals(host.allocations, before, fn);
  }
});

Deno.test("a result document after a success is freed as well", async () => {
  const { host, system } = await machine();
  const before = host.allocations;
  const talkative = withFunction(host, "HcsStartComputeSystem", (_: bigint, __: unknown, result: Uint8Array) => {
    new DataView(result.buffer).setBigUint64(0, nativeCopy(host, wide("{}")).address, true);
    return 0;
  });
  assertEquals(await operate(talkative, "HcsStartComputeSystem", system, "vm1"), "done");
  assertEquals(host.allocations, before);
});

Deno.test("what the compute service answers is read and freed", async () => {
  const { host, system } = await machine();
  const before = host.allocations;
  await operate(host, "HcsStartComputeSystem", system, "vm1");
  assertEquals(JSON.parse(await systemProperties(host, system, "vm1", {})).State, "Running");
  assertEquals(JSON.parse(await enumerateSystems(host, { Ids: ["vm1"] })).length, 1);
  assertEquals(JSON.parse(await enumerateSystems(host, { Owners: ["somebody"] })).length, 0);
  const topology = JSON.parse(await serviceProperties(host, { PropertyTypes: ["ProcessorTopology"] }));
  assertEquals(topology.Properties[0].LogicalProcessorCount, 2);
  assertEquals(host.allocations, before);
});

Deno.test("an operation that goes on is no failure, but a change that does is", async () => {
  const { host, system } = await machine();
  host.fail({ function: "HcsStartComputeSystem", code: 0xc0370103 });
  assertEquals(await operate(host, "HcsStartComputeSystem", system, "vm1"), "pending");
  host.fail({ function: "HcsModifyComputeSystem", code: 0xc0370103 });
  const error = await assertRejects(() => modifySystem(host, system, "vm1", {}), NativeError);
  assertEquals(error.symbol, "ERROR_VMCOMPUTE_OPERATION_PENDING");
});

Deno.test("stopSystem() of a system that has stopped, or is gone, has nothing to do", async () => {
  const { host, system } = await machine();
  for (const code of [0xc0370110, 0x80370110, 0xc037010e, 0x8037010e]) {
    host.failNothing();
    host.fail({ function: "HcsTerminateComputeSystem", code });
    assertEquals(await stopSystem(host, "HcsTerminateComputeSystem", system, "vm1"), false);
  }
  host.failNothing();
  assertEquals(await stopSystem(host, "HcsTerminateComputeSystem", system, "vm1"), true);
  assertEquals(await stopSystem(host, "HcsTerminateComputeSystem", system, "vm1"), false);
  await closeSystem(host, system, "vm1");
  assertEquals(host.held(), []);
});

Deno.test("resultLines() keeps what a document says, whatever is missing in it", () => {
  assertEquals(resultLines(""), []);
  assertEquals(resultLines("not JSON\r\n"), ["not JSON"]);
  assertEquals(resultLines("null"), []);
  assertEquals(resultLines('{"Error":-1}'), []);
  assertEquals(resultLines('{"ErrorEvents":"none"}'), []);
  const event = {
    Message: "m",
    StackTrace: "s",
    Provider: "p",
    EventId: 1,
    Flags: 2,
    Source: "x",
    Unknown: "kept out",
  };
  assertEquals(resultLines(JSON.stringify({ ErrorMessage: "first", ErrorEvents: [event, {}] })), [
    "first",
    "[m at s provider p event 1 flags 2 source x]",
    "[Event]",
  ]);
  const data = { Data: [{ Type: "String", Value: "%%1" }, { Type: "String", Value: "" }, {}, { Value: 0 }] };
  assertEquals(resultLines(JSON.stringify({ ErrorEvents: [data] })), ["[%%1, 0]"]);
});
