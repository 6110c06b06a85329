// Notifications that come late, twice, unasked or never: no hang, nothing left, and nobody rejected unheard.
import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import type { Completion, NotificationName } from "../../src/simulated/mod.ts";
import { VMStateError } from "../../src/errors/vm_errors.ts";
import { createUtilityVM, type UtilityVMOptions } from "../../src/uvm/utility_vm.ts";
import { CallBarrier, settle } from "../support/calls.ts";
import { deno } from "../support/processes.ts";
import { withFunction } from "../support/host.ts";
import { LINUX, startedVM, vmCalls, vmHost, WINDOWS } from "../support/vm_host.ts";

/** A signal that is aborted once everything else waits. */
function soon(): AbortSignal {
  const controller = new AbortController();
  settle().then(settle).then(() => controller.abort(new Error("enough")));
  return controller.signal;
}

const SYSTEMS: readonly UtilityVMOptions[] = [LINUX, WINDOWS];

Deno.test("a VM lives the same whether notifications come at once, late, or aren't needed", async () => {
  for (const options of SYSTEMS) {
    for (const completion of ["synchronous", "atOnce", 1] as Completion[]) {
      const host = vmHost({ completion });
      const vm = await createUtilityVM(options, { host });
      await vm.start();
      assertEquals(vm.state, "running");
      await vm.close();
      assertEquals(host.held(), [], `${options.os} ${completion}`);
      const pending = vmCalls(host).filter((call) => call.endsWith(" 0xc0370103")).length;
      assertEquals(pending, completion === "synchronous" ? 0 : 3, `${options.os} ${completion}`);
    }
  }
});

Deno.test("createUtilityVM() and start() wait for their own notification alone", async () => {
  const host = vmHost({ completion: 2 });
  const creating = createUtilityVM(WINDOWS, { host });
  host.notify("vm1", "SystemStartCompleted");
  host.notify("vm1", "SystemPauseCompleted", 0x80070005);
  await using vm = await creating;
  const starting = vm.start();
  host.notify("vm1", "SystemCreateCompleted", 0x80070005);
  host.notify("vm1", "SystemResumeCompleted", 0x80070005);
  await starting;
  assertEquals(vm.state, "running");
});

Deno.test("start() isn't taken in by a notification that came before it was called", async () => {
  const host = vmHost({ completion: (fn) => fn === "HcsStartComputeSystem" ? 2 : "synchronous" });
  await using vm = await createUtilityVM(WINDOWS, { host });
  host.notify("vm1", "SystemStartCompleted", 0x80070005);
  await vm.start();
  assertEquals(vm.state, "running");
});

Deno.test("a notification that comes twice or unasked changes nothing", async () => {
  const host = vmHost({ completion: "atOnce" });
  await using vm = await startedVM(host, WINDOWS);
  for (const name of ["SystemStartCompleted", "SystemCreateCompleted", "SystemSaveCompleted"] as NotificationName[]) {
    host.notify("vm1", name);
    host.notify("vm1", name, 0x80004005, "not JSON");
  }
  assertEquals(vm.state, "running");
  host.notify("vm1", "SystemExited");
  host.notify("vm1", "SystemExited", 0xc0370106);
  host.notify("vm1", "ServiceDisconnect");
  assertEquals((await assertRejects(() => vm.properties(), VMStateError)).reason, "exited");
});

Deno.test("a failure that a notification tells is the failure of the call, with its document", async () => {
  const host = vmHost({ completion: "atOnce" });
  host.fail({ function: "SystemStartCompleted", code: 0x80070005 });
  const vm = await createUtilityVM(WINDOWS, { host });
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals([error.operation, error.win32, error.path], ["HcsStartComputeSystem", 5, "vm1"]);
  await vm.close();
  assertEquals(host.held(), []);

  host.failNothing();
  host.fail({ function: "SystemCreateCompleted", code: 0xc0370105 });
  const refused = await assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
  assertEquals([refused.operation, refused.code], ["HcsCreateComputeSystem", 0xc0370105]);
  assertEquals(host.held(), []);
});

Deno.test("createUtilityVM() that waits for ever gives all back when it is aborted", async () => {
  for (const options of SYSTEMS) {
    const host = vmHost({ completion: "never" });
    await assertRejects(() => createUtilityVM(options, { host, signal: soon() }), Error, "enough");
    assertEquals(host.held(), [], options.os);
    assertEquals(vmCalls(host).slice(-3 - (options.os === "windows" ? 1 : 0)).slice(0, 3), [
      "Terminate 0xc0370103",
      "UnregisterCallback",
      "Close",
    ]);
  }
});

