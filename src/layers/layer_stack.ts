/**
 * The folders of a layer stack.
 *
 * @module
 */

import { requireText } from "../checks/arguments.ts";
import { kindOf, requireKind } from "../checks/existing.ts";
import { realLayers, realScratch } from "../checks/real_path.ts";
import {
  diskOf,
  namedFolder,
  parentFolders,
  pathKey,
  requireDistinctNames,
  scratchFolder,
  shortPath,
} from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { cimMountFlag } from "../ffi/cimfs.ts";
import type { Host } from "../ffi/host.ts";
import type { ImageMount } from "../host_holds/cim_mount.ts";
import { type Check, fieldsOf, hasKind, itemsOf, oneOf, optional, propertyOf } from "../options.ts";
import type { LayerPlacement } from "./mounted_layers.ts";
import type { BlockImage, WCOWLayers } from "./parse_layers.ts";

/** The folders of a Windows container's layers. */
export interface LayerStack {
  /** The folders as the caller named them, the scratch last. */
  readonly named: readonly string[];
  /** Folders of the read-only layers, topmost first. */
  readonly layers: readonly string[];
  /** Folder of the scratch. */
  readonly scratch: string;
  /** The argument that names the scratch. */
  readonly scratchArgument: string;
  /** The image that shows the layers, if the caller named it. */
  readonly image?: NamedImage;
}

/** An image that the caller named. */
export interface NamedImage {
  /** Its path: that of its file; or that of the file or disk that it has to itself, and its name there. */
  readonly path: string;
  /** How it is mounted. */
  readonly how: ImageMount;
  /**
   * The files or disks of images that each have their own, and what names them: first the image that merges the others if one
   * does, then the topmost. Empty for an image in a file next to others.
   */
  readonly blocks: readonly (BlockImage & { readonly argument: string })[];
  /** The files with it and with the images that it merges, and what names them. */
  readonly files: readonly { readonly path: string; readonly argument: string }[];
}

/** What a mount of a stack has acquired. */
export interface AcquiredLayers {
  /** Root of the container's file system. */
  readonly path: string;
  /** Where the files of each layer are. */
  readonly placements: readonly LayerPlacement[];
}

/**
 * Checks layers as a caller passes them, and returns them as a stack.
 *
 * @throws {InvalidInputError} if one is refused.
 */
export function givenStack(layers: readonly string[] | WCOWLayers): LayerStack {
  return hasKind(layers) ? parsedStack(layers) : layerStack(layers);
}

/**
 * Checks a list of folders with the scratch last, and returns them as a stack.
 *
 * @throws {InvalidInputError} if there are fewer than two, one is no absolute path, or two read-only ones have one name.
 */
function layerStack(layerFolders: readonly string[]): LayerStack {
  const folders = itemsOf(layerFolders, "layerFolders", namedFolder, {
    least: 2,
    problem: "needs at least two folders, a base layer and the scratch",
  });
  const scratchArgument = `layerFolders[${folders.length - 1}]`;
  const layers = folders.slice(0, -1);
  requireDistinctNames(layers, "layerFolders");
  const scratch = scratchFolder(folders.at(-1), scratchArgument);
  requireOtherScratch(layers, scratch);
  return { named: folders, layers, scratch, scratchArgument };
}

/**
 * Checks layers whose form is known, and returns them as a stack.
 *
 * @throws {InvalidInputError} if one is refused.
 */
