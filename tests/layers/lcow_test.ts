import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.0";
import { hostFile } from "../../src/checks/host_file.ts";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { InUseError } from "../../src/errors/state_errors.ts";
import { NoRoomError, VMStateError } from "../../src/errors/vm_errors.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { ReleaseError, UnwindError } from "../../src/holds/release_errors.ts";
import { type LCOWLayers, mountLCOWLayers } from "../../src/layers/lcow.ts";
import type { NativeCall } from "../../src/simulated/mod.ts";
import type { LinuxVMOptions } from "../../src/uvm/plans/linux_vm.ts";
import { requireLayerVM } from "../../src/uvm/devices/vm_devices.ts";
import { short, TestVM } from "../support/vm.ts";

const MIB = 2 ** 20;
const GUEST_ROOT = "/run/gcs/c/c1";

async function linux(
  options: Omit<LinuxVMOptions, "os" | "bootFolder"> = {},
  simulated?: Parameters<typeof TestVM.open>[1],
): Promise<TestVM> {
  const t = await TestVM.open({ os: "linux", ...options }, simulated);
  for (let i = 1; i <= 5; i++) t.host.addLinuxLayer(vhd(i), MIB);
  for (let i = 1; i <= 2; i++) t.host.addFile(scratch(i), 3 * MIB);
  return t;
}

function vhd(n: number): string {
  return `C:\\layers\\${n}\\layer.vhd`;
}

function scratch(n: number): string {
  return `C:\\scratch\\${n}\\sandbox.vhdx`;
}

function stack(...layers: number[]): LCOWLayers {
  return { layers: layers.map((n) => ({ vhdPath: vhd(n) })), scratchVhdPath: scratch(1) };
}

Deno.test("mountLCOWLayers() maps layers into vPMem, attaches the scratch, and combines them", async () => {
  await using t = await linux();
  const mounted = await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(mounted.path, "/run/gcs/c/c1/rootfs");
  assertEquals(mounted.scratchPath, "/run/mounts/scsi/m0/scratch/c1");
  assertEquals(t.accesses, [`GrantVmAccess ${scratch(1)}`]);
  assertEquals(t.requests, [
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0/Mappings/0",
      RequestType: "Add",
      Settings: { HostPath: vhd(2), ImageFormat: "Vhd1" },
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "VPMemDevice",
        Settings: { MountPath: "/run/layers/p0-0-1048576", MappingInfo: { DeviceSizeInBytes: MIB } },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0/Mappings/1048576",
      RequestType: "Add",
      Settings: { HostPath: vhd(1), ImageFormat: "Vhd1" },
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "VPMemDevice",
        Settings: {
          MountPath: "/run/layers/p0-1048576-1048576",
          MappingInfo: { DeviceOffsetInBytes: MIB, DeviceSizeInBytes: MIB },
        },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/0",
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: scratch(1) },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "MappedVirtualDisk",
        Settings: { MountPath: "/run/mounts/scsi/m0", EnsureFilesystem: true, Filesystem: "ext4" },
      },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "CombinedLayers",
        Settings: {
          ContainerID: "c1",
          ContainerRootPath: "/run/gcs/c/c1/rootfs",
          Layers: [{ Path: "/run/layers/p0-0-1048576" }, { Path: "/run/layers/p0-1048576-1048576" }],
          ScratchPath: "/run/mounts/scsi/m0/scratch/c1",
        },
      },
    },
  ]);
});

