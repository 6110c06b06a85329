/**
 * Rules of virtdisk.dll, and of the files that are virtual disks.
 *
 * @module
 */

import { fromWin32 } from "../../../src/errors/codes.ts";
import * as k32 from "../../../src/ffi/kernel32.ts";
import * as vd from "../../../src/ffi/virtdisk.ts";
import { nativeCopy } from "../../../src/ffi/memory.ts";
import type { Bench } from "../bench.ts";
import { known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const BLANK = "d.vhdx";
const NEW = "n.vhdx";

const bytes = (size: number, version: number) => {
  const parameters = new Uint8Array(size);
  parameters[0] = version;
  return parameters;
};

const CYCLES = 20;

const cycles: Step = async (bench) => {
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    bench.signal?.throwIfAborted();
    const start = performance.now();
    using handle = await vd.openVirtualDisk(bench.host, bench.path(BLANK));
    await vd.attachVirtualDisk(bench.host, handle.value, vd.attachFlag.NO_DRIVE_LETTER);
    await vd.detachVirtualDisk(bench.host, handle.value);
    if (cycle === 1 || cycle === CYCLES) bench.took(`cycle ${cycle}`, performance.now() - start);
  }
};

const FSCTL_EXTEND_VOLUME = 0x000900f0;

const active: readonly Step[] = [$.scratch(), $.activate(), $.findVolume()];
const volume = (bench: Bench) => `${bench.volume}\\`;
// The file is named by the volume that it is on, and not by a drive.
const diskFile: Step = async (bench) => {
  const file = await vd.diskFileOf(bench.host, volume(bench));
  return file?.replace(/^.*?\}/, "").toLowerCase() === bench.path($.DISK).slice("C:".length).toLowerCase();
};
const isAmongAll: Step = async (bench) =>
  (await vd.attachedDiskFiles(bench.host)).some((file) =>
    file.toLowerCase().endsWith(bench.path($.DISK).slice("C:".length).toLowerCase())
  );
const dependencyOf: Step = $.code("GetStorageDependencyInformation", async (bench) => {
  const info = new Uint8Array(4096);
  info[0] = 2;
  using block = nativeCopy(bench.host, info);
  using root = k32.openFile(bench.host, bench.path(""), {
    flags: k32.fileFlag.BACKUP_SEMANTICS,
  });
  const { GetStorageDependencyInformation } = bench.host.symbols(vd.virtdisk);
  return await GetStorageDependencyInformation(root.value, 1, info.byteLength, block.address, new Uint8Array(4));
});

