import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { VMStateError } from "../../src/errors/vm_errors.ts";
import { MissingPermissionError, NativeError } from "../../src/errors/windows_errors.ts";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import { parseWCOWLayers } from "../../src/layers/parse_layers.ts";
import { SimulatedHost } from "../../src/simulated/mod.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { CallBarrier, held, heldKinds, settle } from "../support/calls.ts";
import { withFunction } from "../support/host.ts";
import {
  createdDocument,
  DISK,
  IMAGE,
  LINUX,
  SCRATCH,
  startedVM,
  vmCalls,
  vmHost,
  WINDOWS,
} from "../support/vm_host.ts";

const CREATE_WINDOWS = [
  "GetServiceProperties",
  "GrantVmAccess",
  "Create",
  "RegisterCallback",
  "GetProperties",
];
const CREATE_LINUX = ["GetServiceProperties", "Create", "RegisterCallback", "GetProperties"];
const CLOSE = ["Terminate", "UnregisterCallback", "Close"];

Deno.test("a Windows VM is created, started and closed by the calls that were recorded, and leaves nothing", async () => {
  const host = vmHost();
  const vm = await createUtilityVM(WINDOWS, { host });
  assertEquals(vm.state, "created");
  await vm.start();
  assertEquals(vm.state, "running");
  await vm.close();
  assertEquals(vm.state, "ended");
  assertEquals(vmCalls(host), [...CREATE_WINDOWS, "Start", "GetProperties", ...CLOSE, "RevokeVmAccess"]);
  assertEquals(host.held(), []);
  assertEquals(host.grantsOf(DISK), []);
  assertEquals(host.allocations, 0);
});

Deno.test("a Linux VM is created, started and closed by the calls that were recorded, and leaves nothing", async () => {
  const host = vmHost();
  {
    await using vm = await startedVM(host, LINUX);
    assertEquals(vm.state, "running");
  }
  assertEquals(vmCalls(host), [...CREATE_LINUX, "Start", "GetProperties", "Modify", ...CLOSE]);
  const policy = host.calls.find((call) => call.function === "HcsModifyComputeSystem")!;
  assertEquals(
    policy.args["configuration"],
    '{"RequestType":"Add","GuestRequest":{"RequestType":"Add","ResourceType":"SecurityPolicy","Settings":{}}}',
  );
  assertEquals(host.held(), []);
  assertEquals(host.allocations, 0);
});

Deno.test("UtilityVM has the ids, capabilities and properties that the compute service tells", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, { ...LINUX, id: "cowork-vm-baa82cce" });
  // As a real host has it for this id.
  assertEquals(vm.runtimeId, "c046cf90-111c-5cf6-bea8-04f9fa3568b3");
  assertEquals(vm.os, "linux");
  assertEquals(vm.capabilities.ProtocolVersion, 4);
  assertEquals(vm.capabilities.GuestDefinedCapabilities?.DeleteContainerStateSupported, true);
  const { Id, State, RuntimeOsType } = await vm.properties();
  assertEquals({ Id, State, RuntimeOsType }, { Id: vm.id, State: "Running", RuntimeOsType: "Linux" });
});

Deno.test("createUtilityVM() makes the disk of a Windows guest of its template, once", async () => {
  const host = new SimulatedHost();
  host.addWindowsBootLayer(IMAGE);
  host.addFolder(SCRATCH);
  for (let i = 0; i < 2; i++) {
    await using _vm = await startedVM(host, WINDOWS);
  }
  assertEquals(vmCalls(host).filter((call) => call === "CopyFileW").length, 1);
  assert(host.exists(DISK), "it stays for the next VM");
});