Deno.test("MountedLCOWLayers.placements says where each layer went, in the order given, then the scratch", async () => {
  await using t = await linux({ vpmemDeviceCount: 1, vpmemMultiMapping: false });
  const layers = {
    layers: [{ vhdPath: vhd(3), partition: 2 }, { vhdPath: "C:\\layers\\x\\..\\2\\layer.vhd" }, { vhdPath: vhd(1) }],
    scratchVhdPath: scratch(1),
  };
  await using mounted = await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  const { placements } = mounted;
  assertEquals(placements, [
    { layer: vhd(3), scratch: false, device: { kind: "scsi", controller: 0, lun: 0 }, path: "/run/mounts/scsi/m0" },
    { layer: vhd(2), scratch: false, device: { kind: "vpmem", device: 0 }, path: "/run/layers/p0" },
    { layer: vhd(1), scratch: false, device: { kind: "scsi", controller: 0, lun: 1 }, path: "/run/mounts/scsi/m1" },
    { layer: scratch(1), scratch: true, device: { kind: "scsi", controller: 0, lun: 2 }, path: "/run/mounts/scsi/m2" },
  ]);
  // They are where the guest was told to find the layers.
  const [combine] = t.requests.filter(({ GuestRequest }) => GuestRequest?.ResourceType === "CombinedLayers");
  const { Layers } = combine!.GuestRequest!.Settings as { Layers: { Path: string }[] };
  assertEquals(Layers.map(({ Path }) => Path), placements.slice(0, -1).map(({ path }) => path));
  assertEquals(mounted.scratchPath, `${placements.at(-1)!.path}/scratch/c1`);
  const { holds, path, scratchPath } = mounted;
  assertEquals(JSON.parse(JSON.stringify(mounted)), { holds, path, scratchPath, placements });
});

Deno.test("MountedLCOWLayers.placements of layers that share a device tells them apart, and names a shared layer the same", async () => {
  await using t = await linux();
  const mount = (id: string, ...layers: number[]) =>
    mountLCOWLayers(id, stack(...layers), { vm: t.vm, guestRoot: `/run/gcs/c/${id}` });
  await using first = await mount("c1", 2, 1);
  await using second = await mount("c2", 3, 1);
  assertEquals(first.placements.map(({ device }) => device), [
    { kind: "vpmem", device: 0 },
    { kind: "vpmem", device: 0 },
    { kind: "scsi", controller: 0, lun: 0 },
  ]);
  assertEquals(new Set([...first.placements, ...second.placements].map(({ path }) => path)).size, 4);
  assertEquals(second.placements.slice(1), first.placements.slice(1));
});

Deno.test("MountedLCOWLayers.release() releases in reverse order, once, and side by side what doesn't rest on each other", async () => {
  await using t = await linux();
  const mounted = await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
  t.forget();
  await mounted.release();
  assertEquals(t.requests, [
    {
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "CombinedLayers",
        Settings: { ContainerRootPath: "/run/gcs/c/c1/rootfs" },
      },
    },
    {
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "MappedVirtualDisk",
        Settings: { MountPath: "/run/mounts/scsi/m0" },
      },
    },
    { GuestRequest: { RequestType: "Remove", ResourceType: "SCSIDevice", Settings: {} } },
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0/Mappings/1048576",
      RequestType: "Remove",
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "VPMemDevice",
        Settings: {
          MountPath: "/run/layers/p0-1048576-1048576",
          MappingInfo: { DeviceOffsetInBytes: MIB, DeviceSizeInBytes: MIB },
        },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0/Mappings/0",
      RequestType: "Remove",
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "VPMemDevice",
        Settings: { MountPath: "/run/layers/p0-0-1048576", MappingInfo: { DeviceSizeInBytes: MIB } },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/0",
      RequestType: "Remove",
    },
  ]);
  assertEquals(t.accesses, [`GrantVmAccess ${scratch(1)}`, `RevokeVmAccess ${scratch(1)}`]);
  await mounted.release();
  assertEquals(t.requests.length, 6);
});

Deno.test("mountLCOWLayers() gives each layer a vPMem device of its own without multi-mapping", async () => {
  await using t = await linux({ vpmemMultiMapping: false });
  const mounted = await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests.slice(0, 2), [
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/0",
      RequestType: "Add",
      Settings: { HostPath: vhd(2), ReadOnly: true, ImageFormat: "Vhd1" },
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "VPMemDevice",
        Settings: { MountPath: "/run/layers/p0" },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/1",
      RequestType: "Add",
      Settings: { HostPath: vhd(1), ReadOnly: true, ImageFormat: "Vhd1" },
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "VPMemDevice",
        Settings: { DeviceNumber: 1, MountPath: "/run/layers/p1" },
      },
    },
  ]);
  t.forget();
  await mounted.release();
  assertEquals(t.requests.at(-3), {
    ResourcePath: "VirtualMachine/Devices/VirtualPMem/Devices/1",
    RequestType: "Remove",
    GuestRequest: {
      RequestType: "Remove",
      ResourceType: "VPMemDevice",
      Settings: { DeviceNumber: 1, MountPath: "/run/layers/p1" },
    },
  });
});

