// What windows-observed.md has seen real hosts answer, by its sections 1 and 5; and what nobody has seen, by its section 8.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { NativeError } from "../../src/errors/windows_errors.ts";
import * as k32 from "../../src/ffi/kernel32.ts";
import * as dll from "../../src/ffi/vmcompute.ts";
import { wide } from "../../src/ffi/wide.ts";
import { SimulatedHost, SimulationError } from "../../src/simulated/mod.ts";
import { standInGuid } from "../../src/simulated/name_to_guid.ts";

const BASE = "C:\\layers\\base";
const TOP = "C:\\layers\\top";
const SCRATCH = "C:\\scratch";
const MOUNT = "C:\\mnt";
const FREE = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\";
const DISK = `${SCRATCH}\\sandbox.vhdx`;

type Step = (host: SimulatedHost) => unknown;

const parent = (path: string): dll.ParentLayer => ({ id: standInGuid(path.slice(path.lastIndexOf("\\") + 1)), path });
const PARENTS = [TOP, BASE].map(parent);

const activate = (layer: string): Step => (host) => dll.activateLayer(host, layer);
const deactivate = (layer: string): Step => (host) => dll.deactivateLayer(host, layer);
const prepare = (layer: string, parents = PARENTS): Step => (host) => dll.prepareLayer(host, layer, parents);
const unprepare = (layer: string): Step => (host) => dll.unprepareLayer(host, layer);
const mountPath = (layer: string): Step => (host) => dll.getLayerMountPath(host, layer);
const destroy = (layer: string): Step => (host) => dll.destroyLayer(host, layer);
const create = (layer: string, parents = PARENTS): Step => (host) => dll.createSandboxLayer(host, layer, parents);
const expand = (bytes: bigint): Step => (host) => dll.expandSandboxSize(host, SCRATCH, bytes);
const importLayer = (folder: string, parents = PARENTS): Step => (host) =>
  dll.importLayer(host, "C:\\new", folder, parents);
const open = (path: string, access = 0): Step => (host) => k32.openFile(host, path, { access })[Symbol.dispose]();
const set = (folder: string, volume = FREE): Step => (host) => k32.setVolumeMountPoint(host, folder, volume);
const unset = (folder: string): Step => (host) => k32.deleteVolumeMountPoint(host, folder);
const removeFolder = (folder: string): Step => (host) => k32.removeDirectory(host, folder);
const kernel32 = (host: SimulatedHost) => host.symbols(k32.kernel32);

const mountScratch = [activate(SCRATCH), prepare(SCRATCH)];
const volume = `\\\\?\\Volume{${standInGuid(`volume:${SCRATCH}`)}}`;

const UNKNOWN = "nobody knows";