Deno.test("createUtilityVM() boots the layers of a container, with the disk in a folder of its scratch", async () => {
  const layers = parseWCOWLayers({ layerFolders: ["C:\\layers\\app", IMAGE, SCRATCH] });
  if (layers.kind !== "folders") throw new TypeError(layers.kind);
  const options = { ...WINDOWS, layerFolders: layers };
  const [folder, disk] = [`${SCRATCH}\\vm`, `${SCRATCH}\\vm\\sandbox.vhdx`];
  const newHost = () => {
    const host = new SimulatedHost();
    host.addWindowsBootLayer(IMAGE);
    host.addLayer("C:\\layers\\app");
    host.addFolder(SCRATCH);
    return host;
  };
  const host = newHost();
  for (let i = 0; i < 2; i++) {
    await using _vm = await startedVM(host, options);
  }
  assertEquals(vmCalls(host).filter((call) => call === "CopyFileW").length, 1);
  assertStringIncludes(createdDocument(host), JSON.stringify(`${IMAGE}\\UtilityVM\\Files`));
  assertStringIncludes(createdDocument(host), JSON.stringify(disk));
  assert(host.exists(disk), "it stays for the next VM");

  for (const fn of ["CreateDirectoryW", "CopyFileW", "GrantVmAccess", "HcsCreateComputeSystem"]) {
    for (const effect of ["none", "full"] as const) {
      const refusing = newHost();
      // What a call that was denied may have made can be another's, and stays.
      refusing.fail({ function: fn, code: effect === "none" ? "ERROR_ACCESS_DENIED" : "ERROR_TIMEOUT", effect });
      const error = await assertRejects(() => createUtilityVM(options, { host: refusing }));
      if (error instanceof UnwindError) await error.release();
      assertEquals([refusing.exists(disk), refusing.exists(SCRATCH)], [false, true], `${fn} ${effect}`);
      assertEquals(refusing.exists(folder), false, `${fn} ${effect}`);
    }
  }
  // What somebody else has put there stays.
  const shared = newHost();
  shared.addFile(`${folder}\\other.txt`, 1);
  shared.fail({ function: "HcsCreateComputeSystem", code: "ERROR_ACCESS_DENIED" });
  await assertRejects(() => createUtilityVM(options, { host: shared }), NativeError);
  assertEquals([shared.exists(disk), shared.exists(`${folder}\\other.txt`)], [false, true]);
});

Deno.test("createUtilityVM() undoes everything in reverse where Windows refuses", async () => {
  const host = new SimulatedHost();
  host.addWindowsBootLayer(IMAGE);
  host.addFolder(SCRATCH);
  host.fail({ function: "HcsCreateComputeSystem", code: 0x80070005 });
  const error = await assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
  assertEquals(error.operation, "HcsCreateComputeSystem");
  assertEquals(vmCalls(host), [
    "GetServiceProperties",
    "CopyFileW",
    "GrantVmAccess",
    "Create 0x80070005",
    "RevokeVmAccess",
    "DeleteFileW",
  ]);
  assertEquals(host.held(), []);
  assertEquals(host.exists(DISK), false);
});

Deno.test("createUtilityVM() rejects with the cause where its disk is busy for a moment, or gone, when it is deleted", async () => {
  for (const code of [32, 2]) {
    const host = new SimulatedHost();
    host.addWindowsBootLayer(IMAGE);
    host.addFolder(SCRATCH);
    host.fail({ function: "HcsCreateComputeSystem", code: 0x80070005 });
    host.fail({ function: "DeleteFileW", code, nth: 1 });
    const error = await assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
    assertEquals(error.operation, "HcsCreateComputeSystem");
    // The simulation keeps the file of a delete that was told to find none.
    assertEquals(host.exists(DISK), code === 2);
  }
});

Deno.test("createUtilityVM() refuses a disk that another call is making, which removes it if it fails", async () => {
  const gate = Promise.withResolvers<void>();
  const host = new SimulatedHost({
    latency: (call) => call.function === "HcsCreateComputeSystem" ? gate.promise : undefined,
  });
  host.addWindowsBootLayer(IMAGE);
  host.addFolder(SCRATCH);
  host.fail({ function: "HcsCreateComputeSystem", code: 0x80070005, nth: 1 });
  const first = assertRejects(() => createUtilityVM(WINDOWS, { host }), NativeError);
  await settle();
  const again = { ...WINDOWS, id: "vm2" };
  const error = await assertRejects(() => createUtilityVM(again, { host }), InvalidInputError, "by another call");
  assertEquals([error.argument, host.exists(DISK)], ["options.layerFolders", true]);
  gate.resolve();
  await first;
  assertEquals(host.exists(DISK), false);
  await (await startedVM(host, again)).close();
  assertEquals(held(host), [`file ${DISK}`]);
});

