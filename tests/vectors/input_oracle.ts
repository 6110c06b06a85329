/**
 * Says which arguments are bad, from the documented rules alone: the library is not asked, so that it can be judged.
 *
 * @module
 */

import { createsScratch, type Disk, diskOf, imageOf, pathKey } from "./disk.ts";
import { type NamedLayers, namedLayers } from "./named_layers.ts";
import { diskMountedAt } from "./requests.ts";
import { isMountedAt } from "./residual.ts";
import type { Residual } from "./run.ts";
import type { Situation } from "./situation.ts";

/** Whether the library has to refuse the arguments of a step. */
export function isBadInput(situation: Situation): boolean {
  return RULES[situation.step.op]?.(situation) ?? false;
}

type Rule = (situation: Situation) => boolean;

const RULES: Readonly<Record<string, Rule>> = {
  MountWCOWLayers(situation) {
    const { run, step, disk, held } = situation;
    const { vm, volumeMountPath } = step;
    const named = namedLayers(step);
    if (named === undefined || isBadStack(named, disk, held, createsScratch(step, run.isHead))) return true;
    if (volumeMountPath && !isMountable(volumeMountPath, disk, held)) return true;
    if (vm === undefined) return false;
    const scratchDisk = diskOf(named.scratch);
    return disk.kind(scratchDisk) !== "file" && !run.isHead || !isRunning(situation, "CreateWCOW") ||
      isInUse(scratchDisk, situation);
  },

  MountLCOWLayers(situation) {
    const { step: { lcowLayers, scratch, guestRoot }, disk, held } = situation;
    const files = [...lcowLayers!.map(({ vhd }) => vhd), scratch!];
    return lcowLayers!.length === 0 || !isRunning(situation, "CreateLCOW") ||
      files.some((path) => disk.kind(path) !== "file") ||
      combinedLayersOf(held).includes(`${guestRoot!.replace(/\/+$/, "")}/rootfs`);
  },

  GetHCSLayers({ step: { layers } }) {
    return !layers!.every(isAbsolute);
  },

  MountSandboxVolume({ step: { volumeName, hostPath }, disk, held }) {
    return !VOLUME.test(volumeName!) || !isMountable(hostPath!, disk, held);
  },

  RemoveSandboxMountPoint({ step: { hostPath } }) {
    return !isAbsolute(hostPath!);
  },

  ToHostHcsSchemaLayers({ step: { layers } }) {
    return layers!.length === 0 || !layers!.every(isAbsolute) || hasTwins(layers!);
  },
};

const VOLUME = /^\\\\\?\\Volume\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}\\?$/i;

function isAbsolute(path: string): boolean {
  return /^([a-z]:\\+[^\\]|\\\\[^\\])/i.test(path) && !path.includes("\0");
}

function isBadStack(
  { kind, folders, scratch, files }: NamedLayers,
  disk: Disk,
  held: Residual,
  createsScratch: boolean,
): boolean {
  if (folders.length + files.length === 0 || ![...folders, ...files, scratch].every(isAbsolute)) return true;
  const inUse = [...folders, ...held.active ?? []].map(pathKey);
  if (hasTwins(folders) || inUse.includes(pathKey(scratch))) return true;
  // If the topmost layer has an image, the folders of the layers play no part.
  const hasImage = kind !== "folders" || disk.kind(imageOf(folders[0]!)) === "file";
  const needed = [...hasImage ? [] : folders, ...createsScratch ? [] : [scratch]];
  return needed.some((folder) => disk.kind(folder) !== "folder");
}

// The id of a layer comes from the name of its folder.
function hasTwins(folders: readonly string[]): boolean {
  return new Set(folders.map((folder) => pathKey(folder).split("\\").at(-1))).size < folders.length;
}

function isMountable(folder: string, disk: Disk, held: Residual): boolean {
  return isAbsolute(folder) && disk.kind(folder) !== "file" && !disk.hasContent(folder) && !isMountedAt(held, folder);
}

function isRunning({ run, step, index }: Situation, createdBy: string): boolean {
  const before = run.steps.slice(0, index).filter(({ vm }) => vm === step.vm).map(({ op }) => op);
  return before.includes(createdBy) && before.includes("StartVM") && !before.includes("CloseVM");
}

// A Windows guest combines the layers at the root of the scratch, so a scratch serves one container at a time.
function isInUse(scratchDisk: string, { made, held, resolvedDrive }: Situation): boolean {
  const path = pathKey(scratchDisk.replace("C:\\", resolvedDrive));
  return combinedLayersOf(held).some((root) => pathKey(diskMountedAt(root, made) ?? "") === path);
}

// Where guests have combined layers.
function combinedLayersOf({ guest = [] }: Residual): string[] {
  return guest.flatMap((held) => held.match(/^CombinedLayers:(.*)$/)?.[1] ?? []);
}