Deno.test("mountLCOWLayers() attaches a disk once for several partitions, side by side", async () => {
  await using t = await linux();
  const layers = {
    layers: [1, 2, 3].map((partition) => ({ vhdPath: vhd(1), partition })),
    scratchVhdPath: scratch(1),
  };
  const mounted = await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests.slice(0, 4), [
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/0",
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: vhd(1), ReadOnly: true },
    },
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/1",
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: scratch(1) },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "MappedVirtualDisk",
        Settings: { MountPath: "/run/mounts/scsi/m0", Partition: 1, ReadOnly: true, Options: ["ro"] },
      },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "MappedVirtualDisk",
        Settings: { MountPath: "/run/mounts/scsi/m1", Partition: 2, ReadOnly: true, Options: ["ro"] },
      },
    },
  ]);
  assertEquals(mounted.scratchPath, "/run/mounts/scsi/m3/scratch/c1");
  // A layer's disk must be readable for all VMs already.
  assertEquals(t.accesses, [`GrantVmAccess ${scratch(1)}`]);
  t.forget();
  await mounted.release();
  assertEquals(t.requests.map(short), [
    "Remove CombinedLayers /run/gcs/c/c1/rootfs",
    "Remove MappedVirtualDisk /run/mounts/scsi/m3",
    "Remove MappedVirtualDisk /run/mounts/scsi/m2",
    "Remove MappedVirtualDisk /run/mounts/scsi/m1",
    "Remove MappedVirtualDisk /run/mounts/scsi/m0",
    "Remove SCSIDevice 0:1",
    "Remove SCSIDevice 0:0",
    "Remove Scsi/df6d/Attachments/1",
    "Remove Scsi/df6d/Attachments/0",
  ]);
  assertEquals(t.held(), []);
});

Deno.test("mountLCOWLayers() uses SCSI for layers that are larger than a vPMem device", async () => {
  await using t = await linux({ vpmemMultiMapping: false, vpmemSizeBytes: MIB });
  t.host.addLinuxLayer("C:\\layers\\large.vhd", MIB + 4096);
  const layers = { layers: [{ vhdPath: "C:\\layers\\large.vhd" }, { vhdPath: vhd(1) }], scratchVhdPath: scratch(1) };
  await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests.map(short), [
    "Add Scsi/df6d/Attachments/0",
    "Add VirtualPMem/Devices/0 + Add VPMemDevice /run/layers/p0",
    "Add Scsi/df6d/Attachments/1",
    "Add MappedVirtualDisk /run/mounts/scsi/m0",
    "Add MappedVirtualDisk /run/mounts/scsi/m1",
    "Add CombinedLayers /run/gcs/c/c1/rootfs",
  ]);
});

Deno.test("mountLCOWLayers() uses SCSI alone where the VM's memory is physically backed", async () => {
  await using t = await linux({ fullyPhysicallyBacked: true });
  await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests.map(short), [
    "Add Scsi/df6d/Attachments/0",
    "Add Scsi/df6d/Attachments/1",
    "Add Scsi/df6d/Attachments/2",
    "Add MappedVirtualDisk /run/mounts/scsi/m0",
    "Add MappedVirtualDisk /run/mounts/scsi/m1",
    "Add MappedVirtualDisk /run/mounts/scsi/m2",
    "Add CombinedLayers /run/gcs/c/c1/rootfs",
  ]);
});

Deno.test("mountLCOWLayers() has the guest encrypt the scratch where the VM was made so", async () => {
  await using t = await linux({ encryptScratch: true });
  await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests[2]!.GuestRequest!.Settings, {
    MountPath: "/run/mounts/scsi/m0",
    Encrypted: true,
    EnsureFilesystem: true,
    Filesystem: "xfs",
  });
});

Deno.test("mountLCOWLayers() adds once what two containers share, and removes it with the last", async () => {
  await using t = await linux();
  const first = await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
  t.forget();
  // The same files to Windows.
  const upper = {
    layers: [{ vhdPath: vhd(1).toUpperCase() }],
    scratchVhdPath: scratch(1).toUpperCase(),
  };
  const second = await mountLCOWLayers("c2", upper, { vm: t.vm, guestRoot: "/run/gcs/c/c2" });
  assertEquals(t.requests.map(short), ["Add CombinedLayers /run/gcs/c/c2/rootfs"]);
  assertEquals(second.scratchPath, "/run/mounts/scsi/m0/scratch/c2");
  t.forget();
  await first.release();
  assertEquals(t.requests.map(short), [
    "Remove CombinedLayers /run/gcs/c/c1/rootfs",
    "Remove VirtualPMem/Devices/0/Mappings/0 + Remove VPMemDevice /run/layers/p0-0-1048576",
  ]);
  await second.release();
  assertEquals(t.held(), []);
  assertEquals(t.accesses.length, 2);
});