/** Rules of virtual disks. */
export const diskRules: readonly Rule[] = [
  {
    id: "OpenVirtualDisk.no-file",
    asks: "What does OpenVirtualDisk return without a file?",
    ask: [$.openDisk("no.vhdx")],
    known: known(0x80070002),
  },
  {
    id: "OpenVirtualDisk.no-folder",
    asks: "What does OpenVirtualDisk return without a folder?",
    ask: [$.openDisk("no\\no.vhdx")],
    known: known(0x80070003),
  },
  {
    id: "OpenVirtualDisk.no-disk",
    asks: "What does OpenVirtualDisk return for a file that isn't a disk?",
    given: [$.plainFile("t.vhdx")],
    ask: [$.openDisk("t.vhdx")],
    known: known("nobody knows"),
  },
  {
    id: "OpenVirtualDisk.access-flags",
    asks: "What does OpenVirtualDisk return for access flags with parameters of version 2?",
    given: $.disk(),
    ask: [$.code("OpenVirtualDisk", (bench) =>
      bench.host.symbols(vd.virtdisk).OpenVirtualDisk(
        new Uint8Array(20),
        $.wide(bench.path(BLANK)),
        0x3f0000,
        0,
        bytes(28, 2),
        new Uint8Array(8),
      ))],
    known: known(0x80070057),
  },
  {
    id: "OpenVirtualDisk.attached",
    asks: "Can an attached disk be opened once more, and detached by that handle?",
    given: $.attached,
    ask: [$.openDisk($.DISK, "second"), $.detach("second"), $.volumeGoes],
    known: known({ value: true }),
  },
  {
    id: "OpenVirtualDisk.active",
    asks: "Can the disk of an activated scratch be opened?",
    given: [$.scratch(), $.activate()],
    ask: [$.openDisk($.DISK)],
  },
  {
    id: "OpenVirtualDisk.parent-gone",
    asks: "What does OpenVirtualDisk return if the parent of the disk is gone?",
    given: [
      ...$.disk(),
      (bench) => $.createDisk(NEW, { parent: bench.path(BLANK) })(bench),
      $.close(NEW),
      $.deleteFile(BLANK),
    ],
    ask: [$.openDisk(NEW)],
    known: known("nobody knows"),
  },
  {
    id: "CreateVirtualDisk.over-file",
    asks: "What does CreateVirtualDisk return if the file exists?",
    given: $.disk(),
    ask: [$.createDisk(BLANK, { size: BigInt($.GIB) })],
    known: known(0x80070050),
  },
  {
    id: "CreateVirtualDisk.no-folder",
    asks: "What does CreateVirtualDisk return without a folder?",
    ask: [$.createDisk("no\\n.vhdx", { size: BigInt($.GIB) })],
    known: known(0x80070003),
  },
  {
    id: "CreateVirtualDisk.size-0",
    asks: "What does CreateVirtualDisk return for the size 0?",
    ask: [$.createDisk(NEW, { size: 0n })],
    known: known(0x80070057),
  },
  {
    id: "CreateVirtualDisk.half-sector",
    asks: "What does CreateVirtualDisk return for a size with half a sector?",
    ask: [$.createDisk(NEW, { size: BigInt($.GIB) + 256n })],
    known: known(0x80070057),
  },
  {
    id: "CreateVirtualDisk.parent-missing",
    asks: "What does CreateVirtualDisk return if the parent is missing?",
    ask: [(bench) => $.createDisk(NEW, { parent: bench.path("no.vhdx") })(bench)],
    known: known(0x80070002),
  },
  {
    id: "CreateVirtualDisk.size-of-parent",
    asks: "Has a differencing disk the size of its parent?",
    given: [...$.disk(), (bench) => $.createDisk(NEW, { parent: bench.path(BLANK) })(bench)],
    ask: [(bench) => vd.diskSizes(bench.host, bench.handle(NEW)).size === BigInt($.GIB)],
    known: known({ value: true }),
  },
  {
    id: "CreateVirtualDisk.long-path",
    asks: "What does CreateVirtualDisk return for a path of more than 260 characters?",
    given: [$.folder("x".repeat(200))],
    ask: [$.createDisk(`${"x".repeat(200)}\\${"y".repeat(80)}.vhdx`, { size: BigInt($.GIB) })],
  },
  {
    id: "GetVirtualDiskInformation.no-parent",
    asks: "Does Windows tell that a disk has no parent?",
    given: [...$.disk(), $.openDisk(BLANK)],
    ask: [(bench) => vd.diskParent(bench.host, bench.handle(BLANK)) === undefined],
    known: known({ value: true }),
  },
  {
    id: "AttachVirtualDisk.volume",
    asks: "Is there a volume after a formatted disk was attached, and when?",
    given: $.attached,
    ask: [$.volumeComes],
    known: known({ value: true }),
  },
  {
    id: "AttachVirtualDisk.cycles",
    asks: `Can a disk be attached and detached ${CYCLES} times without a pause?`,
    given: $.disk(),
    ask: [cycles],
  },
  {
    id: "AttachVirtualDisk.twice",
    asks: "What does a second AttachVirtualDisk return?",
    given: $.attached,
    ask: [$.attach($.DISK)],
    known: known(0x80070020),
  },
  {
    id: "AttachVirtualDisk.active",
    asks: "What does AttachVirtualDisk return for the disk of an activated scratch?",
    given: [$.scratch(), $.activate(), $.openDisk($.DISK)],
    ask: [$.attach($.DISK)],
    known: known(0x80070020),
  },
  {
    id: "AttachVirtualDisk.device",
    asks: "What does AttachVirtualDisk return for the device of a disk?",
    given: [...$.attached, $.openDevice($.DISK)],
    ask: [$.attach("device")],
    known: known(0x80070001),
  },
  {
    id: "AttachVirtualDisk.version-2",
    asks: "What does AttachVirtualDisk return for parameters of version 2?",
    given: [...$.disk(), $.openDisk(BLANK)],
    ask: [$.code(
      "AttachVirtualDisk",
      (bench) =>
        bench.host.symbols(vd.virtdisk).AttachVirtualDisk(
          bench.handle(BLANK),
          null,
          vd.attachFlag.NO_DRIVE_LETTER,
          0,
          bytes(24, 2),
          null,
        ),
    )],
    known: { 17763: 0x80070057 },
  },
  {
    id: "AttachVirtualDisk.last-handle",
    asks: "Is a disk detached when its last handle is closed?",
    given: $.attached,
    ask: [$.close($.DISK), $.volumeGoes],
    known: known({ value: true }),
  },
  {
    id: "AttachVirtualDisk.other-handle",
    asks: "Does a disk stay attached as long as one of its handles is open?",
    given: [...$.attached, $.openDisk($.DISK, "second")],
    ask: [$.close($.DISK), $.volumeComes],
    known: known({ value: true }),
  },
  {
    id: "AttachVirtualDisk.permanent",
    asks: "Does a disk stay attached without a handle, if it is attached for good?",
    given: [
      ...$.openScratch,
      $.attach($.DISK, vd.attachFlag.PERMANENT_LIFETIME | vd.attachFlag.NO_DRIVE_LETTER),
      $.findAttached,
    ],
    ask: [$.close($.DISK), $.volumeComes],
    known: known({ value: true }),
  },
  {
    id: "DetachVirtualDisk.not-attached",
    asks: "What does DetachVirtualDisk return for a disk that isn't attached?",
    given: [...$.disk(), $.openDisk(BLANK)],
    ask: [$.detach(BLANK)],
    known: known("nobody knows"),
  },
  {
    id: "DetachVirtualDisk.no-handle",
    asks: "What does DetachVirtualDisk return for a value that is no handle?",
    ask: [(bench) => vd.detachVirtualDisk(bench.host, 1n)],
    known: known(0x80070006),
  },
  {
    id: "DetachVirtualDisk.with-filter",
    asks: "What does DetachVirtualDisk return for a scratch that has the filter?",
    given: [$.scratch(), $.activate(), $.prepare(), $.openDisk($.DISK)],
    ask: [$.detach($.DISK)],
    known: known("nobody knows"),
  },
  {
    id: "DetachVirtualDisk.frees",
    asks: "Can the file of a disk be deleted at once after DetachVirtualDisk?",
    given: $.attached,
    ask: [$.detach($.DISK), $.close($.DISK), $.deleteFile($.DISK)],
  },
  {
    id: "GetVirtualDiskPhysicalPath.attached",
    asks: "Is there a device of an attached disk at once?",
    given: [...$.disk(), $.openDisk(BLANK), $.attach(BLANK)],
    ask: [(bench) => /^\\\\\.\\PhysicalDrive\d+$/.test(vd.physicalPath(bench.host, bench.handle(BLANK)))],
    known: known({ value: true }),
  },
  {
    id: "GetVirtualDiskPhysicalPath.not-attached",
    asks: "What does GetVirtualDiskPhysicalPath return for a disk that isn't attached?",
    given: [...$.disk(), $.openDisk(BLANK)],
    ask: [(bench) => void vd.physicalPath(bench.host, bench.handle(BLANK))],
    known: known("nobody knows"),
  },
  {
    id: "CreateFileW.open-disk",
    asks: "Can the file of a disk be opened for reading while it is open as a disk?",
    given: $.openScratch,
    ask: [$.readFile($.DISK)],
    known: known(0x80070020),
  },
  {
    id: "CreateFileW.open-disk-attributes",
    asks: "Can the file of a disk be opened without access while it is open as a disk?",
    given: $.openScratch,
    ask: [$.openFile($.DISK, {})],
    known: known({}),
  },
  {
    id: "CreateFileW.no-device",
    asks: "What does CreateFileW return for a device that isn't there?",
    ask: [
      (bench) =>
        k32.openFile(bench.host, "\\\\.\\PhysicalDrive9999", { access: k32.access.GENERIC_WRITE })[Symbol.dispose](),
    ],
    known: known(0x80070003),
  },
  {
    id: "DeleteFileW.open-disk",
    asks: "What does DeleteFileW return for a disk that is open?",
    given: $.openScratch,
    ask: [$.deleteFile($.DISK)],
    known: known(0x80070020),
  },
  {
    id: "CopyFileW.open-disk",
    asks: "What does CopyFileW return for a disk that is open?",
    given: [...$.disk(), $.openDisk(BLANK)],
    ask: [(bench) => k32.copyFile(bench.host, bench.path(BLANK), bench.path(NEW))],
    known: known(0x80070020),
  },
  {
    id: "GetStorageDependencyInformation.attached",
    asks: "Is the file of an attached disk named by its volume?",
    given: $.attached,
    ask: [diskFile],
    known: known({ value: true }),
  },
  {
    id: "GetStorageDependencyInformation.active",
    asks: "Is the file of an activated scratch named by its volume?",
    given: active,
    ask: [diskFile],
  },
  {
    id: "GetStorageDependencyInformation.no-disk",
    asks: "What does GetStorageDependencyInformation return for a volume that is on no virtual disk?",
    ask: [dependencyOf],
  },
  {
    id: "GetAllAttachedVirtualDiskPhysicalPaths.attached",
    asks: "Is the file of an attached disk among those of all attached disks?",
    given: $.attached,
    ask: [isAmongAll],
    known: known({ value: true }),
  },
  {
    id: "GetAllAttachedVirtualDiskPhysicalPaths.active",
    asks: "Is the file of an activated scratch among those of all attached disks?",
    given: active,
    ask: [isAmongAll],
  },
  {
    id: "FindFirstVolumeW.active",
    asks: "Is the volume of an activated scratch among all volumes?",
    given: active,
    ask: [(bench) => k32.volumes(bench.host).some((name) => name.toLowerCase() === volume(bench).toLowerCase())],
  },
  {
    id: "IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS.attached",
    asks: "Has the volume of an attached disk the number of its device?",
    given: $.attached,
    ask: [(bench) =>
      vd.physicalPath(bench.host, bench.handle($.DISK)) ===
        `\\\\.\\PhysicalDrive${k32.diskNumberOf(bench.host, volume(bench))}`],
    known: known({ value: true }),
  },
  {
    id: "IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS.active",
    asks: "Has the volume of an activated scratch the number of a disk?",
    given: active,
    ask: [(bench) => void k32.diskNumberOf(bench.host, volume(bench))],
    known: { 17763: {} },
  },
  {
    id: "FSCTL_EXTEND_VOLUME.full",
    asks: "What does extending a volume return that fills its disk already?",
    given: [...$.attached, (bench) => {
      const options = {
        access: k32.access.GENERIC_READ | k32.access.GENERIC_WRITE,
        share: k32.share.READ | k32.share.WRITE,
      };
      bench.keep("volume", k32.openFile(bench.host, bench.volume, options));
    }],
    ask: [(bench) => {
      const input = new Uint8Array(8);
      new DataView(input.buffer).setBigInt64(0, BigInt(20 * $.GIB / 512), true);
      k32.deviceIoControl(bench.host, bench.handle("volume"), { code: FSCTL_EXTEND_VOLUME, input });
    }],
    known: known(fromWin32(87)),
  },
];
