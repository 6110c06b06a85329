/**
 * Buffers for native calls. Creating a typed array takes longer than a native call; creating a view doesn't. So small
 * buffers are views of parts of larger ones. No part is used twice.
 *
 * @module
 */

const SHARED_BYTES = 16384;
const MOST_BYTES = 1024;

let shared = new Uint8Array(SHARED_BYTES);
let used = 0;

/**
 * Returns a buffer of zeros, aligned for every type of Windows. It may be part of a larger one, so use its `byteOffset`
 * wherever you use its `buffer`.
 */
export function buffer(bytes: number): Uint8Array<ArrayBuffer> {
  if (bytes > MOST_BYTES) {
    return new Uint8Array(bytes);
  }
  if (used + bytes > SHARED_BYTES) {
    shared = new Uint8Array(SHARED_BYTES);
    used = 0;
  }
  const part = shared.subarray(used, used + bytes);
  used = (used + bytes + 7) & ~7;
  return part;
}

/** Returns a view for reading and writing numbers in a buffer. */
export function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
