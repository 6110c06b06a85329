// What windows-observed.md has seen real hosts answer about virtual disks and documents, by its sections 1, 2 and 4; and
// what nobody has seen, by its section 8.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import * as hcs from "../../src/ffi/computestorage.ts";
import { MissingExportError, NativeError } from "../../src/errors/windows_errors.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as vd from "../../src/ffi/virtdisk.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import { layerData } from "../../src/hcsschema/storage.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { volumeOn } from "../../src/simulated/windows.ts";
import { standInGuid } from "../../src/simulated/name_to_guid.ts";

const BASE = "C:\\layers\\base";
const SCRATCH = "C:\\scratch";
const DISK = `${SCRATCH}\\sandbox.vhdx`;
const BLANK = "C:\\disks\\blank.vhdx";
const NEW = "C:\\disks\\new.vhdx";
const GIB = 2 ** 30;
const FREE = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const VOLUME = `\\\\?\\Volume{${standInGuid(`volume:${SCRATCH}`)}}`;

/** A machine, and the handles that the steps opened, by the files that they open. */
interface Bench {
  readonly host: SimulatedHost;
  readonly open: Map<string, k32.Handle>;
}
type Step = (bench: Bench) => unknown;

const keep = (file: string, how: (host: SimulatedHost) => k32.Handle | Promise<k32.Handle>): Step => async (bench) => {
  bench.open.set(file, await how(bench.host));
};
const openDisk = (path: string): Step => keep(path, (host) => vd.openVirtualDisk(host, path));
const openFile = (path: string, access: number = k32.access.GENERIC_READ): Step =>
  keep(path, (host) => k32.openFile(host, path, { access }));
const openDevice = (path: string): Step =>
  keep("device", (host) => k32.openFile(host, path, { access: k32.access.GENERIC_WRITE }));
const create = (path: string, init: vd.CreateVirtualDiskInit): Step =>
  keep(path, (host) => vd.createVirtualDisk(host, path, init));
const on = (file: string, call: (host: SimulatedHost, handle: bigint) => unknown): Step => ({ host, open }) =>
  call(host, open.get(file)!.value);
const attach = (file: string, flags = 0): Step => on(file, (host, disk) => vd.attachVirtualDisk(host, disk, flags));
const detach = (file: string): Step => on(file, (host, disk) => vd.detachVirtualDisk(host, disk));
const device = (file: string): Step => on(file, vd.physicalPath);
const format = (file: string): Step => on(file, hcs.formatWritableLayerVhd);
const mountPath = (file: string): Step => on(file, hcs.layerVhdMountPath);
const close: (file: string) => Step = (file) => ({ open }) => open.get(file)![Symbol.dispose]();
const call = (fn: (host: SimulatedHost) => unknown): Step => ({ host }) => fn(host);
const activate = call((host) => dll.activateLayer(host, SCRATCH));
const prepare = call((host) => dll.prepareLayer(host, SCRATCH, [{ id: standInGuid("base"), path: BASE }]));
const expand = (size: number) => call((host) => dll.expandSandboxSize(host, SCRATCH, BigInt(size)));
const volumes = call((host) => host.exists(VOLUME));
const setup = (vhd: bigint, Type: "Container" | "Vm" = "Container") =>
  call((host) => hcs.setupBaseOSLayer(host, BASE, vhd, { Type }));
const IMPORT = (id: string) => layerData({ layers: [{ Id: id, Path: BASE }] });

const UNKNOWN = "nobody knows";
const OPENED = [openDisk(DISK), attach(DISK)];

