/**
 * Layer ids. It is not known how Windows makes a GUID from a layer's name, but 22 real pairs are known.
 *
 * @module
 */

import { guidText } from "../ffi/guid.ts";

// From public logs of real hosts, and from the documents of real containers in hcsshim's test/functional/wcow_uvm_test.go.
const REAL: Readonly<Record<string, string>> = {
  "4": "bd9c3ef9-f239-59b5-a27e-15c523b1d149",
  "4e3c0eecb91d8fc28eda07ff06c6910a592b0ce4539476fb943b48e6934e9976": "cd22d128-903e-550a-9d8f-aa8134ca1c9b",
  "e2a46135ff011a2ef9f193590ccddde95806850a0cdd7638b913e003c28e7fd0": "8f9dd02a-0f67-598e-921b-59884f08b5af",
  "3030b7a20c848d1553700c1ccf0369b0f5d9b3d9a4c37ea6652fd54809a60a07": "4d2dfb6d-2f3b-5926-adf1-4bd7e162b91f",
  "2a4a12b082184aec3c238334a57cae90eb5ae33d25dab0cc5a8c65c67293782d": "f1f65ef4-dda7-5263-88b0-8c816567a93a",
  "b96bc989586f7c91240c36156b2ba034816440727354534830516af3a26ce776": "e498afab-37ca-5c38-b2d7-af8b6803358c",
  "84eda3c719e6ede7de73473d76a0271b0d9dad9a65b12fce59a63710cdf01a18": "15573d3c-2c12-5583-b6f0-9ee5e6587c64",
  "24bd0f2e055b6cd260726559acfc169e3d37632ed7414725c241b61196b5d61e": "892a72af-a573-5a2c-a185-1bc75e7bb860",
  "170deb3a7898b1bfe9494dc17fe9cb62d0b81ff4ea4d012e821c29e052961408": "95bd17f5-9524-574d-a2ee-0189dfd5bf7b",
  "4758da281db192a14b54c9830b57629839fba303fd1166ceec8de7e0814bc79a": "ae9b6abf-c0b1-5da6-9eb0-ce7cbb9c271a",
  "b8ae79a18a158afdbf770de6cd97eac7e8b704d1bf10e79c7884a9398d066b3f": "d1812ed3-377c-5005-af50-a6828f87cd80",
  "e280ae88fe4afde08717cb8a598cb480a554bfd79316047592f1a3899997e6f3": "f3fa31ff-3646-5aa8-aae6-fd07fa98dc11",
  "e98a4f90ea0b0b172cbc2a6520403c18c5be676fc98d967d5112940318664d8e": "aee45bbb-f900-54e3-8b4a-667e447fdf14",
  "305d84fb4aa7bb0818f672f25e34cf899067db0a9d0b245cdcf9c5d106360954": "b7751ac9-9da4-5a04-8f41-2d5e61a8b5b7",
  "076e74b17ff6b4b670e466cdc13945303bb7df9b82bf461e756bc729d659da07": "aa4fc017-120a-5dc4-b863-36ed05992ba1",
  "f9b22d909166dd54b870eb699d54f4cf36d99f035ffd7701aff1267230aefd1e": "7095521e-b79e-50fc-bafb-958d85400362",
  "f30368666ce4457e86fe12867506e508071d89e7eae615fc389c64f2e37ce54e": "6ba9cac1-7086-5ee9-a197-c465d3f50ad7",
  "7a6ad2b849a9d29e6648d9950c1975b0f614a63b5fe2803009ce131745abcc62": "300b3ac0-b603-5367-9494-afec045dd369",
  "5d1332fe416f7932c344ce9c536402a6fc6d0bfcdf7a74f67cc67b8cfc66ab41": "fa3057d9-0d4b-54c0-b2d5-34b7afc78f91",
  "b95977ad18f8fa04e517daa2e814f73d69bfff55c3ea68d56f2b0b8ae23a235d": "23284a2c-cdda-582a-a175-a196211b03cb",
  "b2a444ff0e984ef282d6a8e24fa0108e76b6807d943e111a0e878c1c53ed8246": "e0233918-d93f-5b08-839e-0cbeda79b68b",
  "de6b1a908240cca2aef34f49994e7d4e25a8e157a2cef3b6d6cf2d8e6400bfc2": "02740e08-d1d3-5715-9c08-c255eab4ca01",
};

/** Returns the id for a layer's name: the real one if it is known, otherwise {@linkcode standInGuid}. */
export function simulatedLayerId(name: string): string {
  return REAL[name] ?? standInGuid(name);
}

const OFFSET_BASIS = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;

/**
 * Makes a GUID from text: the 64-bit FNV-1a hashes of its UTF-16LE bytes, once with the standard offset basis and once with
 * that basis xor 0x9e3779b97f4a7c15, as two little-endian numbers, with the version and variant bits of a version 5 GUID.
 */
export function standInGuid(name: string): string {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, fnv1a(name, OFFSET_BASIS), true);
  view.setBigUint64(8, fnv1a(name, OFFSET_BASIS ^ 0x9e3779b97f4a7c15n), true);
  view.setUint16(6, view.getUint16(6, true) & 0x0fff | 0x5000, true);
  bytes[8] = bytes[8]! & 0x3f | 0x80;
  return guidText(bytes);
}

function fnv1a(name: string, basis: bigint): bigint {
  let hash = basis;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    for (const byte of [unit & 0xff, unit >> 8]) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
    }
  }
  return hash;
}
