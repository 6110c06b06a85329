/**
 * The layers of a container as containerd and the OCI runtime specification name them.
 *
 * @module
 */

import { requireText, text, wholeNumber } from "../checks/arguments.ts";
import { diskOf, namedFolder, parentFolders, pathKey, scratchFolder, shortPath } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { type Check, fieldsOf, itemsOf, optionsOf, propertyOf, requireObject } from "../options.ts";
import type { LCOWLayers } from "./lcow.ts";

/**
 * A mount as containerd describes the root file system of a container, in either of its spellings in JSON. Other fields are
 * ignored.
 *
 * @category Layers of other tools
 */
export type ContainerdMount =
  | {
    /** Its type, such as `windows-layer`. */
    readonly type: string;
    /** Absolute path of the scratch's folder. */
    readonly source?: string;
    /** Must be empty: it is the root file system. */
    readonly target?: string;
    /** Its options, `name=value`. */
    readonly options?: readonly string[];
  }
  | {
    /** Its type, such as `windows-layer`. */
    readonly Type: string;
    /** Absolute path of the scratch's folder. */
    readonly Source?: string;
    /** Must be empty: it is the root file system. */
    readonly Target?: string;
    /** Its options, `name=value`. */
    readonly Options?: readonly string[];
  };

/**
 * What tells which layers a container has: one of the two.
 *
 * @category Layers of other tools
 */
export interface LayerSource {
  /** The one mount of containerd for the root file system. */
  mounts?: readonly ContainerdMount[] | undefined;
  /** `windows.layerFolders` of the OCI specification: the read-only layers from the topmost to the base, then the scratch. */
  layerFolders?: readonly string[] | undefined;
}

/**
 * A CIM image in a file or on a disk of its own (block CIM).
 *
 * @category Layers of other tools
 */
export interface BlockImage {
  /** Absolute path of the file or disk. */
  readonly path: string;
  /** Name of the image in it. */
  readonly name: string;
}

/**
 * The layers of a Windows container, by the form in which they are stored.
 *
 * @category Layers of other tools
 */
export type WCOWLayers =
  | {
    /** Plain folders. */
    readonly kind: "folders";
    /** Folders of the read-only layers, the topmost first. */
    readonly layers: readonly string[];
    /** Folder of the scratch. */
    readonly scratch: string;
  }
  | {
    /** Images in files next to each other, each of which refers to those of the layers below. */
    readonly kind: "images";
    /** The read-only layers, the topmost first: the folder and the image of each. */
    readonly layers: readonly { readonly folder: string; readonly image: string }[];
    /** Folder of the scratch. */
    readonly scratch: string;
  }
  | {
    /** Images that each have a file or a disk of their own. */
    readonly kind: "blockImages";
    /** Whether they are in files, or on disks. */
    readonly storage: "file" | "disk";
    /** The images of the read-only layers, the topmost first. */
    readonly layers: readonly BlockImage[];
    /** The image that merges them. Undefined if there is only one. */
    readonly merged?: BlockImage | undefined;
    /** The root hash of the image that is mounted, 64 hexadecimal digits: with it, Windows verifies what is read. */
    readonly rootHash?: string | undefined;
    /** Folder of the scratch. */
    readonly scratch: string;
  };

/**
 * Returns the layers of a Windows container that containerd (`windows-layer`, `CimFS`, `BlockCIM`) or the OCI specification names.
 * Looks at nothing on the host.
 *
 * ```ts
 * import { parseWCOWLayers } from "@hcs-layers/hcs-layers";
 *
 * const { kind, scratch } = parseWCOWLayers({
 *   mounts: [{ type: "windows-layer", source: "C:\\snapshots\\7", options: ['parentLayerPaths=["C:\\\\snapshots\\\\1"]'] }],
 * });
 * console.log(kind, scratch); // folders C:\snapshots\7
 * ```
 *
 * @throws {InvalidInputError} if it is of no known form, or a path isn't absolute.
 * @category Layers of other tools
 */
