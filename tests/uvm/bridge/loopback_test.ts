// The bridge over real sockets. That no resource is left is what the test runner looks at after each test.
import { assertEquals, assertRejects } from "jsr:@std/assert@^1.0.0";
import { GuestConnectionError } from "../../../src/errors/vm_errors.ts";
import { UTC } from "../../../src/hcsschema/guest_messages.ts";
import { BridgeGuest, type BridgeGuestOptions } from "../../../src/simulated/bridge_guest.ts";
import { Connection } from "../../../src/simulated/guest_network.ts";
import { BridgeConnection } from "../../../src/uvm/bridge/connection.ts";
import { MOUNT, noDeadline } from "../../support/bridge.ts";
import { tcpStream } from "../../support/tcp_stream.ts";

async function overLoopback(options: Partial<BridgeGuestOptions> = {}) {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [host, far] = await Promise.all([Deno.connect({ port: listener.addr.port }), listener.accept()]);
  const guest = new BridgeGuest(tcpStream(far), { os: "Windows", ...options });
  const served = guest.serve();
  return {
    guest,
    served,
    vm: await BridgeConnection.connect(tcpStream(host), { vm: "vm1", deadline: noDeadline, timeZone: UTC }),
  };
}

Deno.test("the bridge carries requests over loopback, and leaves no socket when either side ends", async () => {
  for (const side of ["host", "guest"] as const) {
    const { vm, guest, served } = await overLoopback();
    await Promise.all(Array.from({ length: 200 }, () => vm.modify(MOUNT)));
    if (side === "host") vm[Symbol.dispose]();
    else guest.crash();
    assertEquals((await vm.ended).reason, side === "host" ? "closed" : "ended");
    assertEquals(await served, side === "host" ? "closed" : "crashed");
  }
});

Deno.test("a guest that crashes with requests under way ends them", async () => {
  const { vm, guest, served } = await overLoopback({
    respond: async (message, usual) => message.id < 50n ? await usual() : guest.crash() as undefined,
  });
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => vm.modify(MOUNT)));
  const lost = outcomes.filter((outcome) =>
    outcome.status === "rejected" && outcome.reason instanceof GuestConnectionError
  );
  const done = outcomes.filter(({ status }) => status === "fulfilled");
  assertEquals([lost.length + done.length, lost.length >= 53], [100, true]);
  await assertRejects(() => vm.modify(MOUNT), GuestConnectionError);
  assertEquals(await served, "crashed");
});

Deno.test("a large request that a guest reads slowly arrives whole", async () => {
  const received: unknown[] = [];
  const { vm, served } = await overLoopback({ modify: ({ Settings }) => void received.push(Settings) });
  const settings = { ContainerPath: "x".repeat(5_000_000) };
  await vm.modify({ RequestType: "Add", ResourceType: "MappedDirectory", Settings: settings });
  assertEquals(received, [settings]);
  vm[Symbol.dispose]();
  await served;
});

Deno.test("a simulated guest can be reached over the simulated host's network", async () => {
  const [far, near] = Connection.pair();
  const served = new BridgeGuest(far, { os: "Linux" }).serve();
  const stream = {
    read: (buffer: Uint8Array<ArrayBuffer>) => near.read(buffer),
    write: (bytes: Uint8Array<ArrayBuffer>) =>
      near.write(bytes) ? Promise.resolve() : Promise.reject(new Error("closed")),
    close: () => near.close(),
  };
  const vm = await BridgeConnection.connect(stream, { vm: "vm1", deadline: noDeadline, timeZone: UTC });
  await vm.modify(MOUNT);
  vm[Symbol.dispose]();
  assertEquals(await served, "closed");
});
