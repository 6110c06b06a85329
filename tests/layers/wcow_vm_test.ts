import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { hostFile } from "../../src/checks/host_file.ts";
import { InvalidInputError } from "../../src/errors/input_error.ts";
import { NoRoomError, VMStateError } from "../../src/errors/vm_errors.ts";
import { NativeError } from "../../src/errors/windows_errors.ts";
import { ReleaseError } from "../../src/holds/release_errors.ts";
import { mountWCOWLayers } from "../../src/layers/wcow.ts";
import { getHCSLayers } from "../../src/layers/wcow_vm.ts";
import { simulatedLayerId } from "../../src/simulated/name_to_guid.ts";
import { requireLayerVM } from "../../src/uvm/devices/vm_devices.ts";
import { resolved } from "../support/paths.ts";
import { short, TestVM } from "../support/vm.ts";

const SHARE = "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\";

async function windows(
  simulated?: Parameters<typeof TestVM.open>[1],
  options: { noDirectMap?: boolean } = {},
): Promise<TestVM> {
  const t = await TestVM.open({ os: "windows", ...options }, simulated);
  ["base", "top"].forEach((name) => t.host.addLayer(`C:\\layers\\${name}`));
  [1, 2].forEach((n) => t.host.addScratch(`C:\\scratch\\${n}`));
  return t;
}

function mount({ vm }: TestVM, ...folders: string[]) {
  return mountWCOWLayers("c", folders, { vm, signal: undefined });
}

const STACK = ["C:\\layers\\top", "C:\\layers\\base", "C:\\scratch\\1"];

Deno.test("mountWCOWLayers() in a VM shares the layers, attaches the scratch, and combines them", async () => {
  await using t = await windows();
  const mounted = await mount(t, ...STACK);
  assertEquals(mounted.path, "c:\\mounts\\scsi\\m0");
  assertEquals(mounted.volumeMountPath, undefined);
  const options = { ReadOnly: true, ShareRead: true, CacheIo: true, TakeBackupPrivilege: true, PseudoOplocks: true };
  assertEquals(t.requests, [
    {
      ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
      RequestType: "Add",
      Settings: { Name: "s1", Path: "C:\\layers\\top", Options: options },
    },
    {
      ResourcePath: "VirtualMachine/Devices/VirtualSmb/Shares",
      RequestType: "Add",
      Settings: { Name: "s2", Path: "C:\\layers\\base", Options: options },
    },
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/1",
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: resolved("C:\\scratch\\1\\sandbox.vhdx") },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "MappedVirtualDisk",
        Settings: { ContainerPath: "c:\\mounts\\scsi\\m0", Lun: 1 },
      },
    },
    {
      GuestRequest: {
        RequestType: "Add",
        ResourceType: "CombinedLayers",
        Settings: {
          ContainerRootPath: "c:\\mounts\\scsi\\m0",
          Layers: [
            { Id: simulatedLayerId("top"), Path: `${SHARE}s1` },
            { Id: simulatedLayerId("base"), Path: `${SHARE}s2` },
          ],
        },
      },
    },
  ]);
  t.forget();
  await mounted.release();
  assertEquals(t.requests, [
    {
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "CombinedLayers",
        Settings: { ContainerRootPath: "c:\\mounts\\scsi\\m0" },
      },
    },
    {
      GuestRequest: {
        RequestType: "Remove",
        ResourceType: "MappedVirtualDisk",
        Settings: { ContainerPath: "c:\\mounts\\scsi\\m0", Lun: 1 },
      },
    },
    {
      ResourcePath: "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/1",
      RequestType: "Remove",
    },
  ]);
});

Deno.test("mountWCOWLayers() in a VM shares a layer of two containers once, however its path is written", async () => {
  await using t = await windows();
  const first = await mount(t, ...STACK);
  t.forget();
  const second = await mount(t, "c:\\LAYERS\\Base", "C:\\scratch\\2");
  assertEquals(t.requests.map(short), [
    "Add Scsi/df6d/Attachments/2",
    "Add MappedVirtualDisk c:\\mounts\\scsi\\m1",
    "Add CombinedLayers c:\\mounts\\scsi\\m1",
  ]);
  await first.release();
  await second.release();
  assertEquals(t.left(), []);
});