Deno.test("mountLCOWLayers() mounts a scratch at the container's folder if asked to, unless it is mounted already", async () => {
  await using t = await linux();
  const options = { vm: t.vm, guestRoot: GUEST_ROOT, scratchAtRoot: true };
  const first = await mountLCOWLayers("c1", stack(2, 1), options);
  assertEquals(first.scratchPath, `${GUEST_ROOT}/scratch/c1`);
  assertEquals(t.requests.map(short).slice(-2), [
    `Add MappedVirtualDisk ${GUEST_ROOT}`,
    `Add CombinedLayers ${GUEST_ROOT}/rootfs`,
  ]);
  const second = await mountLCOWLayers("c2", stack(1), { ...options, guestRoot: "/run/gcs/c/c2" });
  assertEquals(second.scratchPath, `${GUEST_ROOT}/scratch/c2`);
  await first.release();

  // The first one's folder is on the disk that the second one has.
  const other: LCOWLayers = { ...stack(1), scratchVhdPath: scratch(2) };
  const [requests, grants] = [t.requests.length, t.accesses.length];
  for (
    const [guestRoot, scratchAtRoot] of [
      [GUEST_ROOT, true],
      [GUEST_ROOT, false],
      [`${GUEST_ROOT}/c3`, true],
      [`${GUEST_ROOT}/c3`, false],
      ["/run/gcs/c", true],
      ["/run/gcs/c/c2/rootfs/c3", true],
    ] as const
  ) {
    const mounting = () => mountLCOWLayers("c3", other, { vm: t.vm, guestRoot, scratchAtRoot });
    await assertRejects(mounting, InUseError, undefined, `${guestRoot} ${scratchAtRoot}`);
  }
  assertEquals([t.requests.length, t.accesses.length], [requests, grants]);
  const again = await mountLCOWLayers("c1", stack(1), options);
  await second.release();
  await again.release();
  assertEquals(t.held(), []);
  const third = await mountLCOWLayers("c3", other, options);
  assertEquals(third.scratchPath, `${GUEST_ROOT}/scratch/c3`);
  await third.release();
  assertEquals(t.held(), []);
});

Deno.test("mountLCOWLayers() gives back what it added where the guest refuses to combine, and has it take apart", async () => {
  await using t = await linux();
  t.refuse((_, nth) => nth === 5);
  const error = await assertRejects(
    () => mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT }),
    NativeError,
  );
  assertEquals(error.win32, 5);
  assertEquals(t.requests.slice(5).map(short), [
    "Remove CombinedLayers /run/gcs/c/c1/rootfs",
    "Remove MappedVirtualDisk /run/mounts/scsi/m0",
    "Remove SCSIDevice 0:0",
    "Remove VirtualPMem/Devices/0/Mappings/1048576 + Remove VPMemDevice /run/layers/p0-1048576-1048576",
    "Remove VirtualPMem/Devices/0/Mappings/0 + Remove VPMemDevice /run/layers/p0-0-1048576",
    "Remove Scsi/df6d/Attachments/0",
  ]);
  assertEquals(t.held(), []);
  t.failNothing();
  await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
});

Deno.test("mountLCOWLayers() leaves a disk attached that the guest failed to unmount, and detaches it later", async () => {
  await using t = await linux();
  const mounted = await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  t.refuse(({ GuestRequest }) => GuestRequest?.ResourceType === "MappedVirtualDisk");
  t.forget();
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess", "scsiAttachment", "scsiMount"]);
  assertEquals(t.requests.map(short), [
    "Remove CombinedLayers /run/gcs/c/c1/rootfs",
    "Remove MappedVirtualDisk /run/mounts/scsi/m0",
    "Remove VirtualPMem/Devices/0/Mappings/0 + Remove VPMemDevice /run/layers/p0-0-1048576",
  ]);
  t.failNothing();
  t.forget();
  await mounted.release();
  assertEquals(t.requests.map(short), [
    "Remove MappedVirtualDisk /run/mounts/scsi/m0",
    "Remove SCSIDevice 0:0",
    "Remove Scsi/df6d/Attachments/0",
  ]);
  assertEquals(t.held(), []);
  assertEquals(t.accesses, [`GrantVmAccess ${scratch(1)}`, `RevokeVmAccess ${scratch(1)}`]);
});

