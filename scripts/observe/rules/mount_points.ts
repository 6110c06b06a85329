/**
 * Rules of kernel32.dll about volumes and the folders that they are mounted at.
 *
 * @module
 */

import * as k32 from "../../../src/ffi/kernel32.ts";
import { known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const NO_VOLUME = "\\\\?\\Volume{00000000-0000-4000-8000-00000000000f}\\";
const MARK = "m:hcs-layers.created";

const volume = [...$.attached, $.folder("m")];
const mounted = [...volume, $.mountAt("m")];
const gone = [
  $.scratch(),
  $.activate(),
  $.findVolume(),
  $.folder("m"),
  $.mountAt("m"),
  $.deactivate(),
  $.volumeGoes,
];

const attributes = (name: string, mask: number): Step => (bench) =>
  ((k32.fileAttributes(bench.host, bench.path(name)) ?? 0) & mask) === mask;

const LINK = k32.attribute.DIRECTORY | k32.attribute.REPARSE_POINT;

const createMark = $.openFile(MARK, { access: k32.access.GENERIC_WRITE, disposition: k32.disposition.CREATE_NEW });

// Deletes the link itself, which Windows documents for every reparse point.
const deleteLink: Step = (bench) => {
  const path = bench.path("m");
  using folder = k32.openFile(bench.host, path, {
    access: k32.access.GENERIC_WRITE,
    flags: k32.fileFlag.BACKUP_SEMANTICS | k32.fileFlag.OPEN_REPARSE_POINT,
  });
  const input = new Uint8Array(8);
  new DataView(input.buffer).setUint32(0, 0xa0000003, true);
  k32.deviceIoControl(bench.host, folder.value, { code: 0x000900ac, input, path });
};

const listMountPoints = (name: (volume: string) => string): Step =>
  $.bool(
    "GetVolumePathNamesForVolumeNameW",
    (symbols, bench) =>
      symbols.GetVolumePathNamesForVolumeNameW(
        $.wide(name(bench.volume)),
        new Uint8Array(1024),
        512,
        new Uint8Array(4),
      ),
  );

/** Rules of mount points. */
export const mountPointRules: readonly Rule[] = [
  {
    id: "SetVolumeMountPointW.no-separators",
    asks: "What does SetVolumeMountPointW return without closing separators?",
    given: volume,
    ask: [
      $.bool("SetVolumeMountPointW", (symbols, bench) =>
        symbols.SetVolumeMountPointW(
          $.wide(bench.expect("mountFolders", bench.path("m"))),
          $.wide(bench.volume),
        )),
    ],
    known: known("nobody knows"),
  },
  {
    id: "SetVolumeMountPointW.not-empty",
    asks: "What does SetVolumeMountPointW return for a folder that isn't empty?",
    given: [...volume, $.folder("m\\inside")],
    ask: [$.mountAt("m")],
    known: known(0x80070091),
  },
  {
    id: "SetVolumeMountPointW.marked",
    asks: "Can a volume be mounted at a folder with an alternate data stream?",
    given: [...volume, createMark],
    ask: [$.mountAt("m")],
    known: known({}),
  },
  {
    id: "SetVolumeMountPointW.mount-point",
    asks: "What does SetVolumeMountPointW return for a mount point?",
    given: mounted,
    ask: [$.mountAt("m")],
    known: known(0x80070091),
  },
  {
    id: "SetVolumeMountPointW.no-folder",
    asks: "What does SetVolumeMountPointW return without a folder?",
    given: $.attached,
    ask: [$.mountAt("no")],
    known: known("nobody knows"),
  },
  {
    id: "SetVolumeMountPointW.second-folder",
    asks: "Can a volume be mounted at a second folder?",
    given: [...mounted, $.folder("m2")],
    ask: [$.mountAt("m2")],
    known: known({}),
  },
  {
    id: "SetVolumeMountPointW.no-volume",
    asks: "What does SetVolumeMountPointW return for a volume that there isn't?",
    given: [$.folder("m")],
    ask: [$.mountAt("m", NO_VOLUME)],
    known: known("nobody knows"),
  },
  {
    id: "DeleteVolumeMountPointW.folder-remains",
    asks: "Can the folder be removed after DeleteVolumeMountPointW?",
    given: mounted,
    ask: [$.unmountAt("m"), $.removeFolder("m")],
    known: known({}),
  },
  {
    id: "DeleteVolumeMountPointW.mark-remains",
    asks: "Is an alternate data stream of the folder there again after DeleteVolumeMountPointW?",
    given: [...volume, createMark, $.mountAt("m")],
    ask: [$.unmountAt("m"), $.openFile(MARK, {})],
    known: known({}),
  },
  {
    id: "DeleteVolumeMountPointW.none",
    asks: "Does DeleteVolumeMountPointW succeed for a folder that is no mount point?",
    given: [$.folder("m")],
    ask: [$.unmountAt("m")],
    known: known({}),
  },
  {
    id: "DeleteVolumeMountPointW.no-folder",
    asks: "What does DeleteVolumeMountPointW return without a folder?",
    ask: [$.unmountAt("no")],
    known: known(0x80070002),
  },
  {
    id: "DeleteVolumeMountPointW.no-separator",
    asks: "What does DeleteVolumeMountPointW return without a closing separator?",
    given: mounted,
    ask: [
      $.bool("DeleteVolumeMountPointW", (symbols, bench) => symbols.DeleteVolumeMountPointW($.wide(bench.path("m")))),
    ],
    known: known("nobody knows"),
  },
  {
    id: "DeleteVolumeMountPointW.volume-gone",
    asks: "What does DeleteVolumeMountPointW return once the volume is gone?",
    given: gone,
    ask: [$.unmountAt("m")],
    known: known("nobody knows"),
  },
  {
    id: "mount-point.link-remains",
    asks: "Does a folder keep its link to a volume that is gone?",
    given: gone,
    ask: [attributes("m", LINK)],
    known: known({ value: true }),
  },
  {
    id: "mount-point.link-can-be-deleted",
    asks: "Can the link to a volume that is gone be deleted, and the folder removed?",
    given: gone,
    ask: [deleteLink, $.removeFolder("m")],
    known: known({}),
  },
  {
    id: "mount-point.hides-mark",
    asks: "What does opening an alternate data stream of the folder return while a volume is mounted at it?",
    given: [...volume, createMark, $.mountAt("m")],
    ask: [$.openFile(MARK, {})],
  },
  {
    id: "mount-point.resolves",
    asks: "Does the volume's name come from its mount point?",
    given: mounted,
    ask: [(bench) =>
      k32.volumeNameForMountPoint(bench.host, bench.path("m")).toLowerCase() ===
        `${bench.volume}\\`.toLowerCase()],
    known: known({ value: true }),
  },
  {
    id: "RemoveDirectoryW.mounted",
    asks: "What does RemoveDirectoryW return while a volume is mounted at the folder?",
    given: mounted,
    ask: [$.removeFolder("m")],
    known: known("nobody knows"),
  },
  {
    id: "RemoveDirectoryW.open",
    asks: "What does RemoveDirectoryW return while another one has the folder open, and shares it?",
    given: [$.folder("m"), $.openFile("m", { flags: k32.fileFlag.BACKUP_SEMANTICS }, "other")],
    ask: [$.removeFolder("m")],
  },
  {
    id: "volume.by-name",
    asks: "Is a volume without mount point reached by its name?",
    given: $.attached,
    ask: [$.volumeComes],
    known: known({ value: true }),
  },
  {
    id: "volume.drive-letter",
    asks: "Does an attached disk get a drive letter, unless that is refused?",
    given: [...$.openScratch, $.attach($.DISK, 0), $.findAttached],
    ask: [(bench) => k32.mountPointsOfVolume(bench.host, bench.volume).some((path) => /^[A-Z]:\\?$/i.test(path))],
  },
  {
    id: "GetVolumePathNamesForVolumeNameW.gone",
    asks: "What does GetVolumePathNamesForVolumeNameW return for a volume that is gone?",
    given: gone,
    ask: [listMountPoints((name) => `${name}\\`)],
  },
  {
    id: "GetVolumePathNamesForVolumeNameW.no-volume",
    asks: "What does GetVolumePathNamesForVolumeNameW return for a volume that there never was?",
    ask: [listMountPoints(() => NO_VOLUME)],
  },
];
