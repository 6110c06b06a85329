/**
 * Buffers for native calls. Making a typed array takes longer than a native call does, making a view of one doesn't: so
 * small buffers are parts of larger ones. No part is handed out twice.
 *
 * @module
 */

const SHARED_BYTES = 16384;
const MOST_BYTES = 1024;

let shared = new Uint8Array(SHARED_BYTES);
let used = 0;

/**
 * A buffer of zeros, aligned for every type of Windows. It may be a part of a larger one: where its `buffer` is used, its
 * `byteOffset` has to be, too.
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

/** A view of the numbers in a buffer. */
export function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
