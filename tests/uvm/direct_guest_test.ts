// VMs with whose guests this process talks itself.
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { HungCallError, InUseError } from "../../src/errors/state_errors.ts";
import { LayerError } from "../../src/errors/layer_error.ts";
import { GuestConnectionError, GuestError, VMStateError } from "../../src/errors/vm_errors.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { mountLCOWLayers } from "../../src/layers/lcow.ts";
import { ReleaseError } from "../../src/holds/release_errors.ts";
import { mountWCOWLayers } from "../../src/layers/wcow.ts";
import { runtimeIdOf } from "../../src/simulated/runtime_id.ts";
import type { NativeCall, SimulatedHost, SimulatedHostOptions } from "../../src/simulated/mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";
import { createUtilityVM } from "../../src/uvm/utility_vm.ts";
import { held, heldKinds, settle } from "../support/calls.ts";
import { BOOT, createdDocument, IMAGE, SCRATCH, startedVM, vmHost } from "../support/vm_host.ts";

const LINUX = { os: "linux", id: "vm1", bootFolder: BOOT } as const;
// Shares that are mapped directly stay until the VM ends.
const WINDOWS = { os: "windows", id: "vm1", layerFolders: [IMAGE, SCRATCH], noDirectMap: true } as const;

/** What the host and the guest were asked for, in order. */
function asked(host: SimulatedHost, from = 0): string[] {
  return host.calls.slice(from).flatMap(({ function: fn, args }) => {
    if (fn === "HcsModifyComputeSystem") {
      const { RequestType, ResourcePath } = JSON.parse(String(args.configuration));
      return [`host ${RequestType} ${ResourcePath.split("/")[2]}`];
    }
    if (!fn.startsWith("guest:")) return [];
    const { Request } = args.request as { Request?: { RequestType: string; ResourceType: string } };
    return [Request === undefined ? fn : `guest ${Request.RequestType} ${Request.ResourceType}`];
  });
}

function hostWithLayers(options?: SimulatedHostOptions): SimulatedHost {
  const host = vmHost(options);
  host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
  host.addFile("C:\\scratch.vhdx", 2 ** 24);
  host.addLayer("C:\\layers\\base");
  host.addScratch("C:\\scratches\\1");
  return host;
}

const LCOW = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };

Deno.test("a Linux VM starts, carries layers and ends over its own connection, in the order of the container tools", async () => {
  const host = hostWithLayers();
  const vm = await startedVM(host, LINUX);
  assertEquals(JSON.parse(createdDocument(host)).VirtualMachine.GuestConnection, undefined);
  assertEquals(vm.capabilities, {
    ProtocolVersion: 4,
    GuestDefinedCapabilities: {
      NamespaceAddRequestSupported: true,
      SignalProcessSupported: true,
      DumpStacksSupported: true,
      DeleteContainerStateSupported: true,
    },
  });
  assertEquals(asked(host), ["guest:NegotiateProtocol", "guest Add SecurityPolicy"]);
  const started = host.calls.length;
  const mounted = await mountLCOWLayers("c1", LCOW, { vm, guestRoot: "/run/c" });
  assertEquals(asked(host, started).sort(), [
    "guest Add CombinedLayers",
    "guest Add MappedVirtualDisk",
    "guest Add VPMemDevice",
    "host Add Scsi",
    "host Add VirtualPMem",
  ]);
  const from = host.calls.length;
  await mounted.release();
  assertEquals(asked(host, from), [
    "guest Remove CombinedLayers",
    "guest Remove MappedVirtualDisk",
    "guest Remove SCSIDevice",
    "host Remove Scsi",
    "guest Remove VPMemDevice",
    "host Remove VirtualPMem",
  ]);
  await vm.close();
  assertEquals(host.held(), []);
});

