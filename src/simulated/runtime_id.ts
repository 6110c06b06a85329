/**
 * The GUIDs of compute systems. They are made at once, and not by a thread of the system: when that is done depends on the
 * machine, and with it the order of everything else.
 *
 * @module
 */

import { isGuid } from "../ffi/guid.ts";
import { wide } from "../ffi/wide.ts";

// cab70344-facb-41e4-b5e5-ab6592283e6e
const NAMESPACE = Uint8Array.fromHex("cab70344facb41e4b5e5ab6592283e6e");

/**
 * Returns the GUID of a system: its id if that is a GUID (WSL asserts it: src/windows/service/exe/WslCoreVm.cpp), or else the
 * version 5 UUID of its id in upper case and UTF-16LE.
 */
export function runtimeIdOf(id: string): string {
  return isGuid(id) ? id.toLowerCase() : hashed(wide(upper(id)).subarray(0, -2));
}

// A letter that has no single large one is large itself.
function upper(id: string): string {
  return Array.from(id, (letter) => {
    const large = letter.toUpperCase();
    return large.length === letter.length ? large : letter;
  }).join("");
}

function hashed(name: Uint8Array): string {
  const hash = sha1(Uint8Array.from([...NAMESPACE, ...name])).subarray(0, 16);
  hash[6] = hash[6]! & 0x0f | 0x50;
  hash[8] = hash[8]! & 0x3f | 0x80;
  return hash.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const BLOCK = 64;

// FIPS 180-4.
function sha1(message: Uint8Array): Uint8Array {
  const blocks = Math.ceil((message.length + 9) / BLOCK);
  const view = new DataView(new ArrayBuffer(blocks * BLOCK));
  new Uint8Array(view.buffer).set(message);
  view.setUint8(message.length, 0x80);
  view.setBigUint64(view.byteLength - 8, BigInt(8 * message.length));
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  const words = new Int32Array(80);
  for (let at = 0; at < view.byteLength; at += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 80; i++) {
      words[i] = rotated(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
    }
    let [a, b, c, d, e] = state as [number, number, number, number, number];
    for (let i = 0; i < 80; i++) {
      const next = rotated(a, 5) + mixed(i, b, c, d) + e + words[i]! | 0;
      [a, b, c, d, e] = [next, a, rotated(b, 30), c, d];
    }
    [a, b, c, d, e].forEach((value, i) => state[i] = state[i]! + value | 0);
  }
  state.forEach((value, i) => view.setInt32(4 * i, value));
  return new Uint8Array(view.buffer, 0, 20);
}

function mixed(round: number, b: number, c: number, d: number): number {
  if (round < 20) return (b & c | ~b & d) + 0x5a827999;
  if (round < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (round < 60) return (b & c | b & d | c & d) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

function rotated(value: number, bits: number): number {
  return value << bits | value >>> 32 - bits;
}
