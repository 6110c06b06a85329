/**
 * Guests of VMs under Wine, which connect to sockets of the loopback.
 *
 * @module
 */

import type { UtilityVM } from "../../../mod.ts";
import type { WindowsHost } from "../../../src/ffi/host.ts";
import { vsockService } from "../../../src/ffi/ws2_32.ts";
import { BridgeGuest, REQUESTS } from "../../../src/simulated/bridge_guest.ts";
import { tcpStream } from "../../support/tcp_stream.ts";
import { connectAsGuest } from "./sockets.ts";

/** What a guest got. */
export interface Booted {
  /** The bytes of entropy. */
  readonly entropyBytes: number;
  /** The names of the requests, in order. */
  readonly asked: readonly string[];
}

/** Boots the guest of a VM, as soon as somebody listens for it, and does what it is asked for, until it ends. */
export async function bootGuest(host: WindowsHost, { os, runtimeId }: UtilityVM): Promise<Booted> {
  const connect = async (service: string): Promise<Deno.TcpConn> => {
    for (;;) {
      try {
        return await connectAsGuest(host, runtimeId, service);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  let entropyBytes = 0;
  if (os === "linux") {
    using entropy = await connect(vsockService(1));
    const buffer = new Uint8Array(1000);
    for (let size; (size = await entropy.read(buffer)) !== null;) entropyBytes += size;
  }
  using _log = os === "linux" ? await connect(vsockService(109)) : undefined;
  const bridge = await connect(os === "linux" ? vsockService(0x40000000) : "acef5661-84a1-4e44-856b-6245e69f4620");
  const asked: string[] = [];
  const guest = new BridgeGuest(tcpStream(bridge), {
    os: os === "linux" ? "Linux" : "Windows",
    respond(message, usual) {
      asked.push(REQUESTS[message.type & 0x0fffffff]!);
      return usual();
    },
  });
  await guest.serve();
  return { entropyBytes, asked };
}