/** The last step is looked at: its answer, the HRESULT that it throws, or what the SimulationError says. */
const ROWS: [situation: string, steps: Step[], outcome?: unknown, build?: number][] = [
  ["OpenVirtualDisk: no file", [openDisk("C:\\disks\\no.vhdx")], 0x80070002],
  ["OpenVirtualDisk: no folder", [openDisk("C:\\no\\no.vhdx")], 0x80070003],
  ["OpenVirtualDisk: no disk", [openDisk("C:\\disks\\text.vhdx")], UNKNOWN],
  ["OpenVirtualDisk: access flags with parameters of version 2", [
    call((host) => {
      const parameters = new Uint8Array(28);
      parameters[0] = 2;
      return host.symbols(vd.virtdisk).OpenVirtualDisk(
        new Uint8Array(20),
        wide(DISK),
        0x3f0000,
        0,
        parameters,
        new Uint8Array(8),
      );
    }),
  ], 0x57],
  ["OpenVirtualDisk: a disk that is attached, to detach it", [...OPENED, openDisk(DISK), detach(DISK), volumes], false],
  ["OpenVirtualDisk: a disk whose parent is gone", [
    create(NEW, { parent: BLANK }),
    close(NEW),
    call((host) => k32.deleteFile(host, BLANK)),
    openDisk(NEW),
  ], UNKNOWN],
  ["CreateVirtualDisk: over a file", [create(BLANK, { size: BigInt(GIB) })], 0x80070050],
  ["CreateVirtualDisk: no folder", [create("C:\\no\\new.vhdx", { size: BigInt(GIB) })], 0x80070003],
  ["CreateVirtualDisk: size 0", [create(NEW, { size: 0n })], 0x80070057],
  ["CreateVirtualDisk: half a sector", [create(NEW, { size: BigInt(GIB) + 256n })], 0x80070057],
  ["CreateVirtualDisk: parent missing", [create(NEW, { parent: "C:\\disks\\no.vhdx" })], 0x80070002],
  ["CreateVirtualDisk: the size of the parent", [
    create(NEW, { parent: BLANK }),
    on(NEW, (host, disk) => vd.diskSizes(host, disk).size),
  ], BigInt(GIB)],
  ["GetVirtualDiskInformation: the parent of a disk without one", [
    openDisk(BLANK),
    on(BLANK, (host, disk) => vd.diskParent(host, disk)),
  ]],
  ["AttachVirtualDisk: the volume of a formatted disk", [...OPENED, volumes], true],
  ["AttachVirtualDisk: twice", [...OPENED, attach(DISK)], 0x80070020],
  ["AttachVirtualDisk: a disk that is activated", [activate, openDisk(DISK), attach(DISK)], 0x80070020],
  [
    "AttachVirtualDisk: the device of a disk",
    [...OPENED, openDevice("\\\\.\\PhysicalDrive1"), attach("device")],
    0x80070001,
  ],
  [
    "AttachVirtualDisk: parameters of version 2",
    [
      openDisk(DISK),
      on(DISK, (host, disk) => {
        const parameters = new Uint8Array(24);
        parameters[0] = 2;
        return host.symbols(vd.virtdisk).AttachVirtualDisk(disk, null, 0, 0, parameters, null);
      }),
    ],
    0x57,
    17763,
  ],
  ["AttachVirtualDisk: goes with the last handle", [...OPENED, close(DISK), volumes], false],
  ["AttachVirtualDisk: not with the one before", [
    openDisk(DISK),
    keep("second", (host) => vd.openVirtualDisk(host, DISK)),
    attach(DISK),
    close(DISK),
    volumes,
  ], true],
  ["AttachVirtualDisk: for good", [
    openDisk(DISK),
    attach(DISK, vd.attachFlag.PERMANENT_LIFETIME),
    close(DISK),
    volumes,
  ], true],
  ["DetachVirtualDisk: not attached", [openDisk(DISK), detach(DISK)], UNKNOWN],
  ["DetachVirtualDisk: no handle", [call((host) => vd.detachVirtualDisk(host, 1n))], 0x80070006],
  ["DetachVirtualDisk: with the filter on", [activate, prepare, openDisk(DISK), detach(DISK)], UNKNOWN],
  ["GetVirtualDiskPhysicalPath", [...OPENED, device(DISK)], "\\\\.\\PhysicalDrive1"],
  ["GetVirtualDiskPhysicalPath: not attached", [openDisk(DISK), device(DISK)], UNKNOWN],
  ["a disk that is open can't be opened as a file", [openDisk(DISK), openFile(DISK)], 0x80070020],
  ["a disk that is open can't be deleted", [openDisk(DISK), call((host) => k32.deleteFile(host, DISK))], 0x80070020],
  ["a disk that is open can't be copied", [openDisk(DISK), call((host) => k32.copyFile(host, DISK, NEW))], 0x80070020],
  ["a disk that is open may be asked for its attributes", [openDisk(DISK), openFile(DISK, 0)]],
  ["a device that isn't there", [openDevice("\\\\.\\PhysicalDrive1")], 0x80070003],
  ["ActivateLayer: the disk is open", [openDisk(DISK), activate], 0x80070020],
  ["GetLayerMountPath: the disk attached by a program", [
    ...OPENED,
    call((host) => dll.getLayerMountPath(host, SCRATCH)),
  ], VOLUME],
  ["ExpandSandboxSize: the disk is attached", [...OPENED, expand(30 * GIB)], 0x80070020],
  ["PrepareLayer: grows the volume", [
    expand(30 * GIB),
    activate,
    prepare,
    call((host) => k32.volumeSize(host, `${VOLUME}\\`)),
  ], BigInt(volumeOn(30 * GIB))],
  ["PrepareLayer: an expanded disk", [expand(30 * GIB), activate, prepare], 0x80070057, 18362],
  ["FSCTL_EXTEND_VOLUME: full already", [
    ...OPENED,
    keep("volume", (host) => k32.openFile(host, VOLUME)),
    on("volume", (host, volume) => {
      const input = new Uint8Array(8);
      new DataView(input.buffer).setBigInt64(0, BigInt(20 * GIB / 512), true);
      return k32.deviceIoControl(host, volume, { code: 0x000900f0, input });
    }),
  ], 0x80070057],
  ["FSCTL_EXTEND_VOLUME: on a volume that is on no virtual disk", [
    keep("volume", (host) => k32.openFile(host, FREE.slice(0, -1))),
    on("volume", (host, volume) => k32.deviceIoControl(host, volume, { code: 0x0007405c, output: new Uint8Array(8) })),
  ], UNKNOWN],

  ["HcsFormatWritableLayerVhd: an open disk", [
    openDisk(BLANK),
    format(BLANK),
    attach(BLANK),
    mountPath(BLANK),
    () => {},
  ]],
  ["HcsFormatWritableLayerVhd: an attached disk", [
    openDisk(BLANK),
    attach(BLANK),
    format(BLANK),
    mountPath(BLANK),
    () => {},
  ]],
  ["HcsFormatWritableLayerVhd: an open disk", [openDisk(BLANK), format(BLANK)], UNKNOWN, 17763],
  [
    "HcsFormatWritableLayerVhd: the device of a disk",
    [
      openDisk(BLANK),
      attach(BLANK),
      openDevice("\\\\.\\PhysicalDrive1"),
      format("device"),
      mountPath(BLANK),
      () => {},
    ],
    undefined,
    17763,
  ],
  ["HcsFormatWritableLayerVhd: the device of a disk", [
    openDisk(BLANK),
    attach(BLANK),
    openDevice("\\\\.\\PhysicalDrive1"),
    format("device"),
  ], UNKNOWN],
  ["HcsFormatWritableLayerVhd: a file", [openFile(DISK), format(DISK)], 0x80070057],
  ["HcsFormatWritableLayerVhd: a formatted disk", [openDisk(DISK), format(DISK)], UNKNOWN],
  ["HcsGetLayerVhdMountPath", [...OPENED, mountPath(DISK)], VOLUME],
  ["HcsGetLayerVhdMountPath: not attached", [openDisk(DISK), mountPath(DISK)], UNKNOWN],
  ["HcsGetLayerVhdMountPath: not formatted", [openDisk(BLANK), attach(BLANK), mountPath(BLANK)], UNKNOWN],
  ["HcsSetupBaseOSLayer: for containers", [setup(0n), call((host) => host.exists(`${BASE}\\Layout`))], true],
  ["HcsSetupBaseOSLayer: twice", [setup(0n), setup(0n)], UNKNOWN],
  ["HcsSetupBaseOSLayer: its disk is open", [openDisk(BLANK), setup(0n)], UNKNOWN],
  ["HcsSetupBaseOSLayer: for containers, with a disk", [
    openDisk(BLANK),
    on(BLANK, (host, vhd) => hcs.setupBaseOSLayer(host, BASE, vhd, { Type: "Container" })),
  ], UNKNOWN],
  ["HcsSetupBaseOSLayer: for a VM, not attached", [
    openDisk(BLANK),
    on(BLANK, (host, vhd) => hcs.setupBaseOSLayer(host, BASE, vhd, { Type: "Vm" })),
  ], UNKNOWN],
  [
    "HcsSetupBaseOSLayer: no folder",
    [call((host) => hcs.setupBaseOSLayer(host, "C:\\no", 0n, { Type: "Container" }))],
    0x80070003,
  ],
  [
    "HcsSetupBaseOSVolume",
    [call((host) => hcs.setupBaseOSVolume(host, BASE, FREE, { Type: "Container" }))],
    undefined,
    19645,
  ],
  ["HcsImportLayer: creates the folder", [
    call((host) => hcs.importLayer(host, "C:\\new", BASE, layerData())),
    call((host) => host.exists("C:\\new")),
  ], true],
  ["HcsImportLayer: from its own folder", [call((host) => hcs.importLayer(host, BASE, BASE, layerData()))], UNKNOWN],
  ["HcsImportLayer: the wrong id", [
    call((host) => hcs.importLayer(host, "C:\\new", BASE, IMPORT(standInGuid("x")))),
  ], 0x80070003],
  ["HcsDestroyLayer: missing", [call((host) => hcs.destroyLayer(host, "C:\\no"))], UNKNOWN],
  [
    "HcsDestroyLayer: in use",
    [activate, prepare, call((host) => hcs.destroyLayer(host, BASE))],
    "Windows may end the process",
  ],
  ["HcsInitializeWritableLayer: options", [
    call((host) =>
      host.symbols(hcs.computestorage).HcsInitializeWritableLayer(wide(FREE), wide('{"SchemaVersion":{}}'), wide("{}"))
    ),
  ], UNKNOWN],
  ["HcsAttachLayerStorageFilter: twice", [
    call((host) => hcs.attachLayerStorageFilter(host, FREE, layerData())),
    call((host) => hcs.attachLayerStorageFilter(host, FREE.slice(0, -1), layerData())),
  ], UNKNOWN],
  ["HcsAttachLayerStorageFilter: a plain folder", [
    call((host) => hcs.attachLayerStorageFilter(host, BASE, layerData())),
  ], UNKNOWN],
  ["HcsDetachLayerStorageFilter: none", [call((host) => hcs.detachLayerStorageFilter(host, FREE))], UNKNOWN],
];