export function parseWCOWLayers(source: LayerSource): WCOWLayers {
  const given = sourceOf(source);
  if ("layerFolders" in given) {
    const { layers, scratch } = foldersOf(given.layerFolders);
    return { kind: "folders", layers, scratch };
  }
  const { type, source: folder, options } = given;
  const scratch = () => scratchFolder(unclimbing(folder, "mounts[0].source"), "mounts[0].source");
  switch (type) {
    case "windows-layer":
      return {
        kind: "folders",
        layers: distinct(parentFolders(atLeastOne(options, PARENTS), argumentOf(PARENTS)), scratch(), PARENTS),
        scratch: scratch(),
      };
    case "CimFS": {
      const folders = parentFolders(atLeastOne(options, PARENTS), argumentOf(PARENTS));
      const images = arrayOption(options, CIMS).map((path, i) => shortPath(path, `${argumentOf(CIMS)}[${i}]`));
      if (images.length !== folders.length) {
        throw new InvalidInputError(argumentOf(CIMS), `names ${images.length} images for ${folders.length} layers`);
      }
      distinct(folders, scratch(), PARENTS);
      return {
        kind: "images",
        layers: folders.map((folder, i) => ({ folder, image: images[i]! })),
        scratch: scratch(),
      };
    }
    case "BlockCIM":
      return { kind: "blockImages", ...blockImages(options), scratch: scratch() };
    default:
      throw new InvalidInputError("mounts[0].type", 'is not "windows-layer", "CimFS" or "BlockCIM"', type);
  }
}

/**
 * Returns the layers of a Linux container that containerd (`lcow-layer`, `lcow-partitioned-layer`) or the OCI specification names.
 * Looks at nothing on the host.
 *
 * @throws {InvalidInputError} if it is of no known form, or a path isn't absolute.
 * @category Layers of other tools
 */
export function parseLCOWLayers(source: LayerSource): LCOWLayers {
  const given = sourceOf(source);
  if ("layerFolders" in given) {
    const { layers, scratch } = foldersOf(given.layerFolders);
    return { layers: layers.map((folder) => ({ vhdPath: vhdOf(folder) })), scratchVhdPath: diskOf(scratch) };
  }
  const { type, source: folder, options } = given;
  if (type === "lcow-layer") {
    const scratch = scratchFolder(unclimbing(folder, "mounts[0].source"), "mounts[0].source");
    const layers = atLeastOne(options, PARENTS).map((path, i) => namedFolder(path, `${argumentOf(PARENTS)}[${i}]`));
    return { layers: layers.map((folder) => ({ vhdPath: vhdOf(folder) })), scratchVhdPath: diskOf(scratch) };
  }
  if (type !== "lcow-partitioned-layer") {
    throw new InvalidInputError("mounts[0].type", 'is neither "lcow-layer" nor "lcow-partitioned-layer"', type);
  }
  const unknown = options.find((option) => !option.startsWith(SCRATCH) && !option.startsWith(PARTITIONS));
  if (unknown !== undefined) throw new InvalidInputError("mounts[0].options", "has one that isn't known", unknown);
  const scratch = textOption(options, SCRATCH);
  if (scratch === undefined) throw missing(SCRATCH);
  const layers = itemsOf(jsonOption(options, PARTITIONS), argumentOf(PARTITIONS), partitionedLayer, {
    least: 1,
    problem: "names no layer",
  });
  return { layers, scratchVhdPath: shortPath(unclimbing(scratch, argumentOf(SCRATCH)), argumentOf(SCRATCH)) };
}

const PARENTS = "parentLayerPaths=";
const CIMS = "parentCimPaths=";
const BLOCK_TYPE = "blockCIMType=";
const MERGED = "mergedCIMPath=";
const SCRATCH = "scratch=";
const PARTITIONS = "parent-partitioned-layers=";

// How errors name an option of the mount.
function argumentOf(prefix: string): string {
  return `mounts[0].options.${prefix.slice(0, -1)}`;
}

interface Mount {
  readonly type: string;
  readonly source: unknown;
  readonly options: readonly string[];
}

function sourceOf(source: unknown): Mount | { readonly layerFolders: readonly string[] } {
  const checks = { mounts: listOrNone(mountOf), layerFolders: listOrNone(unclimbing) };
  const { mounts, layerFolders } = optionsOf(source, checks, "source");
  if (mounts.length > 0 && layerFolders.length > 0) {
    throw new InvalidInputError("mounts", "names the layers, and so does layerFolders: only one of them can");
  }
  if (mounts.length === 0 && layerFolders.length === 0) {
    throw new InvalidInputError("mounts", "names no layers, and layerFolders neither");
  }
  const [mount, ...others] = mounts;
  if (mount === undefined) return { layerFolders };
  if (others.length > 0) throw new InvalidInputError("mounts", "has more than the one of the root file system");
  return mount;
}

function listOrNone<T>(check: Check<T>): Check<readonly T[]> {
  return (value, argument) => value === undefined ? [] : itemsOf(value, argument, check);
}

