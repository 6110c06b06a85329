// Rules of the simulated host that no other test meets: what it refuses to guess, and what would crash on Windows.
import { assertRejects } from "jsr:@std/assert@^1.0.0";
import * as adv from "../../src/ffi/advapi32.ts";
import * as cim from "../../src/ffi/cimfs.ts";
import * as hcs from "../../src/ffi/computestorage.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as vd from "../../src/ffi/virtdisk.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import * as compute from "../../src/ffi/vmcompute_hcs.ts";
import { wide } from "../../src/ffi/wide.ts";
import { ws2 } from "../../src/ffi/ws2_32.ts";
import type { ModifySettingRequest } from "../../src/hcsschema/requests.ts";
import { layerData } from "../../src/hcsschema/storage.ts";
import { type SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { standInGuid } from "../../src/simulated/name_to_guid.ts";
import { createUtilityVM, type UtilityVM } from "../../src/uvm/utility_vm.ts";
import { GIB, hostWith, withWrapped } from "../support/host.ts";
import { LINUX, startedVM, vmHost, WINDOWS } from "../support/vm_host.ts";

const BASE = "C:\\layers\\base";
const TOP = "C:\\layers\\top";
const SCRATCH = "C:\\scratch";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const EMPTY = "C:\\empty";
const IMAGE = "11111111-2222-3333-4444-555555555555";
const MISSING = "\\\\?\\Volume{99999999-2222-3333-4444-555555555555}\\";

const volume = (id: string) => `\\\\?\\Volume{${id}}\\`;
const scratchVolume = volume(standInGuid(`volume:${SCRATCH}`));
const parent = (path: string): dll.ParentLayer => ({ id: standInGuid(path.slice(path.lastIndexOf("\\") + 1)), path });
const overlay = layerData({ layers: [{ Id: IMAGE, Path: `${volume(IMAGE)}Files` }], filterType: "UnionFS" });

/** A scratch with an image over it. */
async function overlaid(host: SimulatedHost): Promise<void> {
  await dll.activateLayer(host, SCRATCH);
  await cim.mountImage(
    host,
    { folder: "C:\\layers\\cim-layers", name: "top.cim" },
    IMAGE,
    cim.cimMountFlag.CACHE_FILES,
  );
  await hcs.attachOverlayFilter(host, scratchVolume, overlay);
}

async function diskHandle(host: SimulatedHost): Promise<bigint> {
  return (await vd.openVirtualDisk(host, DISK)).value;
}

/** TOKEN_PRIVILEGES of one privilege. */
function privileges(count: number): Uint8Array<ArrayBuffer> {
  const state = new Uint8Array(16);
  state[0] = count;
  return state;
}

type Row = readonly [about: string, call: (host: SimulatedHost) => unknown];

const ON_THE_HOST: readonly Row[] = [
  ["was freed, and no block starts there", (host) => host.symbols(k32.kernel32).LocalFree(0x10_0000_0000n)],
  ["without a buffer for the previous state", (host) => {
    using token = adv.openProcessToken(host);
    const { AdjustTokenPrivileges } = host.symbols(adv.advapi32);
    AdjustTokenPrivileges(token.value, 0, privileges(1), 0, new Uint8Array(16), new Uint8Array(4));
  }],
  ["several privileges at once", (host) => {
    using token = adv.openProcessToken(host);
    adv.setPrivilege(host, token.value, privileges(2));
  }],
  ["by anything but one grant", async (host) => {
    const two = withWrapped(
      host,
      (name, call) => name === "SetEntriesInAclW" ? (_, ...args) => call(2, ...args) : call,
    );
    using file = k32.openFile(host, DISK, { access: k32.access.READ_CONTROL | k32.access.WRITE_DAC });
    await adv.grantRead(two, file.value, { group: "S-1-5-83-0", path: DISK, folder: false });
  }],
  ["dismounting an image that an overlay filter shows", async (host) => {
    await overlaid(host);
    await cim.dismountImage(host, IMAGE);
  }],
  ["attaching an overlay filter twice", async (host) => {
    await overlaid(host);
    await hcs.attachOverlayFilter(host, scratchVolume, overlay);
  }],
  ["attaching an overlay filter with", async (host) => {
    await dll.activateLayer(host, SCRATCH);
    await hcs.attachOverlayFilter(host, scratchVolume, layerData({ filterType: "UnionFS" }));
  }],
  ["a volume that doesn't exist", (host) => hcs.attachOverlayFilter(host, MISSING, overlay)],
  ["a layer that has an overlay filter", async (host) => {
    await overlaid(host);
    await dll.deactivateLayer(host, SCRATCH);
  }],
  ["layer data without a version", (host) => hcs.initializeWritableLayer(host, SCRATCH, {} as never)],
  ["attaching with flags 256", async (host) => await vd.attachVirtualDisk(host, await diskHandle(host), 0x100)],
  ["querying anything but the size and parent", async (host) => {
    const query = new Uint8Array(32);
    query[0] = 2;
    const size = new Uint8Array([32, 0, 0, 0]);
    host.symbols(vd.virtdisk).GetVirtualDiskInformation(await diskHandle(host), size, query, new Uint8Array(4));
  }],
  ["parameters of a version other than 2", (host) => {
    const parameters = new Uint8Array(32);
    parameters[0] = 1;
    const { OpenVirtualDisk } = host.symbols(vd.virtdisk);
    return OpenVirtualDisk(new Uint8Array(20), wide(DISK), 0, 0, parameters, new Uint8Array(8));
  }],
  ["copying a layer to an existing folder", (host) => dll.copyLayer(host, TOP, EMPTY, [parent(BASE)])],
  ["creating a layer in an existing folder", (host) => dll.createLayer(host, EMPTY, BASE)],
  ["expanding a scratch without a disk", (host) => dll.expandSandboxSize(host, EMPTY, BigInt(40 * GIB))],
  ["an access that was never granted", (host) => dll.revokeVmAccess(host, "vm", DISK)],
  ["a disk without a volume", async (host) => {
    host.addDisk("C:\\blank\\sandbox.vhdx", GIB);
    await dll.activateLayer(host, "C:\\blank");
    await dll.prepareLayer(host, "C:\\blank", [parent(BASE)]);
  }],
  ["the count says 2 layers, but 1 were passed", (host) => {
    const wrong = withWrapped(
      host,
      (name, call) => name === "CreateSandboxLayer" ? (...args) => call(...args.slice(0, -1), 2n) : call,
    );
    return dll.createSandboxLayer(wrong, "C:\\new", [parent(BASE)]);
  }],
  ["WSACleanup without WSAStartup", (host) => host.symbols(ws2).WSACleanup()],
  ["WSACleanup while a socket is open", (host) => {
    const { WSAStartup, socket, WSACleanup } = host.symbols(ws2);
    WSAStartup(0x202, new Uint8Array(408));
    socket(34, 1, 1);
    WSACleanup();
  }],
  ["an address that isn't for Hyper-V", (host) => {
    const { WSAStartup, socket, bind } = host.symbols(ws2);
    WSAStartup(0x202, new Uint8Array(408));
    bind(socket(34, 1, 1), new Uint8Array(16), 16);
  }],
  ["a socket that isn't for Hyper-V", (host) => {
    const { WSAStartup, socket } = host.symbols(ws2);
    WSAStartup(0x202, new Uint8Array(408));
    socket(2, 1, 6);
  }],
  ["on something that isn't a socket", (host) => {
    const file = k32.openFile(host, DISK);
    host.symbols(ws2).closesocket(file.value);
  }],
  ["changing settings of the compute service", (host) => compute.modifyServiceSettings(host, {})],
  ["properties Memory of the service", (host) => compute.serviceProperties(host, { PropertyTypes: ["Memory"] })],
];

for (const [about, call] of ON_THE_HOST) {
  Deno.test(`the simulated host refuses to guess: ${about}`, async () => {
    const host = hostWith({ layers: [BASE], cimLayers: [TOP], scratches: [SCRATCH], folders: [EMPTY] });
    await assertRejects(async () => await call(host), SimulationError, about);
  });
}

const SHARES = "VirtualMachine/Devices/VirtualSmb/Shares";
const CONTROLLER = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";
const VHD = "C:\\l.vhd";
const slot = (lun: number) => `VirtualMachine/Devices/Scsi/${CONTROLLER}/Attachments/${lun}`;
const share = (type: string, settings: object): object => ({
  ResourcePath: SHARES,
  RequestType: type,
  Settings: settings,
});
const pmem = (place: string, type: string, settings?: object): object => ({
  ResourcePath: `VirtualMachine/Devices/VirtualPMem/Devices/${place}`,
  RequestType: type,
  Settings: settings,
  GuestRequest: { RequestType: "Add", ResourceType: "VPMemDevice", Settings: { MountPath: `/p${place}` } },
});
const whole = { HostPath: VHD, ReadOnly: true, ImageFormat: "Vhd1" };

/** Requests that a VM gets, the last of which is refused. */
const OF_A_VM: readonly (readonly [os: "linux" | "windows", about: string, ...requests: object[]])[] = [
  ["linux", "with settings but without a resource", { Settings: {} }],
  ["linux", "without the guest's part", { ...pmem("1", "Add", whole), GuestRequest: undefined }],
  ["linux", "changing VirtualMachine/Devices/Chips", {
    ResourcePath: "VirtualMachine/Devices/Chips",
    RequestType: "Add",
  }],
  ["windows", "a share that doesn't exist", share("Remove", { Name: "no" })],
  ["windows", "a request Update for a share", share("Update", { Name: "s" })],
  ["linux", "a VSMB share for a Linux guest", share("Add", { Name: "s", Path: "C:\\lcow" })],
  [
    "windows",
    "a name that is already used",
    share("Add", { Name: "s", Path: "C:\\layers" }),
    share("Add", { Name: "s", Path: "C:\\layers" }),
  ],
  ["windows", "sharing a folder that doesn't exist", share("Add", { Name: "s", Path: "C:\\no" })],
  ["linux", "using LUN 64", { ResourcePath: slot(64), RequestType: "Remove" }],
  ["windows", "the disk that the VM was created with", { ResourcePath: slot(0), RequestType: "Remove" }],
  ["linux", "a request Update for a disk", { ResourcePath: slot(1), RequestType: "Update" }],
  ["linux", "a disk of type PassThru", {
    ResourcePath: slot(1),
    RequestType: "Add",
    Settings: { Type: "PassThru", Path: VHD },
  }],
  ["linux", "a request Update for vPMem", pmem("1", "Update", whole)],
  ["linux", "putting a file of", pmem("1", "Add", { ...whole, HostPath: "C:\\large.vhd" })],
  [
    "linux",
    "a vPMem device that holds a whole file",
    pmem("0", "Add", whole),
    pmem("0/Mappings/0", "Add", { HostPath: "C:\\l2.vhd", ImageFormat: "Vhd1" }),
  ],
  ["windows", "the request Add SecurityPolicy for a Windows guest", {
    GuestRequest: { RequestType: "Add", ResourceType: "SecurityPolicy", Settings: {} },
  }],
  ["windows", "ejecting a disk from a Windows guest", {
    GuestRequest: { RequestType: "Remove", ResourceType: "SCSIDevice", Settings: {} },
  }],
];

function vmMachine(): SimulatedHost {
  const host = vmHost();
  host.addLinuxLayer(VHD, 8192);
  host.addLinuxLayer("C:\\l2.vhd", 8192);
  host.addLinuxLayer("C:\\large.vhd", 2 ** 40);
  return host;
}

for (const [os, about, ...requests] of OF_A_VM) {
  Deno.test(`the simulated host refuses to guess, of a ${os} VM: ${about}`, async () => {
    const host = vmMachine();
    await using vm = await startedVM(host, os === "linux" ? { ...LINUX, vpmemMultiMapping: false } : WINDOWS);
    const modify = (request: object) => vm.modify(request as ModifySettingRequest);
    for (const request of requests.slice(0, -1)) await modify(request);
    await assertRejects(() => modify(requests.at(-1)!), SimulationError, about);
  });
}

const OF_A_SYSTEM: readonly (readonly [
  about: string,
  call: (host: SimulatedHost, system: bigint, vm: UtilityVM) => unknown,
])[] = [
  ["changing a system that is Created", (host, system, vm) => compute.modifySystem(host, system, vm.id, {})],
  [
    "saving a system",
    (host, system) => host.symbols(compute.vmcomputeHcs).HcsSaveComputeSystem(system, wide(""), new Uint8Array(8)),
  ],
  [
    "querying the properties Memory",
    (host, system, vm) => compute.systemProperties(host, system, vm.id, { PropertyTypes: ["Memory"] }),
  ],
  ["is not the address of a callback", (host, system, vm) => compute.registerCallback(host, system, vm.id, 5n)],
];

for (const [about, call] of OF_A_SYSTEM) {
  Deno.test(`the simulated host refuses to guess, of a VM that was created: ${about}`, async () => {
    const host = vmMachine();
    await using vm = await createUtilityVM(LINUX, { host });
    const system = await compute.openSystem(host, vm.id);
    await assertRejects(async () => await call(host, system, vm), SimulationError, about);
    await compute.closeSystem(host, system, vm.id);
  });
}

Deno.test("the simulated host refuses to guess: removing the vPMem that the VM was created with", async () => {
  const host = hostWith({ linuxBoot: { "C:\\vhd": "rootfs.vhd" } });
  await using vm = await startedVM(host, { ...LINUX, bootFolder: "C:\\vhd", vpmemMultiMapping: false });
  const request = {
    ...pmem("0", "Remove"),
    GuestRequest: { RequestType: "Remove", ResourceType: "VPMemDevice", Settings: { MountPath: "/" } },
  };
  await assertRejects(() => vm.modify(request as ModifySettingRequest), SimulationError, "was created with: 0");
});