Deno.test("mountWCOWLayers() in a VM uses a share again that stayed, and one that isn't mapped directly doesn't stay", async () => {
  for (const noDirectMap of [false, true]) {
    await using t = await windows({}, { noDirectMap });
    await (await mount(t, ...STACK)).release();
    const stayed = noDirectMap ? [] : ["vsmbShare vm1 s1 C:\\layers\\top", "vsmbShare vm1 s2 C:\\layers\\base"];
    assertEquals(t.held(), stayed);
    t.forget();
    const mounted = await mount(t, ...STACK);
    const added = t.requests.map(short).filter((request) => request === "Add VirtualSmb/Shares");
    assertEquals(added.length, noDirectMap ? 2 : 0);
    assertEquals(mounted.placements[0]!.path, `${SHARE}${noDirectMap ? "s3" : "s1"}`);
    await mounted.release();
    assertEquals(t.held(), stayed);
    await t.vm.close();
    assertEquals(t.held(), []);
  }
});

Deno.test("mountWCOWLayers() in a VM keeps the layers of a tree that the guest failed to take apart", async () => {
  await using t = await windows();
  const mounted = await mount(t, ...STACK);
  const held = t.held();
  t.refuse(() => true);
  t.forget();
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.holds.length, 6);
  assertEquals(t.requests.map(short), ["Remove CombinedLayers c:\\mounts\\scsi\\m0"]);
  assertEquals(t.held(), held);
  t.failNothing();
  await mounted.release();
  assertEquals(t.left(), []);
});

Deno.test("mountWCOWLayers() in a VM keeps the access to a disk that it failed to detach", async () => {
  await using t = await windows();
  const mounted = await mount(t, ...STACK);
  t.refuse(({ ResourcePath }) => ResourcePath?.includes("Scsi") === true);
  const error = await assertRejects(() => mounted.release(), ReleaseError);
  assertEquals(error.holds.map(({ kind }) => kind), ["vmAccess", "scsiAttachment"]);
  assertEquals(t.host.calls.some((call) => call.function === "RevokeVmAccess"), false);
  t.failNothing();
  await mounted.release();
  assertEquals(t.left(), []);
  assertEquals(t.host.calls.filter((call) => call.function === "RevokeVmAccess").length, 1);
});

Deno.test("mountWCOWLayers() in a VM gives back what it added where a layer has no id", async () => {
  await using t = await windows();
  t.host.fail({ function: "NameToGuid", code: 31, nth: 2 });
  const error = await assertRejects(() => mount(t, ...STACK), NativeError);
  assertEquals(error.operation, "NameToGuid");
  assertEquals(t.left(), []);
});

Deno.test("mountWCOWLayers() in a VM asks for nothing where the access to the scratch can't be granted", async () => {
  await using t = await windows();
  t.host.fail({ function: "GrantVmAccess", code: 5 });
  await assertRejects(() => mount(t, ...STACK), NativeError);
  assertEquals(t.requests.map(short), ["Add VirtualSmb/Shares", "Add VirtualSmb/Shares"]);
});

Deno.test("mountWCOWLayers() refuses a scratch for which the VM has no place, before it touches the VM", async () => {
  await using t = await windows();
  for (let i = 1; i < 64; i++) {
    t.host.addFile(`C:\\other\\${i}.vhd`, 2 ** 20);
    requireLayerVM(t.vm, "windows").scsi.reserveAttachment(hostFile(t.host, `C:\\other\\${i}.vhd`), { readOnly: true });
  }
  const error = await assertRejects(() => mount(t, ...STACK), NoRoomError);
  assertEquals(
    error.message,
    "The VM has no room for the scratch disk of C:\\scratch\\1: 1 more SCSI slot needed. 64 of 64 SCSI slots used",
  );
  assertEquals(t.requests, []);
});