Deno.test("a Windows VM is created in its guest with the host's time zone, and carries layers", async () => {
  const host = hostWithLayers();
  const vm = await startedVM(host, WINDOWS);
  assertEquals(asked(host), ["guest:NegotiateProtocol", "guest:Create", "guest:Start", "guest Update HvSocket"]);
  const { request } = host.calls.find((call) => call.function === "guest:Create")!.args;
  const { TimeZoneInformation } = JSON.parse((request as { ContainerConfig: string }).ContainerConfig);
  assertEquals(TimeZoneInformation.StandardName, "W. Europe Standard Time");
  const from = host.calls.length;
  const mounted = await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm });
  await mounted.release();
  assertEquals(asked(host, from), [
    "host Add VirtualSmb",
    "host Add Scsi",
    "guest Add MappedVirtualDisk",
    "guest Add CombinedLayers",
    "guest Remove CombinedLayers",
    "guest Remove MappedVirtualDisk",
    "host Remove Scsi",
    "host Remove VirtualSmb",
  ]);
  await vm.close();
  assertEquals([host.held(), heldKinds(host)], [[], []]);
});

Deno.test("sockets listen before the start, and are closed after the end, before the handle", async () => {
  for (const [options, listeners] of [[LINUX, 3], [WINDOWS, 1]] as const) {
    const host = vmHost();
    await (await startedVM(host, options)).close();
    const order = ["HcsCreateComputeSystem", "listen", "HcsStartComputeSystem", "guest:NegotiateProtocol"];
    order.push(
      "HcsTerminateComputeSystem",
      "WSACleanup",
      "HcsUnregisterComputeSystemCallback",
      "HcsCloseComputeSystem",
    );
    const calls = host.calls.map((call) => call.function).filter((name) => order.includes(name));
    assertEquals(calls, order.flatMap((name) => name === "listen" ? Array(listeners).fill(name) : [name]));
  }
});

const PMEM = {
  ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0",
  RequestType: "Add",
  Settings: { HostPath: "C:\\layers\\1.vhd", ReadOnly: true, ImageFormat: "Vhd1" },
  GuestRequest: { RequestType: "Add", ResourceType: "VPMemDevice", Settings: { MountPath: "/run/layers/p0" } },
} as const;
const NO_PMEM = {
  ResourcePath: PMEM.ResourcePath,
  RequestType: "Remove",
  GuestRequest: { ...PMEM.GuestRequest, RequestType: "Remove" },
} as const;
const NO_SCRATCH = {
  GuestRequest: { RequestType: "Remove", ResourceType: "SCSIDevice", Settings: { Lun: 1 } },
} as const;

const REFUSED = 0x80070005;

function documents(host: SimulatedHost, from: number): unknown[] {
  return host.calls.slice(from).filter((call) => call.function === "HcsModifyComputeSystem")
    .map((call) => JSON.parse(String(call.args.configuration)));
}

Deno.test("what a guest refuses to add is taken back from the host, by a document of its own", async () => {
  const host = hostWithLayers();
  await using vm = await startedVM(host, LINUX);
  const from = host.calls.length;
  host.fail({ function: "guest:ModifySettings", code: REFUSED });
  const error = await assertRejects(() => vm.modify(PMEM), GuestError);
  assertEquals([error.operation, error.code], ["ModifySettings", REFUSED]);
  const { GuestRequest: _, ...added } = PMEM;
  assertEquals(documents(host, from), [added, { ResourcePath: PMEM.ResourcePath, RequestType: "Remove" }]);
  host.failNothing();
  await vm.modify(PMEM);
  await vm.modify(NO_PMEM);
});

Deno.test("what the host refuses to add isn't asked of the guest", async () => {
  const host = hostWithLayers();
  await using vm = await startedVM(host, LINUX);
  const from = host.calls.length;
  host.fail({ function: "HcsModifyComputeSystem", code: REFUSED });
  const error = await assertRejects(() => vm.modify(PMEM), NativeError);
  assertEquals([error.operation, asked(host, from)], ["HcsModifyComputeSystem", ["host Add VirtualPMem"]]);
});

Deno.test("a removal that the host refused goes on there, and the guest isn't asked again until it is added again", async () => {
  const host = hostWithLayers();
  await using vm = await startedVM(host, LINUX);
  await vm.modify(PMEM);
  const from = host.calls.length;
  host.fail({ function: "HcsModifyComputeSystem", code: REFUSED, nth: 1 });
  await assertRejects(() => vm.modify(NO_PMEM), NativeError);
  await vm.modify(NO_PMEM);
  await vm.modify(PMEM);
  await vm.modify(NO_PMEM);
  assertEquals(asked(host, from), [
    ...["guest Remove VPMemDevice", "host Remove VirtualPMem", "host Remove VirtualPMem"],
    ...["host Add VirtualPMem", "guest Add VPMemDevice", "guest Remove VPMemDevice", "host Remove VirtualPMem"],
  ]);
});

