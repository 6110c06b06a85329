/**
 * What Windows keeps of a file, in the extended header of its entry.
 *
 * @module
 */

import {
  ATTRIBUTE_FOLDER,
  type ExtendedAttribute,
  type FileTimes,
  type LayerEntry,
  MOUNT_POINT_TAG,
  type ReparsePoint,
  SYMLINK_TAG,
} from "../layer/entry.ts";
import { fileTimeOf, paxTimeOf, secondsOf } from "./pax_time.ts";
import type { PaxRecords } from "./pax_records.ts";
import type { TarHeader } from "./tar_header.ts";
import type { NewTarEntry } from "./write_tar.ts";

/** FILE_ATTRIBUTE bits, decimal. */
export const FILE_ATTRIBUTES = "MSWINDOWS.fileattr";
/** A self-relative security descriptor, in base64. */
export const SECURITY = "MSWINDOWS.rawsd";
/** A security descriptor as SDDL. */
export const SDDL = "MSWINDOWS.sd";
/** Marks a junction. */
export const MOUNT_POINT = "MSWINDOWS.mountpoint";
/** An extended attribute, in base64; its name follows. */
export const EXTENDED_ATTRIBUTE = "MSWINDOWS.xattr.";
/** When the file was created. */
export const CREATION_TIME = "LIBARCHIVE.creationtime";

const KNOWN = [FILE_ATTRIBUTES, SECURITY, SDDL, MOUNT_POINT];

/** Keys of records that are meant for Windows, and that no importer knows. */
export function unknownKeys({ pax }: Pick<TarHeader, "pax">): string[] {
  return [...pax.keys()].filter((key) =>
    key.startsWith("MSWINDOWS.") && !KNOWN.includes(key) && !key.startsWith(EXTENDED_ATTRIBUTE)
  );
}

/** What Windows keeps of a file. */
export type Metadata = Pick<
  LayerEntry,
  "attributes" | "times" | "securityDescriptor" | "sddl" | "extendedAttributes" | "reparse"
>;

/** Told of a value that makes no sense. */
export type BadValue = (problem: string) => void;

/** What the header of an entry says about a file of Windows. A value that makes no sense is told of, and left out. */
export function metadataOf(header: TarHeader, bad: BadValue): Metadata {
  const { pax } = header;
  const attributes = attributesIn(pax, bad);
  const times = timesIn(header, bad);
  const securityDescriptor = base64In(pax, SECURITY, bad);
  const sddl = pax.has(SECURITY) ? undefined : textIn(pax, SDDL, bad);
  const extendedAttributes = extendedAttributesIn(pax, bad);
  return {
    times,
    ...attributes !== undefined && { attributes },
    ...securityDescriptor !== undefined && { securityDescriptor },
    ...sddl !== undefined && { sddl },
    ...extendedAttributes.length > 0 && { extendedAttributes },
    ...header.type === "2" && { reparse: reparseOf(header) },
  };
}

function reparseOf({ linkName, pax }: TarHeader): ReparsePoint {
  return { tag: pax.has(MOUNT_POINT) ? MOUNT_POINT_TAG : SYMLINK_TAG, target: linkName };
}

function attributesIn(pax: PaxRecords, bad: BadValue): number | undefined {
  const text = textIn(pax, FILE_ATTRIBUTES, bad);
  if (text === undefined) return undefined;
  const attributes = /^\d{1,20}$/.test(text) ? Number(text) : NaN;
  if (attributes <= 0xffffffff) return attributes;
  bad(`${FILE_ATTRIBUTES} is no number of 32 bits: ${text}`);
  return undefined;
}

function timesIn({ pax, mtime }: TarHeader, bad: BadValue): FileTimes {
  const time = (key: string, otherwise: () => bigint) => {
    const text = textIn(pax, key, bad);
    if (text === undefined) return otherwise();
    const value = fileTimeOf(text);
    if (value === undefined) bad(`${key} is no time that Windows can have: ${text}`);
    return value ?? otherwise();
  };
  const write = time("mtime", () => {
    const value = fileTimeOf(String(mtime));
    if (value === undefined) bad(`its time is none that Windows can have: ${mtime}`);
    return value ?? 0n;
  });
  const asWrite = () => write;
  return {
    creation: time(CREATION_TIME, asWrite),
    write,
    access: time("atime", asWrite),
    change: time("ctime", asWrite),
  };
}

function extendedAttributesIn(pax: PaxRecords, bad: BadValue): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  for (const key of pax.keys()) {
    if (!key.startsWith(EXTENDED_ATTRIBUTE)) continue;
    const value = base64In(pax, key, bad);
    if (value !== undefined) attributes.push({ name: key.slice(EXTENDED_ATTRIBUTE.length), flags: 0, value });
  }
  // In the order of the records the bytes of an image would depend on who wrote the tar.
  return attributes.sort((a, b) => a.name < b.name ? -1 : 1);
}

function base64In(pax: PaxRecords, key: string, bad: BadValue): Uint8Array | undefined {
  const text = textIn(pax, key, bad);
  if (text === undefined) return undefined;
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    bad(`${key} is no base64`);
    return undefined;
  }
}

function textIn(pax: PaxRecords, key: string, bad: BadValue): string | undefined {
  const value = pax.get(key);
  if (!(value instanceof Uint8Array)) return value;
  bad(`${key} is no text`);
  return undefined;
}

// Bits of the mode that other programs write, though Windows ignores them.
const MODE = { file: 0o100000, folder: 0o040000, reparse: 0o120000 };

/** The header of an entry with what Windows keeps of a file. A reparse point has to be a symbolic link or a junction. */
export function headerOf(entry: LayerEntry): Omit<NewTarEntry, "name" | "contents"> {
  const { type, times, attributes } = entry;
  const pax = new Map<string, string>();
  if (times !== undefined) {
    pax.set("atime", paxTimeOf(times.access));
    pax.set("ctime", paxTimeOf(times.change));
    const mtime = paxTimeOf(times.write);
    if (!/^\d+$/.test(mtime)) pax.set("mtime", mtime);
    if (type !== "stream") pax.set(CREATION_TIME, paxTimeOf(times.creation));
  }
  if (attributes !== undefined && type !== "stream") pax.set(FILE_ATTRIBUTES, String(attributes));
  if (entry.securityDescriptor !== undefined) pax.set(SECURITY, entry.securityDescriptor.toBase64());
  else if (entry.sddl !== undefined) pax.set(SDDL, entry.sddl);
  for (const { name, value } of entry.extendedAttributes ?? []) pax.set(EXTENDED_ATTRIBUTE + name, value.toBase64());
  if (entry.reparse?.tag === MOUNT_POINT_TAG) pax.set(MOUNT_POINT, "1");
  return {
    type: TYPES[type],
    size: entry.size,
    mode: modeOf(entry),
    mtime: times === undefined ? 0 : secondsOf(times.write),
    pax,
  };
}

const TYPES = { file: "0", stream: "0", whiteout: "0", link: "1", reparse: "2", folder: "5" };

function modeOf({ type, size, attributes = 0 }: LayerEntry): number {
  switch (type) {
    case "folder":
      return MODE.folder;
    case "reparse":
      return (attributes & ATTRIBUTE_FOLDER) === 0 ? MODE.reparse : MODE.folder | MODE.reparse;
    case "link":
      return 0o644;
    case "whiteout":
      return 0;
    default:
      return size > 0 ? MODE.file : 0;
  }
}
