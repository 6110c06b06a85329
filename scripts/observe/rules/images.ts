/**
 * Rules of CimFS.dll. Those with an image need a layer that has one.
 *
 * @module
 */

import { attachOverlayFilter } from "../../../src/ffi/computestorage.ts";
import * as cim from "../../../src/ffi/cimfs.ts";
import * as k32 from "../../../src/ffi/kernel32.ts";
import { layerData } from "../../../src/hcsschema/storage.ts";
import type { Bench } from "../bench.ts";
import { known, type Rule, type Step } from "../rule.ts";
import * as $ from "../steps.ts";

const FIRST = "00000000-0000-4000-8000-0000000000a1";
const SECOND = "00000000-0000-4000-8000-0000000000a2";

type Image = Parameters<typeof cim.mountImage>[1];

const mountImage = (imageOf: (bench: Bench) => Image, id: string, flags: number): Step => (bench) => {
  const image = imageOf(bench);
  bench.expectImage(id, `${image.folder}\\${image.name}`);
  return cim.mountImage(bench.host, image, id, flags);
};
const mount = (id: string, flags: number = cim.cimMountFlag.NONE): Step => mountImage(({ image }) => image, id, flags);
const dismount = (id: string): Step => (bench) => cim.dismountImage(bench.host, id);
const mountNamed = (folder: string, name: string, flags: number = cim.cimMountFlag.NONE): Step =>
  mountImage((bench) => ({ folder: bench.path(folder), name }), FIRST, flags);
const overlay: Step = (bench) => {
  const layers = [{ Id: bench.parents[0]!.id, Path: `\\\\?\\Volume{${FIRST}}\\Files` }];
  const volume = `${bench.volume}\\`;
  bench.expect("overlays", volume);
  return attachOverlayFilter(bench.host, volume, layerData({ layers, filterType: "UnionFS" }));
};
const overlaid = [$.scratch(), $.activate(), $.findVolume(), mount(FIRST), overlay];
const isThere = (id: string): Step => (bench) => k32.fileAttributes(bench.host, `\\\\?\\Volume{${id}}\\`) !== undefined;

/** Rules of images. */
export const imageRules: readonly Rule[] = [
  {
    id: "CimMountImage.no-folder",
    asks: "What does CimMountImage return without a folder?",
    ask: [mountNamed("no", "no.cim")],
    known: known(0x80070003),
  },
  {
    id: "CimMountImage.no-image",
    asks: "What does CimMountImage return without an image?",
    given: [$.folder("i")],
    ask: [mountNamed("i", "no.cim")],
    known: known(0x80070002),
  },
  {
    id: "CimMountImage.bad-flag",
    asks: "What does CimMountImage return for a flag that doesn't exist?",
    given: [$.folder("i")],
    ask: [mountNamed("i", "no.cim", 0x8000)],
    known: known(0x80070057),
  },
  {
    id: "CimDismountImage.not-mounted",
    asks: "What does CimDismountImage return for an image that isn't mounted?",
    ask: [dismount(FIRST)],
    known: known(0x80070002),
  },
  {
    id: "CimMountImage.volume",
    asks: "Is there a volume with the chosen id once an image is mounted?",
    ask: [mount(FIRST), isThere(FIRST)],
    known: known({ value: true }),
  },
  {
    id: "CimMountImage.cache-files",
    asks: "Is an image mounted with the flag 4, which caches files?",
    ask: [mount(FIRST, cim.cimMountFlag.CACHE_FILES)],
    known: known({}),
  },
  {
    id: "CimMountImage.id-in-use",
    asks: "What does CimMountImage return for an id that is in use?",
    given: [mount(FIRST)],
    ask: [mount(FIRST)],
    known: known(0x800700b7),
  },
  {
    id: "CimMountImage.second-id",
    asks: "Is an image mounted a second time, with another id?",
    given: [mount(FIRST)],
    ask: [mount(SECOND)],
  },
  {
    id: "CimDismountImage.open-file",
    asks: "What does CimDismountImage return while a program has the volume's root open?",
    given: [mount(FIRST), (bench) => {
      const path = `\\\\?\\Volume{${FIRST}}\\`;
      bench.keep("root", k32.openFile(bench.host, path, { flags: k32.fileFlag.BACKUP_SEMANTICS }));
    }],
    ask: [dismount(FIRST)],
  },
  {
    id: "CimDismountImage.overlay",
    asks: "What does CimDismountImage return while an overlay filter shows the image?",
    given: overlaid,
    ask: [dismount(FIRST)],
    known: known("nobody knows"),
  },
  {
    id: "HcsAttachOverlayFilter.twice",
    asks: "What does a second HcsAttachOverlayFilter return?",
    given: overlaid,
    ask: [overlay],
    known: known("nobody knows"),
  },
  {
    id: "UnprepareLayer.overlay",
    asks: "What does UnprepareLayer return for a scratch that has an overlay filter?",
    given: overlaid,
    ask: [$.unprepare()],
    known: known(0x801f0015),
  },
  {
    id: "DeactivateLayer.overlay",
    asks: "What does DeactivateLayer return for a scratch that has an overlay filter?",
    given: overlaid,
    ask: [$.deactivate()],
    known: known("nobody knows"),
  },
  {
    id: "CimDismountImage.volume",
    asks: "Is the volume gone after CimDismountImage, and when?",
    given: [mount(FIRST)],
    ask: [dismount(FIRST), (bench) =>
      bench.until(
        "until the volume is gone",
        () => k32.fileAttributes(bench.host, `\\\\?\\Volume{${FIRST}}\\`) === undefined,
      )],
    known: known({ value: true }),
  },
];
