/**
 * How entries of layers look, in a terminal and as JSON.
 *
 * @module
 */

import { visible } from "../../src/errors/printable.ts";
import { timeText } from "../../src/files/layer/file_time.ts";
import { type FileTimes, type LayerEntry, sddlOf } from "../../src/files/mod.ts";

/** An entry in a list: type, size, time, path and what it leads to. */
export function entryRow({ type, size, times, path, target, reparse, isOpaque }: LayerEntry): string[] {
  const place = target ?? reparse?.target;
  const shown = isOpaque ? `${path}/*` : place === undefined ? path : `${path} -> ${place}`;
  const isSized = type === "file" || type === "stream";
  return [
    type,
    isSized ? String(size) : "",
    times === undefined ? "" : timeText(times.write).replace(/\..*/, ""),
    shown,
  ];
}

/** All that is known of an entry, a line each. */
export function entryText(entry: LayerEntry, layer: string): string {
  const { path, type, size, times, attributes, reparse, target, extendedAttributes = [] } = entry;
  const lines: [name: string, value: string | undefined][] = [
    ["path", path],
    ["layer", layer],
    ["type", type],
    ["size", String(size)],
    ["attributes", attributes === undefined ? undefined : `0x${attributes.toString(16)}`],
    ...Object.entries(times ?? {}).map(([name, time]): [string, string] => [name, timeText(time)]),
    ["security", securityText(entry)],
    ["tag", reparse && `0x${reparse.tag.toString(16)}`],
    ["target", target ?? reparse?.target],
    ...extendedAttributes.map(({ name, value }): [string, string] => [`attribute ${name}`, value.toHex()]),
  ];
  return lines.filter(([, value]) => value !== undefined).map(([name, value]) => `${`${name}:`.padEnd(12)}${value}`)
    .map(visible).join("\n");
}

/** A security descriptor as text. */
export function securityText(
  { securityDescriptor, sddl }: Pick<LayerEntry, "securityDescriptor" | "sddl">,
): string | undefined {
  if (securityDescriptor === undefined) return sddl;
  try {
    return sddlOf(securityDescriptor);
  } catch (error) {
    // lint tells of it; what else the entry has is of use.
    return `[${(error as Error).message}]`;
  }
}

/** An entry as JSON. */
export function entryJson({ contents: _, ...entry }: LayerEntry): Record<string, unknown> {
  const { times, securityDescriptor, reparse, extendedAttributes } = entry;
  return {
    ...entry,
    ...times && { times: timesJson(times) },
    ...securityDescriptor && { securityDescriptor: securityDescriptor.toBase64(), sddl: securityText(entry) },
    ...reparse && { reparse: { ...reparse, ...reparse.data && { data: reparse.data.toBase64() } } },
    ...extendedAttributes && {
      extendedAttributes: extendedAttributes.map((attribute) => ({ ...attribute, value: attribute.value.toBase64() })),
    },
  };
}

function timesJson(times: FileTimes): Record<string, string> {
  return Object.fromEntries(Object.entries(times).map(([name, time]) => [name, timeText(time)]));
}
