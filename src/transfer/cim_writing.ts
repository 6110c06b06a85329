/**
 * Writing CIM images.
 *
 * @module
 */

import { basename, dirname } from "jsr:@std/path@^1.1.0/windows";
import { boolean, text, withHostOptions } from "../checks/arguments.ts";
import { requireAbsent, requireKind } from "../checks/existing.ts";
import { requireGrantsFor } from "../checks/grants.ts";
import { namedFolder, nameOf } from "../checks/windows_path.ts";
import { InvalidInputError } from "../errors/input_error.ts";
import { cimCreateFlag, createBlockImage, createImage } from "../ffi/cim_writer.ts";
import type { Host } from "../ffi/host.ts";
import type { HostOptions } from "../ffi/host_options.ts";
import { withHolds } from "../holds/hold_list.ts";
import { type Check, fieldsOf, itemsOf, optional } from "../options.ts";
import { requireBuild } from "../session/builds.ts";
import { beginImage, type CimWriter, heldWriter, type ImageInit } from "./image_writer.ts";

/**
 * Options of {@linkcode writeCim}.
 *
 * @category CIM images
 */
export interface WriteCimOptions extends HostOptions {
  /** The name of an image in the same folder, such as `base.cim`, whose files and folders the new one has too. Default: none. */
  from?: string | undefined;
}

/**
 * Options of {@linkcode writeBlockCim} and {@linkcode mergeBlockCims}.
 *
 * @category CIM images
 */
export interface WriteBlockCimOptions extends HostOptions {
  /** The name of the image in its file. Default: `layer.cim`. */
  name?: string | undefined;
  /** Whether the image gets a root hash, by which Windows verifies what is read. Needs build 27800. Default: false. */
  verified?: boolean | undefined;
}

/**
 * An image in a file of its own.
 *
 * @category CIM images
 */
export interface BlockCim {
  /** Absolute path of the file. */
  readonly block: string;
  /** The name of the image in it. Default: `layer.cim`. */
  readonly name?: string | undefined;
}

/** The name of an image in a file of its own, if nobody chooses one. */
export const DEFAULT_NAME = "layer.cim";

/** `writeCim` of `mod.ts`. */
export async function writeCim(image: string, options: WriteCimOptions = {}): Promise<CimWriter> {
  return await withHostOptions(options, { from: optional(text) }, [image], async ({ host, signal, from }) => {
    return await beginCim(host, { image, from }, signal);
  });
}

/** `writeBlockCim` of `mod.ts`. */
export async function writeBlockCim(block: string, options: WriteBlockCimOptions = {}): Promise<CimWriter> {
  const further = { name: optional(imageName), verified: optional(boolean) };
  return await withHostOptions(options, further, [block], async ({ host, signal, name = DEFAULT_NAME, verified }) => {
    return await beginBlockCim(host, { block, name, isVerified: verified === true }, signal);
  });
}

/** `mergeBlockCims` of `mod.ts`. */
export async function mergeBlockCims(
  block: string,
  sources: readonly BlockCim[],
  options: WriteBlockCimOptions = {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const further = { name: optional(imageName), verified: optional(boolean) };
  return await withHostOptions(options, further, [block], async ({ host, signal, name = DEFAULT_NAME, verified }) => {
    namedFolder(block, "block");
    const images = itemsOf(sources, "sources", blockCim);
    if (images.length < 2) throw new InvalidInputError("sources", "names fewer than two images", images.length);
    signal?.throwIfAborted();
    images.forEach(({ block: file }, i) => requireKind(host, file, `sources[${i}].block`, "file"));
    return await withHolds(async (holds) => {
      const writer = await beginBlockCim(host, { block, name, isVerified: verified === true }, signal);
      holds.adopt(heldWriter(writer));
      for (const { block: file, name } of images) {
        signal?.throwIfAborted();
        await writer.addImage(`${file}\\${name}`);
      }
      signal?.throwIfAborted();
      await writer.commit();
      return writer.rootHash;
    });
  });
}

/** {@linkcode writeCim} without the checks of its options. */
export async function beginCim(
  host: Host,
  { image, from, ...rest }: { readonly image: string; readonly from: string | undefined } & Completion,
  signal: AbortSignal | undefined,
): Promise<CimWriter> {
  const target = namedFolder(image, "image");
  if (from !== undefined && nameOf(from) !== from) {
    throw new InvalidInputError("from", "is not the name of an image in the same folder", from);
  }
  signal?.throwIfAborted();
  requireGrantsFor(host, "writeImage");
  requireBuild(host, "cimFs", "CimFS");
  const folder = dirname(target);
  requireKind(host, folder, "image", "folder");
  requireAbsent(host, target, "image");
  if (from !== undefined) requireKind(host, `${folder}\\${from}`, "from", "file");
  const create = (path: string) => createImage(host, { folder, name: basename(path), from });
  return await beginImage(host, { target, create, ...rest }, signal);
}

/** {@linkcode writeBlockCim} without the checks of its options. */
export async function beginBlockCim(
  host: Host,
  { block, name, isVerified, ...rest }:
    & { readonly block: string; readonly name: string; readonly isVerified: boolean }
    & Completion,
  signal: AbortSignal | undefined,
): Promise<CimWriter> {
  const target = namedFolder(block, "block");
  signal?.throwIfAborted();
  requireGrantsFor(host, "writeImage");
  requireKind(host, dirname(target), "block", "folder");
  requireAbsent(host, target, "block");
  const { SINGLE_FILE, CONSISTENT, VERIFIED } = cimCreateFlag;
  const flags = SINGLE_FILE | CONSISTENT | (isVerified ? VERIFIED : 0);
  const create = (path: string) => createBlockImage(host, { block: path, name, flags });
  return await beginImage(host, { target, create, isVerified, ...rest }, signal);
}

type Completion = Pick<ImageInit, "whenComplete">;

/** Checks the name of an image in its file. */
export const imageName: Check<string> = (value, argument) => {
  const name = text(value, argument);
  if (/[\\/:]/.test(name)) throw new InvalidInputError(argument, "is not the name of an image", value);
  return name;
};

const blockCim: Check<{ readonly block: string; readonly name: string }> = (value, argument) => {
  const { block, name = DEFAULT_NAME } = fieldsOf(value, { block: namedFolder, name: optional(imageName) }, argument);
  return { block, name };
};