function parsedStack(layers: WCOWLayers): LayerStack {
  const kind = oneOf("folders", "images", "blockImages")(propertyOf(layers, "kind", "layers"), "layers.kind");
  const scratchArgument = "layers.scratch";
  if (kind === "folders") {
    const { scratch, layers: folders } = fieldsOf(layers, {
      kind: any,
      layers: parentFolders,
      scratch: scratchFolder,
    }, "layers");
    requireSome(folders);
    requireOtherScratch(folders, scratch, "layers.layers");
    return { named: [...folders, scratch], layers: folders, scratch, scratchArgument };
  }
  if (kind === "images") {
    const { scratch, layers: images } = fieldsOf(layers, {
      kind: any,
      layers: (value, argument) =>
        itemsOf(
          value,
          argument,
          (item, argument) => fieldsOf(item, { folder: namedFolder, image: shortPath }, argument),
        ),
      scratch: scratchFolder,
    }, "layers");
    const folders = images.map(({ folder }) => folder);
    requireSome(folders);
    requireOtherScratch(folders, scratch, "layers.layers");
    const { image } = images[0]!;
    const files = [{ path: image, argument: "layers.layers[0].image" }];
    const how = { flags: cimMountFlag.NONE, merges: [] };
    return {
      named: [...folders, scratch],
      layers: folders,
      scratch,
      scratchArgument,
      image: { path: image, how, files, blocks: [] },
    };
  }
  const { storage, layers: images, merged, scratch, rootHash } = fieldsOf(layers, {
    kind: any,
    storage: oneOf("file", "disk"),
    layers: (value, argument) => itemsOf(value, argument, blockImage),
    merged: optional(blockImage),
    rootHash: optional(hash),
    scratch: scratchFolder,
  }, "layers");
  requireSome(images);
  if (images.length > 1 && merged === undefined) {
    throw new InvalidInputError("layers.merged", "is missing: several images are mounted through one that merges them");
  }
  if (images.length === 1 && merged !== undefined) {
    throw new InvalidInputError("layers.merged", "is not available with one image, which is mounted itself");
  }
  const paths = images.map(({ path, name }) => `${path}\\${name}`);
  const merges = merged === undefined ? [] : paths;
  const blocks = [
    ...merged === undefined ? [] : [{ ...merged, argument: "layers.merged.path" }],
    ...images.map((image, i) => ({ ...image, argument: `layers.layers[${i}].path` })),
  ];
  return {
    named: [...paths, scratch],
    layers: paths,
    scratch,
    scratchArgument,
    image: {
      path: merged === undefined ? paths[0]! : `${merged.path}\\${merged.name}`,
      how: {
        flags: storage === "file" ? cimMountFlag.SINGLE_FILE : cimMountFlag.BLOCK_DEVICE,
        merges,
        rootHash,
      },
      files: storage === "disk" ? [] : blocks,
      blocks,
    },
  };
}

const any: Check<unknown> = (value) => value;

const blockImage: Check<BlockImage> = (value, argument) =>
  fieldsOf(value, { path: shortPath, name: imageName }, argument);

const imageName: Check<string> = (value, argument) => {
  requireText(value, argument);
  if (/[\\/]/.test(value)) throw new InvalidInputError(argument, "is not a name, but a path", value);
  return value;
};

const hash: Check<Uint8Array<ArrayBuffer>> = (value, argument) => {
  requireText(value, argument);
  if (!/^[0-9a-f]{64}$/i.test(value)) throw new InvalidInputError(argument, "is not 64 hexadecimal digits", value);
  return Uint8Array.fromHex(value);
};

function requireSome(layers: readonly unknown[]): void {
  if (layers.length === 0) throw new InvalidInputError("layers.layers", "names no layer", layers);
}

function requireOtherScratch(layers: readonly string[], scratch: string, argument = "layerFolders"): void {
  const twin = layers.findIndex((folder) => pathKey(folder) === pathKey(scratch));
  if (twin >= 0) {
    throw new InvalidInputError(`${argument}[${twin}]`, "is the scratch as well", scratch);
  }
}

/**
 * Returns a stack with the real paths of its folders.
 *
 * @throws {InvalidInputError} if two folders are one, or two layers have one name.
 */
export function realStack(host: Host, stack: LayerStack): LayerStack {
  // The folders of layers whose image is named aren't looked at.
  const layers = stack.image !== undefined ? stack.layers : realLayers(host, stack.layers, "layerFolders");
  const scratch = realScratch(host, stack.scratch, stack.scratchArgument);
  requireOtherScratch(layers, scratch);
  return { ...stack, layers, scratch };
}

/** Throws if the scratch folder doesn't exist, or has no disk. */
export function requireScratch(host: Host, { scratch, scratchArgument }: LayerStack): void {
  requireKind(host, scratch, scratchArgument, "folder");
  requireKind(host, diskOf(scratch), scratchArgument, "file");
}

/** Returns whether a scratch has its disk. */
export function hasScratchDisk(host: Host, { scratch }: LayerStack): boolean {
  return kindOf(host, diskOf(scratch)) !== undefined;
}
