/**
 * The contents of a stream of an image, read at any place.
 *
 * @module
 */

import { fromBytes, type RandomAccess } from "../bytes/random_access.ts";
import type { Chunk, Place } from "./chunk.ts";
import { type StreamPlace, streamType } from "./file_tables.ts";
import { type Extent, extentAt, extentIn, type Reader, type Region, type Regions } from "./regions.ts";

const DESCRIPTOR = 24;
const MAPPING = 8;

/** Bytes of a file that lie together in a region. */
export interface Segment {
  /** Offset of the first in the file. */
  readonly start: number;
  readonly end: number;
  readonly extent: Extent;
}

/** What the description of an executable says, whose parts lie as they do in memory. */
export interface ExecutableMap {
  readonly chunk: Chunk;
  /** How many bytes of a file it describes. */
  readonly length: number;
  readonly segments: readonly Segment[];
}

/**
 * Opens the contents of a stream.
 *
 * @throws {FormatError} if they aren't in a region, or of an unknown kind.
 */
export async function contentsOf(regions: Regions, stream: StreamPlace, name: string): Promise<RandomAccess> {
  const { chunk, at, length, type, isSparse } = stream;
  if (type !== streamType.DATA && type !== streamType.PE) {
    throw chunk.fault(at + 14, type === streamType.LINKS ? "it is a folder" : `streams of type ${type} aren't known`);
  }
  if (length === 0) return fromBytes(new Uint8Array(), name);
  if (isSparse) return zeros(name, length);
  if (type === streamType.DATA) {
    const extent = extentIn(regions.all, chunk, at, length, "its data");
    return ofSegments(regions, name, length, [{ start: 0, end: length, extent }]);
  }
  return ofSegments(
    regions,
    name,
    length,
    (await regions.get((reader) => executableMap(reader, regions.all, stream))).segments,
  );
}

/** Reads the description of an executable. Its segments cover the stream. */
export function executableMap(
  reader: Reader,
  regions: readonly Region[],
  { chunk: from, at, length }: StreamPlace,
): ExecutableMap {
  const extent = reader.extent(from, at, DESCRIPTOR, "the description of its executable");
  const head = reader.read(extent);
  const [dataLength, count] = [head.u48(8), head.u16(20)];
  if (head.u16(14) !== 0 || dataLength < length) {
    throw head.fault(8, `an executable of ${length} bytes has data of ${head.u64(8)}`);
  }
  const whole = reader.extent(from, at, DESCRIPTOR + count * MAPPING, "the description of its executable");
  const mappings = reader.read(whole, DESCRIPTOR);
  const place = head.place(0);
  if (place === undefined) throw head.fault(0, "the data of its executable is at no place");
  const segments: Segment[] = [];
  const add = (start: number, end: number, delta: number, chunk: Chunk, field: number) => {
    if (start === end) return;
    segments.push({ start, end, extent: segmentExtent(regions, place, start, end, delta, chunk, field) });
  };
  let [start, delta, field] = [0, 0, -1];
  for (let n = 0; n < count; n++) {
    const next = mappings.u32(n * MAPPING);
    if (next < start || (next === start && n > 0) || next >= dataLength) {
      throw mappings.fault(
        n * MAPPING,
        `a part of its executable begins at ${next}, after ${start} and in ${dataLength}`,
      );
    }
    add(start, next, delta, field < 0 ? head : mappings, Math.max(field, 0));
    [start, delta, field] = [next, mappings.u32(n * MAPPING + 4), n * MAPPING + 4];
  }
  add(start, dataLength, delta, field < 0 ? head : mappings, Math.max(field, 0));
  return { chunk: head, length: dataLength, segments };
}

function segmentExtent(
  regions: readonly Region[],
  place: Place,
  start: number,
  end: number,
  delta: number,
  chunk: Chunk,
  field: number,
): Extent {
  const fault = (problem: string) => chunk.fault(field, `a part of its executable ${problem}`);
  return extentAt(regions, place, end - start, fault, chunk.entry, start + delta);
}

// Segments are in order and without gaps.
function ofSegments(regions: Regions, name: string, size: number, segments: readonly Segment[]): RandomAccess {
  return {
    name,
    size,
    async read(at, into) {
      const length = Math.max(Math.min(into.byteLength, size - at), 0);
      for (let done = 0; done < length;) {
        const from = at + done;
        const { start, end, extent } = segments[lastAtOrBefore(segments, from)]!;
        const count = Math.min(length - done, end - from);
        await regions.readInto(extent, from - start, into.subarray(done, done + count));
        done += count;
      }
      return length;
    },
  };
}

function lastAtOrBefore(segments: readonly Segment[], at: number): number {
  let [low, high] = [0, segments.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (segments[middle]!.start <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function zeros(name: string, size: number): RandomAccess {
  return {
    name,
    size,
    read(at, into) {
      const length = Math.max(Math.min(into.byteLength, size - at), 0);
      into.fill(0, 0, length);
      return Promise.resolve(length);
    },
  };
}