Deno.test("mountLCOWLayers() aborted gives back what was added", async () => {
  await using t = await linux();
  const stop = new AbortController();
  t.refuse((_, nth) => {
    if (nth === 3) stop.abort(new Error("stopped"));
    return false;
  });
  await assertRejects(
    () => mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT, signal: stop.signal }),
    Error,
    "stopped",
  );
  assertEquals(t.held(), []);
  assertEquals(t.accesses.length, 2);
});

Deno.test("mountLCOWLayers() in a VM that ends takes back the access to files, and asks a dead VM for nothing", async () => {
  await using t = await linux();
  const mounted = await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  await t.vm.terminate();
  t.forget();
  await mounted.release();
  assertEquals(t.requests, []);
  assertEquals(t.accesses.at(-1), `RevokeVmAccess ${scratch(1)}`);
});

Deno.test("mountLCOWLayers() fails at once where the VM exits while a request is under way, and takes back the access", async () => {
  const answer = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const latency = ({ args }: NativeCall) => {
    if (!String(args.configuration).includes("MappedVirtualDisk")) return undefined;
    asked.resolve();
    return answer.promise;
  };
  await using t = await linux({}, { latency });
  const mounting = mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  await asked.promise;
  t.host.notify("vm1", "SystemExited");
  const error = await assertRejects(() => mounting, VMStateError);
  assertEquals(error.reason, "exited");
  assertEquals(t.accesses, [`GrantVmAccess ${scratch(1)}`, `RevokeVmAccess ${scratch(1)}`]);
  answer.resolve();
});

Deno.test("UnwindError.release() goes on where a failed mount couldn't be undone", async () => {
  await using t = await linux();
  t.refuse(({ RequestType, ResourcePath }, nth) =>
    nth === 4 || RequestType === "Remove" && ResourcePath !== undefined && ResourcePath.includes("Scsi")
  );
  const error = await assertRejects(
    () => mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT }),
    UnwindError,
  );
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess", "scsiAttachment"]);
  assertEquals(t.held(), [`scsiAttachment vm1 0:0 ${scratch(1)}`]);
  t.failNothing();
  await error.release();
  assertEquals(t.held(), []);
});

Deno.test("mountLCOWLayers() removes a device first that another container failed to remove", async () => {
  await using t = await linux();
  const first = await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  t.refuse(({ ResourcePath }) => ResourcePath?.includes("VirtualPMem") === true);
  await assertRejects(() => first.release());
  t.failNothing();
  t.forget();
  const second = await mountLCOWLayers("c2", stack(1), { vm: t.vm, guestRoot: "/run/gcs/c/c2" });
  assertEquals(t.requests.map(short).filter((request) => request.includes("VirtualPMem")), [
    "Remove VirtualPMem/Devices/0/Mappings/0 + Remove VPMemDevice /run/layers/p0-0-1048576",
    "Add VirtualPMem/Devices/0/Mappings/0 + Add VPMemDevice /run/layers/p0-0-1048576",
  ]);
  // The first container's release has nothing left to do, and takes nothing from the second.
  const before = t.held();
  await first.release();
  assertEquals(t.held(), before);
  await second.release();
  assertEquals(t.held(), []);
});

Deno.test("mountLCOWLayers() leaves the device of the disk alone that the VM boots from", async () => {
  await using t = await linux({ rootFile: "rootfs.vhd", vpmemMultiMapping: false });
  const boot = { layers: [{ vhdPath: vhd(1) }, { vhdPath: "c:\\BOOT\\rootfs.vhd" }], scratchVhdPath: scratch(1) };
  await assertRejects(() => mountLCOWLayers("c1", boot, { vm: t.vm, guestRoot: GUEST_ROOT }), InUseError, "boots from");
  assertEquals(t.requests, []);
  await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(t.requests.map(short)[0], "Add VirtualPMem/Devices/1 + Add VPMemDevice /run/layers/p1");
});