Deno.test("a removal that the guest refused leaves the host's part", async () => {
  const host = hostWithLayers();
  await using vm = await startedVM(host, LINUX);
  await vm.modify(PMEM);
  const from = host.calls.length;
  host.fail({ function: "guest:ModifySettings", code: REFUSED, nth: 1 });
  await assertRejects(() => vm.modify(NO_PMEM), GuestError);
  assertEquals(asked(host, from), ["guest Remove VPMemDevice"]);
  await vm.modify(NO_PMEM);
});

/** A host whose guests answer changes only once the gate is open. */
function gated(options: SimulatedHostOptions = {}): { readonly host: SimulatedHost; close(): void; open(): void } {
  let gate: PromiseWithResolvers<void> | undefined;
  const host = hostWithLayers({
    ...options,
    latency: (call) => call.function === "guest:ModifySettings" ? gate?.promise : undefined,
  });
  return {
    host,
    close: () => gate = Promise.withResolvers(),
    open: () => gate?.resolve(),
  };
}

function disk(RequestType: "Add" | "Remove", Lun: number) {
  return {
    GuestRequest: { RequestType, ResourceType: "MappedVirtualDisk", Settings: { MountPath: `/m${Lun}`, Lun } },
  } as const;
}

Deno.test("changes of vPMem don't overlap, mounts of disks do, and unmounts wait", async () => {
  const { host, close, open } = gated();
  host.addLinuxLayer("C:\\layers\\2.vhd", 2 ** 20);
  ["a", "b"].forEach((name) => host.addLinuxLayer(`C:\\disks\\${name}.vhdx`, 2 ** 20));
  await using vm = await startedVM(host, LINUX);
  const Scsi = (Lun: number) => `VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/${Lun}`;
  for (const [i, name] of ["a", "b"].entries()) {
    const Settings = { Type: "VirtualDisk", Path: `C:\\disks\\${name}.vhdx`, ReadOnly: true };
    await vm.modify({ ResourcePath: Scsi(i + 1), RequestType: "Add", Settings });
  }
  close();
  const other = {
    ...PMEM,
    ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/1",
    Settings: { ...PMEM.Settings, HostPath: "C:\\layers\\2.vhd" },
    GuestRequest: { ...PMEM.GuestRequest, Settings: { DeviceNumber: 1, MountPath: "/run/layers/p1" } },
  };
  const from = host.calls.length;
  const changes = [vm.modify(PMEM), vm.modify(other), vm.modify(disk("Add", 1)), vm.modify(disk("Add", 2))];
  await settle();
  assertEquals(asked(host, from), [
    ...["host Add VirtualPMem", "guest Add MappedVirtualDisk", "guest Add MappedVirtualDisk"],
    "guest Add VPMemDevice",
  ]);
  open();
  await Promise.all(changes);
  close();
  const next = host.calls.length;
  const removals = [vm.modify(disk("Remove", 1)), vm.modify(disk("Remove", 2))];
  await settle();
  assertEquals(asked(host, next), ["guest Remove MappedVirtualDisk"]);
  open();
  await Promise.all(removals);
  assertEquals(asked(host, next).length, 2);
});

const LCOW_VM = async (host: SimulatedHost) => {
  const vm = await startedVM(host, LINUX);
  return { vm, mounted: await mountLCOWLayers("c1", LCOW, { vm, guestRoot: "/run/c" }) };
};
const WCOW_VM = async (host: SimulatedHost) => {
  const vm = await startedVM(host, WINDOWS);
  return { vm, mounted: await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm }) };
};

