/**
 * The functions that import, export and write layers and images. Their code is loaded when the first of them is called, so that
 * who only mounts doesn't wait for it.
 *
 * @module
 */

import type { TarSource } from "../files/tar/tar_source.ts";
import type { BlockCim, WriteBlockCimOptions, WriteCimOptions } from "./cim_writing.ts";
import type { ExportedLayer } from "./export_layer.ts";
import type { CimWriter } from "./image_writer.ts";
import type { ImportBlockCimLayerOptions, ImportCimLayerOptions, ImportedImageLayer } from "./import_image.ts";
import type { ImportedLayer } from "./import_layer.ts";
import type { ImportOptions, TransferOptions } from "./transfer_options.ts";

type Code =
  & typeof import("./import_layer.ts")
  & typeof import("./export_layer.ts")
  & typeof import("./import_image.ts")
  & typeof import("./cim_writing.ts")
  & Pick<typeof import("../files/tar/tar_source.ts"), "whileReading">;

let code: Code | undefined;

async function load(): Promise<Code> {
  const [layers, exports, images, writing, { whileReading }] = await Promise.all([
    import("./import_layer.ts"),
    import("./export_layer.ts"),
    import("./import_image.ts"),
    import("./cim_writing.ts"),
    import("../files/tar/tar_source.ts"),
  ]);
  return code = { ...layers, ...exports, ...images, ...writing, whileReading };
}

/**
 * Imports a layer from a tar into a folder, as containers with the WCIFS filter use it: a base layer, or one above others, with
 * its utility VM, if it has one. Files keep their times, attributes, security descriptors, extended attributes, streams and
 * links. If it fails, or is aborted, nothing of the layer is left; the layers below are never changed. Needs an elevated process,
 * whose privileges to back up, restore and audit it enables meanwhile.
 *
 * The tar is checked while it is read. Hard links and removals are about the layers below wherever they stand in it: what the
 * layer itself has added stays. Windows takes minutes to make a base layer of what was imported.
 *
 * ```ts
 * import { importLayer, mountWCOWLayers } from "@hcs-layers/hcs-layers";
 * import { writeLayerTar } from "@hcs-layers/hcs-layers/files";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base");
 * const folder = (path: string) => ({ path, type: "folder", size: 0, contents: () => ReadableStream.from([]) } as const);
 * const tar = writeLayerTar([folder("Files"), folder("Hives"), folder("Files/app")]);
 *
 * // On a Windows host, leave `host` out, and take a file: `(await Deno.open("layer.tar.gz")).readable`.
 * const { layer } = await importLayer("C:\\layers\\app", tar, ["C:\\layers\\base"], { host });
 * host.addScratch("C:\\scratch");
 * await using layers = await mountWCOWLayers("c1", [layer, "C:\\layers\\base", "C:\\scratch"], { host });
 * console.log(host.readDir(layers.path).map(({ name }) => name)); // [ "app" ]
 * ```
 *
 * @param layer Absolute path of the layer's folder, where nothing is yet, in a folder that exists.
 * @param tar The tar, packed with gzip or not.
 * @param parents Absolute paths of the folders of the layers below, the topmost first; none for a base layer.
 * @throws {InvalidInputError} if there is something at the path already, or a layer below isn't there.
 * @throws {FormatError} if the tar is damaged, or has something that a layer can't have.
 * @throws {MissingPrivilegeError} if the process lacks a privilege.
 * @throws {NativeError} if Windows refuses.
 * @throws {UnwindError} if something that was made couldn't be removed after an error.
 * @category Layers as tars
 */
export async function importLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportOptions = {},
): Promise<ImportedLayer> {
  const { whileReading, importLayer } = code ?? await load();
  return await whileReading(tar, () => importLayer(layer, tar, parents, options));
}

/**
 * Exports a layer of plain folders as a tar: a base layer, one above others, or what was written to a scratch that isn't mounted.
 * Files keep their times, attributes, security descriptors, extended attributes, streams and links; sparse ones are written with
 * their zeros. The layer stays as it is, and nothing else is left, whatever happens. Needs an elevated process, whose privilege to
 * back up it enables meanwhile.
 *
 * ```ts
 * import { exportLayer } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addLayer("C:\\layers\\base", { files: { "Windows\\win.ini": "[fonts]" } });
 *
 * // On a Windows host, leave `host` out, and take a file: `(await Deno.create("layer.tar")).writable`.
 * const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
 * const [tar] = await Promise.all([new Response(readable).bytes(), exportLayer("C:\\layers\\base", [], writable, { host })]);
 * console.log(tar.byteLength % 512); // 0
 * ```
 *
 * @param layer Absolute path of the layer's folder.
 * @param parents Absolute paths of the folders of the layers below, the topmost first; none for a base layer.
 * @param into Where the tar is written to, not packed. It is closed at the end, and aborted after an error.
 * @throws {InvalidInputError} if a folder doesn't exist.
 * @throws {InUseError} if it is a scratch whose disk is in use.
 * @throws {FormatError} if it has something that a tar can't have, such as a reparse point of another kind than links.
 * @throws {MissingPrivilegeError} if the process lacks a privilege.
 * @throws {NativeError} if Windows refuses.
 * @category Layers as tars
 */