Deno.test("createUtilityVM() tells of a disk that a copy left which was refused half-way, and tries none after it", async () => {
  for (const effect of ["none", "partial", "full"] as const) {
    const host = new SimulatedHost();
    host.addWindowsBootLayer(IMAGE);
    host.addFolder(SCRATCH);
    host.fail({ function: "CopyFileW", code: "ERROR_SHARING_VIOLATION", effect, nth: 1 });
    const created = createUtilityVM(WINDOWS, { host });
    const copies = () => host.calls.filter((call) => call.function === "CopyFileW").length;
    if (effect === "none") {
      await (await created).close();
      assertEquals(copies(), 2);
      continue;
    }
    const error = await assertRejects(() => created, UnwindError);
    assertEquals([error.holds, copies()], [[{
      kind: "vmScratch",
      path: DISK,
      template: `${IMAGE}\\UtilityVM\\SystemTemplate.vhdx`,
    }], 1]);
    host.remove(DISK);
    await error.release();
  }
});

Deno.test("createUtilityVM() ends a VM of which Windows takes no callback, or tells no properties", async () => {
  for (const fn of ["HcsRegisterComputeSystemCallback", "HcsGetComputeSystemProperties"]) {
    const host = vmHost();
    host.fail({ function: fn, code: 0x80070005 });
    const error = await assertRejects(() => createUtilityVM(LINUX, { host }), NativeError);
    assertEquals(error.operation, fn);
    assertEquals(vmCalls(host).includes("Terminate"), true, fn);
    assertEquals(host.held(), [], fn);
  }
});

Deno.test("createUtilityVM() closes a VM of which Windows takes no callback, also if that fails once", async () => {
  for (const effect of ["none", "full"] as const) {
    const host = vmHost();
    host.fail({ function: "HcsRegisterComputeSystemCallback", code: "ERROR_ACCESS_DENIED" });
    host.fail({ function: "HcsCloseComputeSystem", code: "ERROR_TIMEOUT", effect, nth: 1 });
    const error = await assertRejects(() => createUtilityVM(LINUX, { host }), NativeError);
    assertEquals([error.operation, host.held()], ["HcsRegisterComputeSystemCallback", []]);
  }
});

Deno.test("createUtilityVM() says what is held still where undoing fails as well", async () => {
  const host = vmHost();
  host.fail({ function: "HcsCreateComputeSystem", code: 0x80070005 });
  host.fail({ function: "RevokeVmAccess", code: 0x80070020, nth: 1 });
  const error = await assertRejects(() => createUtilityVM(WINDOWS, { host }), UnwindError);
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess"]);
  await error.release();
  assertEquals(host.grantsOf(DISK), []);
});

Deno.test("createUtilityVM() asks for the permission to take notifications before a VM comes to be", async () => {
  const host = vmHost();
  host.callback = () => Promise.reject(new MissingPermissionError(["--allow-ffi"]));
  await assertRejects(() => createUtilityVM(WINDOWS, { host }), MissingPermissionError, "--allow-ffi");
  assertEquals(vmCalls(host), ["GetServiceProperties", "GrantVmAccess", "RevokeVmAccess"]);
  assertEquals(host.held(), []);
});

Deno.test("createUtilityVM() refuses an id that is taken, with what Windows says about it", async () => {
  const host = vmHost();
  await using _vm = await createUtilityVM(LINUX, { host });
  const error = await assertRejects(() => createUtilityVM(LINUX, { host }), NativeError);
  assertEquals(error.symbol, "ERROR_VMCOMPUTE_SYSTEM_ALREADY_EXISTS");
  assertStringIncludes(error.message, "A virtual machine or container with the specified identifier already exists.");
});