Deno.test("mountLCOWLayers() attaches a VHDX as a SCSI disk, and a VHD beside it as persistent memory", async () => {
  await using t = await linux();
  const vhdx = "C:\\layers\\x\\Layer.VHDX";
  t.host.addLinuxLayer(vhdx, MIB);
  const layers = { layers: [{ vhdPath: vhdx }, { vhdPath: vhd(1) }], scratchVhdPath: scratch(1) };
  await using mounted = await mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  assertEquals(mounted.placements.map(({ device }) => device.kind), ["scsi", "vpmem", "scsi"]);
});

Deno.test("mountLCOWLayers() refuses layers that don't fit, with the numbers, before it touches the VM", async () => {
  await using t = await linux({ vpmemMultiMapping: false, vpmemDeviceCount: 1, vpmemSizeBytes: 2 * MIB });
  for (let i = 0; i < 62; i++) {
    t.host.addFile(`C:\\other\\${i}.vhd`, MIB);
    requireLayerVM(t.vm, "linux").scsi.reserveAttachment(hostFile(t.host, `C:\\other\\${i}.vhd`), { readOnly: true });
  }
  const error = await assertRejects(
    () => mountLCOWLayers("c1", stack(4, 3, 2, 1), { vm: t.vm, guestRoot: GUEST_ROOT }),
    NoRoomError,
  );
  assertEquals(
    error.message,
    "The VM has no room for 4 layers and a scratch disk: 2 more SCSI slots needed. 62 of 64 SCSI slots used; " +
      "0 of 1 vPMem devices used, each up to 2097152 bytes",
  );
  assertEquals(error.missing, 2);
  assertEquals(t.requests, []);
  assertEquals(t.accesses, []);
  // What was planned doesn't hold on to its places.
  await mountLCOWLayers("c1", stack(2, 1), { vm: t.vm, guestRoot: GUEST_ROOT });
});

Deno.test("mountLCOWLayers() refuses the folder of another container in the VM", async () => {
  await using t = await linux();
  await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  t.forget();
  const error = await assertRejects(
    () => mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: `${GUEST_ROOT}/` }),
    InUseError,
  );
  assertEquals([error.path, error.by], [`${GUEST_ROOT}/`, "vm1"]);
  assertEquals(t.requests, []);
});

Deno.test("mountLCOWLayers() refuses a layer that the VM has as a scratch", async () => {
  await using t = await linux();
  await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  const layers = { layers: [{ vhdPath: scratch(1), partition: 1 }], scratchVhdPath: scratch(2) };
  t.forget();
  await assertRejects(() => mountLCOWLayers("c2", layers, { vm: t.vm, guestRoot: "/run/gcs/c/c2" }), InUseError);
  assertEquals(t.requests, []);
});

Deno.test("mountLCOWLayers() refuses a scratch that the VM has as a layer", async () => {
  await using t = await linux();
  await mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT });
  const layers = { ...stack(2), scratchVhdPath: vhd(1) };
  t.forget();
  const error = await assertRejects(
    () => mountLCOWLayers("c2", layers, { vm: t.vm, guestRoot: "/run/gcs/c/c2" }),
    InUseError,
  );
  assertEquals([error.path, error.by, t.requests], [vhd(1), "vm1", []]);
});

Deno.test("mountLCOWLayers() has a disk in the VM in one way only", async () => {
  await using t = await linux();
  const mount = (container: string, partition: number) =>
    mountLCOWLayers(container, { layers: [{ vhdPath: vhd(1), partition }], scratchVhdPath: scratch(1) }, {
      vm: t.vm,
      guestRoot: `/run/gcs/c/${container}`,
    });
  const whole = await mount("c1", 0);
  const error = await assertRejects(() => mount("c2", 1), InUseError);
  assertEquals([error.path, error.by], [vhd(1), "vm1"]);
  await whole.release();
  await using _partition = await mount("c2", 1);
  t.forget();
  // It is a SCSI disk now, so the whole of it is as well.
  await mount("c1", 0);
  assertEquals(t.requests.map(short)[0], "Add MappedVirtualDisk /run/mounts/scsi/m2");
});

