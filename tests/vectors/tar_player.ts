/**
 * Plays what was recorded of tars, and compares: an entry that is read gives what the original gave to BackupWrite, and a file
 * that is written gives the entries, and the bytes, of the original, but for the differences in tar_deviations.ts.
 *
 * What is wrong with a backup stream is no matter of the tar, so such cases are skipped.
 *
 * @module
 */

import { FormatError } from "../../src/errors/file_errors.ts";
import { fromBytes } from "../../src/files/bytes/random_access.ts";
import { type ExtendedAttribute, type LayerEntry, MOUNT_POINT_TAG, SYMLINK_TAG } from "../../src/files/layer/entry.ts";
import { layerEntryOf, tarEntryOf, writeLayerTar } from "../../src/files/tar/layer_tar.ts";
import { readTar, type TarEntry } from "../../src/files/tar/read_tar.ts";
import { headerBytes, writeTar } from "../../src/files/tar/write_tar.ts";
import type { Verdict } from "./player.ts";
import {
  type BackupStream,
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
  const played = isImport(tarCase) ? await playImport(tarCase) : await playExport(tarCase);
  if (played === "skipped") {
    return { outcome: "skipped", reason: "the fault is in the backup stream, not in the tar", deviations: [] };
  }
  const { expected, actual, deviations, difference } = played;
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
    extended: attributesIn(of(2)).map(({ name, value }) => [name, value.toHex()] as const)
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

function attributesIn(bytes: Uint8Array = new Uint8Array(0)): ExtendedAttribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const attributes: ExtendedAttribute[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const [next, value] = [view.getUint32(at, true), at + 9 + bytes[at + 5]!];
    attributes.push({
      name: new TextDecoder().decode(bytes.subarray(at + 8, value - 1)),
      flags: bytes[at + 4]!,
      value: bytes.slice(value, value + view.getUint16(at + 6, true)),
    });
    at = next === 0 ? bytes.byteLength : at + next;
  }
  return attributes;
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

async function playExport(tarCase: ExportCase): Promise<Played | "skipped"> {
  if (tarCase.headerBytes !== undefined) return playHeader(tarCase, tarCase.headerBytes);
  const streams = streamsIn(tarCase.input.backupStream ?? "");
  const isUnsupported = streams?.some(({ id, data }) =>
    id === 8 && ![SYMLINK_TAG, MOUNT_POINT_TAG].includes(tagOf(data))
  );
  if (streams === undefined || (tarCase.error !== undefined && !isUnsupported)) return "skipped";
  const recorded = tarCase.error === undefined ? tarCase.entries!.map(recordedHeader) : "refused" as const;
  const { expected, deviations } = deviating(recorded, tarCase, EXPORT_DEVIATIONS);
  try {
    const tar = await bytesOf(writeLayerTar(entriesOf(tarCase, streams)));
    const actual = await Array.fromAsync(readTar(fromBytes(tar)), seenHeader);
    const isEqual = tarCase.tar === undefined || deviations.length > 0 ||
      tar.subarray(0, -1024).toBase64() === tarCase.tar;
    return { expected, actual, deviations, ...!isEqual && { difference: "the bytes of the tar differ" } };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { expected, actual: "refused", deviations };
  }
}

function playHeader(tarCase: ExportCase, expected: string): Played {
  const [file] = entriesOf(tarCase, []);
  return { expected, actual: headerBytes({ ...tarEntryOf(file!), mode: 0 }).toBase64(), deviations: [] };
}

function entriesOf({ input: { path, size, info } }: ExportCase, streams: readonly BackupStream[]): LayerEntry[] {
  const of = (id: number) => streams.find((stream) => stream.id === id)?.data;
  const [creation, write, access, change] = timesOf(info) as [bigint, bigint, bigint, bigint];
  const times = { creation, write, access, change };
  const [data = new Uint8Array(0), security, extended, reparse] = [of(1), of(3), of(2), of(8)];
  const isFolder = (info.attributes & 0x10) !== 0;
  const file: LayerEntry = {
    path: path.replaceAll("\\", "/").replace(/\/$/, ""),
    type: reparse !== undefined ? "reparse" : isFolder ? "folder" : "file",
    size: streams.length === 0 && !isFolder ? size : data.byteLength,
    attributes: info.attributes,
    times,
    securityDescriptor: security,
    extendedAttributes: attributesIn(extended),
    reparse: reparse && { tag: tagOf(reparse), target: targetOf(reparse) },
    contents: () => ReadableStream.from([data]),
  };
  const others = streams.filter(({ id }) => id === 4).map(({ name, data }): LayerEntry => ({
    path: file.path + name.replace(/:\$DATA$/, ""),
    type: "stream",
    size: data.byteLength,
    times,
    contents: () => ReadableStream.from([data]),
  }));
  return [file, ...others];
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
