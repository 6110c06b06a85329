/**
 * Importing layers from tars into CIM images.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { boolean, withHostOptions } from "../checks/arguments.ts";
import { requireKind } from "../checks/existing.ts";
import { namedFolder } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { writeNewFile } from "../ffi/file_contents.ts";
import type { Host } from "../ffi/host.ts";
import type { TarSource } from "../files/tar/tar_source.ts";
import { cimPath } from "../host_holds/layer_image.ts";
import { acquireNewLayer, closeRecord, completeLayer, mark, newImageOf } from "../host_holds/transfer.ts";
import { optional } from "../options.ts";
import type { PlannedTransfer } from "../records/place.ts";
import { requireBuild } from "../session/builds.ts";
import { claim } from "../session/creations.ts";
import { withPlaceRecord } from "../session/place_records.ts";
import { sessionOf } from "../session/session.ts";
import { beginBlockCim, beginCim, DEFAULT_NAME, imageName } from "./cim_writing.ts";
import { type CimWriter, heldWriter } from "./image_writer.ts";
import { ImageLayer } from "./image_layer.ts";
import { entriesOf, IMPORT, type ImportedLayer, type PreparedImport, prepareImport } from "./import_layer.ts";
import { type ImportOptions, Progress } from "./transfer_options.ts";

/**
 * Options of {@linkcode importCimLayer}.
 *
 * @category Layers as tars
 */
export interface ImportCimLayerOptions extends ImportOptions {
  /** Absolute path of the image. Default: `cim-layers\<name>.cim` beside the folder of the layer, where layers are mounted from. */
  image?: string | undefined;
}

/**
 * Options of {@linkcode importBlockCimLayer}.
 *
 * @category Layers as tars
 */
export interface ImportBlockCimLayerOptions extends ImportOptions {
  /** Absolute path of the file of the image. Default: `layer.bcim` in the folder of the layer. */
  block?: string | undefined;
  /** The name of the image in its file. Default: `layer.cim`. */
  imageName?: string | undefined;
  /**
   * Whether the image gets a root hash, which is in the file `integrity_checksum` of the layer's folder as well. Needs build 27800.
   * Default: false.
   */
  verified?: boolean | undefined;
}

/**
 * A layer that was imported into an image.
 *
 * @category Layers as tars
 */
export interface ImportedImageLayer extends ImportedLayer {
  /** Absolute path of the image, or of the file that it is in. */
  readonly image: string;
  /** Of a verified image: its root hash, of 32 bytes. */
  readonly rootHash?: Uint8Array<ArrayBuffer> | undefined;
}

/** `importCimLayer` of `mod.ts`. */
export async function importCimLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportCimLayerOptions = {},
): Promise<ImportedImageLayer> {
  const further = { ...IMPORT, image: optional(namedFolder) };
  return await withHostOptions(options, further, [layer, parents], async ({ host, signal, ...how }) => {
    const init = prepareImport(host, { layer, parents, tar, signal, ...how }, "importImage");
    requireBuild(host, "cimFs", "CimFS");
    const image = how.image ?? cimPath(init.layer);
    const [below] = init.parents.map(cimPath);
    if (below !== undefined && dirname(below).toLowerCase() !== dirname(image).toLowerCase()) {
      throw new InvalidInputError("image", "is not in the folder of the images of the layers below", image);
    }
    const from = below === undefined ? undefined : basename(below);
    if (below !== undefined) requireKind(host, below, "parents[0]", "file");
    return await importInto(
      host,
      init,
      { image, isBlock: false },
      (end) => beginCim(host, { image, from, ...end }, signal),
    );
  });
}

/** `importBlockCimLayer` of `mod.ts`. */
export async function importBlockCimLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportBlockCimLayerOptions = {},
): Promise<ImportedImageLayer> {
  const further = {
    ...IMPORT,
    block: optional(namedFolder),
    imageName: optional(imageName),
    verified: optional(boolean),
  };
  return await withHostOptions(options, further, [layer, parents], async ({ host, signal, ...how }) => {
    const init = prepareImport(host, { layer, parents, tar, signal, ...how }, "importImage");
    const block = how.block ?? `${init.layer}\\layer.bcim`;
    const { imageName: name = DEFAULT_NAME, verified } = how;
    return await importInto(
      host,
      init,
      { image: block, isBlock: true },
      (end) => beginBlockCim(host, { block, name, isVerified: verified === true, ...end }, signal),
    );
  });
}

// Where containerd looks for it.
const CHECKSUM = "integrity_checksum";

async function importInto(
  host: Host,
  given: PreparedImport,
  { image: path, isBlock }: { readonly image: string; readonly isBlock: boolean },
  begin: (end: { readonly whenComplete: (path: string) => void }) => Promise<CimWriter>,
): Promise<ImportedImageLayer> {
  const { layer, parents, signal, name, onProgress } = given;
  const transfer: PlannedTransfer = { kind: "newImageLayer", target: layer, mark: crypto.randomUUID(), image: path };
  const progress = new Progress(onProgress);
  using _layer = claim(host, layer, "layer");
  using _parents = sessionOf(host).mounts.need(parents);
  const { done, holds } = await withPlaceRecord(host, transfer, signal, async (holds) => {
    const held = await holds.acquire((expect) => Promise.resolve(acquireNewLayer(host, transfer, expect)), signal);
    holds.adopt(newImageOf(host, transfer, held));
    const image = await begin({ whenComplete: (complete) => mark(host, complete, transfer) });
    holds.adopt(heldWriter(image, [held]));
    const writer = new ImageLayer(host, { image, layer, parents, isBlock, name });
    const entries = entriesOf(given);
    for await (const entry of progress.counted(entries, signal)) await writer.add(entry);
    progress.begin("hives");
    await writer.finish(signal);
    signal?.throwIfAborted();
    await image.commit();
    if (image.rootHash !== undefined) {
      await writeNewFile(host, `${layer}\\${CHECKSUM}`, [new TextEncoder().encode(image.rootHash.toHex())]);
    }
    completeLayer(host, transfer);
    const done = { layer, size: progress.bytes, image: image.path, ...isBlock && { rootHash: image.rootHash } };
    return { done, holds };
  });
  await closeRecord(holds);
  return done;
}