Deno.test("start() that waits for ever ends the VM when it is aborted", async () => {
  for (const options of SYSTEMS) {
    const host = vmHost({ completion: (fn) => fn === "HcsCreateComputeSystem" ? "atOnce" : "never" });
    const vm = await createUtilityVM(options, { host });
    await assertRejects(() => vm.start({ signal: soon() }), Error, "enough");
    assertEquals(vm.state, "ended");
    assertEquals(vmCalls(host).at(-1), "Terminate 0xc0370103");
    await vm.close();
    assertEquals(host.held(), [], options.os);
  }
});

Deno.test("createUtilityVM() ends a VM that comes to be after it was aborted", async () => {
  const barrier = new CallBarrier((call) => call.function === "HcsCreateComputeSystem");
  const host = vmHost({ latency: (call) => barrier.latency(call) });
  const controller = new AbortController();
  const creating = createUtilityVM(LINUX, { host, signal: controller.signal });
  await barrier.arrival();
  controller.abort(new Error("enough"));
  await assertRejects(() => creating, Error, "enough");
  barrier.release();
  await settle();
  assertEquals(vmCalls(host), ["GetServiceProperties", "Create", "Terminate", "Close"]);
  assertEquals(host.held(), []);
  assertEquals(host.allocations, 0);
});

Deno.test("createUtilityVM() that was aborted hears nothing of a creation that fails later", async () => {
  const barrier = new CallBarrier((call) => call.function === "HcsCreateComputeSystem");
  const host = vmHost({ latency: (call) => barrier.latency(call) });
  host.fail({ function: "HcsCreateComputeSystem", code: 0x80070005 });
  const controller = new AbortController();
  const creating = createUtilityVM(LINUX, { host, signal: controller.signal });
  await barrier.arrival();
  controller.abort(new Error("enough"));
  await assertRejects(() => creating, Error, "enough");
  barrier.release();
  await settle();
  assertEquals(host.held(), []);
});

Deno.test("createUtilityVM() does nothing where it is aborted before", async () => {
  const host = vmHost();
  await assertRejects(() => createUtilityVM(LINUX, { host, signal: AbortSignal.abort(new Error("no")) }), Error, "no");
  assertEquals(vmCalls(host), []);
});

const ENDS: readonly [name: NotificationName, reason: string][] = [
  ["SystemExited", "exited"],
  ["SystemCrashInitiated", "crashed"],
  ["SystemCrashReport", "crashed"],
  ["SystemGuestConnectionClosed", "disconnected"],
  ["ServiceDisconnect", "disconnected"],
];

const SHARE = {
  ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
  RequestType: "Add",
  Settings: { Name: "s1", Path: "C:\\layers" },
} as const;

Deno.test("exit, crash and lost connection of a VM end every wait at once, with the reason", async () => {
  for (const [name, reason] of ENDS) {
    const barrier = new CallBarrier((call) => call.function === "HcsModifyComputeSystem");
    const host = vmHost({ latency: (call) => barrier.latency(call) });
    const vm = await startedVM(host, WINDOWS);
    const waits = [vm.modify(SHARE), vm.modify({ ...SHARE, Settings: { ...SHARE.Settings, Name: "s2" } })];
    await barrier.arrival();
    host.notify("vm1", name, 0xc0370106, '{"Error":0,"ErrorMessage":"The guest is gone."}');
    for (const outcome of await Promise.allSettled(waits)) {
      const { reason: error } = outcome as { reason: VMStateError };
      assertEquals([error.name, error.reason, error.code], ["VMStateError", reason, 0xc0370106]);
      assertStringIncludes(error.message, "ERROR_VMCOMPUTE_UNEXPECTED_EXIT");
      assertStringIncludes(error.message, "The guest is gone.");
    }
    assertEquals(vm.state, "ended");
    // Windows goes on with what it was asked, and fails.
    barrier.release();
    barrier.release();
    await vm.close();
    assertEquals(host.held(), [], name);
  }
});

Deno.test("createUtilityVM() and start() end with the VM that they wait for", async () => {
  for (const [name, reason] of ENDS) {
    const host = vmHost({ completion: (fn) => fn === "HcsCreateComputeSystem" ? 5 : "never" });
    const creating = createUtilityVM(WINDOWS, { host });
    creating.catch(() => {});
    await settle();
    host.notify("vm1", name);
    assertEquals((await assertRejects(() => creating, VMStateError)).reason, reason);
    assertEquals(host.held(), [], name);

    const vm = await createUtilityVM(WINDOWS, { host });
    const starting = vm.start();
    starting.catch(() => {});
    await settle();
    host.notify("vm1", name);
    assertEquals((await assertRejects(() => starting, VMStateError)).reason, reason);
    await vm.close();
    assertEquals(host.held(), [], name);
  }
});

