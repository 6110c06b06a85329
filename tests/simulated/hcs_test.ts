// The simulated compute service answers what real hosts were seen to answer, and refuses to guess.
import { assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { grantVmAccess } from "../../src/ffi/vmcompute.ts";
import {
  closeSystem,
  createSystem,
  modifySystem,
  openSystem,
  operate,
  registerCallback,
  stopSystem,
  systemProperties,
} from "../../src/ffi/vmcompute_hcs.ts";
import type { ModifySettingRequest } from "../../src/hcsschema/requests.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { runtimeIdOf } from "../../src/simulated/hcs.ts";
import type { UtilityVM } from "../../src/uvm/utility_vm.ts";
import { createdDocument, LINUX, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";
import { heldKinds } from "../support/calls.ts";

const LAYER = "C:\\layers\\l1\\layer.vhd";
const DISK = "C:\\scratch\\c1\\sandbox.vhdx";
const CONTROLLER = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";

function machine(): SimulatedHost {
  const host = vmHost();
  host.addLinuxLayer(LAYER, 8192);
  host.addScratch("C:\\scratch\\c1");
  host.addLayer("C:\\layers\\ro1");
  return host;
}

const codeOf = async (call: () => Promise<unknown>) => (await assertRejects(call, NativeError)).code;

Deno.test("runtime ids are those of real hosts", async () => {
  assertEquals(await runtimeIdOf("cowork-vm-baa82cce"), "c046cf90-111c-5cf6-bea8-04f9fa3568b3");
  assertEquals(await runtimeIdOf("cowork-vm-e0936824"), "bdaf92ec-9202-55a9-913a-0cdc98dc0e51");
  assertEquals(runtimeIdOf("5C8D9F2E-77a1-4b0e-9a43-1f0f5b6f2d10"), "5c8d9f2e-77a1-4b0e-9a43-1f0f5b6f2d10");
});

Deno.test("nobody knows what Windows makes of two systems with one GUID", async () => {
  const host = machine();
  await using _vm = await startedVM(host, LINUX);
  await assertRejects(() => startedVM(host, { ...LINUX, id: "VM1" }), SimulationError, "whose GUID another one has");
  assertEquals(heldKinds(host).filter((kind) => kind === "computeSystem").length, 1);
});

Deno.test("HcsCreateComputeSystem refuses a document that isn't one, and keys that there aren't", async () => {
  const host = machine();
  await using vm = await startedVM(host, LINUX);
  const good = JSON.parse(createdDocument(host));
  const bad: readonly [where: string, document: object][] = [
    ["$.Container", { ...good, Container: {} }],
    ["$.VirtualMachine.Chips", { ...good, VirtualMachine: { ...good.VirtualMachine, Chips: {} } }],
    ["$.VirtualMachine", { Owner: "me" }],
  ];
  for (const [where, document] of bad) {
    const error = await assertRejects(() => createSystem(host, "vm2", document), NativeError);
    assertEquals(error.symbol, "ERROR_VMCOMPUTE_INVALID_JSON");
    assertStringIncludes(error.message, `Invalid JSON document '${where}'`);
    assertStringIncludes(error.message, "provider 17103e3f-3c6e-4677-bb17-3b267eb5be57 event 11000");
  }
  const request = { ResourcePath: "x", Resource: "y" };
  assertEquals(await codeOf(() => vm.modify(request)), 0xc037010d);
});

Deno.test("a compute system answers by its state", async () => {
  const host = machine();
  assertEquals(await codeOf(() => openSystem(host, "vm1")), 0xc037010e);
  const vm = await startedVM(host, WINDOWS);
  const system = await openSystem(host, "vm1");
  const start = () => operate(host, "HcsStartComputeSystem", system, "vm1");
  assertEquals(await codeOf(start), 0xc0370105);
  await stopSystem(host, "HcsTerminateComputeSystem", system, "vm1");
  assertEquals(await codeOf(start), 0xc0370110);
  assertEquals(await codeOf(() => modifySystem(host, system, "vm1", {})), 0xc0370110);
  const { Stopped, ExitType } = JSON.parse(await systemProperties(host, system, "vm1", {}));
  assertEquals({ Stopped, ExitType }, { Stopped: true, ExitType: "ForcedExit" });
  await closeSystem(host, system, "vm1");
  await vm.close();
  assertEquals(await codeOf(() => openSystem(host, "vm1")), 0xc037010e);
  assertEquals(host.held(), []);
});

Deno.test("a compute system takes one callback a handle, and ends with its last handle", async () => {
  const host = machine();
  await using vm = await startedVM(host, WINDOWS);
  const document = JSON.parse(createdDocument(host));
  await grantVmAccess(host, "vm2", "C:\\layers\\uvmscratch\\sandbox.vhdx");
  const { system } = await createSystem(host, "vm2", document);
  const callback = await host.callback(() => {});
  const registration = await registerCallback(host, system, "vm2", callback.address);
  await assertRejects(
    () => registerCallback(host, system, "vm2", callback.address),
    SimulationError,
    "a second callback for a handle of vm2",
  );
  await assertRejects(() => closeSystem(host, system, "vm2"), SimulationError, "before its callback was unregistered");
  const { unregisterCallback } = await import("../../src/ffi/vmcompute_hcs.ts");
  await unregisterCallback(host, registration, "vm2");
  callback[Symbol.dispose]();
  await closeSystem(host, system, "vm2");
  assertEquals(host.held().filter(({ kind }) => kind === "computeSystem").map(({ target }) => target), [vm.id]);
});

const attach = (path: string, lun: number, settings: object = {}, controller = CONTROLLER): ModifySettingRequest => ({
  ResourcePath: `VirtualMachine/Devices/Scsi/${controller}/Attachments/${lun}`,
  RequestType: "Add",
  Settings: { Type: "VirtualDisk", Path: path, ...settings },
});

const guest = (type: "Add" | "Remove", resource: string, settings: object): ModifySettingRequest => ({
  GuestRequest: { RequestType: type, ResourceType: resource as "CombinedLayers", Settings: settings },
});

Deno.test("attaching a SCSI disk fails as on real hosts", async () => {
  const host = machine();
  await using vm = await startedVM(host, LINUX);
  host.addFile("C:\\scratch\\other.vhdx");
  assertEquals(await codeOf(() => vm.modify(attach("C:\\scratch\\none.vhdx", 1))), 0x80070002);
  assertEquals(await codeOf(() => vm.modify(attach("C:\\none\\none.vhdx", 1))), 0x80070003);
  assertEquals(await codeOf(() => vm.modify(attach("C:\\scratch\\other.vhdx", 1))), 0x80070005);
  assertEquals(await codeOf(() => vm.modify(attach(LAYER, 1, {}, "0"))), 0x80070490);
  await using other = await startedVM(host, { ...LINUX, id: "vm2" });
  await grantVmAccess(host, "vm1", DISK);
  await grantVmAccess(host, "vm2", DISK);
  await vm.modify(attach(DISK, 1));
  assertEquals(await codeOf(() => other.modify(attach(DISK, 1))), 0x80070020);
  assertEquals(heldKinds(host).filter((kind) => kind === "scsiAttachment"), ["scsiAttachment"]);
});

Deno.test("read-only disks are shared by VMs, writable ones by nobody", async () => {
  const host = machine();
  await using vm = await startedVM(host, LINUX);
  await using other = await startedVM(host, { ...LINUX, id: "vm2" });
  await vm.modify(attach(LAYER, 1, { ReadOnly: true }));
  await other.modify(attach(LAYER, 1, { ReadOnly: true }));
  await using third = await startedVM(host, { ...LINUX, id: "vm3" });
  assertEquals(await codeOf(() => third.modify(attach(LAYER, 1))), 0x80070020);
});

Deno.test("a folder is shared with its collection named, and not with an index", async () => {
  const host = machine();
  await using vm = await startedVM(host, WINDOWS);
  const share = { RequestType: "Add", Settings: { Name: "s1", Path: "C:\\layers\\ro1" } } as const;
  const indexed = { ...share, ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares/s1" };
  assertEquals(await codeOf(() => vm.modify(indexed)), 0x80070057);
  const wrongCase = { ...share.Settings, Options: { NoDirectMap: true } };
  const misspelt = { ...share, ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares", Settings: wrongCase };
  assertEquals(await codeOf(() => vm.modify(misspelt)), 0xc037010d);
});

async function refusesToGuess(vm: UtilityVM, request: ModifySettingRequest, about: string): Promise<void> {
  const error = await assertRejects(() => vm.modify(request), SimulationError);
  assertStringIncludes(error.message, about);
}

const pmem = (place: string, settings: object, type: "Add" | "Remove" = "Add"): ModifySettingRequest => ({
  ResourcePath: `VirtualMachine/Devices/VirtualPMem/Devices/${place}`,
  RequestType: type,
  ...(type === "Add" && {
    Settings: { HostPath: LAYER, ImageFormat: "Vhd1", ...(!place.includes("/") && { ReadOnly: true }) },
  }),
  GuestRequest: { RequestType: type, ResourceType: "VPMemDevice", Settings: settings },
});

Deno.test("requests about a taken or an empty place of a Linux VM are refused", async () => {
  const host = machine();
  await using vm = await startedVM(host, LINUX);
  await grantVmAccess(host, "vm1", DISK);
  await vm.modify(attach(DISK, 1));
  const detach = (lun: number): ModifySettingRequest => ({
    ResourcePath: `VirtualMachine/Devices/Scsi/${CONTROLLER}/Attachments/${lun}`,
    RequestType: "Remove",
  });
  const mounted = { MountPath: "/run/mounts/scsi/m0", Lun: 1 };
  await refusesToGuess(vm, attach(LAYER, 1), "a slot that is already used");
  await refusesToGuess(vm, detach(2), "an empty slot");
  await refusesToGuess(vm, attach(DISK, 2), "attaching a file to a VM twice");
  await refusesToGuess(vm, guest("Add", "MappedVirtualDisk", { ...mounted, Lun: 2 }), "a disk that doesn't exist");
  // The guest has nothing to do.
  await vm.modify(guest("Remove", "MappedVirtualDisk", mounted));
  await vm.modify(guest("Remove", "SCSIDevice", { Lun: 2 }));
  await vm.modify(guest("Add", "MappedVirtualDisk", mounted));
  await refusesToGuess(vm, guest("Add", "MappedVirtualDisk", mounted), "already has a mount");
  await refusesToGuess(vm, guest("Remove", "SCSIDevice", { Lun: 1 }), "while it is mounted at /run/mounts/scsi/m0");
  await refusesToGuess(vm, detach(1), "while it is mounted");
  await vm.modify(guest("Remove", "MappedVirtualDisk", mounted));
  await refusesToGuess(vm, detach(1), "did not eject the disk");
  await vm.modify(guest("Remove", "SCSIDevice", { Lun: 1 }));
  await refusesToGuess(vm, guest("Add", "MappedVirtualDisk", mounted), "the guest has ejected");
  await vm.modify(detach(1));

  await refusesToGuess(vm, pmem("64", { DeviceNumber: 64, MountPath: "/p" }), "vPMem device 64 of 64");
  await refusesToGuess(vm, pmem("0", { DeviceNumber: 1, MountPath: "/p" }), "vPMem 0 for the host and 1 for the guest");
  await vm.modify(pmem("0", { MountPath: "/run/layers/p0" }));
  await refusesToGuess(vm, pmem("0", { MountPath: "/run/layers/p1" }), "already used");
  await refusesToGuess(vm, pmem("1", { DeviceNumber: 1, MountPath: "/x" }, "Remove"), "doesn't exist");
  await vm.modify(pmem("0", { MountPath: "/run/layers/p0" }, "Remove"));
  assertEquals(heldKinds(host).filter((kind) => !/computeSystem|handle|callback/.test(kind)), []);
});

Deno.test("mappings of vPMem don't overlap, and their device stays", async () => {
  const host = machine();
  host.addLinuxLayer("C:\\l2.vhd", 4096);
  await using vm = await startedVM(host, LINUX);
  const at = (offset: number) => ({
    MountPath: `/run/layers/p0-${offset}`,
    MappingInfo: { ...(offset > 0 && { DeviceOffsetInBytes: offset }), DeviceSizeInBytes: 8192 },
  });
  await vm.modify(pmem("0/Mappings/0", at(0)));
  const second = pmem("0/Mappings/4096", at(4096));
  await refusesToGuess(
    vm,
    { ...second, Settings: { HostPath: "C:\\l2.vhd", ImageFormat: "Vhd1" } },
    "two files overlap",
  );
  assertEquals(await codeOf(() => vm.modify(pmem("0", { MountPath: "/run/layers/p0-0" }, "Remove"))), 0x80070490);
  await vm.modify(pmem("0/Mappings/0", at(0), "Remove"));
  assertEquals(heldKinds(host).filter((kind) => /vpmem|guest/.test(kind)), []);
});

Deno.test("a container keeps its layers where they are", async () => {
  const host = machine();
  await using vm = await startedVM(host, WINDOWS);
  await grantVmAccess(host, "vm1", DISK);
  const shares = "VirtualMachine/Devices/VirtualSmb/Shares";
  const prefix = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\";
  const mounted = { ContainerPath: "c:\\mounts\\scsi\\m0", Lun: 1 };
  const tree = { ContainerRootPath: "c:\\mounts\\scsi\\m0", Layers: [{ Id: "i", Path: `${prefix}s1` }] };
  await refusesToGuess(vm, guest("Add", "CombinedLayers", tree), "a layer that isn't shared");
  await vm.modify({ ResourcePath: shares, RequestType: "Add", Settings: { Name: "s1", Path: "C:\\layers\\ro1" } });
  await refusesToGuess(vm, guest("Add", "CombinedLayers", tree), "isn't mounted");
  await vm.modify(attach(DISK, 1));
  await vm.modify(guest("Add", "MappedVirtualDisk", mounted));
  assertEquals(
    await codeOf(() => vm.modify(guest("Remove", "CombinedLayers", { ContainerRootPath: tree.ContainerRootPath }))),
    0x80070490,
  );
  await vm.modify(guest("Add", "CombinedLayers", tree));
  await refusesToGuess(vm, guest("Add", "CombinedLayers", tree), "already has some");
  const unshare: ModifySettingRequest = { ResourcePath: shares, RequestType: "Remove", Settings: { Name: "s1" } };
  await refusesToGuess(vm, unshare, "while the container at c:\\mounts\\scsi\\m0 uses it");
  await refusesToGuess(vm, guest("Remove", "MappedVirtualDisk", mounted), "uses it");
  assertEquals(
    host.held().filter(({ kind }) => /vsmb|scsi|guest|tree/i.test(kind)).map(({ kind, target }) => `${kind} ${target}`),
    [
      "vsmbShare vm1 s1 C:\\layers\\ro1",
      `scsiAttachment vm1 0:1 ${DISK}`,
      "guestMount vm1 c:\\mounts\\scsi\\m0",
      "layerTree vm1 c:\\mounts\\scsi\\m0",
    ],
  );
  await vm.terminate();
  assertEquals(host.held().filter(({ kind }) => /vsmb|scsi|guest|tree/i.test(kind)), [], "all goes with the VM");
});

Deno.test("a request of which the host's part fails leaves the guest as it was", async () => {
  const host = machine();
  await using vm = await startedVM(host, LINUX);
  host.addFile("C:\\private.vhd", 4096);
  const request = pmem("0", { MountPath: "/run/layers/p0" });
  const refused = { ...request, Settings: { HostPath: "C:\\private.vhd", ReadOnly: true, ImageFormat: "Vhd1" } };
  assertEquals(await codeOf(() => vm.modify(refused)), 0x80070005);
  await vm.modify(request);
});

Deno.test("a Linux guest that nobody gives entropy never boots, which the simulation says", async () => {
  const host = machine();
  await using _vm = await startedVM(host, LINUX);
  const { system } = await createSystem(host, "vm2", JSON.parse(createdDocument(host)));
  await assertRejects(
    () => operate(host, "HcsStartComputeSystem", system, "vm2"),
    SimulationError,
    "nobody listens for the guest of vm2",
  );
});

Deno.test("two processes share the VMs of a machine that lives in a file", async () => {
  const file = await Deno.makeTempFile();
  try {
    const options = { file, completion: "atOnce" as const };
    const host = vmHost(options);
    {
      await using vm = await startedVM(host, WINDOWS);
      const other = new SimulatedHost(options);
      const system = await openSystem(other, "vm1");
      await modifySystem(other, system, "vm1", {
        ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
        RequestType: "Add",
        Settings: { Name: "s1", Path: "C:\\layers" },
      });
      assertEquals(heldKinds(host).includes("vsmbShare"), true);
      await closeSystem(other, system, "vm1");
      assertEquals(vm.state, "running");
    }
    assertEquals(host.held(), []);
  } finally {
    await Deno.remove(file);
  }
});
