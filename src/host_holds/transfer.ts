/**
 * The holds on what an import or export makes: a layer, an image, and folders that are there only meanwhile.
 *
 * @module
 */

import { kindOf } from "../checks/existing.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { messageOf } from "../errors/printable.ts";
import { InUseError } from "../errors/state_errors.ts";
import type { Host } from "../ffi/host.ts";
import {
  access,
  createDirectory,
  deleteFile,
  disposition,
  fileFlag,
  isNotFound,
  isTaken,
  openFile,
  type OpenFileOptions,
} from "../ffi/kernel32.ts";
import { moveFile } from "../ffi/naming.ts";
import { destroyLayer } from "../ffi/vmcompute.ts";
import type { Held, HoldOf } from "../holds/hold.ts";
import type { Expect, HoldList } from "../holds/hold_list.ts";
import { log } from "../log.ts";
import type { PlannedTransfer } from "../records/place.ts";
import { onceFree, removeOnceFree } from "../session/waiting.ts";
import { newFileOf, removeFile, removeTree } from "./new_file.ts";

/** Returns a path that nothing else has: that of a layer or image until it gets its own. */
export function temporaryPath({ target, mark }: PlannedTransfer): string {
  return `${target}.${mark}`;
}

/** Returns the path of the folder that Windows imports from or exports to. */
export function transportPath(transfer: PlannedTransfer): string {
  return `${temporaryPath(transfer)}.files`;
}

/** Returns the holds on all that a transfer can have left. */
export function leftOfTransfer(host: Host, transfer: PlannedTransfer): Held[] {
  switch (transfer.kind) {
    case "newImage":
      return [newFileOf(host, temporaryPath(transfer))];
    case "newImageLayer": {
      const layer = newLayerOf(host, transfer);
      return [layer, newImageOf(host, transfer, layer)];
    }
    case "newLayer":
      return [newLayerOf(host, transfer), transportFolderOf(host, transportPath(transfer))];
    case "export":
      return [transportFolderOf(host, transportPath(transfer))];
  }
}

/** Returns the hold on a folder whose name nothing else has. Releasing it removes it with all that is in it. */
export function transportFolderOf(host: Host, folder: string): Held<HoldOf<"transportFolder">> {
  return {
    hold: { kind: "transportFolder", folder },
    restsOn: [],
    release: () => removeOnceFree(host, folder, () => removeTree(host, folder)),
  };
}

/** Creates such a folder. */
export function acquireTransportFolder(
  host: Host,
  folder: string,
  expect: Expect,
): Held<HoldOf<"transportFolder">> {
  const held = transportFolderOf(host, folder);
  expect(held);
  createDirectory(host, folder);
  return held;
}

/** Returns the hold on a layer that is being made. Releasing it removes the layer only as long as it has the mark. */
export function newLayerOf(host: Host, transfer: PlannedTransfer): Held<HoldOf<"newLayer">> {
  const { target: layer } = transfer;
  return {
    hold: { kind: "newLayer", layer },
    restsOn: [],
    async release() {
      const begun = temporaryPath(transfer);
      const wasBegun = await removeOnceFree(host, begun, () => removeTree(host, begun));
      if (!isMarked(host, layer, transfer)) return wasBegun;
      // Windows removes files of a layer that nobody else may remove. That of an image has none of these.
      if (transfer.kind === "newLayer") await destroyLayer(host, layer);
      else await removeOnceFree(host, layer, () => removeTree(host, layer));
      if (kindOf(host, layer) === undefined) return true;
      throw new InUseError(layer, "is still there although Windows reported that it was deleted");
    },
  };
}

/**
 * Creates the folder of a layer, which has the mark from the moment at which it has its name.
 *
 * @throws {InvalidInputError} if there is something at its path by then.
 */