export async function exportLayer(
  layer: string,
  parents: readonly string[],
  into: WritableStream<Uint8Array>,
  options: TransferOptions = {},
): Promise<ExportedLayer> {
  return await (code ?? await load()).exportLayer(layer, parents, into, options);
}

/**
 * Imports a layer from a tar into a CIM image that shares its folder with those of the layers below. The registry hives that layers
 * above need are in the folder of the layer. If it fails, or is aborted, nothing of the layer is left. Needs Windows build 19041 or
 * later.
 *
 * The removal of something is about the layers below wherever it stands in the tar. One of all that is in a folder (`.wh..wh..opq`)
 * has to follow the folder; the tar is refused otherwise, and with a block image.
 *
 * @param layer Absolute path of the layer's folder, where nothing is yet.
 * @param tar The tar, packed with gzip or not.
 * @param parents Absolute paths of the folders of the layers below, the topmost first; none for a base layer.
 * @throws {InvalidInputError} if there is something at a path already, or a layer below isn't there.
 * @throws {FormatError} if the tar is damaged, or has something that a layer can't have.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {NativeError} if Windows refuses.
 * @category Layers as tars
 */
export async function importCimLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportCimLayerOptions = {},
): Promise<ImportedImageLayer> {
  const { whileReading, importCimLayer } = code ?? await load();
  return await whileReading(tar, () => importCimLayer(layer, tar, parents, options));
}

/**
 * Imports a layer from a tar into a CIM image in a file of its own, as {@linkcode importCimLayer} does. The images of a container's
 * layers are merged when they are mounted. Needs Windows build 27766 or later, or cimwriter.dll in System32.
 *
 * @param layer Absolute path of the layer's folder, where nothing is yet.
 * @param tar The tar, packed with gzip or not.
 * @param parents Absolute paths of the folders of the layers below, the topmost first; none for a base layer.
 * @throws {InvalidInputError} if there is something at a path already, or a layer below isn't there.
 * @throws {FormatError} if the tar is damaged, or has something that a layer can't have.
 * @throws {MissingExportError} if this Windows doesn't write such images.
 * @throws {NativeError} if Windows refuses.
 * @category Layers as tars
 */
export async function importBlockCimLayer(
  layer: string,
  tar: TarSource,
  parents: readonly string[],
  options: ImportBlockCimLayerOptions = {},
): Promise<ImportedImageLayer> {
  const { whileReading, importBlockCimLayer } = code ?? await load();
  return await whileReading(tar, () => importBlockCimLayer(layer, tar, parents, options));
}

/**
 * Begins a CIM image, which shares a folder with others. Windows writes one image in a folder at a time. Until
 * {@linkcode CimWriter.commit}, there is nothing at its path; disposing of the writer before that leaves nothing behind. Needs
 * Windows build 19041 or later.
 *
 * ```ts
 * import { writeCim } from "@hcs-layers/hcs-layers";
 * import { SimulatedHost } from "@hcs-layers/hcs-layers/simulated";
 *
 * const host = new SimulatedHost();
 * host.addFolder("C:\\images");
 * await using image = await writeCim("C:\\images\\app.cim", { host });
 * const now = 133_000_000_000_000_000n;
 * const times = { creationTime: now, lastWriteTime: now, changeTime: now, lastAccessTime: now };
 * await image.addFolder("Files", { attributes: 0x10, ...times });
 * await image.addFile("Files\\a.txt", { attributes: 0x20, ...times }, 5, new TextEncoder().encode("hello"));
 * await image.commit();
 * ```
 *
 * @param image Absolute path of the image, in a folder that exists.
 * @throws {InvalidInputError} if there is something at the path, or no image to go on from.
 * @throws {UnsupportedBuildError} if Windows is older than build 19041.
 * @throws {NativeError} if Windows refuses: with `ERROR_SHARING_VIOLATION` while another image is written in the folder.
 * @category CIM images
 */
export async function writeCim(image: string, options: WriteCimOptions = {}): Promise<CimWriter> {
  return await (code ?? await load()).writeCim(image, options);
}

/**
 * Begins a CIM image in a file of its own, as {@linkcode writeCim} does. Such images are merged when they are mounted, or before by
 * {@linkcode mergeBlockCims}. Needs Windows build 27766 or later, or cimwriter.dll in System32.
 *
 * @param block Absolute path of the file, in a folder that exists.
 * @throws {InvalidInputError} if there is something at the path.
 * @throws {MissingExportError} if this Windows doesn't write such images.
 * @throws {NativeError} if Windows refuses.
 * @category CIM images
 */
export async function writeBlockCim(block: string, options: WriteBlockCimOptions = {}): Promise<CimWriter> {
  return await (code ?? await load()).writeBlockCim(block, options);
}

/**
 * Makes one image of several that are each in a file of their own: what is in it is what their layers show together.
 *
 * @param block Absolute path of the file of the new image.
 * @param sources The images, that of the topmost layer first: at least two.
 * @returns The root hash of the new image, of 32 bytes, if it is `verified`.
 * @throws {InvalidInputError} if there is something at the path, or a source is missing.
 * @throws {MissingExportError} if this Windows doesn't write such images.
 * @throws {NativeError} if Windows refuses.
 * @category CIM images
 */
export async function mergeBlockCims(
  block: string,
  sources: readonly BlockCim[],
  options: WriteBlockCimOptions = {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return await (code ?? await load()).mergeBlockCims(block, sources, options);
}
