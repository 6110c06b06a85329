/**
 * What a step names as its layers, from the documented forms alone: the library is not asked, so that it can be judged.
 *
 * @module
 */

import type { RecordedMount, Step } from "./run.ts";

/** The layers of a step. */
export interface NamedLayers {
  /** Plain folders, images, or images that each have a file or a disk of their own. */
  readonly kind: "folders" | "images" | "blockImages";
  /** The folders of the layers, the topmost first; none with `blockImages`. */
  readonly folders: readonly string[];
  /** The folder of the scratch. */
  readonly scratch: string;
  /** The files or disks that `blockImages` name. */
  readonly files: readonly string[];
}

/** What a step names as its layers; `undefined` if it is of no known form. */
export function namedLayers({ layers, mounts }: Step): NamedLayers | undefined {
  const [mount, ...others] = mounts ?? [];
  if (mount === undefined) {
    const [scratch] = layers?.slice(1).slice(-1) ?? [];
    return scratch === undefined ? undefined : { kind: "folders", folders: layers!.slice(0, -1), scratch, files: [] };
  }
  return others.length === 0 && layers === undefined ? ofMount(mount) : undefined;
}

function ofMount({ type, source: scratch = "", options = [] }: RecordedMount): NamedLayers | undefined {
  const option = (name: string) => options.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
  const list = (name: string): string[] => JSON.parse(option(name) ?? "[]");
  switch (type) {
    case "windows-layer":
      return { kind: "folders", folders: list("parentLayerPaths"), scratch, files: [] };
    case "CimFS":
      return { kind: "images", folders: list("parentLayerPaths"), scratch, files: [] };
    case "BlockCIM": {
      const images = [option("mergedCIMPath") ?? "", ...list("parentCimPaths")].filter((path) => path !== "");
      const files = new Set(images.map((path) => path.replace(/\\[^\\]*$/, "")));
      return { kind: "blockImages", folders: [], scratch, files: [...files] };
    }
    default:
      return undefined;
  }
}