Deno.test("start() fails with the events that Windows reports, and leaves the VM to be closed", async () => {
  const host = vmHost();
  const vm = await createUtilityVM(WINDOWS, { host });
  // Another program took the right to open the disk away.
  const { revokeVmAccess, grantVmAccess } = await import("../../src/ffi/vmcompute.ts");
  await revokeVmAccess(host, "vm1", DISK);
  const error = await assertRejects(() => vm.start(), NativeError);
  assertEquals([error.operation, error.code], ["HcsStartComputeSystem", 0x80070005]);
  assertStringIncludes(error.message, `event 12010`);
  assertStringIncludes(error.message, DISK);
  assertEquals(vm.state, "created");
  await grantVmAccess(host, "vm1", DISK);
  await vm.start();
  await vm.close();
  assertEquals(host.held(), []);
  assertEquals(vmCalls(host).slice(CREATE_WINDOWS.length + 3), [
    ...["Start", "GetProperties"],
    ...[...CLOSE, "RevokeVmAccess"],
  ]);
});

Deno.test("start() ends a VM that Windows started and then doesn't talk about", async () => {
  const host = vmHost();
  await using vm = await createUtilityVM(LINUX, { host });
  host.fail({ function: "HcsModifyComputeSystem", code: 0x80070032 });
  await assertRejects(() => vm.start(), NativeError);
  assertEquals(vm.state, "ended");
  assertEquals(heldKinds(host).filter((kind) => kind === "handle").length, 1, "no socket is left");
  assertEquals(vmCalls(host).at(-1), "Terminate");
});

Deno.test("start() refuses a VM that was started, or is being started", async () => {
  const host = vmHost();
  await using vm = await createUtilityVM(WINDOWS, { host });
  const both = await Promise.allSettled([vm.start(), vm.start()]);
  assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected"]);
  const error = await assertRejects(() => vm.start(), VMStateError);
  assertEquals([error.vm, error.reason], ["vm1", "starting"]);
  assertEquals(vmCalls(host).filter((call) => call === "Start").length, 1);
});

Deno.test("modify() sends the host's part and the guest's in one request, as it is", async () => {
  const host = vmHost();
  host.addLinuxLayer("C:\\l\\layer.vhd", 4096);
  await using vm = await startedVM(host, LINUX);
  const from = host.calls.length;
  const request = {
    ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0",
    RequestType: "Add",
    Settings: { HostPath: "C:\\l\\layer.vhd", ReadOnly: true, ImageFormat: "Vhd1" },
    GuestRequest: { RequestType: "Add", ResourceType: "VPMemDevice", Settings: { MountPath: "/run/layers/p0" } },
  } as const;
  await vm.modify(request);
  assertEquals(vmCalls(host, from), ["Modify"]);
  assertEquals(host.calls[from]!.args["configuration"], JSON.stringify(request));
  assertEquals(heldKinds(host).filter((kind) => /vpmem|guest/.test(kind)), ["vpmem", "guestMount"]);
});

const REQUEST = { GuestRequest: { RequestType: "Add", ResourceType: "SecurityPolicy", Settings: {} } } as const;

Deno.test("modify() refuses a VM that wasn't started, or was closed, without asking Windows", async () => {
  const host = vmHost();
  const vm = await createUtilityVM(LINUX, { host });
  assertEquals((await assertRejects(() => vm.modify(REQUEST), VMStateError)).reason, "notStarted");
  await vm.start();
  await vm.close();
  const from = host.calls.length;
  const refused = [() => vm.modify(REQUEST), () => vm.start(), () => vm.properties()];
  for (const call of refused) {
    assertEquals((await assertRejects(call, VMStateError)).vm, "vm1");
  }
  assertEquals(host.calls.length, from);
});

Deno.test("modify() fails with what the result document says, and gives its memory back", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, LINUX);
  const before = host.allocations;
  host.fail({
    function: "HcsModifyComputeSystem",
    code: 0x80070020,
    result: {
      Error: 0x80070020 | 0,
      ErrorMessage: "The disk is in use.",
      ErrorEvents: [{ Message: "Cannot open the file", EventId: 12140, Provider: "p", Source: "vmwp" }],
    },
  });
  const error = await assertRejects(() => vm.modify(REQUEST), NativeError);
  assertEquals([error.operation, error.win32, error.path], ["HcsModifyComputeSystem", 32, "vm1"]);
  assertStringIncludes(
    error.message,
    "\n  The disk is in use.\n  [Cannot open the file provider p event 12140 source vmwp]",
  );
  assertEquals(host.allocations, before);
});

