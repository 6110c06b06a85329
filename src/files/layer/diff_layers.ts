/**
 * The difference of two layers.
 *
 * @module
 */

import { abortSignal, optionsOf } from "../../options.ts";
import { layerSource } from "../option_checks.ts";
import type { FileTimes, LayerEntry } from "./entry.ts";
import { caseless } from "./layer_path.ts";
import type { LayerSource } from "./layer_source.ts";

/** What differs of an entry that both layers have. */
export type DifferingPart =
  | "type"
  | "size"
  | "contents"
  | "attributes"
  | "times"
  | "security"
  | "extendedAttributes"
  | "target";

/** A difference of two layers. */
export interface LayerDifference {
  /** The path, as the layer has it in which it is; the second, if both have it. */
  readonly path: string;
  /** Whether only the second layer has it, only the first, or both, but not the same. */
  readonly change: "added" | "removed" | "changed";
  /** The entry in the first layer. Its contents can't be read. */
  readonly from?: LayerEntry | undefined;
  /** The entry in the second layer. Its contents can't be read. */
  readonly to?: LayerEntry | undefined;
  /** What differs. Empty unless it has changed. */
  readonly parts: readonly DifferingPart[];
}

/**
 * Compares two layers, entry by entry and byte by byte: first what the second adds or changes, in its order, then what it
 * lacks. What one of them doesn't know isn't compared, such as security descriptors of a folder, of which only the times of the last
 * write are compared as well. Memory is
 * needed for the entries of the first layer, and not for contents.
 *
 * @throws {FormatError} if a layer is damaged, or has an entry that can't be one.
 */
export async function* diffLayers(
  from: LayerSource,
  to: LayerSource,
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<LayerDifference, void, undefined> {
  const { signal } = optionsOf(options, { signal: abortSignal });
  const [before, after] = [layerSource(from, "from"), layerSource(to, "to")];
  const known = [before, after].some(({ form }) => form === "folder") ? OF_FOLDERS : OF_OTHERS;
  const first = new Map<string, { readonly entry: LayerEntry; readonly digest: string }>();
  for await (const entry of before.entries({ signal })) {
    first.set(keyOf(entry), { entry, digest: await digestOf(entry) });
  }
  for await (const entry of after.entries({ signal })) {
    const key = keyOf(entry);
    const other = first.get(key);
    first.delete(key);
    const { path } = entry;
    if (other === undefined) yield { path, change: "added", to: entry, parts: [] };
    else {
      const parts = differingParts(other.entry, entry, known);
      if (other.entry.size === entry.size && other.digest !== await digestOf(entry)) parts.push("contents");
      if (parts.length > 0) yield { path, change: "changed", from: other.entry, to: entry, parts };
    }
  }
  for (const { entry } of first.values()) yield { path: entry.path, change: "removed", from: entry, parts: [] };
}

// A layer may remove a path and add it.
function keyOf({ type, path, isOpaque }: LayerEntry): string {
  return `${type === "whiteout" ? (isOpaque ? "*" : "-") : "+"}${caseless(path)}`;
}

interface KnownTimes {
  readonly times: readonly (keyof FileTimes)[];
  /** In units of 100 ns. */
  readonly unit: bigint;
}

const OF_OTHERS: KnownTimes = { times: ["creation", "write", "access", "change"], unit: 1n };
// Others don't outlive a copy, and Deno tells them to the millisecond.
const OF_FOLDERS: KnownTimes = { times: ["write"], unit: 10_000n };

function differingParts(a: LayerEntry, b: LayerEntry, { times, unit }: KnownTimes): DifferingPart[] {
  const parts: DifferingPart[] = [];
  const add = (part: DifferingPart, isEqual: boolean) => {
    if (!isEqual) parts.push(part);
  };
  const known = <T>(x: T | undefined, y: T | undefined, isEqual: (x: T, y: T) => boolean) =>
    x === undefined || y === undefined || isEqual(x, y);
  add("type", a.type === b.type);
  add("size", a.size === b.size);
  add("attributes", known(a.attributes, b.attributes, (x, y) => x === y));
  add("times", known(a.times, b.times, (x, y) => times.every((time) => x[time] / unit === y[time] / unit)));
  add(
    "security",
    known(a.securityDescriptor, b.securityDescriptor, isSameBytes) && known(a.sddl, b.sddl, (x, y) => x === y),
  );
  add("extendedAttributes", attributesText(a) === attributesText(b));
  add("target", targetText(a) === targetText(b));
  return parts;
}

/** Whether bytes are equal. */
export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

function attributesText({ extendedAttributes = [] }: LayerEntry): string {
  return JSON.stringify(extendedAttributes.map(({ name, value }) => [name, value.toHex()]).sort());
}

function targetText({ target, reparse }: LayerEntry): string {
  const place = reparse?.target?.replaceAll("/", "\\") ?? reparse?.data?.toHex();
  return JSON.stringify([target === undefined ? undefined : caseless(target), reparse?.tag, place]);
}

const PIECE = 4 * 1024 * 1024;

/** What equal contents have in common: digests of pieces, as digests can't be computed bit by bit here. */
export async function digestOf(entry: LayerEntry): Promise<string> {
  if (entry.size === 0) return "";
  const digests: Uint8Array<ArrayBuffer>[] = [];
  const piece = new Uint8Array(Math.min(PIECE, entry.size));
  let length = 0;
  const flush = async () => {
    digests.push(new Uint8Array(await crypto.subtle.digest("SHA-256", piece.subarray(0, length))));
    length = 0;
  };
  for await (let chunk of entry.contents()) {
    while (chunk.byteLength > 0) {
      const part = chunk.subarray(0, piece.byteLength - length);
      piece.set(part, length);
      length += part.byteLength;
      chunk = chunk.subarray(part.byteLength);
      if (length === piece.byteLength) await flush();
    }
  }
  if (length > 0) await flush();
  return digests.map((digest) => digest.toHex()).join();
}