const bad: [what: string, argument: string, call: (t: TestVM) => Promise<unknown>][] = [
  ["no VM", "vm", () => mountLCOWLayers("c1", stack(1), { vm: undefined!, guestRoot: GUEST_ROOT })],
  [
    "a Windows VM",
    "vm",
    async () => {
      await using windows = await TestVM.open({ os: "windows" });
      await mountLCOWLayers("c1", stack(1), { vm: windows.vm, guestRoot: GUEST_ROOT });
    },
  ],
  ["an empty container id", "containerId", (t) => mountLCOWLayers("", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT })],
  ["no layers at all", "layers", (t) => mountLCOWLayers("c1", null!, { vm: t.vm, guestRoot: GUEST_ROOT })],
  [
    "an empty list of layers",
    "layers.layers",
    (t) => mountLCOWLayers("c1", stack(), { vm: t.vm, guestRoot: GUEST_ROOT }),
  ],
  ["a layer that is null", "layers.layers[1]", (t) => {
    const layers = { layers: [{ vhdPath: vhd(1) }, null!], scratchVhdPath: scratch(1) };
    return mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  }],
  ["an empty scratch path", "layers.scratchVhdPath", (t) => {
    return mountLCOWLayers("c1", { ...stack(1), scratchVhdPath: "" }, { vm: t.vm, guestRoot: GUEST_ROOT });
  }],
  ["a scratch that doesn't exist", "layers.scratchVhdPath", (t) => {
    return mountLCOWLayers("c1", { ...stack(1), scratchVhdPath: "C:\\no.vhdx" }, { vm: t.vm, guestRoot: GUEST_ROOT });
  }],
  ["a scratch that is a layer", "layers.scratchVhdPath", (t) => {
    const layers = { ...stack(1), scratchVhdPath: vhd(1).toUpperCase() };
    return mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
  }],
  ...([
    ["an empty file", "C:\\layers\\empty.vhd"],
    ["a file that doesn't exist", "C:\\layers\\no.vhd"],
    ["a folder", "C:\\layers\\1"],
    ["a relative path", "layers\\1.vhd"],
  ] as const).map(([what, vhdPath]): typeof bad[number] => [
    `a layer that is ${what}`,
    "layers.layers[1].vhdPath",
    (t) => {
      t.host.addFile("C:\\layers\\empty.vhd", 0);
      const layers = { layers: [{ vhdPath: vhd(1) }, { vhdPath }], scratchVhdPath: scratch(1) };
      return mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
    },
  ]),
  ...[-1, 1.5, NaN, "1" as unknown as number].map((partition): typeof bad[number] => [
    `${JSON.stringify(partition)} as partition`,
    "layers.layers[0].partition",
    (t) => {
      const layers = { layers: [{ vhdPath: vhd(1), partition }], scratchVhdPath: scratch(1) };
      return mountLCOWLayers("c1", layers, { vm: t.vm, guestRoot: GUEST_ROOT });
    },
  ]),
  ["an empty guest root", "guestRoot", (t) => mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: "" })],
  ["a relative guest root", "guestRoot", (t) => mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: "run/c1" })],
];

for (
  const [what, reason, start, end] of [
    ["a VM that wasn't started", "notStarted", false, () => {}],
    ["a VM that has ended", "exited", true, (t: TestVM) => t.vm.terminate()],
    ["a VM that was closed, which ends it", "exited", true, (t: TestVM) => t.vm.close()],
  ] as const
) {
  Deno.test(`mountLCOWLayers() refuses ${what}`, async () => {
    await using t = await linux({}, { start });
    await end(t);
    t.forget();
    const error = await assertRejects(
      () => mountLCOWLayers("c1", stack(1), { vm: t.vm, guestRoot: GUEST_ROOT }),
      VMStateError,
    );
    assertEquals([error.vm, error.reason], ["vm1", reason]);
    assertEquals([t.requests, t.accesses], [[], []]);
  });
}

for (const [what, argument, call] of bad) {
  Deno.test(`mountLCOWLayers() refuses ${what} before it touches the VM`, async () => {
    await using t = await linux();
    const error = await assertRejects(() => call(t), InvalidInputError);
    assertEquals(error.argument, argument);
    assertStringIncludes(error.message, argument);
    assertEquals(t.requests, []);
    assertEquals(t.accesses, []);
    assertInstanceOf(error, Error);
  });
}