Deno.test("modify() of a VM that has stopped says so, also where the notification is late", async () => {
  for (const code of [0xc0370110, 0x80370110, 0x8037010e]) {
    const host = vmHost();
    await using vm = await startedVM(host, LINUX);
    host.fail({ function: "HcsModifyComputeSystem", code });
    const error = await assertRejects(() => vm.modify(REQUEST), VMStateError);
    assertEquals([error.reason, error.code], ["exited", code]);
    assertEquals(vm.state, "ended");
    host.failNothing();
  }
});

Deno.test("close() of a VM whose exit nobody told of doesn't wait for the news", async () => {
  const host = vmHost();
  const vm = await startedVM(host, WINDOWS);
  host.fail({ function: "HcsTerminateComputeSystem", code: 0xc0370110 });
  host.sleep = () => Promise.reject(new Error("waited"));
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("modify() stops waiting when it is aborted", async () => {
  const barrier = new CallBarrier((call) => call.function === "HcsModifyComputeSystem");
  const host = vmHost({ latency: (call) => barrier.latency(call) });
  await using vm = await startedVM(host, WINDOWS);
  const controller = new AbortController();
  const modifying = vm.modify({
    ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
    RequestType: "Add",
    Settings: { Name: "s1", Path: IMAGE },
  }, { signal: controller.signal });
  await barrier.arrival();
  controller.abort(new Error("enough"));
  await assertRejects(() => modifying, Error, "enough");
  barrier.release();
});

Deno.test("close() waits for the calls that Windows is at work on before it closes the handle", async () => {
  const barrier = new CallBarrier((call) => call.function === "HcsModifyComputeSystem");
  const host = vmHost({ latency: (call) => barrier.latency(call) });
  const vm = await startedVM(host, WINDOWS);
  const modifying = vm.modify({
    ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
    RequestType: "Add",
    Settings: { Name: "s1", Path: IMAGE },
  });
  await barrier.arrival();
  const closing = vm.close();
  assertEquals((await assertRejects(() => modifying, VMStateError)).reason, "exited");
  assertEquals(vmCalls(host).includes("UnregisterCallback"), false);
  barrier.release();
  await closing;
  assertEquals(host.held(), []);
});

Deno.test("close() while the VM starts ends the start with a VMStateError, whichever call it is at", async () => {
  for (const guestConnection of ["direct", "internal"] as const) {
    for (const options of [{ ...LINUX, guestConnection }, { ...WINDOWS, guestConnection }]) {
      let isAt = true;
      for (let nth = 1; isAt; nth++) {
        let calls = 0;
        let closed: Promise<void> | undefined;
        let isStarting = false;
        const host = vmHost({
          latency: () => {
            if (isStarting && ++calls === nth) closed = vm.close();
            return Promise.resolve();
          },
        });
        const vm = await createUtilityVM(options, { host });
        isStarting = true;
        const error = await vm.start().catch((error) => error);
        isAt = closed !== undefined;
        // The last call can be done already.
        if (error !== undefined) assertInstanceOf(error, VMStateError, `${options.os} ${guestConnection} ${nth}`);
        await (closed ?? vm.close());
        assertEquals(held(host), []);
      }
    }
  }
});

Deno.test("close() twice, and twice at once, is once", async () => {
  const host = vmHost();
  const vm = await startedVM(host, LINUX);
  await Promise.all([vm.close(), vm.close()]);
  await vm.close();
  assertEquals(vmCalls(host).slice(-3), CLOSE);
  assertEquals(vmCalls(host).filter((call) => call === "Close").length, 1);
});

Deno.test("close() goes on after a failure with what is left", async () => {
  for (const fn of ["HcsUnregisterComputeSystemCallback", "HcsCloseComputeSystem"]) {
    const host = vmHost();
    const vm = await startedVM(host, WINDOWS);
    host.fail({ function: fn, code: 0x80070005, nth: 1 });
    const error = await assertRejects(() => vm.close(), ReleaseError);
    assertEquals(error.holds.map(({ kind }) => kind), ["computeSystem"]);
    await vm.close();
    assertEquals(host.held(), [], fn);
    assertEquals(vmCalls(host).filter((call) => call === "Terminate").length, 1, fn);
  }
});

Deno.test("close() closes a VM that can't be told to end: it ends with its handle", async () => {
  const host = vmHost();
  const vm = await startedVM(host, WINDOWS);
  host.fail({ function: "HcsTerminateComputeSystem", code: 0x80070005 });
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("close() of a VM that has ended by itself doesn't end it again", async () => {
  const host = vmHost();
  const vm = await startedVM(host, WINDOWS);
  host.notify("vm1", "SystemExited");
  await vm.close();
  assertEquals(vmCalls(host).slice(-3), ["UnregisterCallback", "Close", "RevokeVmAccess"]);
  assertEquals(host.held(), []);
});

Deno.test("close() is content with a Windows that can't take access back", async () => {
  const host = vmHost();
  const { MissingExportError } = await import("../../src/errors/windows_errors.ts");
  const old = withFunction(host, "RevokeVmAccess", () => {
    throw new MissingExportError("vmcompute.dll", "RevokeVmAccess", "");
  });
  const vm = await createUtilityVM(WINDOWS, { host: old });
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("terminate() ends a VM, which then refuses everything but to be closed", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, LINUX);
  await vm.terminate();
  assertEquals(vm.state, "ended");
  assertEquals((await assertRejects(() => vm.modify(REQUEST), VMStateError)).reason, "exited");
  await vm.terminate();
  assertEquals(vmCalls(host).filter((call) => call === "Terminate").length, 1);
});

Deno.test("ComputeSystem.open() opens a system that another program created, and close() leaves it running", async () => {
  const host = vmHost();
  await using vm = await startedVM(host, WINDOWS);
  {
    await using system = await ComputeSystem.open(host, "vm1");
    assertEquals((await system.properties()).RuntimeId, vm.runtimeId);
    await system.pause();
    assertEquals((await system.properties()).State, "Paused");
    await system.resume();
  }
  assertEquals((await vm.properties()).State, "Running");
  const error = await assertRejects(() => ComputeSystem.open(host, "vm2"), NativeError);
  assertEquals(error.symbol, "ERROR_VMCOMPUTE_SYSTEM_NOT_FOUND");
});

Deno.test("ComputeSystem.shutdown() asks the guest, and its end can be waited for", async () => {
  const host = vmHost({ completion: (fn) => fn === "HcsShutdownComputeSystem" ? 1 : "synchronous" });
  await using _vm = await startedVM(host, WINDOWS);
  await using system = await ComputeSystem.open(host, "vm1");
  await system.shutdown();
  assertEquals(await system.waitForExit(1000), true);
  assertEquals(system.end?.reason, "exited");
});

Deno.test("UtilityVM shows what it is and what it can do, and none of its devices", async () => {
  await using vm = await createUtilityVM(LINUX, { host: vmHost() });
  const names = [...Object.keys(vm), ...Object.getOwnPropertyNames(Object.getPrototypeOf(vm))].sort();
  assertEquals(names, [
    ...["capabilities", "capacity", "close", "constructor", "end", "host", "id", "modify", "os"],
    ...["properties", "runtimeId", "start", "state", "terminate"],
  ]);
  assertEquals(vm.capacity, [
    { device: "SCSI slots", total: 64, used: 0 },
    { device: "vPMem devices", total: 64, used: 0, maximumBytes: 2 ** 32 },
  ]);
});

Deno.test("a callback that may be registered though that failed is freed once the handle is closed, with all else", async () => {
  for (const options of [LINUX, WINDOWS]) {
    const host = vmHost();
    const failure = host.fail({ function: "HcsRegisterComputeSystemCallback", code: "ERROR_TIMEOUT", effect: "full" });
    const error = await assertRejects(() => createUtilityVM(options, { host }), NativeError);
    assertEquals([error.operation, failure.fired], ["HcsRegisterComputeSystemCallback", 1]);
    assertEquals([host.held(), host.grantsOf(DISK)], [[], []]);
  }
});
