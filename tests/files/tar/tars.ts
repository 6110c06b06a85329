// Tars for tests, and what reading them gives.
import { FormatError } from "../../../src/errors/file_errors.ts";
import type { LayerEntry } from "../../../src/files/layer/entry.ts";
import { readLayerTar } from "../../../src/files/tar/layer_tar.ts";
import { readTar, type TarEntry } from "../../../src/files/tar/read_tar.ts";
import type { ReadTarOptions } from "../../../src/files/tar/tar_limits.ts";
import type { TarSource } from "../../../src/files/tar/tar_source.ts";
import { type NewTarEntry, writeTar } from "../../../src/files/tar/write_tar.ts";

/** An entry to write, with its contents as text or bytes. */
export interface TestEntry extends Partial<Omit<NewTarEntry, "contents" | "pax">> {
  readonly name: string;
  readonly data?: string | Uint8Array;
  readonly pax?: Readonly<Record<string, string>>;
}

/** An entry to write; without a type, a file. */
export function entry({ data = "", pax, ...rest }: TestEntry): NewTarEntry {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return {
    type: "0",
    size: bytes.byteLength,
    ...pax && { pax: new Map(Object.entries(pax)) },
    ...rest,
    contents: () => ReadableStream.from([bytes]),
  };
}

/** A tar of entries. */
export async function tarOf(...entries: readonly TestEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  return await bytesOf(writeTar(entries.map(entry)));
}

export async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** A stream of bytes in pieces of a length. */
export function inPieces(bytes: Uint8Array, length: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.byteLength) controller.enqueue(bytes.slice(at, at += length));
      else controller.close();
    },
  });
}

/** All entries with their contents. */
export async function readAll(
  source: TarSource,
  options?: ReadTarOptions,
): Promise<(Omit<TarEntry, "contents"> & { readonly data: string })[]> {
  return await Array.fromAsync(readTar(source, options), async ({ contents, ...header }) => ({
    ...header,
    data: new TextDecoder().decode(await bytesOf(contents())),
  }));
}

/** All entries of a layer with their contents. */
export async function readLayer(
  source: TarSource,
): Promise<(Omit<LayerEntry, "contents" | "offset"> & { readonly data: string })[]> {
  return await Array.fromAsync(readLayerTar(source), async ({ contents, offset: _, ...entry }) => ({
    ...entry,
    data: new TextDecoder().decode(await bytesOf(contents())),
  }));
}

/** The error with which reading ends. */
export async function refusal(entries: AsyncIterable<unknown>): Promise<FormatError> {
  try {
    for await (const _ of entries);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error("reading didn't fail");
}

export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return await bytesOf(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")));
}

export async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new TextDecoder().decode(await bytesOf(stream));
}