Deno.test("a lost connection is noticed at once, and what the VM has on the host is released nevertheless", async () => {
  for (const open of [LCOW_VM, WCOW_VM]) {
    const host = hostWithLayers();
    const { vm, mounted } = await open(host);
    host.guests.disconnect(vm.runtimeId);
    await settle();
    assertEquals([vm.state, vm.end?.reason], ["ended", "disconnected"]);
    assertInstanceOf(vm.end?.cause, GuestConnectionError);
    assertEquals((await assertRejects(() => vm.modify(NO_SCRATCH), VMStateError)).reason, "disconnected");
    const from = host.calls.length;
    await mounted.release();
    assertEquals(asked(host, from).filter((what) => what.startsWith("guest")), []);
    assertEquals(heldKinds(host).filter((kind) => ["vpmem", "scsiAttachment", "vsmbShare"].includes(kind)), []);
    // It runs until it is closed, and has its own files open.
    assertEquals((await assertRejects(() => vm.properties(), VMStateError)).reason, "disconnected");
    if (vm.os === "windows") await assertRejects(() => destroyLayer(IMAGE, { host }), InUseError);
    await vm.close();
    assertEquals(held(host), []);
  }
});

Deno.test("a removal from the host that fails after the connection is lost is still held", async () => {
  const host = hostWithLayers();
  const { vm, mounted } = await LCOW_VM(host);
  host.guests.disconnect(vm.runtimeId);
  await settle();
  host.fail({ function: "HcsModifyComputeSystem", code: REFUSED });
  const error = await mounted.release().catch((error) => error);
  assertEquals(error.holds.map(({ kind }: { kind: string }) => kind).sort(), [
    "scsiAttachment",
    "vmAccess",
    "vpmemFile",
  ]);
  host.failNothing();
  await mounted.release();
  await vm.close();
  assertEquals(held(host), []);
});

Deno.test("persistent memory of which the guest's part is removed, and the host's isn't, is removed first and added again by the next mount", async () => {
  const host = hostWithLayers();
  const { vm, mounted } = await LCOW_VM(host);
  const isRemoval = ({ args }: NativeCall) => /VirtualPMem.*"Remove"/.test(String(args.configuration));
  host.fail({ function: "HcsModifyComputeSystem", code: REFUSED, when: isRemoval });
  await assertRejects(() => mounted.release());
  host.failNothing();
  host.addFile("C:\\scratch2.vhdx", 2 ** 24);
  const from = host.calls.length;
  const again = await mountLCOWLayers("c2", { ...LCOW, scratchVhdPath: "C:\\scratch2.vhdx" }, {
    vm,
    guestRoot: "/run/c2",
  });
  assertEquals(asked(host, from).filter((what) => /PMem/.test(what)), [
    ...["host Remove VirtualPMem", "host Add VirtualPMem", "guest Add VPMemDevice"],
  ]);
  await again.release();
  await mounted.release();
  await vm.close();
  assertEquals(held(host), []);
});

Deno.test("a disk that a guest refused to mount, and twice to unmount with the same code, is given back", async () => {
  const host = hostWithLayers();
  await using vm = await startedVM(host, WINDOWS);
  const isDisk = ({ args }: NativeCall) => JSON.stringify(args).includes("MappedVirtualDisk");
  // Which is also what simulated guests answer to whoever removes what isn't there.
  host.fail({ function: "guest:ModifySettings", code: "E_FAIL", when: isDisk });
  const mount = () => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm });
  await assertRejects(mount, GuestError);
  assertEquals(heldKinds(host).includes("scsiAttachment"), false);
  assertEquals(host.grantsOf("C:\\scratches\\1\\sandbox.vhdx"), []);
  host.failNothing();
  await (await mount()).release();
});

Deno.test("a disk that is mounted stays though a guest refuses to unmount it, however often", async () => {
  const host = hostWithLayers();
  const { vm, mounted } = await WCOW_VM(host);
  const isDisk = ({ args }: NativeCall) => JSON.stringify(args).includes("MappedVirtualDisk");
  host.fail({ function: "guest:ModifySettings", code: "E_FAIL", when: isDisk });
  for (let i = 0; i < 3; i++) await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(heldKinds(host).includes("scsiAttachment"), true);
  host.failNothing();
  await mounted.release();
  await vm.close();
});

