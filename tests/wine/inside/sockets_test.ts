import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { NativeError, windowsHost } from "../../../mod.ts";
import { vsockService } from "../../../src/ffi/ws2_32.ts";
import { serveGuest } from "../../../src/uvm/guest_sockets.ts";
import { VMSockets } from "../../../src/uvm/vm_sockets.ts";
import { connectAsGuest, withSockets } from "./sockets.ts";

const VM = "9110e989-1957-5bb5-84f5-2c6a80dc185c";
const SERVICE = vsockService(0x40000000);

Deno.test("a connection with a guest carries bytes both ways, more than Windows buffers, and ends with the guest", async () => {
  using host = withSockets(windowsHost());
  await using sockets = new VMSockets(host, VM);
  const listener = sockets.listen(SERVICE);
  const accepting = listener.accept();
  const guest = await connectAsGuest(host, VM, SERVICE);
  const connection = (await accepting)!;
  listener.close();
  const sent = new Uint8Array(8 * 2 ** 20).map((_, i) => i % 251);
  const writing = connection.write(sent);
  const received = new Uint8Array(sent.length);
  for (let at = 0; at < received.length;) at += (await guest.read(received.subarray(at)))!;
  await writing;
  assertEquals(received, sent);

  const read = async (): Promise<string> => {
    const buffer = new Uint8Array(100);
    return new TextDecoder().decode(buffer.subarray(0, await connection.read(buffer)));
  };
  const first = read();
  await guest.write(new TextEncoder().encode("hello"));
  assertEquals(await first, "hello");
  const last = read();
  guest.close();
  assertEquals(await last, "");
});

Deno.test("closing ends what waits for a guest: an accept, a read, and a write that has no room", async () => {
  using host = withSockets(windowsHost());
  const sockets = new VMSockets(host, VM);
  const waiting = sockets.listen(vsockService(1)).accept();
  const listener = sockets.listen(SERVICE);
  const accepting = listener.accept();
  using _guest = await connectAsGuest(host, VM, SERVICE);
  const connection = (await accepting)!;
  const reading = connection.read(new Uint8Array(10));
  let written = 0;
  const writing = assertRejects(
    async () => {
      for (;; written++) await connection.write(new Uint8Array(2 ** 20));
    },
    Error,
    "closed",
  );
  for (let before = -1; before < written;) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await sockets[Symbol.asyncDispose]();
  assertEquals([await waiting, await reading], [undefined, 0]);
  await writing;
});

Deno.test("a guest that resets its connection is told from one that closes it", async () => {
  using host = withSockets(windowsHost());
  await using sockets = new VMSockets(host, VM);
  const accepting = sockets.listen(SERVICE).accept();
  const guest = await connectAsGuest(host, VM, SERVICE);
  const connection = (await accepting)!;
  await connection.write(new Uint8Array(100));
  // What it hasn't read makes its end a reset.
  guest.close();
  const error = await assertRejects(() => connection.read(new Uint8Array(10)), NativeError);
  assertEquals([error.operation, error.win32], ["recv", 10054]);
});

Deno.test("64 guests are served at once, and afterwards the pool has its threads", async () => {
  using host = withSockets(windowsHost());
  const ids = Array.from({ length: 64 }, () => crypto.randomUUID());
  await Promise.all(ids.map(async (runtimeId) => {
    await using served = await serveGuest(host, { id: runtimeId, runtimeId }, { log: true });
    using entropy = await connectAsGuest(host, runtimeId, vsockService(1));
    const bytes = new Uint8Array(512);
    for (let at = 0, size; (size = await entropy.read(bytes.subarray(at))); at += size);
    await served.served;
    using _log = await connectAsGuest(host, runtimeId, vsockService(109));
  }));
});