/** The last step is looked at: its answer, the HRESULT that it throws, or what the SimulationError says. */
const ROWS: [situation: string, steps: Step[], outcome?: unknown][] = [
  ["ActivateLayer: a read-only layer", [activate(BASE)]],
  [
    "ActivateLayer: the disk attached through another path form",
    [activate(SCRATCH), activate(`\\\\?\\${SCRATCH}`)],
    UNKNOWN,
  ],
  ["ActivateLayer: the same layer twice", [activate(SCRATCH), activate(SCRATCH.toUpperCase())], UNKNOWN],
  ["ActivateLayer: no folder", [activate("C:\\no")], UNKNOWN],
  ["an activated disk can't be opened", [activate(SCRATCH), open(DISK, k32.access.GENERIC_READ)], 0x80070020],
  ["a disk that isn't activated can be", [open(DISK, k32.access.GENERIC_READ)]],
  ["DeactivateLayer: never activated", [deactivate(SCRATCH)]],
  ["DeactivateLayer: frees the disk", [activate(SCRATCH), deactivate(SCRATCH), open(DISK, k32.access.GENERIC_READ)]],
  ["DeactivateLayer: read-only", [activate(BASE), deactivate(BASE)]],
  ["DeactivateLayer: with the filter on", [...mountScratch, deactivate(SCRATCH)], UNKNOWN],
  ["PrepareLayer: a base layer, without parents", [activate(BASE), prepare(BASE, [])]],
  ["PrepareLayer: twice", [...mountScratch, prepare(SCRATCH)], 0x80070057],
  ["PrepareLayer: not activated", [prepare(SCRATCH)], UNKNOWN],
  ["PrepareLayer: a parent's folder missing", [activate(SCRATCH), prepare(SCRATCH, [parent("C:\\no")])], UNKNOWN],
  ["PrepareLayer: two parents with one id", [activate(SCRATCH), prepare(SCRATCH, [PARENTS[0]!, PARENTS[0]!])], UNKNOWN],
  [
    "PrepareLayer: the wrong id",
    [activate(SCRATCH), prepare(SCRATCH, [{ id: standInGuid("x"), path: BASE }])],
    0x80070003,
  ],
  ["UnprepareLayer: not activated", [unprepare(SCRATCH)], 0x80070037],
  ["UnprepareLayer: activated, not prepared", [activate(SCRATCH), unprepare(SCRATCH)], 0x801f0015],
  ["UnprepareLayer, then PrepareLayer again", [...mountScratch, unprepare(SCRATCH), prepare(SCRATCH)]],
  ["GetLayerMountPath: an active scratch, prepared or not", [activate(SCRATCH), mountPath(SCRATCH)], volume],
  ["GetLayerMountPath: a read-only layer", [mountPath(BASE)], BASE],
  ["GetLayerMountPath: a read-only layer, active", [activate(BASE), mountPath(BASE)], BASE],
  ["GetLayerMountPath: an inactive scratch", [mountPath(SCRATCH)], UNKNOWN],
  ["CreateSandboxLayer", [create("C:\\new"), (host) => host.exists("C:\\new\\sandbox.vhdx")], true],
  ["CreateSandboxLayer: no parents", [create("C:\\new", []), (host) => host.exists("C:\\new\\sandbox.vhdx")], false],
  ["CreateSandboxLayer: over a disk", [create(SCRATCH)], UNKNOWN],
  ["CreateSandboxLayer: the wrong id", [create("C:\\new", [{ id: standInGuid("x"), path: BASE }])], 0x80070003],
  ["ExpandSandboxSize: 0", [expand(0n)]],
  ["ExpandSandboxSize: more", [expand(40n << 30n)]],
  ["ExpandSandboxSize: less", [expand(1n << 30n)], UNKNOWN],
  ["DestroyLayer: in use", [activate(SCRATCH), destroy(SCRATCH)], 0x80070020],
  ["DestroyLayer: missing", [destroy("C:\\no")], 0x80070003],
  [
    "DestroyLayer: a layer that a mounted scratch shows",
    [...mountScratch, destroy(BASE)],
    "Windows ends the process (0xc0000420)",
  ],
  ["DestroyLayer: once it's unmounted", [
    ...mountScratch,
    unprepare(SCRATCH),
    destroy(BASE),
    (host) => host.exists(BASE),
  ], false],
  ["ImportLayer: no source", [importLayer("C:\\no")], 0x80070003],
  ["ProcessBaseImage: no folder", [(host) => dll.processBaseImage(host, "C:\\no")], 0x80070003],
  ["GrantVmAccess: no file", [(host) => dll.grantVmAccess(host, "vm", "C:\\no")], UNKNOWN],
  ["any function: a driver info without a home folder", [
    (host) => host.symbols(dll.vmcompute).ActivateLayer(new Uint8Array(16), wide(SCRATCH)),
  ], "crashes"],

  [
    "SetVolumeMountPointW: without separators",
    [(host) => kernel32(host).SetVolumeMountPointW(wide(MOUNT), wide(FREE))],
    UNKNOWN,
  ],
  ["SetVolumeMountPointW: a folder that isn't empty", [set(BASE)], 0x80070091],
  ["SetVolumeMountPointW: a mount point", [set(MOUNT), set(MOUNT)], 0x80070091],
  ["SetVolumeMountPointW: no folder", [set("C:\\no")], UNKNOWN],
  ["SetVolumeMountPointW: a second folder for one volume", [set(MOUNT), set("C:\\mnt2")]],
  ["SetVolumeMountPointW: no volume", [set(MOUNT, `${volume}\\`)], UNKNOWN],
  ["DeleteVolumeMountPointW: the folder remains, empty", [set(MOUNT), unset(MOUNT), removeFolder(MOUNT)]],
  ["DeleteVolumeMountPointW: not a mount point", [unset(MOUNT)]],
  ["DeleteVolumeMountPointW: no folder", [unset("C:\\no")], 0x80070002],
  [
    "DeleteVolumeMountPointW: without separator",
    [(host) => kernel32(host).DeleteVolumeMountPointW(wide(MOUNT))],
    UNKNOWN,
  ],
  [
    "DeleteVolumeMountPointW: after the volume is gone",
    [activate(SCRATCH), set(MOUNT, `${volume}\\`), deactivate(SCRATCH), unset(MOUNT)],
    UNKNOWN,
  ],
  [
    "a folder keeps its link to a volume that is gone",
    [activate(SCRATCH), set(MOUNT, `${volume}\\`), deactivate(SCRATCH), (host) => k32.fileAttributes(host, MOUNT)],
    0x410,
  ],
  ["a volume without a mount point is reached by its name", [(host) => k32.fileAttributes(host, FREE)], 0x10],
  ["removing a folder while a volume is mounted at it", [set(MOUNT), removeFolder(MOUNT)], UNKNOWN],
];

for (const [situation, steps, outcome] of ROWS) {
  Deno.test(`SimulatedHost answers as Windows does: ${situation}`, async () => {
    const host = new SimulatedHost();
    [BASE, TOP].forEach((layer) => host.addLayer(layer));
    [MOUNT, "C:\\mnt2"].forEach((folder) => host.addFolder(folder));
    host.addScratch(SCRATCH);
    host.addVolume(FREE.slice(11, -2));
    for (const step of steps.slice(0, -1)) await step(host);
    const before = [host.held().length, host.paths()];
    const last = async () => await steps.at(-1)!(host);
    if (typeof outcome === "number" && outcome > 0xffff) {
      assertEquals((await assertRejects(last, NativeError)).code, outcome);
    } else if (
      outcome === UNKNOWN || outcome === "crashes" || typeof outcome === "string" && outcome.startsWith("Windows")
    ) {
      await assertRejects(last, SimulationError, outcome as string);
    } else {
      assertEquals(await last(), outcome);
      return;
    }
    assertEquals([host.held().length, host.paths()], before, "nothing changes where it fails");
  });
}
