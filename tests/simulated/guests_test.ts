// Guests of simulated VMs that connect to who listens for them.
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.0";
import { GuestError, VMStateError } from "../../mod.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { held, settle } from "../support/calls.ts";
import { BOOT, IMAGE, SCRATCH, startedVM, vmHost } from "../support/vm_host.ts";

const LINUX = { os: "linux", id: "vm1", bootFolder: BOOT } as const;
const WINDOWS = { os: "windows", id: "vm1", layerFolders: [IMAGE, SCRATCH] } as const;

const remove = (ContainerRootPath: string) => ({
  GuestRequest: { RequestType: "Remove", ResourceType: "CombinedLayers", Settings: { ContainerRootPath } },
} as const);
const combine = {
  GuestRequest: { RequestType: "Add", ResourceType: "CombinedLayers", Settings: { ContainerRootPath: "C:\\c" } },
} as const;

Deno.test("what a guest is asked for is among the calls, with what it answers", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, WINDOWS);
  const error = await assertRejects(() => vm.modify(remove("C:\\c")), GuestError);
  assertEquals([error.operation, error.code], ["ModifySettings", 0x80070490]);
  const guest = host.calls.filter(({ dll }) => dll === "guest").map(({ function: fn, result }) => `${fn} ${result}`);
  assertEquals(guest, [
    "guest:NegotiateProtocol 0x00000000",
    "guest:Create 0x00000000",
    "guest:Start 0x00000000",
    "guest:ModifySettings 0x00000000",
    "guest:ModifySettings 0x80070490",
  ]);
});

Deno.test("what a guest is asked for fails before and after its effect, or succeeds without one", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, LINUX);
  for (const effect of ["none", "full"] as const) {
    using failure = host.fail({ function: "guest:ModifySettings", code: "ERROR_ACCESS_DENIED", effect });
    const error = await assertRejects(() => vm.modify(remove("/run/c")), GuestError);
    assertEquals([error.code, failure.fired], [0x80070005, 1]);
    failure.undo();
  }
  host.fail({ function: "guest:ModifySettings", code: 0 });
  await vm.modify(combine);
  assertEquals(held(host).filter((what) => what.startsWith("layerTree")), []);
  assertThrows(() => host.fail({ function: "guest:ModifySetings", code: 5 }), SimulationError, "guest:ModifySettings");
  assertThrows(() => new SimulatedHost({ latency: { "guest:Modify": 5 } }), SimulationError);
});

Deno.test("a guest that is asked for what nobody knows tells who asked, or fails as the test has chosen", async () => {
  const host = vmHost();
  const vm = await startedVM(host, WINDOWS);
  const unknown = { GuestRequest: { ...combine.GuestRequest, ResourceType: "MappedVirtualDisk" } } as const;
  await assertRejects(
    () => vm.modify({ GuestRequest: { ...unknown.GuestRequest, Settings: { Lun: 9 } } }),
    SimulationError,
  );
  await vm.close();
  const chosen = vmHost({ whenUnknown: () => "ERROR_NOT_FOUND" });
  await using other = await startedVM(chosen, WINDOWS);
  await assertRejects(
    () => other.modify({ GuestRequest: { ...unknown.GuestRequest, Settings: { Lun: 9 } } }),
    GuestError,
  );
});

Deno.test("a guest ends with its VM, and its connections can break before", async () => {
  const host = vmHost();
  const vm = await startedVM(host, LINUX);
  host.guests.disconnect(vm.runtimeId);
  await settle();
  assertEquals([vm.end?.reason, host.held().filter(({ kind }) => kind === "computeSystem").length], [
    "disconnected",
    1,
  ]);
  await vm.close();
  const next = await startedVM(host, LINUX);
  host.notify("vm1", "SystemExited");
  assertEquals((await assertRejects(() => next.modify(combine), VMStateError)).reason, "exited");
  await next.close();
  assertEquals(held(host), []);
});

Deno.test("a machine goes on after a process with a guest was killed", async () => {
  const host = vmHost();
  const killed = host.otherProcess();
  await startedVM(killed, LINUX);
  killed.endProcess();
  await settle();
  await (await startedVM(host, LINUX)).close();
  assertEquals(held(host), []);
});
