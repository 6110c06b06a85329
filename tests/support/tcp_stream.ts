/**
 * A TCP connection as a stream of the bridge.
 *
 * @module
 */

import type { ByteStream } from "../../src/uvm/bridge/bridge.ts";

/** Returns a stream over a connection. */
export function tcpStream(connection: Deno.TcpConn): ByteStream {
  connection.setNoDelay();
  return {
    read: async (buffer) => await connection.read(buffer) ?? 0,
    async write(bytes) {
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    },
    close: () => connection.close(),
  };
}
