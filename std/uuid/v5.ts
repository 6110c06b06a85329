/**
 * Stand-in for `jsr:@std/uuid/v5`.
 *
 * It has a SHA-1 of its own. `node:crypto` takes longer to load than all of this project, and a hash of Web Crypto is made on
 * another thread, so that what waits for it isn't in the same order each time.
 *
 * @module
 */

// The nil UUID, and those of RFC 9562.
const UUID = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|0{8}-0{4}-0{4}-0{4}-0{12})$/i;

/** The UUID of version 5 for data in a namespace. */
export function generate(namespace: string, data: Uint8Array): Promise<string> {
  if (!UUID.test(namespace)) {
    return Promise.reject(new TypeError(`Cannot generate UUID: invalid namespace ${namespace}`));
  }
  const hash = sha1(Uint8Array.from([...Uint8Array.fromHex(namespace.replaceAll("-", "")), ...data]));
  hash.setUint8(6, hash.getUint8(6) & 0x0f | 0x50);
  hash.setUint8(8, hash.getUint8(8) & 0x3f | 0x80);
  const hex = new Uint8Array(hash.buffer, 0, 16).toHex();
  return Promise.resolve(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"));
}

/** The SHA-1 of a message, as in RFC 3174. */
function sha1(message: Uint8Array): DataView<ArrayBuffer> {
  const blocks = new DataView(new ArrayBuffer(64 * Math.ceil((message.length + 9) / 64)));
  const bytes = new Uint8Array(blocks.buffer);
  bytes.set(message);
  bytes[message.length] = 0x80;
  blocks.setBigUint64(bytes.length - 8, 8n * BigInt(message.length));
  const hash = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0] as [number, number, number, number, number];
  const words = new Int32Array(80);
  for (let at = 0; at < bytes.length; at += 64) {
    let [a, b, c, d, e] = hash;
    for (let i = 0; i < 80; i++) {
      words[i] = i < 16
        ? blocks.getInt32(at + 4 * i)
        : rotated(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
      const [mixed, constant] = i < 20
        ? [b & c | ~b & d, 0x5a827999]
        : i < 40
        ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60
        ? [b & c | b & d | c & d, 0x8f1bbcdc]
        : [b ^ c ^ d, 0xca62c1d6];
      [a, b, c, d, e] = [rotated(a, 5) + mixed + e + constant + words[i]! | 0, a, rotated(b, 30), c, d];
    }
    [a, b, c, d, e].forEach((word, i) => hash[i] = hash[i]! + word | 0);
  }
  const digest = new DataView(new ArrayBuffer(20));
  hash.forEach((word, i) => digest.setInt32(4 * i, word));
  return digest;
}

function rotated(word: number, bits: number): number {
  return word << bits | word >>> 32 - bits;
}
