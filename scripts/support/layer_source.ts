/**
 * Layers as other tools describe them.
 *
 * @module
 */

import type { LayerSource, WCOWLayers } from "../../mod.ts";
import { CommandError } from "./errors.ts";

/**
 * The layers that a JSON document names: a mount of containerd, or a list of one, or an OCI specification.
 *
 * @param file The document's file, or `-` for the standard input.
 * @throws {CommandError} if it can't be read, or has no layers in it.
 * @throws {InvalidInputError} if the layers are of no known form.
 */
export async function layersFrom(file: string): Promise<WCOWLayers> {
  const document = await read(file);
  const { parseWCOWLayers } = await import("../../mod.ts");
  return parseWCOWLayers(sourceIn(document, nameOf(file)));
}

function sourceIn(document: unknown, name: string): LayerSource {
  if (Array.isArray(document)) return { mounts: document };
  const { type, Type = type, windows } = Object(document);
  if (Type !== undefined) return { mounts: [document as NonNullable<LayerSource["mounts"]>[number]] };
  const { layerFolders } = Object(windows);
  if (layerFolders === undefined) {
    throw new CommandError(`${name} has neither a mount of containerd nor windows.layerFolders in it`);
  }
  return { layerFolders };
}

async function read(file: string): Promise<unknown> {
  try {
    return JSON.parse(file === "-" ? await new Response(Deno.stdin.readable).text() : await Deno.readTextFile(file));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new CommandError(
        `A permission is missing. Start Deno with --allow-read=${file}, or pass the file as standard input, with --from=-`,
        { cause },
      );
    }
    throw new CommandError(`${nameOf(file)} can't be read: ${(cause as Error).message}`, { cause });
  }
}

function nameOf(file: string): string {
  return file === "-" ? "The standard input" : file;
}
