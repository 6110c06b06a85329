// Containers that meet in a VM, and a VM whose start is given up.
import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import {
  createUtilityVM,
  InUseError,
  LayerError,
  mountLCOWLayers,
  mountWCOWLayers,
  ReleaseError,
  unmountWCOWLayers,
  UnwindError,
  type UtilityVM,
} from "../../mod.ts";
import type { NativeCall } from "../../src/simulated/mod.ts";
import { destroyLayer } from "../../src/storage/mod.ts";
import { ComputeSystem } from "../../src/uvm/compute_system.ts";
import { changes, held } from "../support/calls.ts";
import { TestVM } from "../support/vm.ts";
import { BOOT, IMAGE, LINUX, SCRATCH, startedVM, vmCalls, vmHost, WINDOWS } from "../support/vm_host.ts";

Deno.test("one container id twice on one scratch of a VM: the second is refused before it reaches the VM", async () => {
  await using t = await TestVM.open({ os: "linux" });
  t.host.addLinuxLayer("C:\\layers\\1\\layer.vhd", 2 ** 20);
  t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
  const layers = { layers: [{ vhdPath: "C:\\layers\\1\\layer.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
  const mount = (id: string, pod: string) =>
    mountLCOWLayers(id, layers, { vm: t.vm, guestRoot: `/run/pods/${pod}/${id}` });
  const first = await mount("c1", "a");
  t.forget();
  await assertRejects(() => mount("c1", "b"), InUseError);
  assertEquals(t.requests, []);
  const other = await mount("c2", "b");
  assertNotEquals(other.scratchPath, first.scratchPath);
  await other.release();
  await first.release();
  assertEquals(t.held(), []);
});

Deno.test("the start of a VM is aborted and completes later: the program goes on", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const host = vmHost({
    completion: 1,
    latency: ({ function: name }) => {
      if (name === "HcsStartComputeSystem") queueMicrotask(() => controller.abort(reason));
      return Promise.resolve();
    },
  });
  const vm = await createUtilityVM(LINUX, { host });
  const error = await vm.start({ signal: controller.signal }).catch((error) => error);
  assertEquals(error, reason);
  await vm.close();
  await host.sleep(0);
  assertEquals(host.held(), []);
});

Deno.test("what a VM uses is neither unmounted on the host, nor destroyed, nor mounted twice", async () => {
  await using t = await TestVM.open({ os: "windows" });
  const { host, vm } = t;
  host.addLayer("C:\\layers\\base");
  host.addScratch("C:\\scratch\\1");
  host.addScratch("C:\\scratch\\2");
  const stack = (n: number) => ["C:\\layers\\base", `C:\\scratch\\${n}`];
  const mounted = await mountWCOWLayers("c1", stack(1), { vm });
  const onHost = await mountWCOWLayers("c2", stack(2), { host });
  t.forget();
  const from = host.calls.length;
  for (
    const [call, path] of [
      [() => unmountWCOWLayers("C:\\scratch\\1", { host }), "C:\\scratch\\1"],
      [() => destroyLayer("C:\\layers\\base", { host }), "C:\\layers\\base"],
      [() => destroyLayer("C:\\scratch\\1", { host }), "C:\\scratch\\1"],
      [() => destroyLayer("C:\\image", { host }), "C:\\image"],
      [() => mountWCOWLayers("c3", stack(2), { vm }), "C:\\scratch\\2"],
    ] as const
  ) {
    const error = await assertRejects(call, InUseError);
    assertEquals(error.path, path);
  }
  assertEquals(changes(host, from), []);
  await onHost.release();
  await mounted.release();
  assertEquals(await unmountWCOWLayers("C:\\scratch\\1", { host }).then(() => "unmounted"), "unmounted");
  await vm.close();
  await destroyLayer("C:\\image", { host });
});

Deno.test("a file that a VM booted from and that is gone or out of reach hinders nothing elsewhere", async () => {
  const host = vmHost();
  ["C:\\layers\\base", "C:\\layers\\other"].forEach((layer) => host.addLayer(layer));
  host.addScratch("C:\\scratch");
  await using vm = await startedVM(host, LINUX);
  await using windows = await startedVM(host, { ...WINDOWS, id: "vm2" });
  host.remove(`${BOOT}\\initrd.img`);
  const isBoot = ({ args }: NativeCall) => String(args.path).startsWith(`${IMAGE}\\UtilityVM`);
  host.fail({ function: "CreateFileW", code: "ERROR_ACCESS_DENIED", when: isBoot });
  await mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch"], { host });
  await unmountWCOWLayers("C:\\scratch", { host });
  await destroyLayer("C:\\layers\\other", { host });
  // It is known by its name still.
  await assertRejects(() => destroyLayer(IMAGE, { host }), InUseError, "vm2");
  assertEquals([vm.state, windows.state], ["running", "running"]);
});

Deno.test("a removal that a VM on its way out refuses is done once it has ended; any other VM has all still", async () => {
  for (const ending of ["exits", "is running", "is paused"]) {
    await using t = await TestVM.open({ os: "linux" }, {
      completion: (fn) => fn.includes("Pause") ? "synchronous" : 1,
    });
    t.host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
    t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
    const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
    const mounted = await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: "/run/c" });
    if (ending === "is paused") await (await ComputeSystem.open(t.host, "vm1")).pause();
    t.host.fail({ function: "HcsModifyComputeSystem", code: 0xc0370105 });
    if (ending === "exits") t.host.clock.after(1000, () => t.host.notify("vm1", "SystemExited"));
    if (ending !== "exits") {
      await assertRejects(() => mounted.release(), ReleaseError);
      assertEquals(t.vm.state, "running", ending);
    } else {
      await mounted.release();
      assertEquals([t.vm.state, t.host.grantsOf("C:\\scratch.vhdx")], ["ended", []]);
    }
    t.failNothing();
  }
});

