/**
 * Requests to a guest per second: in memory with the guest on the same thread, and over loopback with the guest on another.
 *
 * @module
 */

import { UTC } from "../../src/hcsschema/guest_messages.ts";
import { BridgeGuest } from "../../src/simulated/bridge_guest.ts";
import type { ByteStream } from "../../src/uvm/bridge/bridge.ts";
import { BridgeConnection } from "../../src/uvm/bridge/connection.ts";
import { MOUNT } from "../support/bridge.ts";
import { streamPair } from "../support/streams.ts";
import { tcpStream } from "../support/tcp_stream.ts";

const REQUESTS = 20_000;
const SIDE_BY_SIDE = 64;
const ROUNDS = 3;

// As that of a host.
function deadline(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}

function inMemory(): ByteStream {
  const [host, guest] = streamPair();
  new BridgeGuest(guest, { os: "Linux" }).serve();
  return host;
}

async function overLoopback(): Promise<ByteStream> {
  const worker = new Worker(new URL("bridge_guest.ts", import.meta.url), { type: "module" });
  const port = await new Promise<number>((resolve) => worker.onmessage = ({ data }) => resolve(data));
  return tcpStream(await Deno.connect({ hostname: "127.0.0.1", port }));
}

/** Requests per second, the best of some rounds, with so many under way. */
async function rate(vm: BridgeConnection, sideBySide: number): Promise<number> {
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let left = REQUESTS;
    const start = performance.now();
    await Promise.all(Array.from({ length: sideBySide }, async () => {
      while (left-- > 0) await vm.modify(MOUNT);
    }));
    best = Math.max(best, REQUESTS / (performance.now() - start) * 1000);
  }
  return best;
}

// What is in use, without what could be freed. It needs --v8-flags=--expose-gc.
function memory(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().heapUsed;
}

async function main(): Promise<void> {
  console.log(`                one by one  ${SIDE_BY_SIDE} side by side  memory grew by`);
  for (const [name, stream] of [["in memory", inMemory], ["over loopback", overLoopback]] as const) {
    using vm = await BridgeConnection.connect(await stream(), { vm: "vm1", deadline, timeZone: UTC });
    await rate(vm, SIDE_BY_SIDE);
    const before = memory();
    const [one, many] = [await rate(vm, 1), await rate(vm, SIDE_BY_SIDE)].map((rate) => `${Math.round(rate)}/s`);
    const grown = `${((memory() - before) / 2 ** 20).toFixed(1)} MiB`;
    console.log(`${name.padEnd(16)}${one!.padStart(10)}${many!.padStart(17)}${grown.padStart(16)}`);
  }
}

if (import.meta.main) await main();
