/**
 * How entries of images look, in a terminal and as JSON.
 *
 * @module
 */

import { visible } from "../../src/errors/printable.ts";
import type { CimEntry } from "../../src/files/mod.ts";
import { reparseOf } from "../../src/files/cim/layer_of_cim.ts";
import { timeText } from "../../src/files/layer/file_time.ts";
import { securityText } from "./layer_entries.ts";

const LETTERS = [[0x10, "d"], [0x1, "r"], [0x2, "h"], [0x4, "s"], [0x20, "a"], [0x400, "l"]] as const;

/** The attributes of an entry, a letter each. */
export function attributeLetters({ attributes }: CimEntry): string {
  return LETTERS.map(([bit, letter]) => (attributes & bit) === 0 ? "-" : letter).join("");
}

/** What a list says of an entry, as JSON. */
export function cimEntryJson(entry: CimEntry): Record<string, unknown> {
  const { path, id, isFolder, size, attributes, times, reparseTag, isSparse } = entry;
  return {
    path,
    id,
    isFolder,
    ...!isFolder && { size },
    attributes,
    times: Object.fromEntries(Object.entries(times).map(([name, time]) => [name, timeText(time)])),
    ...reparseTag !== 0 && { reparseTag },
    ...isSparse && { isSparse },
  };
}

/** All that is known of an entry, as JSON. */
export async function cimFacts(entry: CimEntry): Promise<Record<string, unknown>> {
  const [security, attributes] = [await entry.securityDescriptor(), await entry.extendedAttributes()];
  const streams = await Array.fromAsync(entry.streams());
  const reparse = entry.reparseTag === 0 ? undefined : await reparseOf(entry);
  return {
    ...cimEntryJson(entry),
    ...security &&
      { security: securityText({ securityDescriptor: security }), securityDescriptor: security.toBase64() },
    ...reparse && {
      ...reparse.target !== undefined && { target: reparse.target },
      reparseData: reparse.data!.toBase64(),
    },
    ...attributes.length > 0 && {
      extendedAttributes: attributes.map(({ name, flags, value }) => ({ name, flags, value: value.toBase64() })),
    },
    ...streams.length > 0 && { streams },
  };
}

/** All that is known of an entry, a line each. */
export async function cimEntryText(entry: CimEntry): Promise<string> {
  const { path, id, isFolder, size, attributes, times, reparseTag, isSparse } = entry;
  const [security, extended] = [await entry.securityDescriptor(), await entry.extendedAttributes()];
  const target = reparseTag === 0 ? undefined : (await reparseOf(entry)).target;
  const lines: [name: string, value: string | undefined][] = [
    ["path", path],
    ["file id", String(id)],
    ["size", isFolder ? undefined : `${size}${isSparse ? ", zeros that are kept nowhere" : ""}`],
    ["attributes", `${attributeLetters(entry)} (0x${attributes.toString(16)})`],
    ...Object.entries(times).map(([name, time]): [string, string] => [name, timeText(time)]),
    ["security", securityText({ securityDescriptor: security })],
    ["tag", reparseTag === 0 ? undefined : `0x${reparseTag.toString(16)}`],
    ["target", target],
    ...extended.map(({ name, value }): [string, string] => ["extended", `${name}: ${value.toHex()}`]),
  ];
  for await (const { name, size } of entry.streams()) lines.push(["stream", `${name}: ${size} bytes`]);
  return lines.filter(([, value]) => value !== undefined).map(([name, value]) => `${`${name}:`.padEnd(12)}${value}`)
    .map(visible).join("\n");
}
