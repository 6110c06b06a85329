/**
 * What is on disk before a run.
 *
 * @module
 */

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

  /** The disk as the recording says, with a disk in each scratch folder: the original never looked for it. */
  constructor({ setup, steps }: Run) {
    this.folders = setup.dirs.map((path) => path.replace(/\\+$/, ""));
    this.files = [
      ...setup.files.map(({ path, size, text }) => ({ path, size: size ?? text?.length ?? 0 })),
      ...steps.filter(isHostMount).map(({ layers }) => ({ path: diskOf(layers!.at(-1)!), size: 2 ** 22 })),
    ];
    this.stays = steps.filter(({ op }) => op === "CreateWCOW").map(({ layers }) => diskOf(layers!.at(-1)!));
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

function isHostMount({ op, vm, layers }: Step): boolean {
  return op === "MountWCOWLayers" && vm === undefined && layers !== undefined && layers.length > 1;
}
