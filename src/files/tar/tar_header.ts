/**
 * The header of an entry of a tar: one block of 512 bytes, and the records of its extended header.
 *
 * @module
 */

import type { PaxRecords } from "./pax_records.ts";

/** The unit of a tar, in bytes. */
export const BLOCK = 512;

/** What the header of an entry says. */
export interface TarHeader {
  /** The name, as it is written, with a `/` at the end if it has one. */
  readonly name: string;
  /** `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` folder, `6` FIFO, `g` for all that follow, or another. */
  readonly type: string;
  /** Length of what follows, in bytes. */
  readonly size: number;
  /** What a link leads to. Empty if it is none. */
  readonly linkName: string;
  /** Type and permission bits, which Windows ignores. */
  readonly mode: number;
  /** Id of the owner, which Windows ignores. */
  readonly uid: number;
  /** Id of the group, which Windows ignores. */
  readonly gid: number;
  /** Name of the owner. */
  readonly userName: string;
  /** Name of the group. */
  readonly groupName: string;
  /** When it was changed, in whole seconds since 1970. The record `mtime` has it exactly. */
  readonly mtime: number;
  /** All records of its extended header, as they are. */
  readonly pax: PaxRecords;
}

/** A header without the extended one. */
export type TarBlock = Omit<TarHeader, "pax">;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const UID = [108, 8] as const;
const GID = [116, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPE = 156;
const LINK_NAME = [157, 100] as const;
const MAGIC = [257, 8] as const;
const USER_NAME = [265, 32] as const;
const GROUP_NAME = [297, 32] as const;
const DEVICE_MAJOR = [329, 8] as const;
const DEVICE_MINOR = [337, 8] as const;
const PREFIX = [345, 155] as const;

type Field = readonly [start: number, length: number];

/** Whether a block has nothing in it. */
export function isEmpty(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/**
 * Reads a header block.
 *
 * @throws {Error} that says what is wrong with it.
 */
export function parseBlock(block: Uint8Array): TarBlock {
  if (!hasChecksum(block)) throw new Error("the checksum of a header is wrong: this is no tar, or it is damaged");
  const magic = String.fromCharCode(...block.subarray(MAGIC[0], MAGIC[0] + MAGIC[1]));
  const isPosix = magic.startsWith("ustar\0");
  const name = textIn(block, NAME);
  // GNU has other things in the place of the prefix.
  const prefix = isPosix ? textIn(block, PREFIX) : "";
  const hasNames = magic.startsWith("ustar");
  const type = block[TYPE] === 0 ? (name.endsWith("/") ? "5" : "0") : String.fromCharCode(block[TYPE]!);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    type: type === "7" ? "0" : type,
    size: numberIn(block, SIZE, "size"),
    linkName: textIn(block, LINK_NAME),
    mode: numberIn(block, MODE, "mode"),
    uid: numberIn(block, UID, "user id"),
    gid: numberIn(block, GID, "group id"),
    userName: hasNames ? textIn(block, USER_NAME) : "",
    groupName: hasNames ? textIn(block, GROUP_NAME) : "",
    mtime: numberIn(block, MTIME, "time"),
  };
}

function hasChecksum(block: Uint8Array): boolean {
  try {
    return checksums(block).includes(numberIn(block, CHECKSUM, "checksum"));
  } catch {
    return false;
  }
}

// Some old programs summed signed bytes.
function checksums(block: Uint8Array): [unsigned: number, signed: number] {
  let unsigned = 0;
  let high = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= CHECKSUM[0] && i < CHECKSUM[0] + CHECKSUM[1] ? 0x20 : block[i]!;
    unsigned += byte;
    if (byte > 127) high++;
  }
  return [unsigned, unsigned - 256 * high];
}

function numberIn(block: Uint8Array, [start, length]: Field, what: string): number {
  if (block[start]! >= 0x80) return binaryNumber(block, start, length, what);
  let value = 0;
  let at = start;
  const end = start + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++;
  for (; at < end && block[at] !== 0x20 && block[at] !== 0; at++) {
    const digit = block[at]! - 0x30;
    if (digit < 0 || digit > 7) throw new Error(`the ${what} in a header is no number`);
    value = value * 8 + digit;
  }
  return value;
}

// Of GNU, in two's complement: the first bit is a mark.
function binaryNumber(block: Uint8Array, start: number, length: number, what: string): number {
  const isNegative = (block[start]! & 0x40) !== 0;
  let value = BigInt(block[start]! & 0x7f);
  for (let at = start + 1; at < start + length; at++) value = value << 8n | BigInt(block[at]!);
  if (isNegative) value -= 1n << BigInt(8 * length - 1);
  const number = Number(value);
  if (!Number.isSafeInteger(number) || (number < 0 && what !== "time")) {
    throw new Error(`the ${what} in a header can't be: ${value}`);
  }
  return number;
}

function textIn(block: Uint8Array, [start, length]: Field): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  if (end === 0) return "";
  try {
    return UTF8.decode(end < 0 ? field : field.subarray(0, end));
  } catch {
    throw new Error("a name in a header isn't UTF-8");
  }
}

/** A header block. What is too long for it is cut, and numbers that are too large are 0: the records have them. */
export function formatBlock(header: TarBlock): Uint8Array {
  const block = new Uint8Array(BLOCK);
  writeText(block, NAME, header.name);
  writeNumber(block, MODE, header.mode);
  writeNumber(block, UID, header.uid);
  writeNumber(block, GID, header.gid);
  writeNumber(block, SIZE, header.size);
  writeNumber(block, MTIME, header.mtime);
  block[TYPE] = header.type.charCodeAt(0);
  writeText(block, LINK_NAME, header.linkName);
  writeText(block, MAGIC, "ustar\x0000");
  writeText(block, USER_NAME, header.userName);
  writeText(block, GROUP_NAME, header.groupName);
  // Go leaves them out here.
  if (header.type !== "x") {
    writeNumber(block, DEVICE_MAJOR, 0);
    writeNumber(block, DEVICE_MINOR, 0);
  }
  writeText(block, CHECKSUM, `${checksums(block)[0].toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** Whether a text can stand in a header block. */
export function fitsText(text: string, field: "name" | "linkName" | "userName"): boolean {
  const [, length] = { name: NAME, linkName: LINK_NAME, userName: USER_NAME }[field];
  // deno-lint-ignore no-control-regex
  return text.length <= length && /^[\x01-\x7f]*$/.test(text);
}

/** Whether a number can stand in a header block. */
export function fitsNumber(value: number, field: "size" | "mtime" | "uid" | "mode"): boolean {
  const [, length] = { size: SIZE, mtime: MTIME, uid: UID, mode: MODE }[field];
  return Number.isInteger(value) && value >= 0 && value < 8 ** (length - 1);
}

function writeText(block: Uint8Array, [start, length]: Field, text: string): void {
  // deno-lint-ignore no-control-regex
  const ascii = text.replace(/[^\x00-\x7f]/g, "");
  // A reader that doesn't know the records would take a file whose name is cut at a "/" for a folder.
  const cut = ascii.length > length ? ascii.slice(0, length).replace(/\/+$/, "") : ascii;
  for (let i = 0; i < cut.length; i++) block[start + i] = cut.charCodeAt(i);
}

function writeNumber(block: Uint8Array, [start, length]: Field, value: number): void {
  const digits = (value >= 0 && value < 8 ** (length - 1) ? value : 0).toString(8);
  writeText(block, [start, length], digits.padStart(length - 1, "0"));
}