Deno.test("a request whose answer never comes ends with the connection, and with the VM, each with its reason", async () => {
  const endings = {
    disconnected: (host: SimulatedHost, id: string) => host.guests.disconnect(id),
    exited: (host: SimulatedHost) => host.notify("vm1", "SystemExited"),
    crashed: (host: SimulatedHost) => host.notify("vm1", "SystemCrashInitiated"),
  };
  for (const [reason, end] of Object.entries(endings)) {
    const { host, close, open } = gated();
    const vm = await startedVM(host, LINUX);
    close();
    // The second one waits for the first.
    const waiting = [vm.modify(PMEM), vm.modify({ ...PMEM, ResourcePath: `${PMEM.ResourcePath}0` })];
    await settle();
    end(host, vm.runtimeId);
    const errors = await Promise.all(waiting.map((change) => change.catch((error) => error)));
    assertEquals(errors.map((error) => [error.name, error.reason]), [
      ["VMStateError", reason],
      ["VMStateError", reason],
    ]);
    await vm.close();
    open();
    await settle();
    assertEquals(held(host), []);
  }
});

Deno.test("close() comes back though the guest answers nothing, and tells those who wait", async () => {
  const { host, close } = gated();
  const vm = await startedVM(host, LINUX);
  close();
  const waiting = vm.modify(PMEM).catch((error) => error);
  await settle();
  await vm.close();
  assertEquals([(await waiting).name, (await waiting).reason, held(host)], ["VMStateError", "exited", []]);
});

Deno.test("a guest that answers nothing for five minutes is given up", async () => {
  const { host, close } = gated({ clock: "automatic", completion: "synchronous" });
  const vm = await startedVM(host, LINUX);
  close();
  const error = await assertRejects(() => vm.modify(PMEM), VMStateError);
  assertEquals(error.reason, "disconnected");
  assertStringIncludes(error.message, "because the guest doesn't answer");
  await vm.close();
  assertEquals(held(host), []);
});

Deno.test("who cancels a mount or a release is told of a guest that doesn't answer, and what was begun is undone once it does", async () => {
  const lcow = async (host: SimulatedHost) => {
    const vm = await startedVM(host, LINUX);
    const mount = (timeout?: number) => mountLCOWLayers("c1", LCOW, { vm, guestRoot: "/run/c", timeout });
    return { vm, mount };
  };
  const wcow = async (host: SimulatedHost) => {
    const vm = await startedVM(host, WINDOWS);
    const stack = ["C:\\layers\\base", "C:\\scratches\\1"];
    return { vm, mount: (timeout?: number) => mountWCOWLayers("c1", stack, { vm, timeout }) };
  };
  for (const open of [lcow, wcow]) {
    const { host, close, open: answer } = gated({ clock: "automatic", completion: "synchronous" });
    const { vm, mount } = await open(host);
    const empty = held(host);
    const hang = async (act: () => Promise<unknown>) => {
      close();
      const begin = host.clock.now;
      const error = await assertRejects(act, HungCallError);
      assertEquals([error.operation, error.path, host.clock.now - begin], ["ModifySettings", "vm1", 6000]);
      answer();
      await error.over;
    };
    await hang(() => mount(1000));
    while (held(host).length > empty.length) await host.sleep(10);
    const mounted = await mount();
    await hang(() => mounted.release({ timeout: 1000 }));
    await mounted.release();
    assertEquals([held(host), vm.state], [empty, "running"]);
    await vm.close();
  }
});

Deno.test("an aborted change ends the wait, and is made to its end", async () => {
  const { host, close, open } = gated();
  await using vm = await startedVM(host, LINUX);
  close();
  const controller = new AbortController();
  const from = host.calls.length;
  const change = vm.modify(PMEM, { signal: controller.signal });
  await settle();
  controller.abort(new Error("enough"));
  await assertRejects(() => change, Error, "enough");
  open();
  await settle();
  assertEquals(asked(host, from), ["host Add VirtualPMem", "guest Add VPMemDevice"]);
  await vm.modify(NO_PMEM);
});