Deno.test("a disk that one VM of this process uses is no scratch for another, which is told which VM has it", async () => {
  const host = vmHost();
  host.addLayer("C:\\layers\\base");
  ["C:\\scratch\\1", "C:\\scratch\\vm2"].forEach((scratch) => host.addScratch(scratch));
  await using one = await startedVM(host, WINDOWS);
  await using two = await startedVM(host, { ...WINDOWS, id: "vm2", layerFolders: [IMAGE, "C:\\scratch\\vm2"] });
  const from = host.calls.length;
  const mount = (vm: UtilityVM) => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch\\1"], { vm });
  const [first, second] = await Promise.allSettled([mount(one), mount(two)]);
  assert(first!.status === "fulfilled" && second!.status === "rejected");
  assertInstanceOf(second.reason, InUseError);
  assertEquals([second.reason.by, host.grantsOf("C:\\scratch\\1\\sandbox.vhdx")], ["vm1", ["vm1"]]);
  const error = await assertRejects(
    () => mountWCOWLayers("c1", ["C:\\layers\\base", SCRATCH], { vm: two }),
    InUseError,
  );
  assertEquals([error.by, vmCalls(host, from).filter((call) => call === "GrantVmAccess").length], ["vm1", 1]);
  await first.value.release();
  await (await mount(two)).release();
});

Deno.test("the disk that a VM boots from is neither a scratch nor a layer with partitions in it, wherever it is", async () => {
  for (const vpmemDeviceCount of [64, 0]) {
    await using t = await TestVM.open({ os: "linux", rootFile: "rootfs.vhd", vpmemDeviceCount });
    t.host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
    t.host.addFile("C:\\scratch.vhdx", 2 ** 24);
    const boot = "C:\\Boot\\ROOTFS.vhd";
    const layers = [
      { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: boot },
      { layers: [{ vhdPath: boot, partition: 1 }], scratchVhdPath: "C:\\scratch.vhdx" },
    ];
    for (const each of layers) {
      const error = await assertRejects(
        () => mountLCOWLayers("c1", each, { vm: t.vm, guestRoot: "/run/c" }),
        InUseError,
      );
      assertEquals([error.path, error.by], [boot, "vm1"]);
    }
    assertEquals([t.requests, t.accesses], [[], []]);
  }
});