Deno.test("start() tells what became of it, also where the VM has ended by then", async () => {
  const host = vmHost();
  const failed = '{"ErrorEvents":[{"Message":"The disk is missing.","EventId":12030}]}';
  const ending = withFunction(host, "HcsStartComputeSystem", () => {
    host.notify("vm1", "SystemStartCompleted", 0x80070002, failed);
    host.notify("vm1", "SystemExited", 0xc0370106);
    return 0xc0370103 | 0;
  });
  await using vm = await createUtilityVM(WINDOWS, { host: ending });
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals([error.operation, error.win32], ["HcsStartComputeSystem", 2]);
  assertStringIncludes(error.message, "The disk is missing.");
  assertEquals(vm.state, "ended");
});

Deno.test("close() of a VM that never says that it has ended comes back", async () => {
  const host = vmHost({ completion: (fn) => fn === "HcsTerminateComputeSystem" ? "never" : "synchronous" });
  const vm = await startedVM(host, LINUX);
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("close() takes a late exit into account before it lets go of the VM", async () => {
  const host = vmHost({ completion: (fn) => fn === "HcsTerminateComputeSystem" ? 5 : "synchronous" });
  const vm = await startedVM(host, WINDOWS);
  await vm.close();
  assertEquals(host.held(), []);
  assertEquals(host.grantsOf("C:\\layers\\uvmscratch\\sandbox.vhdx"), []);
});

Deno.test("a program whose VM never starts exits by itself once it has given up", async () => {
  const { code, stdout, stderr } = await deno([], "support/vm_never.ts").output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(new TextDecoder().decode(stdout), "TimeoutError\nTimeoutError\nnothing held\n");
  assertEquals(code, 0);
});

Deno.test("createUtilityVM() aborted rejects once the VM that came to be meanwhile has ended", async () => {
  const host = vmHost({ clock: "automatic", latency: { HcsCreateComputeSystem: 50, HcsTerminateComputeSystem: 100 } });
  const controller = new AbortController();
  const reason = new Error("enough");
  host.clock.after(10, () => controller.abort(reason));
  const error = await createUtilityVM(WINDOWS, { host, signal: controller.signal }).catch((error) => error);
  assertEquals([error, host.held()], [reason, []]);
  assertEquals(vmCalls(host).slice(-4), ["Create", "Terminate", "Close", "RevokeVmAccess"]);
});

Deno.test("createUtilityVM() aborted tells of a VM that Windows is still creating, and ends it when it has", async () => {
  const host = vmHost({ clock: "automatic", latency: { HcsCreateComputeSystem: 60_000 } });
  const controller = new AbortController();
  host.clock.after(10, () => controller.abort(new Error("enough")));
  const error = await assertRejects(
    () => createUtilityVM(LINUX, { host, signal: controller.signal }),
    UnwindError,
    "HcsCreateComputeSystem for vm1 has not returned",
  );
  assertEquals([error.holds, (error.cause as Error).message], [[{ kind: "computeSystem", id: "vm1" }], "enough"]);
  await assertRejects(() => error.release(), ReleaseError);
  await host.clock.advance(60_000);
  await error.release();
  assertEquals(host.held(), []);
});

Deno.test("start() that failed after its effect ends the VM, if nobody knows whether it runs", async () => {
  for (const code of ["ERROR_TIMEOUT", "HCS_E_SERVICE_DISCONNECT"]) {
    const host = vmHost();
    const vm = await createUtilityVM(WINDOWS, { host });
    host.fail({ function: "HcsStartComputeSystem", code, effect: "full", nth: 1 });
    await assertRejects(() => vm.start(), NativeError);
    assertEquals(vm.state, "ended", code);
    await vm.close();
    assertEquals(host.held(), []);
  }
  const host = vmHost();
  const vm = await createUtilityVM(WINDOWS, { host });
  host.fail({ function: "HcsStartComputeSystem", code: "ERROR_ACCESS_DENIED", effect: "full", nth: 1 });
  await assertRejects(() => vm.start(), NativeError);
  // It runs, which the next call learns.
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals([error.symbol, vm.state], ["ERROR_VMCOMPUTE_INVALID_STATE", "ended"]);
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("a VM on a clock that moves by itself boots as slowly as a real one", async () => {
  for (const options of SYSTEMS) {
    const host = vmHost({ clock: "automatic" });
    await using vm = await createUtilityVM(options, { host });
    await vm.start();
    assertEquals([vm.state, host.clock.now], ["running", 2600], options.os);
  }
});
