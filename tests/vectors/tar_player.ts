/**
 * Plays what was recorded of tars, and compares: an entry that is read gives what the original gave to BackupWrite, and a file
 * that is written gives the entries, and the bytes, of the original, but for the differences in tar_deviations.ts.
 *
 * @module
 */

import { FormatError } from "../../src/errors/file_errors.ts";
import { parseAttributes } from "../../src/files/backup/extended_attributes.ts";
import { entriesOfFile } from "../../src/files/backup/read_backup.ts";
import { fromBytes } from "../../src/files/bytes/random_access.ts";
import { type LayerEntry, SYMLINK_TAG } from "../../src/files/layer/entry.ts";
import { layerEntryOf, tarEntryOf, writeLayerTar } from "../../src/files/tar/layer_tar.ts";
import { readTar, type TarEntry } from "../../src/files/tar/read_tar.ts";
import { headerBytes, writeTar } from "../../src/files/tar/write_tar.ts";
import type { Verdict } from "./player.ts";
import {
  type ExportCase,
  type ImportCase,
  isImport,
  type RecordedEntry,
  type RecordedInfo,
  streamsIn,
  type TarCase,
} from "./tar_case.ts";
import { EXPORT_DEVIATIONS, IMPORT_DEVIATIONS, type SeenEntry, type SeenHeader } from "./tar_deviations.ts";

/** Plays a case. */
export async function playTar(tarCase: TarCase): Promise<Verdict> {
  const { expected, actual, deviations, difference } = isImport(tarCase)
    ? await playImport(tarCase)
    : await playExport(tarCase);
  const [ours, theirs] = [actual, expected].map(printed);
  if (ours !== theirs) return { outcome: "failed", reason: `expected ${theirs}\nactual   ${ours}`, deviations: [] };
  return difference === undefined
    ? { outcome: "passed", deviations }
    : { outcome: "failed", reason: difference, deviations: [] };
}

interface Played {
  readonly expected: unknown;
  readonly actual: unknown;
  readonly deviations: readonly string[];
  readonly difference?: string | undefined;
}

function deviating<E, C>(
  expected: E,
  tarCase: C,
  deviations: readonly { readonly ours: string; readonly apply: (expected: E, tarCase: C) => E }[],
): { readonly expected: E; readonly deviations: readonly string[] } {
  const met: string[] = [];
  for (const { ours, apply } of deviations) {
    const other = apply(expected, tarCase);
    if (printed(other) !== printed(expected)) met.push(ours);
    expected = other;
  }
  return { expected, deviations: met };
}

async function playImport(tarCase: ImportCase): Promise<Played> {
  return {
    ...deviating(recordedEntry(tarCase), tarCase, IMPORT_DEVIATIONS),
    actual: await firstEntry(fromBytes(await tarOf(tarCase))),
  };
}