for (
  const code of ["HCS_E_CONNECTION_TIMEOUT", "HCS_E_OPERATION_TIMEOUT", "HCS_E_INVALID_STATE", "RPC_S_CALL_FAILED"]
) {
  Deno.test(`a removal that failed with ${code} isn't taken for done: what may be there is told, and removed later`, async () => {
    await using t = await TestVM.open({ os: "windows" });
    t.host.addLayer("C:\\layers\\base");
    t.host.addScratch("C:\\scratch\\1");
    const isDisk = ({ args }: NativeCall, what: string) =>
      String(args.configuration).includes(`"RequestType":"${what}","ResourceType":"MappedVirtualDisk"`);
    const fn = "HcsModifyComputeSystem";
    t.host.fail({ function: fn, code: "ERROR_TIMEOUT", effect: "full", when: (call) => isDisk(call, "Add") });
    t.host.fail({ function: fn, code, when: (call) => isDisk(call, "Remove") });
    const mount = () => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch\\1"], { vm: t.vm });
    const error = await assertRejects(mount, UnwindError);
    assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess", "scsiAttachment", "scsiMount"]);
    t.failNothing();
    await error.release();
    assertEquals([t.left(), t.host.grantsOf("C:\\scratch\\1\\sandbox.vhdx")], [[], []]);
  });
}

Deno.test("a disk that can't be detached, as a file isn't found, is attached still as long as its own file is open", async () => {
  await using t = await TestVM.open({ os: "windows" });
  t.host.addLayer("C:\\layers\\base");
  t.host.addScratch("C:\\scratch\\1");
  const isDisk = ({ args }: NativeCall, what: string) =>
    JSON.parse(String(args.configuration)).RequestType === what && String(args.configuration).includes("Scsi");
  const fn = "HcsModifyComputeSystem";
  t.host.fail({ function: fn, code: "ERROR_INVALID_PARAMETER", effect: "full", when: (call) => isDisk(call, "Add") });
  t.host.fail({ function: fn, code: "ERROR_FILE_NOT_FOUND", when: (call) => isDisk(call, "Remove") });
  const mount = () => mountWCOWLayers("c1", ["C:\\layers\\base", "C:\\scratch\\1"], { vm: t.vm });
  const error = await assertRejects(mount, UnwindError);
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess", "scsiAttachment"]);
  t.failNothing();
  await error.release();
  assertEquals(t.left(), []);
});

Deno.test("the error of a change that the host or the guest refuses says of which layer or place it was", async () => {
  const layers = { layers: [{ vhdPath: "C:\\layers\\1.vhd" }], scratchVhdPath: "C:\\scratch.vhdx" };
  for (
    const [fn, ResourceType, about] of [
      [
        "HcsModifyComputeSystem",
        "Scsi",
        "Add Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/0: C:\\scratch.vhdx",
      ],
      ["HcsModifyComputeSystem", "VirtualPMem", "Add VirtualPMem/Devices/0/Mappings/0: C:\\layers\\1.vhd"],
      ["guest:ModifySettings", "MappedVirtualDisk", "Add MappedVirtualDisk: /run/mounts/scsi/m0"],
      ["guest:ModifySettings", "CombinedLayers", "Add CombinedLayers: /run/c/rootfs"],
    ] as const
  ) {
    const host = vmHost();
    host.addLinuxLayer("C:\\layers\\1.vhd", 2 ** 20);
    host.addFile("C:\\scratch.vhdx", 2 ** 24);
    await using vm = await startedVM(host, { ...LINUX, guestConnection: "direct" });
    const isIt = ({ args }: NativeCall) => JSON.stringify(args).includes(ResourceType);
    using _failure = host.fail({ function: fn, code: "ERROR_ACCESS_DENIED", when: isIt });
    const error = await assertRejects(() => mountLCOWLayers("c1", layers, { vm, guestRoot: "/run/c" }), LayerError);
    const lines = (error instanceof UnwindError ? error.errors[0] as Error : error).message.split("\n  ");
    assertEquals(lines[1], about);
  }
});

Deno.test("a failed mount of which nothing is left any more is released beside a VM, too", async () => {
  await using t = await TestVM.open({ os: "linux" });
  const { host } = t;
  host.addLayer("C:\\l\\a");
  const before = held(host);
  host.fail({ function: "PrepareLayer", code: "ERROR_ACCESS_DENIED", nth: 1 });
  const failure = host.fail({ function: "DeleteFileW", code: "ERROR_WRITE_PROTECT" });
  const mounting = mountWCOWLayers("c", ["C:\\l\\a", "C:\\new\\c"], { host, createScratch: true });
  const error = await assertRejects(() => mounting, UnwindError);
  failure.undo();
  await unmountWCOWLayers("C:\\new\\c", { host });
  assertEquals(host.exists("C:\\new"), false);
  await error.release();
  assertEquals([error.holds, held(host)], [[], before]);
});
