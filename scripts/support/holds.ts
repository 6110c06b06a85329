/**
 * What is held, as people see it.
 *
 * @module
 */

import type { Hold } from "../../mod.ts";

/** A hold of a mount; a disk that was attached for itself; or a mount of which nobody tells the holds. */
export type HeldRecord =
  | Hold
  | { readonly kind: "attachedDisk"; readonly path: string }
  | { readonly kind: "mount"; readonly what: string };

/** What is held, and where: two columns. */
export function holdRow(hold: HeldRecord): string[] {
  return [hold.kind, placeOf(hold)];
}

function placeOf(hold: HeldRecord): string {
  switch (hold.kind) {
    case "activation":
    case "filter":
    case "overlay":
      return hold.scratch;
    case "cimVolume":
    case "cimImage":
    case "guestVolume":
      return hold.volume;
    case "folder":
    case "mountPoint":
    case "transportFolder":
      return hold.folder;
    case "newFile":
    case "newDisk":
    case "openDisk":
    case "openImage":
    case "vmScratch":
    case "attachedDisk":
      return hold.path;
    case "baseOSLayer":
    case "newLayer":
      return hold.layer;
    case "computeSystem":
      return hold.id;
    case "vmAccess":
    case "vsmbShare":
    case "scsiAttachment":
    case "vpmemFile":
      return hold.hostPath;
    case "scsiMount":
    case "layerTree":
      return hold.guestPath;
    case "mount":
      return hold.what;
  }
}
