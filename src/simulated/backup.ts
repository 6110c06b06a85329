/**
 * kernel32.dll, simulated: the functions that back up and restore files.
 *
 * @module
 */

import {
  big,
  BOOL,
  buffer,
  define,
  number,
  optionalBuffer,
  put32,
  put64,
  type SimulatedDll,
  viewOf,
  win32Failure,
} from "./call.ts";
import { bytesOf, fileWith, streamBytes, streamText } from "./contents.ts";
import type { FileHandle } from "./kernel32.ts";
import { metadataOf } from "./nt_files.ts";
import { linkIn, linkTag, putReparseData } from "./reparse_points.ts";
import { SimulationError, unknown } from "./simulation_error.ts";
import type { Node, Windows } from "./windows.ts";

const HEADER = 20;
const ERROR_SEEK = 25;
const SPARSE_STREAM = 0x8;
const ATTRIBUTE_SPARSE = 0x200;
const id = { data: 1, ea: 2, security: 3, alternate: 4, reparse: 8, sparse: 9 } as const;

interface Reading {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where its streams begin, and where each ends. */
  readonly ends: readonly number[];
  at: number;
}

const readings = new WeakMap<FileHandle, Reading>();
const writings = new WeakMap<FileHandle, Uint8Array[]>();

/** The functions that back up and restore files. */
export const backupFunctions: SimulatedDll = {
  BackupRead: define(
    BOOL,
    { handle: big, data: optionalBuffer, bytes: number, read: buffer, end: number, security: number, context: buffer },
    ({ windows, process }, { handle, data, bytes, read, end, context }) => {
      const file = process.handles.get<FileHandle>(handle, "file");
      if (end !== 0) return void readings.delete(file);
      if (viewOf(context).getBigUint64(0, true) === 0n) {
        readings.set(file, streamsOf(windows.existing(file.target, "stay")));
        put64(context, handle);
      }
      const reading = readings.get(file) ?? stale();
      const part = reading.bytes.subarray(reading.at, reading.at + bytes);
      viewOf(data!, part.byteLength);
      data!.set(part);
      reading.at += part.byteLength;
      put32(read, part.byteLength);
    },
  ),

  BackupSeek: define(
    BOOL,
    { handle: big, low: number, high: number, passedLow: buffer, passedHigh: buffer, context: buffer },
    ({ process }, { handle, low, high, passedLow, passedHigh }) => {
      const reading = readings.get(process.handles.get<FileHandle>(handle, "file")) ?? stale();
      const wanted = high * 2 ** 32 + low;
      const end = reading.ends.find((end) => end >= reading.at) ?? reading.bytes.byteLength;
      const passed = Math.min(wanted, end - reading.at);
      reading.at += passed;
      put32(passedLow, passed);
      put32(passedHigh, 0);
      if (passed < wanted) throw win32Failure(ERROR_SEEK);
    },
  ),

  BackupWrite: define(
    BOOL,
    {
      handle: big,
      data: optionalBuffer,
      bytes: number,
      written: buffer,
      end: number,
      security: number,
      context: buffer,
    },
    ({ windows, process }, { handle, data, bytes, written, end, security, context }) => {
      const file = process.handles.get<FileHandle>(handle, "file");
      if (end !== 0) {
        restore(windows, windows.own(file.target, "stay"), writings.get(file) ?? [], security !== 0);
        writings.delete(file);
        return;
      }
      put64(context, handle);
      const parts = writings.get(file) ?? [];
      parts.push(data!.slice(0, bytes));
      writings.set(file, parts);
      put32(written, bytes);
    },
  ),
};

function stale(): never {
  throw new SimulationError("a backup is continued that was never begun");
}

