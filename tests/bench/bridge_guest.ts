// A guest in a thread of its own, which answers over loopback. It posts its port.
/// <reference lib="deno.worker" />
import { BridgeGuest } from "../../src/simulated/bridge_guest.ts";
import { tcpStream } from "../support/tcp_stream.ts";

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
self.postMessage(listener.addr.port);
const connection = await listener.accept();
listener.close();
await new BridgeGuest(tcpStream(connection), { os: "Linux" }).serve();
self.close();