Deno.test("a start that is cancelled, or whose VM ends, wherever it is leaves nothing listening", async () => {
  for (const options of [LINUX, WINDOWS]) {
    const clean = vmHost();
    await (await startedVM(clean, options)).close();
    const names = new Set(
      clean.calls.map((call) => call.function).filter((name) => /^guest:|^Hcs(Start|Modify)/.test(name)),
    );
    for (const name of names) {
      for (const ending of ["aborted", "exited", "disconnected"] as const) {
        const host = vmHost();
        const vm = await createUtilityVM(options, { host });
        const controller = new AbortController();
        host.before(name, async () => {
          if (ending === "aborted") controller.abort(new Error("enough"));
          if (ending === "exited") host.notify("vm1", "SystemExited");
          if (ending === "disconnected") host.guests.disconnect(vm.runtimeId);
          await settle();
        }, { nth: 1 });
        const start = vm.start({ signal: controller.signal });
        const error = await start.then(() => undefined, (error) => error);
        await settle();
        if (ending === "aborted") assertEquals(error.message, "enough", name);
        else if (ending === "exited" || name.startsWith("guest:")) assertEquals(error.reason, ending, name);
        if (error !== undefined) {
          assertEquals(vm.state, "ended", name);
          assertEquals(heldKinds(host).filter((kind) => kind === "handle").length, 1, name);
        }
        await vm.close();
        assertEquals(held(host), [], `${name} ${ending}`);
      }
    }
  }
});

Deno.test("a VM that was never started listens to nobody", async () => {
  const host = vmHost();
  const vm = await createUtilityVM(LINUX, { host });
  assertEquals(held(host).filter((what) => what.includes("AF_HYPERV")), []);
  await vm.close();
  assertEquals(held(host), []);
});

Deno.test("a guest that never connects ends the start after two minutes, or after the time that is given", async () => {
  for (const timeout of [undefined, 1000]) {
    const host = vmHost({ clock: "automatic", completion: "synchronous" });
    const vm = await createUtilityVM(WINDOWS, { host });
    host.fail({ function: "listen", code: 0 });
    const error = await vm.start({ timeout }).catch((error) => error);
    assertEquals(error.name, timeout === undefined ? "GuestConnectionError" : "TimeoutError");
    if (timeout === undefined) assertEquals([error.reason, host.clock.now >= 120_000], ["late", true]);
    assertEquals(vm.state, "ended");
    await vm.close();
    assertEquals(held(host), []);
  }
});

Deno.test("a start that the guest refuses ends the VM, with what the guest says", async () => {
  for (
    const [options, name] of [[WINDOWS, "Create"], [WINDOWS, "ModifySettings"], [LINUX, "NegotiateProtocol"]] as const
  ) {
    const host = vmHost();
    const vm = await createUtilityVM(options, { host });
    host.fail({ function: `guest:${name}`, code: 0xc0370109 });
    const error = await assertRejects(() => vm.start(), GuestError);
    assertEquals([error.operation, error.code, vm.state], [name, 0xc0370109, "ended"]);
    await vm.close();
    assertEquals(held(host), []);
  }
});

Deno.test("the loss of the connection before each message and each piece of it leaves nothing, and nobody waiting", async () => {
  for (const open of [LCOW_VM, WCOW_VM]) {
    const clean = hostWithLayers();
    const life = async (host: SimulatedHost) => {
      const { vm, mounted } = await open(host);
      await mounted.release();
      await vm.close();
    };
    await life(clean);
    for (const fn of ["send", "recv"]) {
      const count = clean.calls.filter((call) => call.function === fn).length;
      let lost = 0;
      for (let nth = 1; nth <= count; nth++) {
        const host = hostWithLayers();
        host.before(fn, () => host.guests.disconnect(runtimeIdOf("vm1")), { nth });
        const vm = await createUtilityVM(open === LCOW_VM ? LINUX : WINDOWS, { host });
        const note = (error: unknown) => assertInstanceOf(error, LayerError, `${fn} ${nth}: ${error}`);
        await vm.start().catch(note);
        const mounting = vm.state !== "running"
          ? undefined
          : open === LCOW_VM
          ? mountLCOWLayers("c1", LCOW, { vm, guestRoot: "/run/c" })
          : mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratches\\1"], { vm });
        const mounted = await mounting?.catch(note);
        if (vm.end !== undefined) lost++;
        await mounted?.release();
        const left = heldKinds(host).filter((kind) => ["vpmem", "scsiAttachment", "vsmbShare"].includes(kind));
        assertEquals(left, [], `${fn} ${nth}`);
        await vm.close();
        assertEquals(held(host), [], `${fn} ${nth}`);
      }
      assert(lost > 5, `${fn}: ${lost} of ${count}`);
    }
  }
});
