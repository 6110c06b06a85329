/**
 * What is on disk before a run.
 *
 * @module
 */

import { namedLayers } from "./named_layers.ts";
import type { Run, Step } from "./run.ts";

/** The one key of all forms of a path that are the same to Windows. */
export function pathKey(path: string): string {
  return path.replace(/[\\/]+$/, "").toLowerCase();
}

/** The path of the CIM image that a layer would have. */
export function imageOf(layer: string): string {
  return layer.replace(/\\+([^\\]+)\\*$/, "\\cim-layers\\$1.cim");
}

/** The disk in a scratch folder. */
export function diskOf(scratch: string): string {
  return `${scratch.replace(/\\+$/, "")}\\sandbox.vhdx`;
}

/** The files and folders before a run. */
export class Disk {
  /** The folders. */
  readonly folders: readonly string[];
  /** The files, with their sizes. */
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** Files that are created in the run, and are to stay: the disks that Windows VMs write to. */
  readonly stays: readonly string[];
  readonly #kinds = new Map<string, "file" | "folder">();

  /**
   * The disk as the recording says, with what the original never looked for: a disk in each scratch folder, unless it would
   * have created one, and the files of images that each have their own.
   */
  constructor({ setup, steps, result, isHead }: Run) {
    const layers = steps.filter(({ op }) => op === "MountWCOWLayers").map((step) => namedLayers(step));
    const blind = steps.filter((step) => isHostMount(step) && !createsScratch(step, isHead));
    this.folders = setup.dirs.map((path) => path.replace(/\\+$/, ""));
    this.files = [
      ...setup.files.map(({ path, size, text = "" }) => ({ path, size: size ?? sizeOf(path, text) })),
      ...blind.map((step) => ({ path: diskOf(namedLayers(step)!.scratch), size: DISK_BYTES })),
      ...layers.flatMap((named) => named?.files ?? []).map((path) => ({ path, size: 2 ** 20 })),
    ];
    const created = steps.filter((step, i) => createsScratch(step, isHead) && result.steps[i]!.err === null);
    this.stays = [
      ...steps.filter(({ op }) => op === "CreateWCOW").map(({ layers }) => layers!.at(-1)!)
        .flatMap((scratch) => isHead ? [`${scratch}\\vm`, diskOf(`${scratch}\\vm`)] : [diskOf(scratch)]),
      ...created.map((step) => namedLayers(step)!.scratch).flatMap((scratch) => [scratch, diskOf(scratch)]),
    ];
    for (const path of this.folders) this.#add(path, "folder");
    for (const { path } of this.files) this.#add(path, "file");
  }

  #add(path: string, kind: "file" | "folder"): void {
    this.#kinds.set(pathKey(path), kind);
    const parent = path.replace(/\\+[^\\]*\\*$/, "");
    if (parent !== path) this.#add(parent, "folder");
  }

  /** What is at a path. */
  kind(path: string): "file" | "folder" | undefined {
    return this.#kinds.get(pathKey(path));
  }

  /** Whether a folder has something in it. */
  hasContent(path: string): boolean {
    return this.paths().some((other) => other.startsWith(`${pathKey(path)}\\`));
  }

  /** {@linkcode pathKey} of all. */
  paths(): string[] {
    return [...this.#kinds.keys()];
  }
}

const DISK_BYTES = 2 ** 22;

// The disks of scratches were texts in the recordings.
function sizeOf(path: string, text: string): number {
  return path.endsWith("\\sandbox.vhdx") ? DISK_BYTES : text.length;
}

function isHostMount(step: Step): boolean {
  return step.op === "MountWCOWLayers" && step.vm === undefined && namedLayers(step) !== undefined;
}

/** Whether a step creates the disk of a scratch that has none, as head does for plain folders. */
export function createsScratch(step: Step, isHead: boolean): boolean {
  return isHead && step.op === "MountWCOWLayers" && namedLayers(step)?.kind === "folders";
}