function mountOf(mount: unknown, argument: string): Mount {
  requireObject(mount, argument);
  const field = (name: string) =>
    propertyOf(mount, name, argument) ?? propertyOf(mount, name[0]!.toUpperCase() + name.slice(1), argument);
  const target = field("target") ?? "";
  if (target !== "") {
    throw new InvalidInputError(`${argument}.target`, "must be empty for a root file system", target);
  }
  const options = itemsOf(field("options") ?? [], `${argument}.options`, text);
  return { type: text(field("type"), `${argument}.type`), source: field("source"), options };
}

function foldersOf(folders: readonly string[]): { layers: readonly string[]; scratch: string } {
  if (folders.length < 2) {
    throw new InvalidInputError("layerFolders", "needs at least two folders, a base layer and the scratch", folders);
  }
  const scratch = scratchFolder(folders.at(-1), `layerFolders[${folders.length - 1}]`);
  return { layers: distinct(parentFolders(folders.slice(0, -1), "layerFolders"), scratch, "layerFolders="), scratch };
}

function distinct(layers: readonly string[], scratch: string, prefix: string): readonly string[] {
  if (layers.some((folder) => pathKey(folder) === pathKey(scratch))) {
    throw new InvalidInputError(
      prefix === "layerFolders=" ? "layerFolders" : argumentOf(prefix),
      "names the scratch as well",
      scratch,
    );
  }
  return layers;
}

// Of a program's own arguments, `..` is resolved; data of others that climbs is refused.
function unclimbing(path: unknown, argument: string): string {
  requireText(path, argument);
  if (path.replace(/^\\\\[.?]\\/, "").split(/[\\/]/).some((name) => name === "." || name === "..")) {
    throw new InvalidInputError(argument, "has `.` or `..` in its path", path);
  }
  return path;
}

// The last one counts.
function textOption(options: readonly string[], prefix: string): string | undefined {
  return options.findLast((option) => option.startsWith(prefix))?.slice(prefix.length);
}

// The first one counts.
function jsonOption(options: readonly string[], prefix: string): unknown {
  const option = options.find((option) => option.startsWith(prefix))?.slice(prefix.length);
  if (option === undefined) throw missing(prefix);
  try {
    return JSON.parse(option);
  } catch (cause) {
    throw new InvalidInputError(argumentOf(prefix), "is not JSON", option, { cause });
  }
}

function missing(prefix: string): InvalidInputError {
  return new InvalidInputError("mounts[0].options", `has no ${prefix.slice(0, -1)}`);
}

function arrayOption(options: readonly string[], prefix: string): string[] {
  return itemsOf(jsonOption(options, prefix), argumentOf(prefix), unclimbing);
}

function atLeastOne(options: readonly string[], prefix: string): string[] {
  const items = arrayOption(options, prefix);
  if (items.length === 0) throw new InvalidInputError(argumentOf(prefix), "names no layer");
  return items;
}

function vhdOf(folder: string): string {
  return shortPath(`${folder}\\layer.vhd`, folder);
}

const partitionedLayer: Check<{ readonly vhdPath: string; readonly partition: number }> = (value, argument) => {
  const { Path, Partition } = fieldsOf(
    value,
    { Path: unclimbing, Partition: (value, argument) => value === undefined ? 0 : wholeNumber()(value, argument) },
    argument,
  );
  return { vhdPath: shortPath(Path, `${argument}.Path`), partition: Partition };
};

function blockImages(
  options: readonly string[],
): { storage: "file" | "disk"; layers: readonly BlockImage[]; merged: BlockImage | undefined } {
  const layers = atLeastOne(options, CIMS).map((path, i) => blockImage(path, `${argumentOf(CIMS)}[${i}]`));
  const type = textOption(options, BLOCK_TYPE);
  if (type === undefined) throw missing(BLOCK_TYPE);
  if (type !== "file" && type !== "device") {
    throw new InvalidInputError(argumentOf(BLOCK_TYPE), 'is neither "file" nor "device"', type);
  }
  const path = textOption(options, MERGED);
  if (layers.length > 1 && path === undefined) throw missing(MERGED);
  // With one layer, there is nothing to merge.
  const merged = layers.length > 1 ? blockImage(path, argumentOf(MERGED)) : undefined;
  return { storage: type === "file" ? "file" : "disk", layers, merged };
}

function blockImage(path: unknown, argument: string): BlockImage {
  const whole = shortPath(unclimbing(path, argument), argument);
  const at = whole.lastIndexOf("\\");
  const [file, name] = [whole.slice(0, at), whole.slice(at + 1)];
  if (name === "" || /^([A-Za-z]:|\\\\[.?]?|\\\\[.?]\\)?$/.test(file)) {
    throw new InvalidInputError(argument, "is not the path of a file or disk, with the name of an image in it", path);
  }
  return { path: file, name };
}