export function acquireNewLayer(
  host: Host,
  transfer: PlannedTransfer,
  expect: Expect,
): Held<HoldOf<"newLayer">> {
  const held = newLayerOf(host, transfer);
  expect(held);
  const begun = temporaryPath(transfer);
  createDirectory(host, begun);
  mark(host, begun, transfer);
  moveToTarget(host, begun, transfer.target, "layer");
  return held;
}

/** {@linkcode moveToTarget}, again and again as long as a scanner has it open. */
export async function moveOnceFree(host: Host, from: string, target: string, argument: string): Promise<void> {
  await onceFree(host, from, () => moveToTarget(host, from, target, argument));
}

/** Gives what is complete its own name, which the caller knows as `argument`. */
export function moveToTarget(host: Host, from: string, target: string, argument: string): void {
  try {
    moveFile(host, from, target);
  } catch (cause) {
    if (isTaken(cause)) throw new InvalidInputError(argument, "exists since the call began", target, { cause });
    throw cause;
  }
}

/** Returns the hold on the image of a layer that is being made. Releasing it removes the image only as long as both have the mark. */
export function newImageOf(host: Host, transfer: PlannedTransfer, layer: Held): Held<HoldOf<"newFile">> {
  const path = transfer.image!;
  const isOurs = () => [transfer.target, path].every((marked) => isMarked(host, marked, transfer));
  return {
    hold: { kind: "newFile", path },
    // Without the layer, nothing tells that the image isn't complete.
    restsOn: [layer],
    release: async () => isOurs() && await removeOnceFree(host, path, () => removeFile(host, path)),
  };
}

/** Takes the marks off a layer that is complete, and off its image: from now on, nothing that was begun removes them. */
export function completeLayer(host: Host, transfer: PlannedTransfer): void {
  unmark(host, transfer.target, transfer);
  if (transfer.image === undefined) return;
  try {
    unmark(host, transfer.image, transfer);
  } catch (error) {
    // It says nothing without that of the layer.
    log("warn", () => `the mark on ${transfer.image} stays: ${messageOf(error)}`);
  }
}

/** Releases a list of which nothing is held any more, so that its record goes. Tried twice, and logged if that fails. */
export async function closeRecord(holds: HoldList): Promise<void> {
  try {
    await holds.release().catch(() => holds.release());
  } catch (error) {
    // recover() finds nothing to release, and removes it.
    log("warn", () => `the record of what is complete stays: ${messageOf(error)}`);
  }
}

function unmark(host: Host, path: string, transfer: PlannedTransfer): void {
  try {
    deleteFile(host, `${path}:${streamOf(transfer.mark)}`);
  } catch (error) {
    if (isMarked(host, path, transfer)) throw error;
  }
}

/** Marks a file or folder, by which {@linkcode leftOfTransfer} knows it. */
export function mark(host: Host, path: string, transfer: PlannedTransfer): void {
  openMark(host, path, transfer, { access: access.GENERIC_WRITE, disposition: disposition.CREATE_NEW });
}

const LOOKS = 3;

// Two looks must tell that there is none: an answer can be wrong once, and what is left without one would be there for good. One
// look may fail, or nobody would hear of what is left.
function isMarked(host: Host, path: string, transfer: PlannedTransfer): boolean {
  let absent = 0;
  for (let look = 1; absent < 2; look++) {
    try {
      if (hasMark(host, path, transfer)) return true;
      absent++;
    } catch (error) {
      if (look === LOOKS) throw error;
    }
  }
  return false;
}

function hasMark(host: Host, path: string, transfer: PlannedTransfer): boolean {
  try {
    openMark(host, path, transfer);
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function openMark(host: Host, folder: string, { mark }: PlannedTransfer, options: OpenFileOptions = {}): void {
  openFile(host, `${folder}:${streamOf(mark)}`, { ...options, flags: fileFlag.OPEN_REPARSE_POINT })[Symbol.dispose]();
}

function streamOf(mark: string): string {
  return `hcs-layers.${mark}`;
}