const bad: [what: string, argument: string, call: (t: TestVM) => Promise<unknown>][] = [
  ["a Linux VM", "vm", async () => {
    await using linux = await TestVM.open({ os: "linux" });
    await mount(linux, ...STACK);
  }],
  ["a layer that doesn't exist", "layerFolders[0]", (t) => mount(t, "C:\\layers\\no", "C:\\scratch\\1")],
  ["a layer that is a file", "layerFolders[0]", (t) => {
    return mount(t, "C:\\scratch\\2\\sandbox.vhdx", "C:\\scratch\\1");
  }],
  ["a scratch without a disk", "layerFolders[1]", (t) => mount(t, "C:\\layers\\top", "C:\\layers\\base")],
];

for (
  const [what, reason, start, end] of [
    ["a VM that wasn't started", "notStarted", false, () => {}],
    ["a VM that has ended", "exited", true, (t: TestVM) => t.vm.terminate()],
  ] as const
) {
  Deno.test(`mountWCOWLayers() in a VM refuses ${what}`, async () => {
    await using t = await windows({ start });
    await end(t);
    t.forget();
    const error = await assertRejects(() => mount(t, ...STACK), VMStateError);
    assertEquals([error.reason, t.requests], [reason, []]);
  });
}

for (const [what, argument, call] of bad) {
  Deno.test(`mountWCOWLayers() in a VM refuses ${what} before it touches the VM`, async () => {
    await using t = await windows();
    const error = await assertRejects(() => call(t), InvalidInputError);
    assertEquals(error.argument, argument);
    assertEquals(t.requests, []);
  });
}

Deno.test("MountedLayers.placements in a VM says where each layer went, in the order given, then the scratch", async () => {
  await using t = await windows();
  await using mounted = await mount(t, ...STACK);
  const { placements, path, holds } = mounted;
  assertEquals(placements, [
    { layer: "C:\\layers\\top", scratch: false, device: { kind: "vsmb", share: "s1" }, path: `${SHARE}s1` },
    { layer: "C:\\layers\\base", scratch: false, device: { kind: "vsmb", share: "s2" }, path: `${SHARE}s2` },
    { layer: "C:\\scratch\\1", scratch: true, device: { kind: "scsi", controller: 0, lun: 1 }, path },
  ]);
  const layers = await getHCSLayers(t.vm, STACK.slice(0, -1));
  assertEquals(layers.map(({ Path }) => Path), placements.slice(0, -1).map((placement) => placement.path));
  assertEquals(JSON.parse(JSON.stringify(mounted)), { holds, path, placements });
});

Deno.test("getHCSLayers() returns ids and guest paths of layers that are mounted", async () => {
  await using t = await windows();
  await using _mounted = await mount(t, ...STACK);
  const layers = await getHCSLayers(t.vm, ["C:\\layers\\base\\", "c:\\LAYERS\\top"]);
  assertEquals(layers, [
    { Id: simulatedLayerId("base"), Path: `${SHARE}s2` },
    { Id: simulatedLayerId("top"), Path: `${SHARE}s1` },
  ]);
});

Deno.test("getHCSLayers() refuses a folder that isn't shared with the VM", async () => {
  await using t = await windows();
  const mounted = await mount(t, ...STACK);
  const cases: [folder: string, problem: RegExp][] = [
    ["C:\\scratch\\1", /isn't shared/],
    ["C:\\layers\\no", /doesn't exist/],
    ["", /is empty/],
  ];
  for (const [folder, problem] of cases) {
    const error = await assertRejects(() => getHCSLayers(t.vm, ["C:\\layers\\top", folder]), InvalidInputError);
    assertEquals(error.argument, "layerFolders[1]");
    assertEquals(problem.test(error.message), true);
  }
  await mounted.release();
  await assertRejects(() => getHCSLayers(t.vm, ["C:\\layers\\top"]), InvalidInputError);
  await using linux = await TestVM.open({ os: "linux" });
  await assertRejects(() => getHCSLayers(linux.vm, []), InvalidInputError);
});