for (const [situation, steps, outcome, build = 20348] of ROWS) {
  Deno.test(`SimulatedHost answers as Windows build ${build} does: ${situation}`, async () => {
    const host = new SimulatedHost({ build });
    host.addLayer(BASE);
    host.addScratch(SCRATCH);
    host.addDisk(BLANK, GIB);
    host.addFile("C:\\disks\\text.vhdx", 100);
    host.addVolume(FREE.slice(11, -2));
    const bench: Bench = { host, open: new Map() };
    for (const step of steps.slice(0, -1)) await step(bench);
    const before = [host.held().length, host.paths()];
    const last = async () => await steps.at(-1)!(bench);
    if (typeof outcome === "number" && outcome > 0xffff) {
      assertEquals((await assertRejects(last, NativeError)).code, outcome);
    } else if (outcome === UNKNOWN || outcome === "Windows may end the process") {
      await assertRejects(last, SimulationError, outcome);
    } else {
      assertEquals(await last(), outcome);
      return;
    }
    assertEquals([host.held().length, host.paths()], before, "nothing changes where it fails");
  });
}

Deno.test("SimulatedHost lacks the functions that a build lacks", async () => {
  const old = new SimulatedHost({ build: 19644 });
  old.addLayer(BASE);
  const calls = [
    () => hcs.setupBaseOSVolume(old, BASE, FREE, { Type: "Container" }),
    () => hcs.attachOverlayFilter(old, FREE, layerData({ filterType: "UnionFS" })),
    () => hcs.detachOverlayFilter(old, FREE, layerData({ filterType: "UnionFS" })),
  ];
  for (const call of calls) await assertRejects(call, MissingExportError);
});
