/**
 * Rules of vmcompute.dll about layers: windows-observed facts, and what nobody has told.
 *
 * @module
 */

import { NativeError } from "../../../mod.ts";
import * as k32 from "../../../src/ffi/kernel32.ts";
import * as vm from "../../../src/ffi/vmcompute.ts";
import { known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const mounted = [$.scratch(), $.activate(), $.prepare()];
const active = [$.scratch(), $.activate()];
const missing = (bench: Parameters<Step>[0]) => [bench.parent(bench.path("no"))];

// A VM that there isn't.
const VM_ID = "00000000-0000-4000-8000-000000000001";

// Opens the root of the bench's volume, as a program does that lists it.
const openRoot: Step = (bench) => {
  const path = `${bench.volume}\\`;
  bench.keep("root", k32.openFile(bench.host, path, { flags: k32.fileFlag.BACKUP_SEMANTICS }));
};

const CYCLES = 20;

// Mounts and releases one scratch again and again, without a pause.
const cycles: Step = async (bench) => {
  const { host } = bench;
  const layer = bench.path($.SCRATCH);
  bench.expectLayer(layer, "active");
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    const start = performance.now();
    try {
      bench.signal?.throwIfAborted();
      await vm.activateLayer(host, layer);
      await vm.prepareLayer(host, layer, bench.parents);
      await vm.getLayerMountPath(host, layer);
      await vm.unprepareLayer(host, layer);
      await vm.deactivateLayer(host, layer);
    } catch (error) {
      if (error instanceof NativeError) bench.took(`the cycle that failed: number ${cycle}`, performance.now() - start);
      throw error;
    }
    if (cycle === 1 || cycle === CYCLES) bench.took(`cycle ${cycle}`, performance.now() - start);
  }
};

// How long it takes until those who share a file in different ways can open the disk again.
const freedFor = (what: string, options: k32.OpenFileOptions): Step => (bench) =>
  bench.until(`until ${what} can open the disk`, () => $.isFree(bench.host, bench.path($.DISK), options));

