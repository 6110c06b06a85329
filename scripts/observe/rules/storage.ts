/**
 * Rules of computestorage.dll.
 *
 * @module
 */

import * as hcs from "../../../src/ffi/computestorage.ts";
import { layerData } from "../../../src/hcsschema/storage.ts";
import { known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const BLANK = "d.vhdx";
const NEEDS_FILES = "it needs the files of a base layer, which are only read";

const volumeOf = (name: string): Step => (bench) => hcs.layerVhdMountPath(bench.host, bench.handle(name));
const formOfVolume = (name: string): Step => async (bench) =>
  $.formOf(await hcs.layerVhdMountPath(bench.host, bench.handle(name)));
const opened = [...$.disk(), $.openDisk(BLANK)];
const attached = [...opened, $.attach(BLANK)];
const setup = (folder: string, disk: string | undefined, Type: "Container" | "Vm"): Step => (bench) =>
  hcs.setupBaseOSLayer(bench.host, bench.path(folder), disk === undefined ? 0n : bench.handle(disk), { Type });
const forContainers = setup("l", undefined, "Container");
const importInto = (name: string, id?: string): Step => (bench) =>
  hcs.importLayer(
    bench.host,
    bench.path(name),
    bench.path("l"),
    layerData(id === undefined ? {} : { layers: [{ Id: id, Path: bench.parents.at(-1)!.path }] }),
  );
const data = (bench: Parameters<Step>[0]) =>
  layerData({ layers: bench.parents.map(({ id, path }) => ({ Id: id, Path: path })) });
const attachFilter = (form = (volume: string) => volume): Step => (bench) => {
  bench.expect("storageFilters", bench.volume);
  return hcs.attachLayerStorageFilter(bench.host, form(bench.volume), data(bench));
};
const withSeparator = (volume: string) => `${volume}\\`;

/** Rules of storage by documents. */
export const storageRules: readonly Rule[] = [
  {
    id: "HcsFormatWritableLayerVhd.open",
    asks: "Is a disk formatted that is open, and not attached?",
    given: opened,
    ask: [$.format(BLANK)],
    known: { 20348: {}, 17763: "nobody knows" },
  },
  {
    id: "HcsFormatWritableLayerVhd.attached",
    asks: "Is a disk formatted that is attached, and has a volume then?",
    given: attached,
    ask: [$.format(BLANK), formOfVolume(BLANK)],
    known: known({ value: "a volume" }),
  },
  {
    id: "HcsFormatWritableLayerVhd.device",
    asks: "Is a disk formatted by its device?",
    given: [...attached, $.openDevice(BLANK)],
    ask: [$.format("device")],
    known: { 20348: "nobody knows", 17763: {} },
  },
  {
    id: "HcsFormatWritableLayerVhd.file",
    asks: "What does HcsFormatWritableLayerVhd return for the file of a disk?",
    given: [...$.disk(), $.openFile(BLANK, { access: 0x80000000 }, "file")],
    ask: [$.format("file")],
    known: known(0x80070057),
  },
  {
    id: "HcsFormatWritableLayerVhd.formatted",
    asks: "What does HcsFormatWritableLayerVhd return for a disk that is formatted?",
    given: $.openScratch,
    ask: [$.format($.DISK)],
    known: known("nobody knows"),
  },
  {
    id: "HcsGetLayerVhdMountPath.attached",
    asks: "In which form is the path of the volume?",
    given: $.attached,
    ask: [formOfVolume($.DISK)],
    known: known({ value: "a volume" }),
  },
  {
    id: "HcsGetLayerVhdMountPath.not-attached",
    asks: "What does HcsGetLayerVhdMountPath return for a disk that isn't attached?",
    given: $.openScratch,
    ask: [volumeOf($.DISK)],
    known: known("nobody knows"),
  },
  {
    id: "HcsGetLayerVhdMountPath.not-formatted",
    asks: "What does HcsGetLayerVhdMountPath return for a disk that isn't formatted?",
    given: attached,
    ask: [volumeOf(BLANK)],
    known: known("nobody knows"),
  },
  {
    id: "HcsSetupBaseOSLayer.containers",
    asks: "Does HcsSetupBaseOSLayer create the file Layout?",
    given: [$.ownLayer()],
    ask: [forContainers, $.exists("l\\Layout")],
    known: known({ value: true }),
    never: NEEDS_FILES,
  },
  {
    id: "HcsSetupBaseOSLayer.twice",
    asks: "What does a second HcsSetupBaseOSLayer return?",
    given: [$.ownLayer(), forContainers],
    ask: [forContainers],
    known: known("nobody knows"),
    never: NEEDS_FILES,
  },
  {
    id: "HcsSetupBaseOSLayer.disk-is-open",
    asks: "What does HcsSetupBaseOSLayer return while a disk is open?",
    given: [$.ownLayer(), ...opened],
    ask: [forContainers],
    known: known("nobody knows"),
    never: NEEDS_FILES,
  },
  {
    id: "HcsSetupBaseOSLayer.with-disk",
    asks: "What does HcsSetupBaseOSLayer return for containers with a disk?",
    given: [$.ownLayer(), ...opened],
    ask: [setup("l", BLANK, "Container")],
    known: known("nobody knows"),
  },
  {
    id: "HcsSetupBaseOSLayer.not-attached",
    asks: "What does HcsSetupBaseOSLayer return for a VM with a disk that isn't attached?",
    given: [$.ownLayer(), ...opened],
    ask: [setup("l", BLANK, "Vm")],
    known: known("nobody knows"),
  },
  {
    id: "HcsSetupBaseOSLayer.no-folder",
    asks: "What does HcsSetupBaseOSLayer return without a folder?",
    ask: [setup("no", undefined, "Container")],
    known: known(0x80070003),
  },
  {
    id: "HcsSetupBaseOSVolume.containers",
    asks: "Does HcsSetupBaseOSVolume succeed?",
    given: [$.ownLayer(), ...$.attached],
    ask: [
      (bench) => hcs.setupBaseOSVolume(bench.host, bench.path("l"), withSeparator(bench.volume), { Type: "Container" }),
    ],
    known: { 19645: {} },
    never: NEEDS_FILES,
  },
  {
    id: "HcsImportLayer.creates-folder",
    asks: "Does HcsImportLayer create the folder of the layer?",
    given: [$.ownLayer()],
    ask: [importInto("new"), $.exists("new")],
    known: known({ value: true }),
    never: "it needs a layer in the transport format",
  },
  {
    id: "HcsImportLayer.own-folder",
    asks: "What does HcsImportLayer return for the folder that it imports into?",
    given: [$.ownLayer()],
    ask: [importInto("l")],
    known: known("nobody knows"),
  },
  {
    id: "HcsImportLayer.wrong-id",
    asks: "What does HcsImportLayer return for a parent with a wrong id?",
    given: [$.ownLayer()],
    ask: [importInto("new", $.OTHER_ID)],
    known: known(0x80070003),
  },
  {
    id: "HcsDestroyLayer.missing",
    asks: "What does HcsDestroyLayer return without a folder?",
    ask: [(bench) => hcs.destroyLayer(bench.host, bench.path("no"))],
    known: known("nobody knows"),
  },
  {
    id: "HcsDestroyLayer.parent",
    asks: "What does HcsDestroyLayer do to a layer that a mounted scratch shows?",
    given: [$.ownLayer(), $.scratch(), $.activate(), $.prepare($.SCRATCH, (bench) => [bench.parent(bench.path("l"))])],
    ask: [(bench) => hcs.destroyLayer(bench.host, bench.path("l"))],
    known: known("ends the process"),
    never: "Windows may end the process",
  },
  {
    id: "HcsInitializeWritableLayer.volume",
    asks: "Is a formatted volume initialized?",
    given: $.attached,
    ask: [(bench) => hcs.initializeWritableLayer(bench.host, withSeparator(bench.volume), data(bench))],
  },
  {
    id: "HcsInitializeWritableLayer.options",
    asks: "What does HcsInitializeWritableLayer return for the options {}?",
    given: $.attached,
    ask: [$.code(
      "HcsInitializeWritableLayer",
      (bench) =>
        bench.host.symbols(hcs.computestorage).HcsInitializeWritableLayer(
          $.wide(withSeparator(bench.volume)),
          $.wide('{"SchemaVersion":{}}'),
          $.wide("{}"),
        ),
    )],
    known: known("nobody knows"),
  },
  {
    id: "HcsAttachLayerStorageFilter.twice",
    asks: "What does a second HcsAttachLayerStorageFilter return?",
    given: [...$.attached, attachFilter(withSeparator)],
    ask: [attachFilter()],
    known: known("nobody knows"),
  },
  {
    id: "HcsAttachLayerStorageFilter.folder",
    asks: "What does HcsAttachLayerStorageFilter return for a plain folder?",
    given: [$.ownLayer()],
    ask: [(bench) => {
      bench.expect("storageFilters", bench.path("l"));
      return hcs.attachLayerStorageFilter(bench.host, bench.path("l"), data(bench));
    }],
    known: known("nobody knows"),
  },
  {
    id: "HcsDetachLayerStorageFilter.none",
    asks: "What does HcsDetachLayerStorageFilter return for a volume without filter?",
    given: $.attached,
    ask: [(bench) => hcs.detachLayerStorageFilter(bench.host, withSeparator(bench.volume))],
    known: known("nobody knows"),
  },
  {
    id: "HcsDetachOverlayFilter.none",
    asks: "What does HcsDetachOverlayFilter return for a volume without filter?",
    given: $.attached,
    ask: [
      (bench) => hcs.detachOverlayFilter(bench.host, withSeparator(bench.volume), layerData({ filterType: "UnionFS" })),
    ],
    known: known("nobody knows"),
  },
];
