/**
 * Stand-in for `jsr:@std/uuid/v5`.
 *
 * @module
 */
import { createHash } from "node:crypto";

// The nil UUID, and those of RFC 9562.
const UUID = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[1-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|0{8}-0{4}-0{4}-0{4}-0{12})$/i;

/** The UUID of version 5 for data in a namespace. */
export function generate(namespace: string, data: Uint8Array): Promise<string> {
  if (!UUID.test(namespace)) {
    return Promise.reject(new TypeError(`Cannot generate UUID: invalid namespace ${namespace}`));
  }
  const hash = createHash("sha1").update(namespace.replaceAll("-", ""), "hex").update(data).digest();
  hash.writeUInt8(hash.readUInt8(6) & 0x0f | 0x50, 6);
  hash.writeUInt8(hash.readUInt8(8) & 0x3f | 0x80, 8);
  const hex = hash.toString("hex", 0, 16);
  return Promise.resolve(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"));
}