function streamsOf(node: Node): Reading {
  const { securityDescriptor, extendedAttributes, reparse, attributes } = metadataOf(node);
  const parts: Uint8Array[] = [];
  const ends: number[] = [];
  let length = 0;
  const add = (bytes: Uint8Array) => {
    parts.push(bytes);
    length += bytes.byteLength;
  };
  const stream = (kind: number, bytes: Uint8Array, name = "", flags = 0) => {
    add(header(kind, bytes.byteLength, name, flags));
    add(bytes);
    ends.push(length);
  };
  if (securityDescriptor !== undefined) stream(id.security, Uint8Array.fromBase64(securityDescriptor));
  if (extendedAttributes !== undefined) stream(id.ea, Uint8Array.fromBase64(extendedAttributes));
  if (reparse !== undefined) stream(id.reparse, Uint8Array.fromBase64(reparse));
  else if (linkTag(node) !== undefined) stream(id.reparse, reparseOf(node));
  if (node.type === "file" && (node.size ?? 0) > 0) {
    const bytes = bytesOf(node);
    if ((attributes & ATTRIBUTE_SPARSE) === 0) {
      stream(id.data, bytes);
    } else {
      stream(id.data, new Uint8Array(), "", SPARSE_STREAM);
      for (const [from, to] of runs(bytes)) stream(id.sparse, at(from, bytes.subarray(from, to)));
      stream(id.sparse, at(bytes.byteLength, new Uint8Array()));
    }
  }
  for (const [name, content] of Object.entries(node.streams ?? {})) {
    stream(id.alternate, streamBytes(content), `:${name}:$DATA`);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return { bytes, ends, at: 0 };
}

function reparseOf(node: Node): Uint8Array {
  const bytes = new Uint8Array(16384);
  return bytes.slice(0, putReparseData(node, bytes));
}

function* runs(bytes: Uint8Array): Generator<[number, number]> {
  const UNIT = 65536;
  for (let from = 0; from < bytes.byteLength; from += UNIT) {
    const to = Math.min(from + UNIT, bytes.byteLength);
    if (bytes.subarray(from, to).some((byte) => byte !== 0)) yield [from, to];
  }
}

function at(offset: number, bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(8 + bytes.byteLength);
  new DataView(all.buffer).setBigUint64(0, BigInt(offset), true);
  all.set(bytes, 8);
  return all;
}

function header(kind: number, size: number, name: string, flags: number): Uint8Array {
  const bytes = new Uint8Array(HEADER + 2 * name.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, flags, true);
  view.setBigUint64(8, BigInt(size), true);
  view.setUint32(16, 2 * name.length, true);
  for (let i = 0; i < name.length; i++) view.setUint16(HEADER + 2 * i, name.charCodeAt(i), true);
  return bytes;
}

/** Makes a file what backup streams say. */
export function restore(windows: Windows, node: Node, parts: readonly Uint8Array[], security = true): void {
  const bytes = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.byteLength;
  }
  const view = new DataView(bytes.buffer);
  let data: Uint8Array | undefined;
  let offset = 0;
  while (offset < bytes.byteLength) {
    if (offset + HEADER > bytes.byteLength) unknown("restoring a file from streams that are cut");
    const [kind, flags, nameBytes] = [0, 4, 16].map((at) => view.getUint32(offset + at, true)) as [
      number,
      number,
      number,
    ];
    const size = Number(view.getBigUint64(offset + 8, true));
    const name = String.fromCharCode(
      ...Array.from({ length: nameBytes / 2 }, (_, i) => view.getUint16(offset + HEADER + 2 * i, true)),
    );
    const from = offset + HEADER + nameBytes;
    const content = bytes.slice(from, from + size);
    if (content.byteLength < size) unknown("restoring a file from streams that are cut");
    offset = from + size;
    const before = metadataOf(node);
    switch (kind) {
      case id.data:
        data = content;
        if (flags !== 0 && flags !== SPARSE_STREAM) unknown(`restoring contents with the attributes ${flags}`);
        if (flags === SPARSE_STREAM) node.metadata = { ...before, attributes: before.attributes | ATTRIBUTE_SPARSE };
        break;
      case id.sparse: {
        const at = Number(new DataView(content.buffer).getBigUint64(0, true));
        const whole: Uint8Array = new Uint8Array(Math.max(data?.byteLength ?? 0, at + size - 8));
        whole.set(data ?? []);
        whole.set(content.subarray(8), at);
        data = whole;
        break;
      }
      case id.security:
        if (security) node.metadata = { ...before, securityDescriptor: content.toBase64() };
        break;
      case id.ea:
        node.metadata = { ...before, extendedAttributes: content.toBase64() };
        break;
      case id.reparse: {
        const link = linkIn(content);
        node.metadata = { ...before, reparse: content.toBase64(), attributes: before.attributes | 0x400 };
        if (link !== undefined) node.link = link;
        break;
      }
      case id.alternate:
        node.streams = { ...node.streams, [name.replace(/^:|:\$DATA$/g, "")]: streamText(content) };
        break;
      default:
        unknown(`restoring a file from a stream of the kind ${kind}`);
    }
  }
  if (data === undefined) return;
  const { text, base64, size } = fileWith(node.path, data);
  delete node.text;
  delete node.base64;
  Object.assign(node, { size, ...text !== undefined && { text }, ...base64 !== undefined && { base64 } });
  windows.changed.add(node.path);
}

/** The attributes and backup streams of a file in the form in which Windows hands files of layers out, and takes them in. */
export function transportFile(node: Node): Uint8Array<ArrayBuffer> {
  const { bytes } = streamsOf(node);
  const all = new Uint8Array(4 + bytes.byteLength);
  new DataView(all.buffer).setUint32(0, metadataOf(node).attributes, true);
  all.set(bytes, 4);
  return all;
}