/** Rules of layers. */
export const layerRules: readonly Rule[] = [
  {
    id: "ActivateLayer.read-only",
    asks: "Is a read-only layer activated?",
    given: [$.ownLayer()],
    ask: [$.activate("l")],
    known: known({}),
  },
  {
    id: "ActivateLayer.other-path-form",
    asks: "What does a second ActivateLayer return, if the path begins with \\\\?\\?",
    given: active,
    ask: [$.activate($.SCRATCH, (path) => `\\\\?\\${path}`)],
    known: known("nobody knows"),
  },
  {
    id: "ActivateLayer.twice",
    asks: "What does a second ActivateLayer return, in capital letters?",
    given: active,
    ask: [$.activate($.SCRATCH, (path) => path.toUpperCase())],
    known: known("nobody knows"),
  },
  {
    id: "ActivateLayer.counts",
    asks: "Is the disk free after two ActivateLayer and one DeactivateLayer?",
    given: [...active, $.activate()],
    ask: [$.deactivate(), freedFor("anybody", { access: k32.access.GENERIC_READ, share: k32.share.NONE })],
    known: known("nobody knows"),
  },
  {
    id: "ActivateLayer.no-folder",
    asks: "What does ActivateLayer return without a folder?",
    ask: [$.activate("no")],
    known: known("nobody knows"),
  },
  {
    id: "ActivateLayer.no-disk",
    asks: "What does ActivateLayer return for an empty folder?",
    given: [$.folder($.SCRATCH)],
    ask: [$.activate()],
  },
  {
    id: "ActivateLayer.disk-is-open",
    asks: "What does ActivateLayer return while a program has the disk open?",
    given: $.openScratch,
    ask: [$.activate()],
    known: known(0x80070020),
  },
  {
    id: "ActivateLayer.file-is-read",
    asks: "Does ActivateLayer succeed while a program reads the disk's file, as scanners do?",
    given: [$.scratch(), $.openFile($.DISK, { access: k32.access.GENERIC_READ }, "reader")],
    ask: [$.activate()],
  },
  {
    id: "ActivateLayer.network-path",
    asks: "What does ActivateLayer return for the same folder by a network path?",
    given: [$.scratch()],
    ask: [$.activate($.SCRATCH, (path) => path.replace(/^([A-Z]):/i, "\\\\localhost\\$1$"))],
  },
  {
    id: "ActivateLayer.long-path",
    asks: "What does ActivateLayer return for a path of more than 260 characters?",
    given: [$.folder("x".repeat(200)), (bench) => $.folder(`${"x".repeat(200)}\\${"y".repeat(80)}`)(bench)],
    ask: [$.activate(`${"x".repeat(200)}\\${"y".repeat(80)}`)],
  },
  {
    id: "look.active-read",
    asks: "Can the disk of an activated scratch be opened by one who reads and shares all?",
    given: active,
    ask: [$.readFile($.DISK)],
    known: known(0x80070020),
  },
  {
    id: "look.active-write",
    asks: "Can the disk of an activated scratch be opened by one who writes and shares reading?",
    given: active,
    ask: [$.openFile($.DISK, { access: k32.access.GENERIC_READ | k32.access.GENERIC_WRITE, share: k32.share.READ })],
    known: known(0x80070020),
  },
  {
    id: "look.active-attributes",
    asks: "Can the disk of an activated scratch be opened without access, shared with nobody?",
    given: active,
    ask: [$.openFile($.DISK, { share: k32.share.NONE })],
  },
  {
    id: "look.inactive-read",
    asks: "Can the disk of a scratch be read that isn't activated?",
    given: [$.scratch()],
    ask: [$.readFile($.DISK)],
    known: known({}),
  },
  {
    id: "look.exclusive-beside-reader",
    asks: "Can the disk be opened for oneself while another one reads it and shares all?",
    given: [$.scratch(), $.openFile($.DISK, { access: k32.access.GENERIC_READ }, "reader")],
    ask: [$.openFile($.DISK, { access: k32.access.GENERIC_READ, share: k32.share.NONE })],
  },
  {
    id: "look.writer-beside-reader",
    asks: "Can the disk be opened for writing and sharing reading while another one reads it and shares all?",
    given: [$.scratch(), $.openFile($.DISK, { access: k32.access.GENERIC_READ }, "reader")],
    ask: [$.openFile($.DISK, { access: k32.access.GENERIC_READ | k32.access.GENERIC_WRITE, share: k32.share.READ })],
  },
  {
    id: "DeactivateLayer.never-activated",
    asks: "Does DeactivateLayer succeed for a scratch that was never activated?",
    given: [$.scratch()],
    ask: [$.deactivate()],
    known: known({}),
  },
  {
    id: "DeactivateLayer.frees",
    asks: "Is the disk free within 10 seconds after DeactivateLayer, and when?",
    given: active,
    ask: [
      $.deactivate(),
      freedFor("one who shares all", { access: k32.access.GENERIC_READ }),
      freedFor("a writer who shares reading", {
        access: k32.access.GENERIC_READ | k32.access.GENERIC_WRITE,
        share: k32.share.READ,
      }),
      freedFor("one who shares nothing", { access: k32.access.GENERIC_READ, share: k32.share.NONE }),
    ],
    known: known({ value: true }),
  },
  {
    id: "DeactivateLayer.file-can-be-deleted",
    asks: "Can the disk be deleted at once after UnprepareLayer and DeactivateLayer?",
    given: [...mounted, $.unprepare()],
    ask: [$.deactivate(), $.deleteFile($.DISK)],
  },
  {
    id: "DeactivateLayer.read-only",
    asks: "Does DeactivateLayer succeed for a read-only layer?",
    given: [$.ownLayer(), $.activate("l")],
    ask: [$.deactivate("l")],
    known: known({}),
  },
  {
    id: "DeactivateLayer.no-folder",
    asks: "What does DeactivateLayer return without a folder?",
    ask: [$.deactivate("no")],
  },
  {
    id: "DeactivateLayer.with-filter",
    asks: "What does DeactivateLayer return while the filter is attached?",
    given: mounted,
    ask: [$.deactivate()],
    known: known("nobody knows"),
  },
  {
    id: "DeactivateLayer.open-file",
    asks: "What does DeactivateLayer return while a program has the volume's root open?",
    given: [...active, $.findVolume(), openRoot],
    ask: [$.deactivate()],
  },
  {
    id: "PrepareLayer.base-without-parents",
    asks: "Is the filter attached to a read-only layer without parents?",
    given: [$.ownLayer(), $.activate("l")],
    ask: [$.prepare("l", () => [])],
    known: known({}),
  },
  {
    id: "PrepareLayer.cycles",
    asks: `Can a scratch be mounted and released ${CYCLES} times without a pause?`,
    given: [$.scratch()],
    ask: [cycles],
  },
  {
    id: "PrepareLayer.twice",
    asks: "What does a second PrepareLayer return?",
    given: mounted,
    ask: [$.prepare()],
    known: known(0x80070057),
  },
  {
    id: "PrepareLayer.not-activated",
    asks: "What does PrepareLayer return without ActivateLayer?",
    given: [$.scratch()],
    ask: [$.prepare()],
    known: known("nobody knows"),
  },
  {
    id: "PrepareLayer.parent-missing",
    asks: "What does PrepareLayer return if the folder of a parent is missing?",
    given: active,
    ask: [$.prepare($.SCRATCH, missing)],
    known: known("nobody knows"),
  },
  {
    id: "PrepareLayer.same-ids",
    asks: "What does PrepareLayer return for two parents with one id?",
    given: active,
    ask: [$.prepare($.SCRATCH, ({ parents: [top] }) => [top!, top!])],
    known: known("nobody knows"),
  },
  {
    id: "PrepareLayer.wrong-id",
    asks: "What does PrepareLayer return for a parent with a wrong id?",
    given: active,
    ask: [$.prepare($.SCRATCH, ({ parents }) => [{ id: $.OTHER_ID, path: parents.at(-1)!.path }])],
    known: known(0x80070003),
  },
  {
    id: "PrepareLayer.grows-volume",
    asks: "Does PrepareLayer grow the volume of a disk that was expanded?",
    given: [$.scratch(), $.expand(30 * $.GIB), $.activate()],
    ask: [$.prepare(), $.findVolume(), (bench) => k32.volumeSize(bench.host, `${bench.volume}\\`) > BigInt(29 * $.GIB)],
    known: { 20348: { value: true }, 18362: 0x80070057 },
  },
  {
    id: "UnprepareLayer.not-activated",
    asks: "What does UnprepareLayer return for a scratch that isn't activated?",
    given: [$.scratch()],
    ask: [$.unprepare()],
    known: known(0x80070037),
  },
  {
    id: "UnprepareLayer.not-prepared",
    asks: "What does UnprepareLayer return for a scratch without filter?",
    given: active,
    ask: [$.unprepare()],
    known: known(0x801f0015),
  },
  {
    id: "UnprepareLayer.no-folder",
    asks: "What does UnprepareLayer return without a folder?",
    ask: [$.unprepare("no")],
  },
  {
    id: "UnprepareLayer.open-file",
    asks: "What does UnprepareLayer return while a program has the volume's root open?",
    given: [...mounted, $.findVolume(), openRoot],
    ask: [$.unprepare()],
  },
  {
    id: "UnprepareLayer.prepare-again",
    asks: "Can the filter be attached again after UnprepareLayer?",
    given: [...mounted, $.unprepare()],
    ask: [$.prepare()],
    known: known({}),
  },
  {
    id: "GetLayerMountPath.active",
    asks: "In which form is the path of an activated scratch?",
    given: active,
    ask: [async (bench) => $.formOf(await vm.getLayerMountPath(bench.host, bench.path($.SCRATCH)))],
    known: known({ value: "a volume" }),
  },
  {
    id: "GetLayerMountPath.attached",
    asks: "In which form is the path of a scratch that a program attached?",
    given: $.attached,
    ask: [async (bench) => $.formOf(await vm.getLayerMountPath(bench.host, bench.path($.SCRATCH)))],
    known: known({ value: "a volume" }),
  },
  {
    id: "GetLayerMountPath.read-only",
    asks: "Is the path of a read-only layer its folder?",
    given: [$.ownLayer()],
    ask: [async (bench) => await vm.getLayerMountPath(bench.host, bench.path("l")) === bench.path("l")],
    known: known({ value: true }),
  },
  {
    id: "GetLayerMountPath.read-only-active",
    asks: "Is the path of an activated read-only layer its folder?",
    given: [$.ownLayer(), $.activate("l")],
    ask: [async (bench) => await vm.getLayerMountPath(bench.host, bench.path("l")) === bench.path("l")],
    known: known({ value: true }),
  },
  {
    id: "GetLayerMountPath.inactive",
    asks: "What does GetLayerMountPath return for a scratch that isn't activated?",
    given: [$.scratch()],
    ask: [async (bench) => $.formOf(await vm.getLayerMountPath(bench.host, bench.path($.SCRATCH)))],
    known: known("nobody knows"),
  },
  {
    id: "GetLayerMountPath.no-folder",
    asks: "What does GetLayerMountPath return without a folder?",
    ask: [async (bench) => void await vm.getLayerMountPath(bench.host, bench.path("no"))],
  },
  {
    id: "CreateSandboxLayer.disk",
    asks: "Does CreateSandboxLayer create sandbox.vhdx?",
    ask: [$.scratch(), $.exists($.DISK)],
    known: known({ value: true }),
  },
  {
    id: "CreateSandboxLayer.no-parents",
    asks: "Does CreateSandboxLayer create sandbox.vhdx without parents?",
    ask: [(bench) => vm.createSandboxLayer(bench.host, bench.path($.SCRATCH), []), $.exists($.DISK)],
    known: known({ value: false }),
  },
  {
    id: "CreateSandboxLayer.over-disk",
    asks: "What does CreateSandboxLayer return over a disk that exists?",
    given: [$.scratch()],
    ask: [$.scratch()],
    known: known("nobody knows"),
  },
  {
    id: "CreateSandboxLayer.wrong-id",
    asks: "What does CreateSandboxLayer return for a parent with a wrong id?",
    ask: [(bench) =>
      vm.createSandboxLayer(bench.host, bench.path($.SCRATCH), [
        { id: $.OTHER_ID, path: bench.parents.at(-1)!.path },
      ])],
    known: known(0x80070003),
  },
  {
    id: "ExpandSandboxSize.zero",
    asks: "Does ExpandSandboxSize to 0 succeed?",
    given: [$.scratch()],
    ask: [$.expand(0)],
    known: known({}),
  },
  {
    id: "ExpandSandboxSize.more",
    asks: "Does ExpandSandboxSize to 40 GiB succeed?",
    given: [$.scratch()],
    ask: [$.expand(40 * $.GIB)],
    known: known({}),
  },
  {
    id: "ExpandSandboxSize.less",
    asks: "What does ExpandSandboxSize to 1 GiB return?",
    given: [$.scratch()],
    ask: [$.expand($.GIB)],
    known: known("nobody knows"),
  },
  {
    id: "ExpandSandboxSize.65-TiB",
    asks: "What does ExpandSandboxSize to 65 TiB return, which is more than a disk can have?",
    given: [$.scratch()],
    ask: [$.expand(65 * 1024 * $.GIB)],
  },
  {
    id: "ExpandSandboxSize.attached",
    asks: "What does ExpandSandboxSize return while the disk is attached?",
    given: $.attached,
    ask: [$.expand(30 * $.GIB)],
    known: known(0x80070020),
  },
  {
    id: "DestroyLayer.active",
    asks: "What does DestroyLayer return for a scratch that is activated?",
    given: active,
    ask: [$.destroy($.SCRATCH)],
    known: known(0x80070020),
  },
  {
    id: "DestroyLayer.missing",
    asks: "What does DestroyLayer return without a folder?",
    ask: [$.destroy("no")],
    known: known(0x80070003),
  },
  {
    id: "DestroyLayer.released",
    asks: "Is the folder of a scratch gone after DestroyLayer?",
    given: [...mounted, $.unprepare(), $.deactivate()],
    ask: [$.destroy($.SCRATCH), $.exists($.SCRATCH)],
    known: known({ value: false }),
  },
  {
    id: "DestroyLayer.parent",
    asks: "What does DestroyLayer do to a layer that a mounted scratch shows?",
    given: [$.ownLayer(), $.scratch(), $.activate(), $.prepare($.SCRATCH, (bench) => [bench.parent(bench.path("l"))])],
    ask: [$.destroy("l")],
    known: known("ends the process"),
    never: "Windows ends the process, with the layer deleted in part",
  },
  {
    id: "DestroyLayer.parent-released",
    asks: "Is a layer gone after DestroyLayer, once the scratch that showed it has no filter?",
    given: [
      $.ownLayer(),
      $.scratch(),
      $.activate(),
      $.prepare($.SCRATCH, (bench) => [bench.parent(bench.path("l"))]),
      $.unprepare(),
    ],
    ask: [$.destroy("l"), $.exists("l")],
    known: known({ value: false }),
    never: "if Windows still uses the layer, it ends the process",
  },
  {
    id: "LayerExists.missing",
    asks: "Does LayerExists tell that there is no folder?",
    ask: [(bench) => vm.layerExists(bench.host, bench.path("no"))],
    known: known({ value: false }),
  },
  {
    id: "ImportLayer.no-source",
    asks: "What does ImportLayer return without its source?",
    ask: [(bench) => vm.importLayer(bench.host, bench.path("new"), bench.path("no"), bench.parents)],
    known: known(0x80070003),
  },
  {
    id: "ProcessBaseImage.no-folder",
    asks: "What does ProcessBaseImage return without a folder?",
    ask: [(bench) => vm.processBaseImage(bench.host, bench.path("no"))],
    known: known(0x80070003),
  },
  {
    id: "GrantVmAccess.no-file",
    asks: "What does GrantVmAccess return without a file?",
    ask: [(bench) => vm.grantVmAccess(bench.host, VM_ID, bench.path("no"))],
    known: known("nobody knows"),
  },
  {
    id: "GrantVmAccess.twice",
    asks: "Does a second GrantVmAccess for one file and VM succeed?",
    given: [...$.disk(), (bench) => vm.grantVmAccess(bench.host, VM_ID, bench.path("d.vhdx"))],
    ask: [(bench) => vm.grantVmAccess(bench.host, VM_ID, bench.path("d.vhdx"))],
  },
  {
    id: "RevokeVmAccess.never-granted",
    asks: "What does RevokeVmAccess return for an access that was never granted?",
    given: $.disk(),
    ask: [(bench) => vm.revokeVmAccess(bench.host, VM_ID, bench.path("d.vhdx"))],
    known: known("nobody knows"),
  },
  {
    id: "NameToGuid.real-pair",
    asks: "Is the id of the name 4 the one that a real host logged?",
    ask: [(bench) => vm.nameToGuid(bench.host, "4") === "bd9c3ef9-f239-59b5-a27e-15c523b1d149"],
    known: known({ value: true }),
  },
  {
    id: "NameToGuid.case",
    asks: "Have Base and BASE the same id?",
    ask: [(bench) => vm.nameToGuid(bench.host, "Base") === vm.nameToGuid(bench.host, "BASE")],
  },
  {
    id: "DriverInfo.no-home",
    asks: "What does a driver info without a home folder lead to?",
    given: [$.scratch()],
    ask: [
      (bench) =>
        bench.host.symbols(vm.vmcompute).ActivateLayer(new Uint8Array(16), $.wide(bench.path($.SCRATCH))) as
          | Promise<never>
          | undefined,
    ],
    known: known("ends the process"),
    never: "Windows ends the process",
  },
];