async function tarOf({ input: { tar, entries } }: ImportCase): Promise<Uint8Array> {
  if (tar !== undefined) return Uint8Array.fromBase64(tar);
  return await bytesOf(writeTar(entries.map(({ data = "", mtime, pax, name, type, size, linkname }) => ({
    name,
    type,
    size,
    linkName: linkname ?? "",
    mtime: Math.floor(Number(mtime)),
    pax: new Map(Object.entries(pax ?? {})),
    contents: () => ReadableStream.from([Uint8Array.fromHex(data)]),
  }))));
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

async function hexOf(entry: Pick<LayerEntry, "contents">): Promise<string> {
  return (await bytesOf(entry.contents())).toHex();
}

async function firstEntry(tar: Parameters<typeof readTar>[0]): Promise<SeenEntry | "refused"> {
  let first: Omit<SeenEntry, "streams" | "next"> | undefined;
  const streams: [name: string, data: string][] = [];
  for await (const entry of readTar(tar)) {
    let isRefused = false;
    const seen = layerEntryOf(entry, () => isRefused = true);
    if (first === undefined) {
      if (isRefused || seen === undefined) return "refused";
      first = await seenOf(seen);
      continue;
    }
    const [file, stream] = seen?.type === "stream" ? seen.path.split(":") : [];
    if (file?.toLowerCase() !== first.path.toLowerCase()) return { ...first, streams, next: entry.name };
    streams.push([stream!, await hexOf(seen!)]);
  }
  return first === undefined ? "refused" : { ...first, streams, next: undefined };
}

async function seenOf(entry: LayerEntry): Promise<Omit<SeenEntry, "streams" | "next">> {
  const { path, type, size, times, attributes, securityDescriptor, extendedAttributes = [], reparse } = entry;
  return {
    path,
    type,
    size,
    attributes: attributes ?? (type === "folder" ? 0x10 : 0),
    times: times === undefined ? [] : [times.creation, times.write, times.access, times.change].map(String),
    security: securityDescriptor?.toHex(),
    extended: extendedAttributes.map(({ name, value }) => [name, value.toHex()]),
    reparse: reparse && [reparse.tag, reparse.target!.replaceAll("/", "\\")],
    data: await hexOf(entry),
  };
}

function recordedEntry(tarCase: ImportCase): SeenEntry | "refused" {
  const { fileInfo, fileInfoError, error, input: { entries } } = tarCase;
  if (fileInfo === undefined || (fileInfoError ?? error) !== undefined) return "refused";
  const streams = streamsIn(tarCase.backupStream)!;
  const of = (id: number) => streams.find((stream) => stream.id === id)?.data;
  const reparse = of(8);
  return {
    path: fileInfo.path,
    type: { 5: "folder", 2: "reparse" }[entries[0]!.type] ?? "file",
    size: fileInfo.size,
    attributes: fileInfo.info.attributes,
    times: timesOf(fileInfo.info).map(String),
    security: of(3)?.toHex(),
    extended: parseAttributes(of(2) ?? new Uint8Array(0)).map(({ name, value }) => [name, value.toHex()] as const)
      .sort(([a], [b]) => a < b ? -1 : 1),
    reparse: reparse && [tagOf(reparse), targetOf(reparse)],
    data: (of(1) ?? new Uint8Array(0)).toHex(),
    streams: streams.filter(({ id }) => id === 4).map((
      { name, data },
    ) => [name.slice(1).replace(/:\$DATA$/, ""), data.toHex()]),
    next: tarCase.next,
  };
}

function timesOf(info: RecordedInfo): bigint[] {
  return [info.creationTime, info.lastWriteTime, info.lastAccessTime, info.changeTime].map(BigInt);
}

function tagOf(reparse: Uint8Array): number {
  return new DataView(reparse.buffer, reparse.byteOffset).getUint32(0, true);
}

// The print name.
function targetOf(reparse: Uint8Array): string {
  const view = new DataView(reparse.buffer, reparse.byteOffset);
  const names = tagOf(reparse) === SYMLINK_TAG ? 20 : 16;
  const [start, length] = [names + view.getUint16(12, true), view.getUint16(14, true)];
  return new TextDecoder("utf-16le").decode(reparse.subarray(start, start + length));
}

async function playExport(tarCase: ExportCase): Promise<Played> {
  if (tarCase.headerBytes !== undefined) return playHeader(tarCase, tarCase.headerBytes);
  const recorded = tarCase.error === undefined ? tarCase.entries!.map(recordedHeader) : "refused";
  const { expected, deviations } = deviating(recorded, tarCase, EXPORT_DEVIATIONS);
  try {
    const tar = await bytesOf(writeLayerTar(entriesOf(tarCase)));
    const actual = await Array.fromAsync(readTar(fromBytes(tar)), seenHeader);
    const isEqual = tarCase.tar === undefined || deviations.length > 0 ||
      tar.subarray(0, -1024).toBase64() === tarCase.tar;
    return { expected, actual, deviations, ...!isEqual && { difference: "the bytes of the tar differ" } };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { expected, actual: "refused", deviations };
  }
}

function playHeader({ input: { path, size, info } }: ExportCase, expected: string): Played {
  const file: LayerEntry = { ...factsOf(path, info), type: "file", size, contents: () => ReadableStream.from([]) };
  return { expected, actual: headerBytes({ ...tarEntryOf(file), mode: 0 }).toBase64(), deviations: [] };
}

function factsOf(path: string, info: RecordedInfo) {
  const [creation, write, access, change] = timesOf(info) as [bigint, bigint, bigint, bigint];
  return {
    path: path.replaceAll("\\", "/").replace(/\/$/, ""),
    attributes: info.attributes,
    times: { creation, write, access, change },
  };
}

function entriesOf({ input: { path, size, info, backupStream = "" } }: ExportCase): AsyncIterable<LayerEntry> {
  const isFolder = (info.attributes & 0x10) !== 0;
  const open = () => {
    let chunk: Uint8Array | undefined = Uint8Array.fromHex(backupStream);
    const next = () => {
      const all = chunk;
      chunk = undefined;
      return Promise.resolve(all);
    };
    const close = () => Promise.resolve();
    return { source: { next, cancel: close }, [Symbol.asyncDispose]: close };
  };
  return entriesOfFile({ ...factsOf(path, info), isFolder, size: isFolder ? 0 : size }, open);
}

function recordedHeader(entry: RecordedEntry): SeenHeader {
  const { path: _, linkpath: __, ...pax } = entry.pax ?? {};
  return {
    name: entry.name,
    type: entry.type,
    size: entry.size,
    mode: entry.mode,
    linkname: entry.linkname ?? "",
    pax,
    data: entry.data ?? "00".repeat(entry.dataLength ?? 0),
  };
}

async function seenHeader(entry: TarEntry): Promise<SeenHeader> {
  const { path: _, linkpath: __, ...pax } = Object.fromEntries(entry.pax) as Record<string, string>;
  return {
    name: entry.name,
    type: entry.type,
    size: entry.size,
    mode: entry.mode === 0 ? "0" : `0${entry.mode.toString(8)}`,
    linkname: entry.linkName,
    pax,
    data: await hexOf(entry),
  };
}

// With the keys in one order.
function printed(value: unknown): string {
  const sorted = (_: string, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => a < b ? -1 : 1))
      : part;
  return JSON.stringify(value, sorted, 1);
}
